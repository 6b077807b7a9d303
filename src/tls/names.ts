/**
 * The names that a certificate bears. Whoever made it chose them, and a CA may be careless: what cannot be read without
 * doubt counts as no name. Pure; runs in the shards.
 */
import type { X509Certificate } from 'node:crypto';

/** How Node writes a name that holds a comma or a quote into `subjectAltName`: as a string of JSON. */
const QUOTED = /^"(?:[^"\\]|\\.)*"/;

/** The common name, if there is exactly one, and the DNS names among the alternative names. */
export function certificateNames(certificate: X509Certificate): string[] {
  const { CN } = certificate.toLegacyObject().subject as { CN?: unknown };
  const names = dnsNames(certificate.subjectAltName ?? '');
  return typeof CN === 'string' ? [CN, ...names] : names;
}

/** `DNS:a.example, IP Address:192.0.2.1, DNS:"b, c"`; nothing of a text that breaks these rules. */
function dnsNames(text: string): string[] {
  const names: string[] = [];
  for (let at = 0; at < text.length; ) {
    const kind = /^[A-Za-z0-9 ]+:/.exec(text.slice(at))?.[0];
    if (kind === undefined) return [];
    at += kind.length;
    let name: string;
    if (text[at] === '"') {
      const quoted = QUOTED.exec(text.slice(at))?.[0];
      if (quoted === undefined) return [];
      at += quoted.length;
      name = unquoted(quoted);
      if (name === '') return [];
    } else {
      const end = text.indexOf(', ', at);
      name = text.slice(at, end < 0 ? text.length : end);
      if (name.includes('"')) return [];
      at += name.length;
    }
    if (kind === 'DNS:') names.push(name);
    if (at < text.length && !text.startsWith(', ', at)) return [];
    at += 2;
  }
  return names;
}

/** Empty where it is no string of JSON. */
function unquoted(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    return '';
  }
}
