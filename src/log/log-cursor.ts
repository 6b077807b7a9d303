/**
 * A way through the log from any record on, forwards or backwards, over segments and whatever is missing between them. It holds
 * nothing but its position: files are opened when something is read, and closed soon after, so that retention gets its room.
 *
 *   forwards:   lines | gap | lines ... end         each begins where the one before ended
 *
 * Any thread; synchronous, a piece at a time.
 */
import { crc32 } from 'node:zlib';
import { LIMITS } from '../limits.js';
import type { Addon } from '../native/addon.js';
import type { Catalog } from './catalog.js';
import { type LogFiles, REAL_FILES } from './files.js';
import { type Lines, linesOf } from './lines.js';
import { type Found, type Piece, SegmentReader, TIME_SLACK_MS } from './segment-reader.js';

/** How often a segment may turn out to be gone, or to have grown, in one step. */
const RACES = 1000;

/** A segment that nobody read from for so long is closed. */
const IDLE_MS = 500;

export type LogGapReason = 'retention' | 'damaged' | 'lost';

/** A piece, or the part of one that was asked for, in the buffer it was read to. */
export interface Stretch {
  readonly firstSeq: number;
  readonly nextSeq: number;
  /** Its lines are buffer[start, end). */
  readonly start: number;
  readonly end: number;
  readonly receivedMs: number;
  readonly notBeforeMs: number;
}

export type Step =
  /** Read: they lie one behind the other in the buffer. Backwards: newest first, each with its lines in their order. */
  | { readonly kind: 'lines'; readonly stretches: readonly Stretch[] }
  /** [firstSeq, nextSeq) is not there, whichever way. */
  | {
      readonly kind: 'gap';
      readonly firstSeq: number;
      readonly nextSeq: number;
      readonly reason: LogGapReason;
    }
  /** Nothing more, as of now. */
  | { readonly kind: 'end' }
  /** It takes longer: ask again. */
  | { readonly kind: 'working' };

/** Segments that are open, shared by all who read. */
export class OpenSegments {
  readonly catalog: Catalog;
  readonly lines: Lines;
  readonly crc32: (bytes: Uint8Array) => number;
  readonly #files: LogFiles;
  readonly #open = new Map<number, SegmentReader>();

  constructor(catalog: Catalog, addon: Addon | undefined, files: LogFiles = REAL_FILES) {
    this.catalog = catalog;
    this.lines = linesOf(addon);
    this.crc32 = addon?.crc32 === undefined ? crc32 : (bytes) => addon.crc32!(bytes, 0);
    this.#files = files;
  }

  /** Undefined where it is gone. */
  get(firstSeq: number): SegmentReader | undefined {
    let segment = this.#open.get(firstSeq);
    if (segment === undefined) {
      segment = SegmentReader.open(this.catalog.folder, firstSeq, this.lines, this.#files);
      if (segment === undefined) return undefined;
      this.#open.set(firstSeq, segment);
    }
    segment.usedMs = performance.now();
    return segment;
  }

  /** Closes what nobody reads. True: some are still open. */
  sweep(nowMs = performance.now()): boolean {
    for (const [firstSeq, segment] of this.#open) {
      if (nowMs - segment.usedMs < IDLE_MS) continue;
      segment.close();
      this.#open.delete(firstSeq);
    }
    return this.#open.size > 0;
  }

  close(): void {
    for (const segment of this.#open.values()) segment.close();
    this.#open.clear();
  }

  /** Where to begin so that nothing is left out that was received at `timeMs` or later: a batch has the time of its first
   *  record, and others may have come behind it. */
  findStart(timeMs: number, limitSeq: number): number {
    return this.findTime(timeMs - LIMITS.indexBatchMs, limitSeq);
  }

  /** The first record that was received at `timeMs` or later; `limitSeq` where there is none yet. */
  findTime(timeMs: number, limitSeq: number): number {
    this.catalog.refresh();
    const { segments } = this.catalog;
    // The last segment that began before, and by more than what the times of neighbouring batches may be out of order.
    let low = 0;
    let high = segments.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const started = this.get(segments[middle]!)?.startedMs;
      if (started === undefined || started < timeMs - TIME_SLACK_MS) low = middle;
      else high = middle;
    }
    for (let at = low; at < segments.length; at++) {
      const nextFirst = segments[at + 1] ?? limitSeq;
      const seq = this.get(segments[at]!)?.findTime(timeMs);
      if (seq !== undefined && seq < Math.min(nextFirst, limitSeq)) return seq;
    }
    return limitSeq;
  }
}

export class LogCursor {
  /** Forwards: of the next record. Backwards: behind the next one. */
  seq: number;
  readonly #segments: OpenSegments;
  /** Of the last piece read and found good, whose checksum needs not be looked at again. */
  #goodBase = -1;
  /** Where the record `#placeSeq` begins in its segment: lines without an entry need not be counted again. */
  #placeSeq = -1;
  #placeBytes = 0;

