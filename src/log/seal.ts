/**
 * The seal of a finished segment: what it holds, and what it follows.
 *
 *   <dir>/log/00000000000000000001.seal   one line of JSON
 *   <dir>/log/retention.seal              the same for everything that retention has deleted
 *
 * What a seal says is also a text of fixed form, `statement` below. `chain` is the SHA-256 of that text, and the text names
 * the chain of the segment before, so the newest chain stands for every byte of the log since its first record. The
 * signature (Ed25519) is of the same text. Without a key anybody who can write the files can make the chain again; a
 * chain that is kept elsewhere, or the signatures, are what such a person cannot have.
 *
 *   honeybee-seal 1              honeybee-retention 1
 *   segment 1                    next_seq 5001
 *   next_seq 1001                segments 5
 *   records 1000                 bytes 1510000
 *   damaged_records 0            chain 0f..
 *   bytes 302000                 deleted_at 2026-11-21T16:00:00.000Z
 *   sha256 1b..
 *   previous 00..
 *   sealed_at 2026-11-21T16:00:00.000Z
 *
 * Every line ends with a newline. `sha256` is of the uncompressed content, as `sha256sum` gives it.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { segmentName } from './format.js';

/** What the first segment of a log follows. */
export const CHAIN_START = '0'.repeat(64);
export const RETENTION_SEAL = 'retention.seal';

interface Signature {
  /** SHA-256 of the public key (DER, SubjectPublicKeyInfo), hexadecimal. */
  readonly keyId: string;
  readonly bytes: Buffer;
}

/** What is known of a segment when it is sealed. */
export interface SealedContent {
  readonly segment: number;
  /** Behind its last record. */
  readonly nextSeq: number;
  readonly records: number;
  /** Of them: what cannot be read, because its checksum was wrong when it was sealed. */
  readonly damagedRecords: number;
  readonly bytes: number;
  /** Hexadecimal, as the chains are. */
  readonly sha256: string;
  /** Chain of the segment before. */
  readonly previous: string;
  /** ISO 8601. */
  readonly sealedAt: string;
}

export interface Seal extends SealedContent {
  readonly chain: string;
  readonly signature: Signature | undefined;
}

export interface DeletedContent {
  /** The oldest record that is kept has this number, or a higher one. */
  readonly nextSeq: number;
  /** Deleted in all, since the log began. */
  readonly segments: number;
  /** Of uncompressed content. */
  readonly bytes: number;
  /** Of the last one. */
  readonly chain: string;
  readonly deletedAt: string;
}

export interface RetentionSeal extends DeletedContent {
  readonly signature: Signature | undefined;
}

/** A key that signs; its public half tells which one it was. */
export interface SigningKey {
  readonly keyId: string;
  readonly privateKey: KeyObject;
}

export function sealFileName(segment: number): string {
  return `${segmentName(segment)}.seal`;
}

/** Segment of a seal's file name, or undefined where it is none. */
export function parseSealName(file: string): number | undefined {
  const match = /^(\d{20})\.seal$/.exec(file);
  if (match === null) return undefined;
  const segment = Number(match[1]);
  return Number.isSafeInteger(segment) ? segment : undefined;
}

export function makeSeal(content: SealedContent, key: SigningKey | undefined): Seal {
  return { ...content, chain: chainOf(content), signature: signed(sealStatement(content), key) };
}

export function makeRetentionSeal(content: DeletedContent, key: SigningKey | undefined): RetentionSeal {
  return { ...content, signature: signed(retentionStatement(content), key) };
}

/** What the chain of a segment must be. */
export function chainOf(content: SealedContent): string {
  return createHash('sha256').update(sealStatement(content)).digest('hex');
}

/** Whether one of the keys signed what it says. */
export function isSealSigned(seal: Seal, keys: readonly KeyObject[]): boolean {
  return isSigned(sealStatement(seal), seal.signature, keys);
}

export function isRetentionSigned(seal: RetentionSeal, keys: readonly KeyObject[]): boolean {
  return isSigned(retentionStatement(seal), seal.signature, keys);
}

