/** What TLS is made of, as PEM texts: small enough to be sent to every thread. Types only. */
export interface TlsMaterial {
  /** Certificate and its chain. */
  readonly cert: string;
  readonly key: string;
  /** CAs of node certificates; undefined where none are asked for. */
  readonly ca: string | undefined;
  readonly crl: string | undefined;
  /** Encrypts session tickets, the same on every thread, so that a session may be resumed on another one. Drawn anew
   *  with every new material: what was agreed under an old one is not resumed. */
  readonly ticketKeys: Uint8Array;
}
