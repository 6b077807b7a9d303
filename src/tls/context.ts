/**
 * From material to what node:tls asks for. The one place where versions, tickets and the checking of certificates are
 * chosen. Pure; used by main (to try new material, and for 9002) and by the shards.
 */
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { TlsMaterial } from './material.js';
import { pemBlocks } from './pem.js';

/** For the node port: TLS 1.3 and nothing else, and certificates of nodes are checked where CAs are given. */
export function nodeContextOptions(material: TlsMaterial): SecureContextOptions {
  const { ca, crl } = material;
  return {
    ...common(material),
    minVersion: 'TLSv1.3',
    ...(ca !== undefined && {
      ca,
      // An operator may hand out node certificates from an intermediate CA and trust that one alone.
      allowPartialTrustChain: true,
      // A resumed session shows no certificate: it would outlive the certificate it began with.
      secureOptions: constants.SSL_OP_NO_TICKET,
    }),
    // Node reads the first block of a text only.
    ...(crl !== undefined && { crl: pemBlocks(crl, 'X509 CRL') }),
  };
}

/** For people and backends: TLS 1.2 as well, and no certificates of clients. */
export function backendContextOptions(material: TlsMaterial): SecureContextOptions {
  return { ...common(material), minVersion: 'TLSv1.2' };
}

function common({ cert, key, ticketKeys }: TlsMaterial): SecureContextOptions {
  return {
    cert,
    key,
    maxVersion: 'TLSv1.3',
    ticketKeys: Buffer.from(ticketKeys),
    sessionIdContext: 'honeybee-core',
  };
}
