/**
 * Appends batches to the log. Owned by the aggregator; the one writer of the data directory's log.
 *
 *   append() --> data of the open segment --> (full or old: finished, the next one is opened)
 *   sync()   --> a group: everything appended before it is fsynced on a pool thread, then durableSeq moves
 *
 *   durableSeq <= nextSeq <= reservation.limit        segments are fsynced in order, one group after the other
 *
 * A group is the finished segments that no group has covered yet, the open one as far as it is written, and the folder where
 * files were created. So durableSeq never passes a record of which the file, its name or an earlier record may be lost.
 *
 * Throws what the file system says: a full disk (isDiskFull) passes, the same call may be made again and nothing has changed.
 * Everything else, and every fsync that failed, is the end: the kernel may have dropped what it could not write, and a second
 * fsync would say that all is well.
 */
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { makeFolder } from '../folders.js';
import { LIMITS } from '../limits.js';
import type { Addon } from '../native/addon.js';
import { type LogFiles, REAL_FILES } from './files.js';
import { INDEX_ENTRY_BYTES, segmentName } from './format.js';
import { SyncTimes, syncInOrder } from './group-sync.js';
import { LogTail } from './log-tail.js';
import { type Crc32, OpenSegment } from './open-segment.js';
import { type RecoveredLog, recoverLog } from './recovery.js';
import { type LogPlace, Reservation } from './reservation.js';

/** How far the log is written: everything before `nextSeq` can be read by any thread. */
export interface LogEnd {
  /** First sequence number of the segment being written, which its file is named by; 0: there is none. */
  readonly segment: number;
  /** Its size: whole records. */
  readonly bytes: number;
  readonly nextSeq: number;
  readonly durableSeq: number;
}

/** The page cache is trimmed in steps of this size, this far behind the end: fresh pages may still be read. */
const TRIM_STEP_BYTES = 16 * 1024 * 1024;
const TRIM_LAG_BYTES = 16 * 1024 * 1024;
/** At an fsync an index entry is closed that covers so much: the index stays below a hundredth of the data. */
const WORTH_AN_ENTRY_BYTES = 100 * INDEX_ENTRY_BYTES;

/** Errors that pass by themselves when somebody makes room. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** An fsync that failed. Has no code: it never passes by itself, not even where it was a full disk that it met. */
export class SyncError extends Error {
  constructor(cause: Error) {
    super(`fsync: ${cause.message}`, { cause });
    this.name = 'SyncError';
  }
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
  /** For tests: numbers reserved at a time, and what stands for the machine's boot id. */
  readonly reservationBlock?: number;
  readonly bootId?: Buffer;
  /** An fsync begins that covers everything appended before this call. */
  onSyncStart(): void;
  /** It is over, all of that is on the disk: `durableSeq` has moved. With `never`: was handed to the system. */
  onDurable(): void;
  /** An fsync failed: what was appended since the last one may be lost, and cannot be asked for again. */
  onSyncFailed(error: Error): void;
}

export class SegmentWriter {
  readonly recovered: RecoveredLog;
  nextSeq: number;
  /** Everything before it is fsynced; with `never`: was handed to the system. */
  durableSeq: number;
  segmentCount: number;
  /** Of them: nothing more is written to them. */
  finishedCount: number;
  /** Of groups. */
  readonly times = new SyncTimes();
  readonly #options: WriterOptions;
  readonly #files: LogFiles;
  readonly #addon: Addon | undefined;
  readonly #crc32: Crc32;
  readonly #reservation: Reservation;
  /** Where the log ended when this writer began. */
  readonly #start: LogPlace;
  #segment: OpenSegment | undefined;
  /** Finished, and not fsynced yet; the oldest first. */
  #unsynced: OpenSegment[] = [];
  readonly #tail: LogTail;
  /** Segments whose files were created, and how many of them are names in a folder that is fsynced. */
  #created = 0;
  #createdDurably = 0;
  #syncing = false;
  #failed = false;
  #closed = false;
  #lastSyncMs = Number.NEGATIVE_INFINITY;

