/**
 * Makes certificates and CRLs (RFC 5280), for the bench and for tests: also ones that no CA should make. Keys are new
 * each time and nobody else's; none of this is for production.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

export interface CertificateOptions {
  /** Common name; several: as many of them. */
  readonly name: string | readonly string[];
  readonly dns?: readonly string[];
  /** Addresses, IPv4. */
  readonly ip?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly use?: 'server' | 'client';
  readonly isCa?: boolean;
  readonly keyType?: 'ec' | 'rsa' | 'ed25519';
}

/** A certificate and its key, in PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly serial: Buffer;
}

const DAY_MS = 86_400_000;
const OID = {
  commonName: '2.5.4.3',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const;
/** The whole AlgorithmIdentifier; RSA wants a NULL behind its own. */
const SIGNATURE: Readonly<Record<string, () => Buffer>> = {
  ec: () => sequence(oid('1.2.840.10045.4.3.2')),
  rsa: () => sequence(oid('1.2.840.113549.1.1.11'), tlv(0x05)),
  ed25519: () => sequence(oid('1.3.101.112')),
};

export class Authority {
  readonly issued: Issued;
  readonly #name: Buffer;
  readonly #key: KeyObject;

  /** Signed by itself, or by another one. */
  constructor(name: string, parent?: Authority) {
    const key = newKey('ec');
    this.#key = key;
    this.#name = distinguishedName([name]);
    this.issued = (parent ?? this).#issue({ name, isCa: true }, key);
  }

  get cert(): string {
    return this.issued.cert;
  }

  issue(options: CertificateOptions): Issued {
    return this.#issue(options, newKey(options.keyType ?? 'ec'));
  }

  /** A list of revoked certificates, in PEM. */
  revoke(certificates: readonly Issued[], nextUpdate = new Date(Date.now() + 30 * DAY_MS)): string {
    const thisUpdate = new Date(Date.now() - DAY_MS);
    const revoked = certificates.map(({ serial }) => sequence(integer(serial), time(thisUpdate)));
    const list = sequence(
      integer(Buffer.from([1])),
      SIGNATURE.ec!(),
      this.#name,
      time(thisUpdate),
      time(nextUpdate),
      ...(revoked.length > 0 ? [sequence(...revoked)] : []),
    );
    return pem('X509 CRL', signed(list, this.#key));
  }

  #issue(options: CertificateOptions, key: KeyObject): Issued {
    const serial = Buffer.concat([Buffer.from([0x01]), randomBytes(8)]);
    const names = typeof options.name === 'string' ? [options.name] : options.name;
    const certificate = sequence(
      tlv(0xa0, integer(Buffer.from([2]))),
      integer(serial),
      SIGNATURE[this.#key.asymmetricKeyType!]!(),
      this.#name,
      sequence(
        time(options.notBefore ?? new Date(Date.now() - DAY_MS)),
        time(options.notAfter ?? new Date(Date.now() + 365 * DAY_MS)),
      ),
      distinguishedName(names),
      createPublicKey(key).export({ type: 'spki', format: 'der' }),
      tlv(0xa3, sequence(...extensions(options))),
    );
    return {
      cert: pem('CERTIFICATE', signed(certificate, this.#key)),
      key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
      serial,
    };
  }
}

function newKey(type: 'ec' | 'rsa' | 'ed25519'): KeyObject {
  switch (type) {
    case 'ec':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey;
  }
}

function extensions({ dns = [], ip = [], use, isCa = false }: CertificateOptions): Buffer[] {
  const critical = tlv(0x01, Buffer.from([0xff]));
  const all = [
    sequence(
      oid(OID.basicConstraints),
      critical,
      tlv(0x04, isCa ? sequence(tlv(0x01, Buffer.from([0xff]))) : sequence()),
    ),
  ];
  // keyCertSign and cRLSign, bits 5 and 6.
  if (isCa) all.push(sequence(oid(OID.keyUsage), critical, tlv(0x04, tlv(0x03, Buffer.from([1, 0x06])))));
  if (use !== undefined) all.push(sequence(oid(OID.extendedKeyUsage), tlv(0x04, sequence(oid(OID[use])))));
  if (dns.length + ip.length > 0) {
    const names = [
      ...dns.map((name) => tlv(0x82, Buffer.from(name, 'latin1'))),
      ...ip.map((address) => tlv(0x87, Buffer.from(address.split('.').map(Number)))),
    ];
    all.push(sequence(oid(OID.subjectAltName), tlv(0x04, sequence(...names))));
  }
  return all;
}

function distinguishedName(commonNames: readonly string[]): Buffer {
  return sequence(
    ...commonNames.map((name) => tlv(0x31, sequence(oid(OID.commonName), tlv(0x0c, Buffer.from(name))))),
  );
}

/** What is signed, the algorithm, the signature. */
function signed(content: Buffer, key: KeyObject): Buffer {
  const type = key.asymmetricKeyType!;
  const signature = sign(type === 'ed25519' ? null : 'sha256', content, key);
  return sequence(content, SIGNATURE[type]!(), tlv(0x03, Buffer.from([0]), signature));
}

// ---- DER, X.690 ------------------------------------------------------------------------------------------------

function tlv(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

function sequence(...contents: Uint8Array[]): Buffer {
  return tlv(0x30, ...contents);
}

/** Not negative: the first bit of `bytes` must be 0. */
function integer(bytes: Buffer): Buffer {
  return tlv(0x02, bytes);
}

function oid(text: string): Buffer {
  const [first, second, ...rest] = text.split('.').map(Number);
  const bytes = [first! * 40 + second!];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tlv(0x06, Buffer.from(bytes));
}

/** UTCTime up to 2049, as RFC 5280 wants it. */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+|[-:T]/g, '');
  return date.getUTCFullYear() < 2050
    ? tlv(0x17, Buffer.from(digits.slice(2), 'latin1'))
    : tlv(0x18, Buffer.from(digits, 'latin1'));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
