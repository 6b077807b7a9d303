/**
 * The segment that is being written: its data, and its index behind it. Runs in the aggregator.
 *
 *   data   [ append | append | append ][ append ...      written at once, by every append()
 *   index  [        entry             ][ (open)          an entry covers appends up to LIMITS.indexBatchBytes that came
 *                                                        within LIMITS.indexBatchMs; closed, it waits for writeIndex()
 *
 * The index is never ahead of the data. An append that could not be written whole leaves everything as it was: this call, or
 * another one, may be made again.
 */
import { LIMITS } from '../limits.js';
import { appendWhole, type LogFiles, writeWhole } from './files.js';
import { encodeIndexEntry, encodeIndexHeader, INDEX_ENTRY_BYTES, INDEX_HEADER_BYTES } from './format.js';

/** As zlib's: of these bytes, behind those that gave `crc`. */
export type Crc32 = (bytes: Uint8Array, crc: number) => number;

/** Closed entries that wait to be written; above it an append writes them first. */
const WAITING_ENTRIES = 64;

export class OpenSegment {
  readonly firstSeq: number;
  /** Of the data. */
  readonly path: string;
  readonly openedMs: number;
  readonly data: number;
  readonly index: number;
  sizeBytes = 0;
  trimmedBytes = 0;
  /** Calls on pool threads that still use the descriptors; they are closed after the last one. */
  pending = 0;
  finished = false;
  /** All of it is fsynced: only ever of a finished one. */
  synced = false;
  closed = false;
  readonly #files: LogFiles;
  readonly #crc32: Crc32;
  readonly #waiting = Buffer.alloc(WAITING_ENTRIES * INDEX_ENTRY_BYTES);
  #waitingBytes = 0;
  #indexBytes = INDEX_HEADER_BYTES;
  /** The open one; it covers nothing where its length is 0. */
  readonly #entry = { baseSeq: 0, offsetBytes: 0, lengthBytes: 0, recordCount: 0, receivedMs: 0, crc: 0 };

  /** Makes both files, or none. */
  constructor(files: LogFiles, base: string, firstSeq: number, nowMs: number, crc32: Crc32) {
    this.#files = files;
    this.#crc32 = crc32;
    this.firstSeq = firstSeq;
    this.path = `${base}.ndjson`;
    this.openedMs = nowMs;
    this.data = create(files, this.path);
    let index: number | undefined;
    try {
      // An index without data is nobody's.
      index = files.open(`${base}.idx`, 'w', 0o640);
      writeWhole(files, index, encodeIndexHeader(firstSeq, Date.now()), 0);
    } catch (error) {
      files.close(this.data);
      if (index !== undefined) files.close(index);
      throw error;
    }
    this.index = index;
  }

  append(lines: Uint8Array, recordCount: number, seq: number, receivedMs: number): void {
    const entry = this.#entry;
    if (
      entry.lengthBytes > 0 &&
      (entry.lengthBytes + lines.length > LIMITS.indexBatchBytes ||
        Math.abs(receivedMs - entry.receivedMs) >= LIMITS.indexBatchMs)
    )
      this.#closeEntry();
    appendWhole(this.#files, this.data, lines, this.sizeBytes);
    if (entry.lengthBytes === 0) {
      entry.baseSeq = seq;
      entry.offsetBytes = this.sizeBytes;
      entry.receivedMs = receivedMs;
      entry.crc = 0;
      entry.recordCount = 0;
    }
    entry.crc = this.#crc32(lines, entry.crc);
    entry.lengthBytes += lines.length;
    entry.recordCount += recordCount;
    this.sizeBytes += lines.length;
  }

  /** Writes the entries that are closed, and closes the open one where it covers `minBytes`. */
  writeIndex(minBytes: number): void {
    if (this.#entry.lengthBytes >= minBytes) this.#closeEntry();
    if (this.#waitingBytes === 0) return;
    const bytes = this.#waiting.subarray(0, this.#waitingBytes);
    writeWhole(this.#files, this.index, bytes, this.#indexBytes);
    this.#indexBytes += this.#waitingBytes;
    this.#waitingBytes = 0;
  }

  #closeEntry(): void {
    if (this.#entry.lengthBytes === 0) return;
    if (this.#waitingBytes === this.#waiting.length) this.writeIndex(Number.POSITIVE_INFINITY);
    encodeIndexEntry(this.#entry, this.#waiting, this.#waitingBytes);
    this.#waitingBytes += INDEX_ENTRY_BYTES;
    this.#entry.lengthBytes = 0;
  }
}

/** An empty file to be written and read. One of this name can only be there from an attempt that failed: it is empty. */
function create(files: LogFiles, path: string): number {
  try {
    return files.open(path, 'wx+', 0o640);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const file = files.open(path, 'r+', 0o640);
  if (files.size(file) === 0) return file;
  files.close(file);
  throw new Error(`${path} holds records already and would be written over`);
}