  constructor(options: WriterOptions) {
    const { folder, addon } = options;
    makeFolder(folder, 0o750);
    this.#options = options;
    this.#files = options.files ?? REAL_FILES;
    this.#tail = new LogTail(this.#files);
    this.#addon = addon;
    this.#crc32 = addon?.crc32 === undefined ? crc32 : (bytes, crc) => addon.crc32!(bytes, crc);
    this.#files.syncFolderNow(dirname(folder));
    const { recovered, before, end } = recoverLog(folder, this.#files, this.#crc32, options.bootId);
    this.recovered = recovered;
    this.#start = end;
    this.nextSeq = recovered.nextSeq;
    this.durableSeq = this.nextSeq;
    this.segmentCount = recovered.segments;
    this.finishedCount = this.segmentCount;
    this.#reservation = new Reservation(this.#files, folder, before, this.nextSeq, end, {
      never: options.fsync === 'never',
      block: options.reservationBlock,
      boot: options.bootId,
    });
  }

  /** Appends `recordCount` whole lines. */
  append(lines: Uint8Array, recordCount: number, receivedMs: number): void {
    if (this.#segment !== undefined && this.#segment.sizeBytes >= this.#options.segmentBytes) this.#finish();
    if (this.nextSeq + recordCount > this.#reservation.limit)
      this.#reservation.renewNow(this.nextSeq + recordCount);
    this.#segment ??= this.#open();
    const segment = this.#segment;
    const offsetBytes = segment.sizeBytes;
    segment.append(lines, recordCount, this.nextSeq, receivedMs);
    this.#tail.appended(this.nextSeq, segment.firstSeq, offsetBytes);
    this.nextSeq += recordCount;
    if (segment.sizeBytes - segment.trimmedBytes >= TRIM_STEP_BYTES + TRIM_LAG_BYTES)
      this.#trim(segment, segment.sizeBytes - TRIM_LAG_BYTES);
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

  /** Starts an fsync where one is due, and the next segment where this one is old. To be called often, and with `always` after
   *  every batch. */
  sync(nowMs: number): void {
    if (this.#failed || this.#closed) return;
    const { fsync, segmentMs } = this.#options;
    const segment = this.#segment;
    if (segment !== undefined && segmentMs > 0 && nowMs - segment.openedMs >= segmentMs) this.#finishOld();
    this.#reserve(nowMs);
    if (fsync === 'never' && this.durableSeq < this.nextSeq && nowMs - this.#lastSyncMs >= this.#intervalMs) {
      this.#lastSyncMs = nowMs;
      this.#options.onSyncStart();
      this.durableSeq = this.nextSeq;
      this.#options.onDurable();
    }
    if (this.dueInMs(nowMs) <= 0) this.#startGroup(nowMs);
  }

  /** In how many ms sync() has something to do, if nothing is appended; Infinity: in none, or its own callback goes on. */
  dueInMs(nowMs: number): number {
    if (this.#syncing || this.#failed || this.#closed) return Number.POSITIVE_INFINITY;
    const never = this.#options.fsync === 'never';
    const pending = this.#unsynced.length > 0 || this.durableSeq < this.nextSeq;
    if (!pending) return Number.POSITIVE_INFINITY;
    if (this.#options.fsync === 'always' || (never && this.#unsynced.length > 0)) return 0;
    return this.#lastSyncMs + this.#intervalMs - nowMs;
  }

  /** Writes the index of all that was appended. */
  flushIndex(): void {
    this.#segment?.writeIndex(1);
  }

  /**
   * The whole lines from a sequence number to the end of the log, out of the page cache: for consumers that are nearly there.
   * Undefined where they are more than `maxBytes`, or not at hand (older than this writer, deleted).
   */
  readTail(fromSeq: number, maxBytes: number): Buffer | undefined {
    return this.#tail.read(this.#segment, fromSeq, this.nextSeq, maxBytes);
  }

  /** Everything appended is on the disk after this, and the next start knows it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const end = this.#here();
    try {
      if (this.#segment !== undefined) {
        try {
          this.#finish();
        } catch (error) {
          // The index can be made again; the data is what counts.
          if (!isDiskFull(error)) throw error;
          this.#abandonIndex();
        }
      }
      if (this.#failed) return;
      for (const segment of this.#unsynced) this.#syncNow(segment);
      if (this.#createdDurably < this.#created) this.#folderNow();
      this.durableSeq = this.nextSeq;
      this.#reservation.end(this.nextSeq, end);
    } finally {
      this.#reservation.close();
      for (const segment of this.#unsynced) segment.synced = true;
      for (const segment of this.#unsynced.splice(0)) this.#release(segment);
    }
  }

  get #intervalMs(): number {
    return this.#options.fsync === 'always' ? 0 : this.#options.fsyncIntervalMs;
  }

  /** The end of what is written. */
  #here(): LogPlace {
    const last = this.#segment ?? this.#tail.last;
    return last === undefined
      ? this.#start
      : { segment: last.firstSeq, offsetBytes: last.sizeBytes, seq: this.nextSeq };
  }

  #open(): OpenSegment {
    const base = join(this.#options.folder, segmentName(this.nextSeq));
    const segment = new OpenSegment(this.#files, base, this.nextSeq, performance.now(), this.#crc32);
    this.#created++;
    this.segmentCount++;
    return segment;
  }

  /** Nothing more is written to the open segment. */
  #finish(): void {
    const segment = this.#segment!;
    segment.writeIndex(1);
    if (this.#unsynced.length >= LIMITS.unsyncedSegments) {
      const oldest = this.#unsynced.find(({ synced }) => !synced);
      if (oldest !== undefined) this.#syncNow(oldest);
    }
    this.#finished(segment);
  }

  #abandonIndex(): void {
    this.#finished(this.#segment!);
  }

  #finished(segment: OpenSegment): void {
    segment.finished = true;
    this.#segment = undefined;
    this.finishedCount++;
    this.#unsynced.push(segment);
    this.#tail.finished(segment);
  }

  #finishOld(): void {
    try {
      this.#finish();
    } catch (error) {
      // On a full disk it only gets older.
      if (!isDiskFull(error)) throw error;
    }
  }

  /** Ahead of need; where the disk is full now, the append that needs the numbers will meet it again. */
  #reserve(nowMs: number): void {
    try {
      this.#reservation.tick(this.nextSeq, nowMs, (error) => this.#syncFailed(error));
    } catch (error) {
      if (!isDiskFull(error)) this.#syncFailed(error as Error);
    }
  }

  /** Fsyncs everything appended so far, file by file, then the folder. With `never` only what is finished. */
  #startGroup(nowMs: number): void {
    const open = this.#segment;
    const never = this.#options.fsync === 'never';
    const group = [...this.#unsynced];
    if (open !== undefined && !never) group.push(open);
    if (open !== undefined) this.#indexWorthIt(open);
    if (group.length === 0) return;
    const last = group.at(-1)!;
    const upTo: LogPlace = {
      segment: last.firstSeq,
      offsetBytes: last.sizeBytes,
      seq: last !== open && open !== undefined ? open.firstSeq : this.nextSeq,
    };
    const created = this.#created;
    this.#syncing = true;
    this.#lastSyncMs = nowMs;
    if (!never) this.#options.onSyncStart();
    syncInOrder(
      this.#files,
      group,
      this.#createdDurably < created ? this.#options.folder : undefined,
      (segment) => this.#release(segment),
      (error) => {
        if (error !== null) return this.#syncFailed(error);
        this.#createdDurably = Math.max(this.#createdDurably, created);
        this.#groupIsOver(nowMs, upTo, never);
      },
    );
  }

  /** On a full disk the index comes later: it can be made again, and must not keep the data from the disk. */
  #indexWorthIt(segment: OpenSegment): void {
    try {
      segment.writeIndex(WORTH_AN_ENTRY_BYTES);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  #groupIsOver(startedMs: number, upTo: LogPlace, never: boolean): void {
    this.#syncing = false;
    if (this.#closed || this.#failed) return;
    this.times.add(startedMs, performance.now());
    this.#unsynced = this.#unsynced.filter((segment) => !segment.synced);
    this.#markDurable(upTo);
    if (never) return;
    this.durableSeq = upTo.seq;
    this.#options.onDurable();
  }

  #markDurable(upTo: LogPlace): void {
    try {
      this.#reservation.mark(upTo);
    } catch (error) {
      // An older mark says less, but nothing wrong.
      if (!isDiskFull(error)) this.#syncFailed(error as Error);
    }
  }

  #syncFailed(error: Error): void {
    this.#syncing = false;
    if (this.#failed || this.#closed) return;
    this.#options.onSyncFailed(this.#noteFailure(error));
  }

  /** The next start must not believe what it reads behind the last mark. */
  #noteFailure(error: Error): SyncError {
    this.#failed = true;
    try {
      this.#reservation.fail();
    } catch {
      // It checks that in any case; what it may have to leave out then are numbers.
    }
    return new SyncError(error);
  }

  #syncNow(segment: OpenSegment): void {
    if (segment.synced) return;
    try {
      this.#files.syncDataNow(segment.data);
      this.#files.syncDataNow(segment.index);
    } catch (error) {
      throw this.#noteFailure(error as Error);
    }
    segment.synced = true;
    if (segment.pending > 0 || this.#closed) return;
    this.#unsynced = this.#unsynced.filter((other) => other !== segment);
    this.#release(segment);
  }

  #folderNow(): void {
    try {
      this.#files.syncFolderNow(this.#options.folder);
    } catch (error) {
      throw this.#noteFailure(error as Error);
    }
    this.#createdDurably = this.#created;
  }

  /** Without this the kernel keeps every written page, and finding free ones becomes the bottleneck. */
  #trim(segment: OpenSegment, upToBytes: number): void {
    if (this.#addon === undefined || segment.pending > 0) return;
    const offsetBytes = segment.trimmedBytes;
    segment.trimmedBytes = upToBytes;
    segment.pending++;
    this.#addon.trim(segment.data, offsetBytes, upToBytes - offsetBytes, (errno) => {
      segment.pending--;
      // Whoever is told first of a write that failed is the only one who is told: the next fsync would succeed.
      if (errno !== 0) this.#syncFailed(new Error(`the system could not write pages back (errno ${errno})`));
      this.#release(segment);
    });
  }

  /** Closes a segment's files when nobody needs them any more. */
  #release(segment: OpenSegment): void {
    if (segment.closed || !segment.finished || !segment.synced || segment.pending > 0) return;
    if (this.#addon !== undefined && segment.trimmedBytes < segment.sizeBytes && !this.#closed)
      return this.#trim(segment, segment.sizeBytes);
    segment.closed = true;
    this.#files.close(segment.data);
    this.#files.close(segment.index);
  }
}
