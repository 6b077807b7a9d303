/** Takes PEM text apart. Pure; runs on every thread that does TLS. */

/** The blocks of one kind, `CERTIFICATE` or `X509 CRL`, each with its armour; what stands between them is comment. */
export function pemBlocks(text: string, label: string): string[] {
  const blocks = text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----/g);
  return [...blocks].filter((block) => block[1] === label).map((block) => block[0]);
}
