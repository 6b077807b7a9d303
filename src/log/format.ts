/**
 * The log on disk.
 *
 *   <dir>/log/00000000000000000001.ndjson    a segment: one envelope a line; named by its first sequence number
 *   <dir>/log/00000000000000000001.idx       its index: a header, then one entry per batch, all little-endian
 *
 *   header (32 bytes)   "HBIX" | u16 version = 1 | u16 entry size = 48 | u64 first sequence | f64 created ms
 *                       | u32 CRC-32 of the 24 bytes before (0 in older ones: not known) | u32 0
 *   entry  (48 bytes)   u64 base sequence | u64 byte offset | u32 byte length | u32 record count
 *                       | f64 received ms | u32 CRC-32 of the bytes | u32 0 | u32 0 | u32 CRC-32 of the 44 bytes before
 *
 * The n-th line of a segment has the sequence number of its name + n. The index can be made again from the data.
 */
import { crc32 } from 'node:zlib';

export const INDEX_HEADER_BYTES = 32;
export const INDEX_ENTRY_BYTES = 48;
const INDEX_MAGIC = 0x58494248; // "HBIX" read little-endian
const INDEX_VERSION = 1;

/** One batch of a segment: neighbouring lines. */
export interface IndexEntry {
  baseSeq: number;
  offsetBytes: number;
  lengthBytes: number;
  recordCount: number;
  /** When its first record was received; its last one less than LIMITS.indexBatchMs later, or so. */
  receivedMs: number;
  crc: number;
}

const SEQ_DIGITS = 20;

/** File name, without its ending, of the segment that starts with a sequence number. */
export function segmentName(firstSeq: number): string {
  return String(firstSeq).padStart(SEQ_DIGITS, '0');
}

/** First sequence number of a data file's name, or undefined where it is none. */
export function parseSegmentName(file: string): number | undefined {
  const match = /^(\d{20})\.ndjson$/.exec(file);
  if (match === null) return undefined;
  const seq = Number(match[1]);
  return Number.isSafeInteger(seq) ? seq : undefined;
}

export function encodeIndexHeader(firstSeq: number, createdMs: number): Buffer {
  const header = Buffer.alloc(INDEX_HEADER_BYTES);
  header.writeUInt32LE(INDEX_MAGIC, 0);
  header.writeUInt16LE(INDEX_VERSION, 4);
  header.writeUInt16LE(INDEX_ENTRY_BYTES, 6);
  header.writeBigUInt64LE(BigInt(firstSeq), 8);
  header.writeDoubleLE(createdMs, 16);
  header.writeUInt32LE(crc32(header.subarray(0, 24)), 24);
  return header;
}

/** First sequence number of an index, or undefined where the bytes are no header of this version. */
export function decodeIndexHeader(bytes: Buffer): number | undefined {
  if (bytes.length < INDEX_HEADER_BYTES || bytes.readUInt32LE(0) !== INDEX_MAGIC) return undefined;
  if (bytes.readUInt16LE(4) !== INDEX_VERSION || bytes.readUInt16LE(6) !== INDEX_ENTRY_BYTES)
    return undefined;
  const crc = bytes.readUInt32LE(24);
  if (bytes.readUInt32LE(28) !== 0 || (crc !== 0 && crc !== crc32(bytes.subarray(0, 24)))) return undefined;
  return readU64(bytes, 8);
}

/** When the index was made, ms since 1970; undefined where that cannot be read. */
export function indexCreatedMs(bytes: Buffer): number | undefined {
  return decodeIndexHeader(bytes) === undefined ? undefined : bytes.readDoubleLE(16);
}

/** Writes u64 without a bigint: the aggregator does this for every batch. */
export function writeU64(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % 2 ** 32, at);
  target.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

export function readU64(source: Buffer, at: number): number {
  return source.readUInt32LE(at) + source.readUInt32LE(at + 4) * 2 ** 32;
}

/** A whole index. */
export function encodeIndex(firstSeq: number, createdMs: number, entries: readonly IndexEntry[]): Buffer {
  const bytes = Buffer.alloc(INDEX_HEADER_BYTES + entries.length * INDEX_ENTRY_BYTES);
  encodeIndexHeader(firstSeq, createdMs).copy(bytes);
  entries.forEach((entry, i) => {
    encodeIndexEntry(entry, bytes, INDEX_HEADER_BYTES + i * INDEX_ENTRY_BYTES);
  });
  return bytes;
}

export function encodeIndexEntry(entry: IndexEntry, target: Buffer, at: number): void {
  writeU64(target, entry.baseSeq, at);
  writeU64(target, entry.offsetBytes, at + 8);
  target.writeUInt32LE(entry.lengthBytes, at + 16);
  target.writeUInt32LE(entry.recordCount, at + 20);
  target.writeDoubleLE(entry.receivedMs, at + 24);
  target.writeUInt32LE(entry.crc, at + 32);
  target.fill(0, at + 36, at + 44);
  target.writeUInt32LE(crc32(target.subarray(at, at + 44)), at + 44);
}

/** The entry at `at`, or undefined where its checksum is wrong. */
export function decodeIndexEntry(source: Buffer, at: number): IndexEntry | undefined {
  if (at + INDEX_ENTRY_BYTES > source.length) return undefined;
  if (crc32(source.subarray(at, at + 44)) !== source.readUInt32LE(at + 44)) return undefined;
  return {
    baseSeq: readU64(source, at),
    offsetBytes: readU64(source, at + 8),
    lengthBytes: source.readUInt32LE(at + 16),
    recordCount: source.readUInt32LE(at + 20),
    receivedMs: source.readDoubleLE(at + 24),
    crc: source.readUInt32LE(at + 32),
  };
}
