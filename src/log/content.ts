/**
 * The content of a segment, plain or compressed, by offsets of the plain file. Read-only.
 *
 * A segment that retention deletes while it is open can still be read; one that is compressed meanwhile is the same
 * content under another name.
 */
import { fstatSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, inflateRawSync } from 'node:zlib';
import type { LogFiles } from './files.js';
import { segmentName } from './format.js';
import {
  decodeGzipIndex,
  type GzipIndex,
  gzipFileName,
  gzipIndexFileName,
  memberAt,
  memberOf,
} from './gzip-index.js';

export interface Content {
  readonly compressed: boolean;
  /** Bytes as of now. */
  size(): number;
  /** When it was written to last, ms since 1970. */
  writtenMs(): number;
  /** Bytes read into target from `start` on: fewer than `length` where it ends before, or cannot be read. */
  read(target: Uint8Array, start: number, length: number, positionBytes: number): number;
  close(): void;
}

/** Undefined where there is no such segment (any more). */
export function openContent(folder: string, firstSeq: number, files: LogFiles): Content | undefined {
  return (
    openPlain(folder, firstSeq, files) ??
    openGzip(folder, firstSeq, files) ??
    openPlain(folder, firstSeq, files)
  );
}

function open(path: string, files: LogFiles): number | undefined {
  try {
    return files.open(path, 'r', 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function readWhole(
  files: LogFiles,
  file: number,
  target: Uint8Array,
  start: number,
  length: number,
  positionBytes: number,
): number {
  let done = 0;
  while (done < length) {
    const read = files.read(file, target, start + done, length - done, positionBytes + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function openPlain(folder: string, firstSeq: number, files: LogFiles): Content | undefined {
  const file = open(join(folder, `${segmentName(firstSeq)}.ndjson`), files);
  if (file === undefined) return undefined;
  return {
    compressed: false,
    size: () => files.size(file),
    writtenMs: () => fstatSync(file).mtimeMs,
    read: (target, start, length, position) => readWhole(files, file, target, start, length, position),
    close: () => files.close(file),
  };
}

function openGzip(folder: string, firstSeq: number, files: LogFiles): Content | undefined {
  const file = open(join(folder, gzipFileName(firstSeq)), files);
  if (file === undefined) return undefined;
  try {
    return new GzipContent(files, file, readGzipIndex(folder, firstSeq, files));
  } catch (error) {
    files.close(file);
    throw error;
  }
}

function readGzipIndex(folder: string, firstSeq: number, files: LogFiles): GzipIndex | undefined {
  const file = open(join(folder, gzipIndexFileName(firstSeq)), files);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(files.size(file));
    return decodeGzipIndex(bytes.subarray(0, readWhole(files, file, bytes, 0, bytes.length, 0)));
  } finally {
    files.close(file);
  }
}

/** Where the members of a compressed segment begin, told from the segment itself. Throws where there is none. */
export function membersOf(folder: string, firstSeq: number, files: LogFiles): GzipIndex {
  const file = files.open(join(folder, gzipFileName(firstSeq)), 'r', 0);
  try {
    return scanMembers(files, file);
  } finally {
    files.close(file);
  }
}

class GzipContent implements Content {
  readonly compressed = true;
  readonly #files: LogFiles;
  readonly #file: number;
  readonly #index: GzipIndex;
  /** The member that was decompressed last: neighbouring batches are mostly in the same. */
  #member = -1;
  #plain: Uint8Array = new Uint8Array(0);

  constructor(files: LogFiles, file: number, index: GzipIndex | undefined) {
    this.#files = files;
    this.#file = file;
    this.#index = index ?? scanMembers(files, file);
  }

  size(): number {
    return this.#index.uncompressedBytes;
  }

  writtenMs(): number {
    return fstatSync(this.#file).mtimeMs;
  }

  read(target: Uint8Array, start: number, length: number, positionBytes: number): number {
    let done = 0;
    while (done < length) {
      const member = memberAt(this.#index, positionBytes + done);
      if (member < 0) break;
      const { offsetBytes } = memberOf(this.#index, member);
      if (!this.#load(member)) break;
      const from = positionBytes + done - offsetBytes;
      const bytes = this.#plain.subarray(from, from + length - done);
      if (bytes.length === 0) break;
      target.set(bytes, start + done);
      done += bytes.length;
    }
    return done;
  }

  close(): void {
    this.#files.close(this.#file);
    this.#plain = new Uint8Array(0);
    this.#member = -1;
  }

  #load(member: number): boolean {
    if (member === this.#member) return true;
    const { compressedOffsetBytes, compressedLengthBytes, lengthBytes } = memberOf(this.#index, member);
    const packed = Buffer.allocUnsafe(compressedLengthBytes);
    const read = readWhole(this.#files, this.#file, packed, 0, compressedLengthBytes, compressedOffsetBytes);
    try {
      // The bound: a damaged member must not unpack to more memory than it says.
      const plain = gunzipSync(packed.subarray(0, read), { maxOutputLength: Math.max(lengthBytes, 1) });
      if (plain.length !== lengthBytes) return false;
      this.#plain = plain;
      this.#member = member;
    } catch {
      return false;
    }
    return true;
  }
}

const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;
const SCAN_BYTES = 4 * 1024 * 1024;

/** Where the members begin, found by unpacking them one after the other: for a segment whose `.gzi` is missing or damaged. What
 *  cannot be unpacked, and all behind it, is not there. */
function scanMembers(files: LogFiles, file: number): GzipIndex {
  const size = files.size(file);
  const offsets: number[] = [];
  const compressedOffsets: number[] = [];
  let plain = 0;
  let at = 0;
  let window = SCAN_BYTES;
  while (at < size) {
    const bytes = Buffer.allocUnsafe(Math.min(window, size - at));
    const read = readWhole(files, file, bytes, 0, bytes.length, at);
    const member = unpack(bytes.subarray(0, read));
    if (member === undefined) {
      if (at + read >= size || window > 16 * SCAN_BYTES) break;
      window *= 4;
      continue;
    }
    offsets.push(plain);
    compressedOffsets.push(at);
    plain += member.plainBytes;
    at += member.packedBytes;
    window = SCAN_BYTES;
  }
  return {
    offsets: Float64Array.from(offsets),
    compressedOffsets: Float64Array.from(compressedOffsets),
    uncompressedBytes: plain,
    compressedBytes: at,
  };
}

function unpack(bytes: Buffer): { plainBytes: number; packedBytes: number } | undefined {
  // Members as Core writes them: no name, no extra field.
  if (bytes.length < GZIP_HEADER_BYTES || bytes.readUInt16BE(0) !== 0x1f8b || bytes[3] !== 0)
    return undefined;
  try {
    const { buffer, engine } = inflateRawSync(bytes.subarray(GZIP_HEADER_BYTES), {
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    const packedBytes = GZIP_HEADER_BYTES + engine.bytesWritten + GZIP_TRAILER_BYTES;
    return packedBytes > bytes.length ? undefined : { plainBytes: buffer.length, packedBytes };
  } catch {
    return undefined;
  }
}
