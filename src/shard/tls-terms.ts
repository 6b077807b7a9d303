/**
 * On which terms a shard speaks TLS: the material in force, and whose certificates it takes. Owned by the shard; what
 * is renewed counts for new connections, those that stand go on.
 */
import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket, type TLSSocketOptions } from 'node:tls';
import type { Config } from '../config/config.js';
import { LIMITS } from '../limits.js';
import { nodeContextOptions } from '../tls/context.js';
import type { TlsMaterial } from '../tls/material.js';
import { certificateNames } from '../tls/names.js';

/** What came of looking at the node's certificate, once the handshake is over. */
export type Verdict =
  /** `names` of its certificate; undefined: it has shown none, and need not. */
  | { readonly taken: true; readonly names: readonly string[] | undefined }
  | { readonly taken: false; readonly reason: string; readonly subject: string | undefined };

export class TlsTerms {
  /** Nodes without TLS are taken, too. */
  readonly plainText: boolean;
  readonly #asks: boolean;
  readonly #requires: boolean;
  #context: SecureContext;

  constructor(settings: Config['tls'], material: TlsMaterial) {
    this.plainText = settings.plain_text;
    this.#asks = settings.ca_file !== '';
    this.#requires = settings.require_client_cert;
    this.#context = createSecureContext(nodeContextOptions(material));
  }

  renew(material: TlsMaterial): void {
    this.#context = createSecureContext(nodeContextOptions(material));
  }

  /** Core's end of TLS over `stream`, at the start of the handshake. Nothing is verified yet: see {@link judge}. */
  open(stream: Duplex): TLSSocket {
    const options: TLSSocketOptions = {
      isServer: true,
      secureContext: this.#context,
      requestCert: this.#asks,
      // Judged here, after the handshake: so the reason can be logged and told.
      rejectUnauthorized: false,
    };
    return new TLSSocket(stream, options);
  }

  judge(socket: TLSSocket): Verdict {
    if (!this.#asks) return { taken: true, names: undefined };
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) {
      if (!this.#requires) return { taken: true, names: undefined };
      return { taken: false, reason: 'no certificate was shown', subject: undefined };
    }
    const error = verifyError(socket);
    if (error !== null)
      return { taken: false, reason: `${error.message} (${error.code})`, subject: subjectOf(certificate) };
    return { taken: true, names: certificateNames(certificate) };
  }
}

/** What OpenSSL found; null: nothing to object to. Only node:tls's own server gives it out, as `authorized`; but that
 *  one does not say whose connection it is. Without this function nobody gets in. */
function verifyError(socket: TLSSocket): { message: string; code: string } | null {
  const { ssl } = socket as unknown as {
    ssl: { verifyError(): (Error & { code: string }) | null | undefined } | null;
  };
  if (ssl === null) return { message: 'the connection is gone', code: 'ECONNRESET' };
  return ssl.verifyError() ?? null;
}

function subjectOf(certificate: X509Certificate): string {
  return certificate.subject.replaceAll('\n', ', ').slice(0, LIMITS.tlsNameLength);
}
