/**
 * Appends batches to the log. Owned by the aggregator; the one writer of the data directory's log.
 *
 * Data first, then its index entry, so that an index never promises what the data does not hold. A batch that could
 * not be written whole (disk full) leaves the writer where it was: the same call may be made again, and writes over
 * what half of it left behind. Index entries are collected and written in groups: recovery can make them again.
 */

import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { makeFolder } from '../folders.js';
import type { Addon } from '../native/addon.js';
import { type LogFiles, REAL_FILES } from './files.js';
import {
  encodeIndexEntry,
  encodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  segmentName,
} from './format.js';
import { type RecoveredLog, recoverLog } from './recovery.js';

/** How far the log is written: everything before `nextSeq` can be read by any thread. */
export interface LogEnd {
  /** First sequence number of the segment being written, which its file is named by; 0: there is none. */
  readonly segment: number;
  /** Its size: whole records. */
  readonly bytes: number;
  readonly nextSeq: number;
  readonly durableSeq: number;
}

/** Index entries collected before they are written. */
const INDEX_GROUP_ENTRIES = 64;
/** The page cache is trimmed in steps of this size, this far behind the end: fresh pages may still be read. */
const TRIM_STEP_BYTES = 16 * 1024 * 1024;
const TRIM_LAG_BYTES = 16 * 1024 * 1024;

/** Errors that pass by themselves when somebody makes room. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** What the log's owner sets, and is told. */
export interface WriterOptions {
  readonly folder: string;
  readonly segmentBytes: number;
  /** Age at which the next segment is started; 0: only by size. */
  readonly segmentMs: number;
  readonly fsync: 'interval' | 'always' | 'never';
  readonly fsyncIntervalMs: number;
  readonly addon: Addon | undefined;
  readonly files?: LogFiles;
  /** An fsync begins that covers everything appended before this call. */
  onSyncStart(): void;
  /** It is over, all of that is on the disk: `durableSeq` has moved. */
  onDurable(): void;
  /** An fsync failed: what was appended since the last one may be lost, and cannot be asked for again. */
  onSyncFailed(error: Error): void;
}

interface Segment {
  readonly firstSeq: number;
  readonly openedMs: number;
  readonly data: number;
  readonly index: number;
  sizeBytes: number;
  indexBytes: number;
  trimmedBytes: number;
  /** System calls on pool threads that still use the data descriptor; it is closed after the last one. */
  pending: number;
  sealed: boolean;
}

export class SegmentWriter {
  readonly recovered: RecoveredLog;
  nextSeq: number;
  /** Everything before it is fsynced; with `never`: was handed to the system. */
  durableSeq: number;
  segmentCount: number;
  /** Of them: nothing more is written to them. */
  finishedCount: number;
  syncs = 0;
  syncMs = 0;
  readonly #options: WriterOptions;
  readonly #files: LogFiles;
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #addon: Addon | undefined;
  /** An fsync is under way. */
  #syncing = false;
  #lastSyncMs = 0;
  readonly #crc32: (bytes: Uint8Array) => number;
  #segment: Segment | undefined;
  readonly #group = Buffer.alloc(INDEX_GROUP_ENTRIES * INDEX_ENTRY_BYTES);
  #groupBytes = 0;
  readonly #entry = { baseSeq: 0, offsetBytes: 0, lengthBytes: 0, recordCount: 0, receivedMs: 0, crc: 0 };

  constructor(options: WriterOptions) {
    const { folder, segmentBytes, addon } = options;
    makeFolder(folder, 0o750);
    this.#options = options;
    this.#files = options.files ?? REAL_FILES;
    this.#folder = folder;
    this.#segmentBytes = segmentBytes;
    this.#addon = addon;
    this.#crc32 = addon?.crc32 === undefined ? crc32 : (bytes) => addon.crc32!(bytes, 0);
    this.recovered = recoverLog(folder);
    this.nextSeq = this.recovered.nextSeq;
    this.durableSeq = this.nextSeq;
    this.segmentCount = this.recovered.segments;
    this.finishedCount = this.segmentCount;
  }

