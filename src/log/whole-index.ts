/**
 * The index of a finished segment, read and checked as a whole, then given entry by entry. Format in format.ts. Any thread.
 */
import { REAL_FILES, readFile } from './files.js';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  type IndexEntry,
} from './format.js';

export class WholeIndex {
  /** Good entries: up to the first that is damaged or does not follow. */
  readonly count: number;
  /** Nothing else stands in the file. */
  readonly whole: boolean;
  /** Behind the last record that it knows of. */
  readonly nextSeq: number;
  /** Of content that it covers. */
  readonly contentBytes: number;
  /** When the first and the last batch were received, ms since 1970; undefined where there is none. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
  readonly #bytes: Buffer;

  /** Undefined where there is no such file, where it is of something else, or where the disk cannot read it. */
  static read(path: string, firstSeq: number): WholeIndex | undefined {
    try {
      return WholeIndex.of(readFile(REAL_FILES, path), firstSeq);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EIO') return undefined;
      throw error;
    }
  }

  static of(bytes: Buffer | undefined, firstSeq: number): WholeIndex | undefined {
    return bytes !== undefined && decodeIndexHeader(bytes) === firstSeq
      ? new WholeIndex(bytes, firstSeq)
      : undefined;
  }

  private constructor(bytes: Buffer, firstSeq: number) {
    this.#bytes = bytes;
    let seq = firstSeq;
    let contentBytes = 0;
    let count = 0;
    let at = INDEX_HEADER_BYTES;
    let firstMs: number | undefined;
    let lastMs: number | undefined;
    for (; ; at += INDEX_ENTRY_BYTES) {
      const entry = decodeIndexEntry(bytes, at);
      if (entry === undefined || entry.baseSeq !== seq || entry.offsetBytes !== contentBytes) break;
      seq += entry.recordCount;
      contentBytes += entry.lengthBytes;
      count++;
      firstMs ??= entry.receivedMs;
      lastMs = entry.receivedMs;
    }
    this.count = count;
    this.whole = at === bytes.length;
    this.nextSeq = seq;
    this.contentBytes = contentBytes;
    this.firstMs = firstMs;
    this.lastMs = lastMs;
  }

  *entries(): Generator<IndexEntry, void> {
    for (let i = 0; i < this.count; i++)
      yield decodeIndexEntry(this.#bytes, INDEX_HEADER_BYTES + i * INDEX_ENTRY_BYTES)!;
  }
}