  constructor(segments: OpenSegments, seq: number) {
    this.#segments = segments;
    this.seq = seq;
  }

  /**
   * The next step forwards; reads whole pieces, as many as fit, or one that does not, to the buffer that `room` gives for
   * their bytes. Records from `limitSeq` on are left alone, and more than `maxRecords` of them.
   */
  next(limitSeq: number, wantedBytes: number, maxRecords: number, room: (bytes: number) => Uint8Array): Step {
    if (this.seq >= limitSeq) return { kind: 'end' };
    const { catalog } = this.#segments;
    for (let tries = 0; ; tries++) {
      const fresh = tries > 0;
      if (tries > RACES)
        throw new Error(`segment ${catalog.segments[catalog.find(this.seq)]} cannot be opened`);
      const at = catalog.find(this.seq);
      if (at < 0) {
        if (!fresh) catalog.refresh();
        if (catalog.find(this.seq) >= 0) continue;
        const firstSeq = Math.min(catalog.first ?? limitSeq, limitSeq);
        return firstSeq === Number.POSITIVE_INFINITY ? { kind: 'end' } : this.#gap(firstSeq, 'retention');
      }
      const nextFirst = catalog.segments[at + 1];
      const segment = this.#segments.get(catalog.segments[at]!);
      if (segment === undefined) {
        // Deleted since it was seen; found gone once more, it is no segment of the catalog any more.
        catalog.refresh();
        continue;
      }
      const end = Math.min(limitSeq, nextFirst ?? limitSeq);
      const found = segment.locate(this.seq, end);
      if (found.kind === 'working') return found;
      if (found.kind === 'damaged') return this.#gap(Math.min(end, found.nextSeq), 'damaged');
      if (found.kind === 'piece') return this.#read(segment, found.piece, end, wantedBytes, maxRecords, room);
      // The end of what this segment holds. Another one may have come; what was written before that is seen only now.
      if (!fresh) {
        catalog.refresh();
        continue;
      }
      if (nextFirst === undefined || nextFirst > limitSeq)
        return nextFirst === undefined ? { kind: 'end' } : this.#gap(limitSeq, 'lost');
      return this.#gap(nextFirst, 'lost');
    }
  }