  /** Appends `recordCount` whole lines. Throws what the file system says, see isDiskFull(); then nothing has changed. */
  append(lines: Uint8Array, recordCount: number, receivedMs: number): void {
    if (this.#segment !== undefined && this.#segment.sizeBytes >= this.#segmentBytes) this.#seal();
    this.#segment ??= this.#open();
    const segment = this.#segment;
    if (this.#groupBytes === this.#group.length) this.flushIndex();
    this.#writeWhole(segment.data, lines, segment.sizeBytes);
    const entry = this.#entry;
    entry.baseSeq = this.nextSeq;
    entry.offsetBytes = segment.sizeBytes;
    entry.lengthBytes = lines.length;
    entry.recordCount = recordCount;
    entry.receivedMs = receivedMs;
    entry.crc = this.#crc32(lines);
    encodeIndexEntry(entry, this.#group, this.#groupBytes);
    this.#groupBytes += INDEX_ENTRY_BYTES;
    segment.sizeBytes += lines.length;
    this.nextSeq += recordCount;
    if (segment.sizeBytes - segment.trimmedBytes >= TRIM_STEP_BYTES + TRIM_LAG_BYTES) this.#trim(segment);
  }

  /** How far the log is written: what another thread may read. */
  get end(): LogEnd {
    const segment = this.#segment;
    return {
      segment: segment?.firstSeq ?? 0,
      bytes: segment?.sizeBytes ?? 0,
      nextSeq: this.nextSeq,
      durableSeq: this.durableSeq,
    };
  }

  readTail(_fromSeq: number, _maxBytes: number): Uint8Array | undefined {
    return undefined;
  }

  /** Starts an fsync where one is due. To be called often; with `always` after every batch. */
  sync(nowMs: number): void {
    const { fsync, fsyncIntervalMs } = this.#options;
    if (fsync === 'never') {
      this.durableSeq = this.nextSeq;
      return;
    }
    if (this.#syncing || this.durableSeq === this.nextSeq) return;
    if (fsync === 'interval' && nowMs - this.#lastSyncMs < fsyncIntervalMs) return;
    const segment = this.#segment;
    if (segment === undefined) return;
    this.#syncing = true;
    this.#lastSyncMs = nowMs;
    const upTo = this.nextSeq;
    segment.pending++;
    this.#options.onSyncStart();
    this.#files.syncData(segment.data, (error) => {
      this.#syncing = false;
      this.syncs++;
      this.syncMs += performance.now() - nowMs;
      this.#finished(segment);
      if (error !== null) return this.#options.onSyncFailed(error);
      this.durableSeq = upTo;
      this.#options.onDurable();
    });
  }

  /** Writes the collected index entries. */
  flushIndex(): void {
    const segment = this.#segment;
    if (segment === undefined || this.#groupBytes === 0) return;
    this.#writeWhole(segment.index, this.#group.subarray(0, this.#groupBytes), segment.indexBytes);
    segment.indexBytes += this.#groupBytes;
    this.#groupBytes = 0;
  }

  /** Everything appended is on the disk after this. */
  close(): void {
    const segment = this.#segment;
    if (segment === undefined) return;
    this.flushIndex();
    this.#files.syncDataNow(segment.data);
    this.#seal();
  }

  #open(): Segment {
    const base = join(this.#folder, segmentName(this.nextSeq));
    // A segment of this name can only be one that never got a record.
    const data = this.#files.open(`${base}.ndjson`, 'w', 0o640);
    let index: number | undefined;
    try {
      index = this.#files.open(`${base}.idx`, 'w', 0o640);
      this.#writeWhole(index, encodeIndexHeader(this.nextSeq, Date.now()), 0);
      this.#files.syncFolder(this.#folder);
    } catch (error) {
      this.#files.close(data);
      if (index !== undefined) this.#files.close(index);
      throw error;
    }
    this.segmentCount++;
    return {
      firstSeq: this.nextSeq,
      openedMs: Date.now(),
      data,
      index,
      sizeBytes: 0,
      indexBytes: INDEX_HEADER_BYTES,
      trimmedBytes: 0,
      pending: 0,
      sealed: false,
    };
  }

  /** Nothing is written to this segment any more. A full segment is synced on a pool thread: it may take long. */
  #seal(): void {
    const segment = this.#segment!;
    this.flushIndex();
    this.#files.close(segment.index);
    segment.sealed = true;
    this.#segment = undefined;
    this.finishedCount++;
    segment.pending++;
    this.#files.syncData(segment.data, () => this.#finished(segment));
  }

  /** Without this the kernel keeps every written page, and finding free ones becomes the bottleneck. */
  #trim(segment: Segment): void {
    if (this.#addon === undefined || segment.pending > 0) return;
    const lengthBytes = segment.sizeBytes - TRIM_LAG_BYTES - segment.trimmedBytes;
    const offsetBytes = segment.trimmedBytes;
    segment.trimmedBytes += lengthBytes;
    segment.pending++;
    this.#addon.trim(segment.data, offsetBytes, lengthBytes, () => this.#finished(segment));
  }

  #finished(segment: Segment): void {
    segment.pending--;
    if (!segment.sealed || segment.pending > 0) return;
    if (this.#addon === undefined || segment.trimmedBytes >= segment.sizeBytes)
      return this.#files.close(segment.data);
    segment.pending++;
    const offsetBytes = segment.trimmedBytes;
    segment.trimmedBytes = segment.sizeBytes;
    this.#addon.trim(segment.data, offsetBytes, segment.sizeBytes - offsetBytes, () =>
      this.#finished(segment),
    );
  }

  #writeWhole(file: number, bytes: Uint8Array, positionBytes: number): void {
    for (let at = 0; at < bytes.length; ) {
      at += this.#files.write(file, bytes, at, bytes.length - at, positionBytes + at);
    }
  }
}
