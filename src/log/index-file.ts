/**
 * A segment's index, entry by entry: never more of it in memory than a window. Read-only; may grow while it is read. An
 * entry that is damaged, or does not fit those before it, is none.
 */
import { join } from 'node:path';
import type { LogFiles } from './files.js';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  type IndexEntry,
  segmentName,
} from './format.js';

const WINDOW_ENTRIES = 256;
/** How many damaged entries in a row are passed over, to either side, before it counts as the end. */
const DAMAGED_RUN = 4096;

export class IndexFile {
  readonly createdMs: number;
  readonly #files: LogFiles;
  readonly #file: number;
  readonly #window = Buffer.allocUnsafeSlow(WINDOW_ENTRIES * INDEX_ENTRY_BYTES);
  #windowStart = 0;
  #windowEntries = 0;
  #entries = 0;

  /** Undefined where there is none that can be used. */
  static open(folder: string, firstSeq: number, files: LogFiles): IndexFile | undefined {
    let file: number;
    try {
      file = files.open(join(folder, `${segmentName(firstSeq)}.idx`), 'r', 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const header = Buffer.alloc(INDEX_HEADER_BYTES);
    const read = readOrNothing(files, file, header, 0);
    if (decodeIndexHeader(header.subarray(0, read)) !== firstSeq) {
      files.close(file);
      return undefined;
    }
    return new IndexFile(files, file, header.readDoubleLE(16));
  }

  private constructor(files: LogFiles, file: number, createdMs: number) {
    this.#files = files;
    this.#file = file;
    this.createdMs = createdMs;
    this.refresh();
  }

  /** Looks how long it is now. */
  refresh(): void {
    const bytes = this.#files.size(this.#file) - INDEX_HEADER_BYTES;
    this.#entries = Math.max(0, Math.floor(bytes / INDEX_ENTRY_BYTES));
  }

  get length(): number {
    return this.#entries;
  }

  /** Undefined where it is damaged, or there is none. */
  at(entry: number): IndexEntry | undefined {
    if (entry < 0 || entry >= this.#entries) return undefined;
    if (entry < this.#windowStart || entry >= this.#windowStart + this.#windowEntries) this.#load(entry);
    if (entry >= this.#windowStart + this.#windowEntries) return undefined;
    const found = decodeIndexEntry(this.#window, (entry - this.#windowStart) * INDEX_ENTRY_BYTES);
    return found === undefined || found.recordCount === 0 || found.lengthBytes === 0 ? undefined : found;
  }

  /** The last entry that begins at or before what `key` says of it; -1: none. */
  findLast(key: (entry: IndexEntry) => number, wanted: number): number {
    let low = -1;
    let high = this.#entries;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const good = this.goodFrom(middle, high);
      if (good === -1) high = middle;
      else if (key(this.at(good)!) <= wanted) low = good;
      else high = middle;
    }
    // What was passed over may have been damaged.
    return low;
  }

  /** The first good entry in [entry, end); -1: none. */
  goodFrom(entry: number, end = this.#entries): number {
    const last = Math.min(end, entry + DAMAGED_RUN);
    for (let at = entry; at < last; at++) if (this.at(at) !== undefined) return at;
    return -1;
  }

  /** The last good entry before `entry`; -1: none. */
  goodBefore(entry: number): number {
    const first = Math.max(0, entry - DAMAGED_RUN);
    for (let at = entry - 1; at >= first; at--) if (this.at(at) !== undefined) return at;
    return -1;
  }

  close(): void {
    this.#files.close(this.#file);
  }

  #load(entry: number): void {
    // Some before it, for who reads backwards.
    this.#windowStart = Math.max(0, entry - WINDOW_ENTRIES / 4);
    const positionBytes = INDEX_HEADER_BYTES + this.#windowStart * INDEX_ENTRY_BYTES;
    const read = readOrNothing(this.#files, this.#file, this.#window, positionBytes);
    this.#windowEntries = Math.floor(read / INDEX_ENTRY_BYTES);
    if (read > 0) return;
    // The disk cannot read them: they count as damaged, and are not tried again with every record.
    this.#window.fill(0);
    this.#windowEntries = WINDOW_ENTRIES;
  }
}

/** Bytes read; 0 where the disk gives an error for them. */
function readOrNothing(files: LogFiles, file: number, bytes: Buffer, positionBytes: number): number {
  try {
    return files.read(file, bytes, 0, bytes.length, positionBytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0;
    throw error;
  }
}