  /** The next step backwards: one piece, or the last `maxRecords` records of it that come before `seq`. */
  previous(limitSeq: number, maxRecords: number, room: (bytes: number) => Uint8Array): Step {
    const { catalog } = this.#segments;
    this.seq = Math.min(this.seq, limitSeq);
    for (let tries = 0; ; tries++) {
      if (tries === 0) catalog.refresh();
      if (tries > RACES)
        throw new Error(`segment ${catalog.segments[catalog.find(this.seq)]} cannot be opened`);
      const at = catalog.find(this.seq - 1);
      if (at < 0) return { kind: 'end' };
      const firstSeq = catalog.segments[at]!;
      const segment = this.#segments.get(firstSeq);
      if (segment === undefined) {
        catalog.refresh();
        continue;
      }
      const end = Math.min(limitSeq, catalog.segments[at + 1] ?? limitSeq);
      const found = segment.locateBefore(this.seq, end);
      if (found.kind === 'working') return found;
      if (found.kind === 'damaged') return this.#gapBefore(Math.max(firstSeq, found.firstSeq), 'damaged');
      if (found.kind === 'end') return this.#gapBefore(Math.max(firstSeq, found.seq), 'lost');
      const { piece } = found;
      const nextSeq = Math.min(this.seq, piece.baseSeq + piece.recordCount);
      const first = maxRecords > 0 ? Math.max(piece.baseSeq, nextSeq - maxRecords) : piece.baseSeq;
      const bytes = room(piece.lengthBytes);
      if (!this.#load(segment, piece, bytes, 0)) return this.#gapBefore(piece.baseSeq, 'damaged');
      this.seq = first;
      return { kind: 'lines', stretches: [this.#cut(bytes, piece, 0, first, nextSeq)] };
    }
  }

  #gap(nextSeq: number, reason: LogGapReason): Step {
    const firstSeq = this.seq;
    this.seq = nextSeq;
    return { kind: 'gap', firstSeq, nextSeq, reason };
  }

  #gapBefore(firstSeq: number, reason: LogGapReason): Step {
    const nextSeq = this.seq;
    this.seq = firstSeq;
    return { kind: 'gap', firstSeq, nextSeq, reason };
  }

  #read(
    segment: SegmentReader,
    first: Piece,
    limitSeq: number,
    wantedBytes: number,
    maxRecords: number,
    room: (bytes: number) => Uint8Array,
  ): Step {
    const pieces = [this.#rest(first)];
    let length = pieces[0]!.lengthBytes;
    let records = first.baseSeq + first.recordCount - this.seq;
    while (maxRecords === 0 || records < maxRecords) {
      const last = pieces.at(-1)!;
      const found: Found = segment.locate(last.baseSeq + last.recordCount, limitSeq);
      if (found.kind !== 'piece' || length + found.piece.lengthBytes > wantedBytes) break;
      if (found.piece.offsetBytes !== last.offsetBytes + last.lengthBytes) break;
      pieces.push(found.piece);
      length += found.piece.lengthBytes;
      records += found.piece.recordCount;
    }
    const bytes = room(length);
    let read = segment.read(bytes, 0, length, pieces[0]!.offsetBytes);
    // A bad place on the disk costs the piece that it is in, not those before it.
    if (read === 0 && pieces.length > 1)
      read = segment.read(bytes, 0, pieces[0]!.lengthBytes, pieces[0]!.offsetBytes);
    const endSeq = Math.min(limitSeq, maxRecords === 0 ? limitSeq : this.seq + maxRecords);
    const stretches: Stretch[] = [];
    let at = 0;
    for (const piece of pieces) {
      if (at + piece.lengthBytes > read || !this.#isGood(piece, bytes, at)) {
        if (stretches.length > 0) break;
        return this.#gap(Math.min(limitSeq, piece.baseSeq + piece.recordCount), 'damaged');
      }
      const nextSeq = Math.min(endSeq, piece.baseSeq + piece.recordCount);
      if (nextSeq <= this.seq) break;
      const stretch = this.#cut(bytes, piece, at, this.seq, nextSeq);
      stretches.push(stretch);
      this.seq = nextSeq;
      this.#placeSeq = nextSeq;
      this.#placeBytes = piece.offsetBytes + stretch.end - at;
      at += piece.lengthBytes;
    }
    return { kind: 'lines', stretches };
  }

  /** Of lines without an entry, those from here on, where that is known. */
  #rest(piece: Piece): Piece {
    if (piece.crc !== undefined || this.#placeSeq !== this.seq || this.seq === piece.baseSeq) return piece;
    const skipped = this.#placeBytes - piece.offsetBytes;
    if (skipped <= 0 || skipped >= piece.lengthBytes) return piece;
    return {
      ...piece,
      baseSeq: this.seq,
      recordCount: piece.baseSeq + piece.recordCount - this.seq,
      offsetBytes: this.#placeBytes,
      lengthBytes: piece.lengthBytes - skipped,
    };
  }

  #load(segment: SegmentReader, piece: Piece, bytes: Uint8Array, at: number): boolean {
    return (
      segment.read(bytes, at, piece.lengthBytes, piece.offsetBytes) === piece.lengthBytes &&
      this.#isGood(piece, bytes, at)
    );
  }

  #isGood(piece: Piece, bytes: Uint8Array, at: number): boolean {
    if (piece.crc === undefined || piece.baseSeq === this.#goodBase) return true;
    if (this.#segments.crc32(bytes.subarray(at, at + piece.lengthBytes)) !== piece.crc) return false;
    this.#goodBase = piece.baseSeq;
    return true;
  }

  /** [firstSeq, nextSeq) of a piece whose bytes begin at `at`. */
  #cut(bytes: Uint8Array, piece: Piece, at: number, firstSeq: number, nextSeq: number): Stretch {
    const { lines } = this.#segments;
    const stop = at + piece.lengthBytes;
    const start = firstSeq === piece.baseSeq ? at : lines.skip(bytes, at, stop, firstSeq - piece.baseSeq);
    const whole = nextSeq === piece.baseSeq + piece.recordCount;
    const end = whole ? stop : lines.skip(bytes, start, stop, nextSeq - firstSeq);
    return { firstSeq, nextSeq, start, end, receivedMs: piece.receivedMs, notBeforeMs: piece.notBeforeMs };
  }
}
