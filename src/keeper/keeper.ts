/**
 * The keeper's work: seals finished segments, compresses them, deletes the oldest. One small step at a time, so that whoever
 * drives it (worker.ts) can pause or end it between any two; what a crash leaves is put in order by tidy.ts.
 *
 *   finished, durable --seal, in order--> sealed --(storage.compress)--> compressed --(retention)--> deleted
 *
 * Sealing and compressing wait while much comes in, unless too much waits to be sealed. Retention does not wait, and has the
 * oldest segment sealed before it goes, so that the chain goes on from what was deleted.
 */
import { statfsSync } from 'node:fs';
import type { Config } from '../config/config.js';
import { LIMITS } from '../limits.js';
import type { LogFiles } from '../log/files.js';
import { CHAIN_START, type Seal, type SigningKey } from '../log/seal.js';
import { isDiskFull } from '../log/segment-writer.js';
import { AGGREGATOR } from '../memory/counters.js';
import type { Addon } from '../native/addon.js';
import { compressSegment } from './compressing.js';
import { FinishedSegments } from './finished.js';
import { bytesOf, type KeptSegment, LogFolder } from './log-folder.js';
import type { KeeperToMain, LogState } from './messages.js';
import { type Cursor, deleteOldest, judge, type Verdict } from './retention.js';
import { CannotSeal, type SealingParts, sealSegment } from './sealing.js';
import { tidy } from './tidy.js';
import { WholeFiles } from './whole-file.js';

/** Also when nothing seems to have changed: others may delete files, too. */
const REFRESH_MS = 30_000;
/** After a compression that found the disk full. */
const COMPRESS_RETRY_MS = 60_000;

export interface KeeperOptions {
  /** `<storage.dir>/log` */
  readonly folder: string;
  readonly storage: Config['storage'];
  readonly counters: Float64Array;
  readonly files: LogFiles;
  readonly addon: Addon | undefined;
  readonly key: SigningKey | undefined;
  tell(message: KeeperToMain): void;
}

interface Job {
  readonly segment: KeptSegment;
  readonly work: Generator<void, Seal | undefined>;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #storage: Config['storage'];
  readonly #folder: LogFolder;
  readonly #parts: SealingParts;
  readonly #finished: FinishedSegments;
  readonly #hasRetention: boolean;
  /** Undefined: not known yet, and so nothing is deleted. */
  #cursor: Cursor | undefined;
  #sealing: Job | undefined;
  #compressing: Job | undefined;
  #isTidy = false;
  #retentionDue = false;
  #lookMs = Number.NEGATIVE_INFINITY;
  #refreshMs = Number.NEGATIVE_INFINITY;
  #retryMs = Number.NEGATIVE_INFINITY;
  #compressMs = Number.NEGATIVE_INFINITY;
  #finishedCount = -1;
  #begunCount = -1;
  #bytesMoved: number;
  #isBusy = false;
  /** As of the last look, and what was deleted since. */
  #freeBytes = 0;
  readonly #deleted = { segments: 0, bytes: 0, records: 0, forcedRecords: 0 };
  #heldBy: string | null = null;
  #trouble: string | null = null;
  #told = '';

  constructor(options: KeeperOptions) {
    const { folder, files, addon, key } = options;
    this.#options = options;
    this.#storage = options.storage;
    this.#folder = new LogFolder(folder, files);
    this.#parts = { folder: this.#folder, wholeFiles: new WholeFiles(folder, files), addon, key };
    this.#finished = new FinishedSegments(options.counters);
    const { retention_bytes, retention_seconds, retention_free_bytes } = options.storage;
    this.#hasRetention = retention_bytes + retention_seconds + retention_free_bytes > 0;
    this.#bytesMoved = bytesMovedBy(options.counters);
  }

  /** The named consumer that needs the oldest record. */
  useCursor(cursor: Cursor): void {
    this.#cursor = cursor;
  }

