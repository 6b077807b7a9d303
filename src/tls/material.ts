/** What TLS is made of, as PEM texts: small enough to be sent to every thread. Types only. */
export interface TlsMaterial {
  /** Certificate and its chain. */
  readonly cert: string;
  readonly key: string;
  /** CAs of node certificates; undefined where none are asked for. */
  readonly ca: string | undefined;
  readonly crl: string | undefined;
}
