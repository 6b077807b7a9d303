/**
 * Decides whether what stands in the files of [tls] can be used: everything that would fail later, in a handshake, is
 * found here and named. An expired certificate is none of that: with it Core starts, and says so. Owned by main.
 */
import { createPrivateKey, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Config } from '../config/config.js';
import { nodeContextOptions } from './context.js';
import { type FileKey, TlsFileError, type TlsTexts } from './files.js';
import type { TlsMaterial } from './material.js';
import { certificateNames } from './names.js';
import { pemBlocks } from './pem.js';

export interface CheckedMaterial {
  readonly material: TlsMaterial;
  readonly certificate: X509Certificate;
  readonly notAfterMs: number;
  /** What works and yet is probably not what the operator wants. */
  readonly warnings: readonly string[];
}

const DAY_MS = 86_400_000;
/** A certificate that is renewed in time is never that close to its end: Let's Encrypt renews 30 days before. */
const EXPIRES_SOON_DAYS = 14;
/** OpenSSL wants 16 bytes each of name, HMAC key and AES key. */
const TICKET_KEY_BYTES = 48;

/** Throws a {@link TlsFileError} that names the file which cannot be used. */
export function checkTexts(settings: Config['tls'], texts: TlsTexts, nowMs: number): CheckedMaterial {
  const refuse = (key: FileKey, reason: string, cause?: unknown) =>
    new TlsFileError(settings, key, reason, { cause });
  const certText = texts.cert_file ?? '';
  const chain = certificates(settings, 'cert_file', certText);
  const certificate = chain[0]!;
  const key = privateKey(settings, texts.key_file ?? '');
  if (!certificate.checkPrivateKey(key)) {
    if (chain.some((other) => other.checkPrivateKey(key)))
      throw refuse('cert_file', 'must hold the certificate of the key first, and its CAs behind it');
    throw refuse('key_file', 'holds a key that does not fit the certificate in tls.cert_file');
  }
  const cas = texts.ca_file === undefined ? [] : certificates(settings, 'ca_file', texts.ca_file);
  if (texts.crl_file !== undefined) checkCrls(settings, texts.crl_file);
  const material: TlsMaterial = {
    cert: certText,
    key: texts.key_file ?? '',
    ca: texts.ca_file,
    crl: texts.crl_file,
    ticketKeys: new Uint8Array(randomBytes(TICKET_KEY_BYTES)),
  };
  try {
    createSecureContext(nodeContextOptions(material));
  } catch (error) {
    throw refuse('cert_file', `cannot be used with tls.key_file: ${(error as Error).message}`, error);
  }
  const notAfterMs = Date.parse(certificate.validTo);
  const warnings = [
    ...validityWarnings(certificate, nowMs),
    ...chainWarnings(chain),
    ...cas.filter(({ ca }) => !ca).map((ca) => `in tls.ca_file: ${oneLine(ca.subject)} is not a CA`),
  ];
  return { material, certificate, notAfterMs, warnings };
}

/** What there is to say about a certificate's dates. */
export function validityWarnings(certificate: X509Certificate, nowMs: number): string[] {
  const { validFrom, validTo } = certificate;
  const leftMs = Date.parse(validTo) - nowMs;
  if (leftMs <= 0) return [`the certificate expired on ${validTo}: clients will refuse it`];
  if (Date.parse(validFrom) > nowMs) return [`the certificate is not valid before ${validFrom}`];
  if (leftMs < EXPIRES_SOON_DAYS * DAY_MS)
    return [`the certificate expires on ${validTo}, in less than ${EXPIRES_SOON_DAYS} days`];
  return [];
}

/** For the log. */
export function describe(certificate: X509Certificate): Record<string, unknown> {
  return {
    subject: oneLine(certificate.subject),
    names: certificateNames(certificate),
    issuer: oneLine(certificate.issuer),
    expires: new Date(certificate.validTo).toISOString(),
    fingerprint256: certificate.fingerprint256,
  };
}

function certificates(settings: Config['tls'], key: FileKey, text: string): X509Certificate[] {
  const blocks = pemBlocks(text, 'CERTIFICATE');
  if (blocks.length === 0) throw new TlsFileError(settings, key, 'holds no certificate in PEM');
  return blocks.map((block, at) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      const which = `certificate ${at + 1} of ${blocks.length}`;
      throw new TlsFileError(settings, key, `is damaged: ${which} cannot be read`, { cause });
    }
  });
}

function privateKey(settings: Config['tls'], text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (cause) {
    const encrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(text);
    const reason = encrypted
      ? 'is encrypted; allowed: a key without a passphrase'
      : 'holds no private key in PEM that can be read';
    throw new TlsFileError(settings, 'key_file', reason, { cause });
  }
}

function checkCrls(settings: Config['tls'], text: string): void {
  const blocks = pemBlocks(text, 'X509 CRL');
  if (blocks.length === 0) throw new TlsFileError(settings, 'crl_file', 'holds no CRL in PEM');
  for (const [at, crl] of blocks.entries()) {
    try {
      createSecureContext({ crl });
    } catch (cause) {
      const which = `CRL ${at + 1} of ${blocks.length}`;
      throw new TlsFileError(settings, 'crl_file', `is damaged: ${which} cannot be read`, { cause });
    }
  }
}

function chainWarnings(chain: readonly X509Certificate[]): string[] {
  return chain.slice(1).flatMap((issuer, at) => {
    const issued = chain[at]!;
    return issued.checkIssued(issuer)
      ? []
      : [
          `in tls.cert_file: ${oneLine(issuer.subject)} did not issue ${oneLine(issued.subject)}, which it follows`,
        ];
  });
}

/** Node writes a name part per line. */
export function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