  /** Does a millisecond or a few of work; false where there is nothing to do now. */
  step(nowMs: number): boolean {
    if (nowMs < this.#retryMs) return false;
    try {
      if (!this.#isTidy) this.#tidy();
      if (nowMs - this.#lookMs >= LIMITS.keeperIntervalMs) this.#look(nowMs);
      const worked = this.#work(nowMs);
      // A part of some work that went well says nothing yet: what failed may be its last.
      if (!worked) this.#trouble = null;
      return worked;
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#trouble) this.#options.tell({ type: 'trouble', message });
      this.#trouble = message;
      this.#retryMs = nowMs + LIMITS.keeperRetryMs;
      this.stop();
      this.#tellState();
      return false;
    }
  }

  /** Leaves what it is doing. */
  stop(): void {
    this.#sealing?.work.return(undefined);
    this.#sealing = undefined;
    this.#stopCompressing();
  }

  /** Puts in order what an earlier keeper left. */
  #tidy(): void {
    this.#folder.refresh();
    const problem = tidy(this.#parts);
    this.#folder.refresh();
    this.#isTidy = true;
    if (problem !== undefined) this.#options.tell({ type: 'trouble', message: problem });
  }

  #look(nowMs: number): void {
    const { counters } = this.#options;
    const bytesMoved = bytesMovedBy(counters);
    const seconds = Math.min(nowMs - this.#lookMs, 60_000) / 1000;
    this.#isBusy = bytesMoved - this.#bytesMoved > LIMITS.sealIdleBytesPerSecond * seconds;
    this.#bytesMoved = bytesMoved;
    this.#lookMs = nowMs;
    const finishedCount = counters[AGGREGATOR.segments_finished]!;
    const begunCount = counters[AGGREGATOR.segments]!;
    const isNews = finishedCount !== this.#finishedCount || begunCount !== this.#begunCount;
    if (isNews || nowMs - this.#refreshMs >= REFRESH_MS) {
      this.#folder.refresh();
      this.#finishedCount = finishedCount;
      this.#begunCount = begunCount;
      this.#refreshMs = nowMs;
    } else this.#folder.refreshNewest();
    this.#finished.look(this.#folder.segments);
    const { bavail, bsize } = statfsSync(this.#folder.path);
    this.#freeBytes = bavail * bsize;
    if (this.#hasRetention) this.#parts.wholeFiles.prepare();
    this.#retentionDue = this.#judge().do !== 'nothing' || this.#heldBy !== null;
    this.#tellState();
  }

  #work(nowMs: number): boolean {
    if (this.#retentionDue && this.#retain()) return true;
    this.#sealing ??= this.#nextToSeal();
    if (this.#sealing !== undefined && this.#maySeal()) return this.#seal(this.#sealing);
    if (this.#isBusy || nowMs < this.#compressMs) return false;
    this.#compressing ??= this.#nextToCompress();
    return this.#compressing !== undefined && this.#compress(this.#compressing, nowMs);
  }

  #maySeal(): boolean {
    return !this.#isBusy || this.#unsealedBytes() > LIMITS.sealLagBytes;
  }

  #nextToSeal(): Job | undefined {
    const { segments } = this.#folder;
    // One that lies before a sealed one would not fit into the chain any more.
    const behind = segments.findLastIndex(({ seal }) => seal !== undefined) + 1;
    const segment = this.#finished
      .of(segments)
      .slice(behind)
      .find(({ unsealable }) => !unsealable);
    if (segment === undefined || !this.#isDurable(segment)) return undefined;
    return { segment, work: sealSegment(this.#parts, segment, this.#chain(), () => this.#retentionDue) };
  }

  #isDurable(segment: KeptSegment): boolean {
    const { segments } = this.#folder;
    const next = segments[segments.indexOf(segment) + 1]?.firstSeq;
    const { counters } = this.#options;
    return counters[AGGREGATOR.durable_seq]! >= Math.min(next ?? Infinity, counters[AGGREGATOR.next_seq]!);
  }

  #seal(job: Job): boolean {
    const { segment } = job;
    try {
      const { done, value: seal } = job.work.next();
      if (!done) return true;
      this.#sealing = undefined;
      if (typeof seal !== 'object') return true;
      this.#trouble = null;
      const { records, bytes, sha256, chain, signature, damagedRecords } = seal;
      this.#options.tell({
        type: 'sealed',
        segment: segment.firstSeq,
        records,
        damagedRecords,
        bytes,
        sha256,
        chain,
        signed: signature !== undefined,
      });
      return true;
    } catch (error) {
      this.#sealing = undefined;
      // Where retention needs the room, it goes without: the chain goes on from the one before.
      if (!(isHopeless(error) || (this.#retentionDue && isDiskFull(error)))) throw error;
      segment.unsealable = true;
      this.#options.tell({ type: 'trouble', message: (error as Error).message });
      return true;
    }
  }

  /** The oldest sealed one. The newest is left alone: recovery looks at it, and reads plain files. */
  #nextToCompress(): Job | undefined {
    if (this.#storage.compress === 'off') return undefined;
    const segment = this.#folder.segments
      .slice(0, -1)
      .find(
        ({ seal, plainBytes, unsealable }) =>
          typeof seal === 'object' && plainBytes !== undefined && plainBytes > 0 && !unsealable,
      );
    if (segment === undefined) return undefined;
    return { segment, work: compressSegment(this.#parts, segment, segment.seal as Seal) };
  }

  #compress(job: Job, nowMs: number): boolean {
    try {
      if (!job.work.next().done) return true;
      this.#compressing = undefined;
      this.#folder.refresh();
    } catch (error) {
      this.#compressing = undefined;
      // It needs room before it gives some, and that is not the time to try it again and again.
      if (isDiskFull(error)) this.#compressMs = nowMs + COMPRESS_RETRY_MS;
      if (!isHopeless(error)) throw error;
      job.segment.unsealable = true;
      this.#options.tell({ type: 'trouble', message: (error as Error).message });
    }
    return true;
  }

  #stopCompressing(): void {
    this.#compressing?.work.return(undefined);
    this.#compressing = undefined;
  }

  #judge(): Verdict {
    const cursor = this.#cursor;
    if (cursor === undefined) return { do: 'nothing' };
    const { segments } = this.#folder;
    return judge(this.#storage, {
      deletable: this.#finished.of(segments).slice(0, segments.length - 1),
      totalBytes: this.#totalBytes(),
      freeBytes: this.#freeBytes,
      nowMs: Date.now(),
      cursor,
      lastMsOf: (segment) => this.#folder.lastMsOf(segment),
      nextSeqOf: (segment) => this.#nextSeqOf(segment),
    });
  }

  /** One step towards the deletion of the oldest segment; false where it cannot go now. */
  #retain(): boolean {
    const verdict = this.#judge();
    this.#heldBy = verdict.do === 'hold' ? verdict.heldBy : null;
    this.#retentionDue = verdict.do === 'delete';
    if (verdict.do !== 'delete') return false;
    const { segment, why, forced } = verdict;
    if (segment.seal === undefined && !segment.unsealable) {
      this.#sealing ??= this.#nextToSeal();
      if (this.#sealing?.segment === segment) return this.#seal(this.#sealing);
      // It cannot be sealed any more, or is not durable yet.
      if (!this.#isDurable(segment)) {
        this.#retentionDue = false;
        return false;
      }
    }
    if (this.#compressing?.segment === segment) this.#stopCompressing();
    const nextSeq = this.#nextSeqOf(segment);
    const bytes = deleteOldest(this.#parts, segment, nextSeq);
    this.#folder.refresh();
    this.#freeBytes += bytes;
    const records = nextSeq - segment.firstSeq;
    this.#deleted.segments++;
    this.#deleted.bytes += bytes;
    this.#deleted.records += records;
    this.#deleted.forcedRecords += forced?.records ?? 0;
    const by = forced?.by ?? null;
    this.#options.tell({ type: 'deleted', segment: segment.firstSeq, records, bytes, why, forced: by });
    return true;
  }

  #nextSeqOf(segment: KeptSegment): number {
    if (typeof segment.seal === 'object') return segment.seal.nextSeq;
    const { segments } = this.#folder;
    // A hole between them has no records; it counts for this one where nobody knows better.
    return (
      this.#folder.readIndex(segment)?.nextSeq ??
      segments[segments.indexOf(segment) + 1]?.firstSeq ??
      this.#options.counters[AGGREGATOR.next_seq]!
    );
  }

  /** What the next seal follows. */
  #chain(): string {
    const newest = this.#folder.segments.findLast(({ seal }) => typeof seal === 'object')?.seal;
    return typeof newest === 'object' ? newest.chain : (this.#folder.deleted?.chain ?? CHAIN_START);
  }

  #totalBytes(): number {
    return this.#folder.segments.reduce((sum, segment) => sum + bytesOf(segment), 0);
  }

  #unsealedBytes(): number {
    return this.#finished
      .of(this.#folder.segments)
      .reduce((sum, { seal, plainBytes }) => sum + (seal === undefined ? (plainBytes ?? 0) : 0), 0);
  }

  #tellState(): void {
    const state = this.state;
    // Free space moves all the time; a few MiB of it are no news.
    const { freeBytes, ...rest } = state;
    const told = JSON.stringify([rest, Math.round(freeBytes / LIMITS.keeperFreeStepBytes)]);
    if (told === this.#told) return;
    this.#told = told;
    this.#options.tell({ type: 'state', state });
  }

  get state(): LogState {
    const { segments } = this.#folder;
    const [oldest] = segments;
    const seals = segments.map(({ seal }) => seal).filter((seal) => typeof seal === 'object');
    const chain = this.#chain();
    return {
      firstSeq: oldest?.firstSeq ?? this.#options.counters[AGGREGATOR.next_seq]!,
      firstMs: oldest === undefined ? null : (this.#folder.firstMsOf(oldest) ?? null),
      segments: segments.length,
      sealedSegments: seals.length,
      compressedSegments: segments.filter(({ gzipBytes }) => gzipBytes !== undefined).length,
      bytes: this.#totalBytes(),
      unsealedBytes: this.#unsealedBytes(),
      damagedRecords: seals.reduce((sum, { damagedRecords }) => sum + damagedRecords, 0),
      deletedSegments: this.#deleted.segments,
      deletedBytes: this.#deleted.bytes,
      deletedRecords: this.#deleted.records,
      forcedRecords: this.#deleted.forcedRecords,
      heldBy: this.#heldBy,
      freeBytes: this.#freeBytes,
      chain: chain === CHAIN_START ? null : chain,
      trouble: this.#trouble,
    };
  }
}

/** What the disk cannot read now it will hardly read later; whoever tried it again and again would never delete it. */
function isHopeless(error: unknown): boolean {
  return error instanceof CannotSeal || (error as NodeJS.ErrnoException).code === 'EIO';
}

/** Who replays the log to consumers keeps the machine as busy as who writes it. */
function bytesMovedBy(counters: Float64Array): number {
  return counters[AGGREGATOR.bytes_logged]! + counters[AGGREGATOR.bytes_sent]!;
}
