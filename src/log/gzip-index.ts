/**
 * A compressed segment, and where its members begin.
 *
 *   <dir>/log/00000000000000000001.ndjson.gz   the segment, as gzip members one after the other; `zcat` gives all of it
 *   <dir>/log/00000000000000000001.gzi         where they begin, all little-endian:
 *
 *   header (32 bytes)   "HBGZ" | u16 version = 1 | u16 entry size = 16 | u32 members | u32 0
 *                       | u64 uncompressed bytes, all | u64 compressed bytes, all
 *   entry  (16 bytes)   u64 uncompressed offset | u64 compressed offset
 *   end    (4 bytes)    u32 CRC-32 of everything before
 *
 * A member holds whole entries of the segment's index (format.ts), which stays as it is and speaks of uncompressed
 * offsets: to read a batch, one member is decompressed.
 */
import { crc32 } from 'node:zlib';
import { type IndexEntry, segmentName } from './format.js';

/** A member ends with the index entry that brings it to so much: small enough to be decompressed for one batch, large
 *  enough to be compressed well. */
export const GZIP_MEMBER_BYTES = 256 * 1024;

const MAGIC = 0x5a474248; // "HBGZ" read little-endian
const VERSION = 1;
const HEADER_BYTES = 32;
const ENTRY_BYTES = 16;
const END_BYTES = 4;

export interface GzipIndex {
  /** Where each member begins, in the content and in the file; ascending, the first are 0. */
  readonly offsets: Float64Array;
  readonly compressedOffsets: Float64Array;
  readonly uncompressedBytes: number;
  readonly compressedBytes: number;
}

/** One member: where it lies in the file, and which bytes of the content it holds. */
export interface GzipMember {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly compressedOffsetBytes: number;
  readonly compressedLengthBytes: number;
}

export function gzipFileName(firstSeq: number): string {
  return `${segmentName(firstSeq)}.ndjson.gz`;
}

export function gzipIndexFileName(firstSeq: number): string {
  return `${segmentName(firstSeq)}.gzi`;
}

/** First sequence number of a compressed data file's name, or undefined where it is none. */
export function parseGzipName(file: string): number | undefined {
  const match = /^(\d{20})\.ndjson\.gz$/.exec(file);
  if (match === null) return undefined;
  const seq = Number(match[1]);
  return Number.isSafeInteger(seq) ? seq : undefined;
}

/** Where the members of a segment begin: at index entries, each member at least GZIP_MEMBER_BYTES but the last, which has what
 *  no entry covers besides. */
export function memberOffsets(entries: Iterable<IndexEntry>, contentBytes: number): number[] {
  const offsets = contentBytes > 0 ? [0] : [];
  for (const { offsetBytes } of entries)
    if (offsetBytes < contentBytes && offsetBytes - offsets.at(-1)! >= GZIP_MEMBER_BYTES)
      offsets.push(offsetBytes);
  return offsets;
}

export function encodeGzipIndex(index: GzipIndex): Buffer {
  const { offsets, compressedOffsets } = index;
  const bytes = Buffer.alloc(HEADER_BYTES + offsets.length * ENTRY_BYTES + END_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt16LE(VERSION, 4);
  bytes.writeUInt16LE(ENTRY_BYTES, 6);
  bytes.writeUInt32LE(offsets.length, 8);
  bytes.writeBigUInt64LE(BigInt(index.uncompressedBytes), 16);
  bytes.writeBigUInt64LE(BigInt(index.compressedBytes), 24);
  for (let i = 0; i < offsets.length; i++) {
    bytes.writeBigUInt64LE(BigInt(offsets[i]!), HEADER_BYTES + i * ENTRY_BYTES);
    bytes.writeBigUInt64LE(BigInt(compressedOffsets[i]!), HEADER_BYTES + i * ENTRY_BYTES + 8);
  }
  const end = bytes.length - END_BYTES;
  bytes.writeUInt32LE(crc32(bytes.subarray(0, end)), end);
  return bytes;
}

/** Undefined where the bytes are no whole index of this version. */
export function decodeGzipIndex(bytes: Buffer): GzipIndex | undefined {
  if (bytes.length < HEADER_BYTES + END_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  if (bytes.readUInt16LE(4) !== VERSION || bytes.readUInt16LE(6) !== ENTRY_BYTES) return undefined;
  const members = bytes.readUInt32LE(8);
  const end = HEADER_BYTES + members * ENTRY_BYTES;
  if (bytes.length !== end + END_BYTES || crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end))
    return undefined;
  const offsets = new Float64Array(members);
  const compressedOffsets = new Float64Array(members);
  for (let i = 0; i < members; i++) {
    offsets[i] = Number(bytes.readBigUInt64LE(HEADER_BYTES + i * ENTRY_BYTES));
    compressedOffsets[i] = Number(bytes.readBigUInt64LE(HEADER_BYTES + i * ENTRY_BYTES + 8));
  }
  return {
    offsets,
    compressedOffsets,
    uncompressedBytes: Number(bytes.readBigUInt64LE(16)),
    compressedBytes: Number(bytes.readBigUInt64LE(24)),
  };
}

/** Number of the member that holds the byte at `offsetBytes` of the content; -1 where there is none. */
export function memberAt(index: GzipIndex, offsetBytes: number): number {
  if (offsetBytes < 0 || offsetBytes >= index.uncompressedBytes) return -1;
  let low = 0;
  let high = index.offsets.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (index.offsets[middle]! <= offsetBytes) low = middle;
    else high = middle;
  }
  return low;
}

export function memberOf(index: GzipIndex, member: number): GzipMember {
  const offsetBytes = index.offsets[member]!;
  const compressedOffsetBytes = index.compressedOffsets[member]!;
  return {
    offsetBytes,
    lengthBytes: (index.offsets[member + 1] ?? index.uncompressedBytes) - offsetBytes,
    compressedOffsetBytes,
    compressedLengthBytes:
      (index.compressedOffsets[member + 1] ?? index.compressedBytes) - compressedOffsetBytes,
  };
}