/** Of a public key, or of the public half of a private one. */
export function keyIdOf(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

export function encodeSeal(seal: Seal): string {
  const { segment, records, bytes, sha256, previous, chain } = seal;
  return `${JSON.stringify({
    segment,
    next_seq: seal.nextSeq,
    records,
    damaged_records: seal.damagedRecords,
    bytes,
    sha256,
    previous,
    chain,
    sealed_at: seal.sealedAt,
    ...signatureFields(seal.signature),
  })}\n`;
}

/** Undefined where the text is no seal. Whether its chain is right is not looked at. */
export function decodeSeal(text: string): Seal | undefined {
  const fields = readObject(text);
  if (fields === undefined) return undefined;
  const { segment, next_seq, records, damaged_records, bytes, sha256, previous, chain, sealed_at } = fields;
  const signature = readSignature(fields);
  if (!isCount(segment) || !isCount(next_seq) || !isCount(records) || !isCount(damaged_records))
    return undefined;
  if (!isCount(bytes) || !isHash(sha256) || !isHash(previous) || !isHash(chain)) return undefined;
  if (!isTime(sealed_at) || signature === 'wrong') return undefined;
  return {
    segment,
    nextSeq: next_seq,
    records,
    damagedRecords: damaged_records,
    bytes,
    sha256,
    previous,
    chain,
    sealedAt: sealed_at,
    signature,
  };
}

export function encodeRetentionSeal(seal: RetentionSeal): string {
  const { segments, bytes, chain } = seal;
  return `${JSON.stringify({
    next_seq: seal.nextSeq,
    segments,
    bytes,
    chain,
    deleted_at: seal.deletedAt,
    ...signatureFields(seal.signature),
  })}\n`;
}

export function decodeRetentionSeal(text: string): RetentionSeal | undefined {
  const fields = readObject(text);
  if (fields === undefined) return undefined;
  const { next_seq, segments, bytes, chain, deleted_at } = fields;
  const signature = readSignature(fields);
  if (!isCount(next_seq) || !isCount(segments) || !isCount(bytes) || !isHash(chain)) return undefined;
  if (!isTime(deleted_at) || signature === 'wrong') return undefined;
  return { nextSeq: next_seq, segments, bytes, chain, deletedAt: deleted_at, signature };
}

function sealStatement(seal: SealedContent): string {
  return [
    'honeybee-seal 1',
    `segment ${seal.segment}`,
    `next_seq ${seal.nextSeq}`,
    `records ${seal.records}`,
    `damaged_records ${seal.damagedRecords}`,
    `bytes ${seal.bytes}`,
    `sha256 ${seal.sha256}`,
    `previous ${seal.previous}`,
    `sealed_at ${seal.sealedAt}\n`,
  ].join('\n');
}

function retentionStatement(seal: DeletedContent): string {
  return [
    'honeybee-retention 1',
    `next_seq ${seal.nextSeq}`,
    `segments ${seal.segments}`,
    `bytes ${seal.bytes}`,
    `chain ${seal.chain}`,
    `deleted_at ${seal.deletedAt}\n`,
  ].join('\n');
}

function signed(statement: string, key: SigningKey | undefined): Signature | undefined {
  if (key === undefined) return undefined;
  return { keyId: key.keyId, bytes: sign(null, Buffer.from(statement), key.privateKey) };
}

function isSigned(statement: string, signature: Signature | undefined, keys: readonly KeyObject[]): boolean {
  if (signature === undefined) return false;
  return keys.some(
    (key) => keyIdOf(key) === signature.keyId && verify(null, Buffer.from(statement), key, signature.bytes),
  );
}

function signatureFields(signature: Signature | undefined): Record<string, string> {
  if (signature === undefined) return {};
  return { key_id: signature.keyId, signature: signature.bytes.toString('base64') };
}

function readObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function readSignature({ key_id, signature }: Record<string, unknown>): Signature | undefined | 'wrong' {
  if (key_id === undefined && signature === undefined) return undefined;
  if (!isHash(key_id) || typeof signature !== 'string') return 'wrong';
  return { keyId: key_id, bytes: Buffer.from(signature, 'base64') };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/** As it was written: the text is what is hashed. */
function isTime(value: unknown): value is string {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);
}
