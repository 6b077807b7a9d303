/**
 * One feed: a client's way through the log. Runs in the reader thread, a slice at a time.
 *
 *   open --> reading --credit used--> blocked --more--> reading ...
 *               |  at the end of the log: follow --> waiting --written--> reading
 *               '--> over (end, fault, close)
 *
 * Of a feed that is not reading nothing is in memory but its position, and what a filter has let through and nobody has
 * asked for yet.
 */
import { LIMITS } from '../limits.js';
import { LogCursor, type OpenSegments, type Step, type Stretch } from '../log/log-cursor.js';
import type { Addon } from '../native/addon.js';
import type { FeedRequest, FromReader } from './messages.js';
import type { OwnersDesk } from './name-history.js';
import { Selection } from './selection.js';

/** What of the log may be read, as of now. */
export interface LogBounds {
  readonly nextSeq: number;
  readonly durableSeq: number;
}

/** `again`: it has more to do. `blocked`: until `more`. `waiting`: until more was written. */
export type FeedState = 'again' | 'blocked' | 'waiting' | 'over';

/** A chunk with fewer bytes gets a buffer of just its size. */
const WHOLE_BUFFER_BYTES = 128 * 1024;
/** A filter searches for so long before somebody else has his turn. */
const SLICE_MS = 3;
/** What was found is sent so soon, though more may be found; and where nothing is found, so often that is said. */
const FOUND_MS = 50;
const NOTHING_MS = 250;
/** Times of neighbouring batches may be in another order than they by so much. */
const SINCE_SLACK_MS = 2_000;

export interface FeedParts {
  readonly segments: OpenSegments;
  readonly addon: Addon | undefined;
  readonly owners: OwnersDesk;
  /** What filters read to, of everybody: at least so many bytes. */
  scratch(bytes: number): Uint8Array;
  bounds(): LogBounds;
  post(message: FromReader, transfer?: ArrayBuffer[]): void;
  /** It may have work again, without anybody having asked for more. */
  wake(): void;
}

export class ReaderFeed {
  readonly number: number;
  readonly #request: FeedRequest;
  readonly #parts: FeedParts;
  readonly #selection: Selection | undefined;
  #cursor: LogCursor | undefined;
  /** Where the next chunk or gap begins. */
  #told = 0;
  #toldMs = 0;
  #credits = 0;
  readonly #buffers: ArrayBuffer[] = [];
  /** What the last step was read to. */
  #target: Uint8Array<ArrayBuffer> | undefined;
  /** Up to where the log was looked at. */
  #reached = 0;
  /** A gap that is to be told once what was found before it has been sent. */
  #gap: Gap | undefined;
  /** Nothing that comes can pass the filter any more. */
  #beyond = false;
  #waitsForOwners = false;
  /** `idle` was said, and nothing since. */
  #idle = false;
  #over = false;

  constructor(number: number, request: FeedRequest, parts: FeedParts) {
    const { filter, scope, backwards } = request;
    this.number = number;
    this.#request = request;
    this.#parts = parts;
    const isLimited = scope !== undefined && (scope.nodes !== null || scope.eventTypes !== null);
    if (filter !== undefined || isLimited || backwards)
      this.#selection = new Selection(request, parts.segments.lines, parts.addon);
  }

  more(buffer: ArrayBuffer | undefined): void {
    this.#credits = Math.min(this.#credits + 1, LIMITS.replayChunksAhead);
    if (buffer !== undefined && buffer.byteLength >= LIMITS.replayChunkBytes && this.#buffers.length < 2)
      this.#buffers.push(buffer);
  }

  /** Nobody wants it any more. */
  close(): void {
    this.#over = true;
  }

  /** One slice of work. */
  work(): FeedState {
    if (this.#over) return 'over';
    this.#cursor ??= this.#start();
    if (this.#selection?.names?.ready === false) return this.#askForOwners();
    return this.#selection === undefined
      ? this.#pass(this.#cursor)
      : this.#select(this.#cursor, this.#selection);
  }

  /** Without a filter: what is read is sent. */
  #pass(cursor: LogCursor): FeedState {
    const limitSeq = this.#limit();
    if (this.#credits === 0 && cursor.seq < limitSeq) return 'blocked';
    const { maxRecords } = this.#request;
    const step = cursor.next(limitSeq, LIMITS.replayChunkBytes, maxRecords, (bytes) => this.#room(bytes));
    switch (step.kind) {
      case 'working':
        break;
      case 'gap':
        this.#sendGap(step);
        break;
      case 'lines':
        this.#sendLines(step.stretches);
        break;
      case 'end':
        return this.#atEnd();
    }
    return 'again';
  }

  #select(cursor: LogCursor, selection: Selection): FeedState {
    const stopMs = performance.now() + SLICE_MS;
    do {
      // What may be found needs a credit to be sent; the end needs none.
      if (this.#credits === 0 && (selection.records > 0 || !this.#isAtLimit(cursor))) return 'blocked';
      if (this.#gap !== undefined) {
        if (selection.records > 0) this.#sendSelected(selection);
        this.#sendGap(this.#gap);
        this.#gap = undefined;
        selection.names?.forget();
        return 'again';
      }
      const state = this.#step(cursor, selection);
      if (state === 'end') {
        if (selection.records > 0) this.#sendSelected(selection);
        return this.#atEnd();
      }
      if (this.#credits > 0 && (state === 'full' || this.#isDue(selection))) this.#sendSelected(selection);
    } while (performance.now() < stopMs);
    return 'again';
  }

  #step(cursor: LogCursor, selection: Selection): 'on' | 'full' | 'end' {
    if (this.#beyond) return 'end';
    const { scratch } = this.#parts;
    const limitSeq = this.#limit();
    let target: Uint8Array | undefined;
    const room = (bytes: number) => (target = scratch(bytes));
    const step = this.#request.backwards
      ? cursor.previous(limitSeq, 0, room)
      : cursor.next(limitSeq, LIMITS.replayChunkBytes, 0, room);
    switch (step.kind) {
      case 'working':
        return 'on';
      case 'end':
        return 'end';
      case 'gap':
        this.#gap = step;
        return 'on';
      case 'lines':
        for (const stretch of step.stretches) {
          const end = this.#request.backwards ? stretch.firstSeq : stretch.nextSeq;
          this.#reached = selection.take(target!, stretch);
          if (this.#reached !== end) {
            cursor.seq = this.#reached;
            return 'full';
          }
          if (!this.#request.follow && selection.isBeyond(stretch.receivedMs)) this.#beyond = true;
        }
        return 'on';
    }
  }

  #isAtLimit(cursor: LogCursor): boolean {
    if (this.#gap !== undefined) return true;
    return this.#beyond || (this.#request.backwards ? cursor.seq <= 1 : cursor.seq >= this.#limit());
  }

  /** What was found does not wait long, and where nothing was found that is said now and then. */
  #isDue(selection: Selection): boolean {
    const nowMs = performance.now();
    return selection.records > 0
      ? nowMs - selection.sinceMs > FOUND_MS
      : nowMs - this.#toldMs > NOTHING_MS && this.#told !== this.#reached;
  }

  #atEnd(): FeedState {
    const moved = this.#told !== this.#reached;
    if (!this.#request.follow) {
      this.#parts.post({ type: 'end', feed: this.number, nextSeq: this.#reached });
      this.#over = true;
      return 'over';
    }
    // Where nothing passes the filter that is not said each time that something was written.
    if (!this.#idle || (moved && performance.now() - this.#toldMs > NOTHING_MS)) {
      this.#moved(this.#reached);
      this.#idle = true;
      this.#parts.post({ type: 'idle', feed: this.number, nextSeq: this.#told });
    }
    return 'waiting';
  }

  #limit(): number {
    const { nextSeq, durableSeq } = this.#parts.bounds();
    return this.#request.durableOnly ? durableSeq : nextSeq;
  }

  #start(): LogCursor {
    const { segments } = this.#parts;
    const { from, filter, backwards } = this.#request;
    const limitSeq = this.#limit();
    let seq: number;
    switch (from.kind) {
      case 'earliest':
        segments.catalog.refresh();
        seq = segments.catalog.first ?? limitSeq;
        break;
      case 'latest':
        seq = limitSeq;
        break;
      case 'seq':
        seq = Math.max(1, from.seq);
        break;
      case 'time':
        seq = segments.findStart(from.timeMs, limitSeq);
        break;
    }
    this.#moved(seq);
    // What cannot pass needs not be read.
    if (!backwards && filter?.sinceMs !== undefined)
      seq = Math.max(seq, segments.findTime(filter.sinceMs, limitSeq));
    if (backwards && filter?.untilMs !== undefined)
      seq = Math.min(seq, segments.findTime(filter.untilMs + SINCE_SLACK_MS, limitSeq));
    this.#reached = seq;
    return new LogCursor(segments, seq);
  }

  /** Names hold only if the registry was asked after the start, or the gap, was known. */
  #askForOwners(): FeedState {
    if (!this.#waitsForOwners) {
      this.#waitsForOwners = true;
      this.#parts.owners.wanted((owners) => {
        this.#waitsForOwners = false;
        if (this.#over) return;
        this.#selection!.names!.use(owners);
        this.#parts.wake();
      });
    }
    return 'blocked';
  }

  #sendGap(gap: Gap): void {
    const firstSeq = this.#told;
    this.#reached = this.#request.backwards ? gap.firstSeq : gap.nextSeq;
    this.#moved(this.#reached);
    const { reason } = gap;
    this.#parts.post({ type: 'gap', feed: this.number, firstSeq, nextSeq: this.#told, reason });
  }

  #room(bytes: number): Uint8Array<ArrayBuffer> {
    if (bytes <= WHOLE_BUFFER_BYTES) {
      this.#target = new Uint8Array(bytes);
      return this.#target;
    }
    const at = this.#buffers.findIndex((buffer) => buffer.byteLength >= bytes);
    const [buffer] = at < 0 ? [] : this.#buffers.splice(at, 1);
    this.#target = new Uint8Array(buffer ?? new ArrayBuffer(wholeBuffer(bytes)));
    return this.#target;
  }

  #sendLines(stretches: readonly Stretch[]): void {
    const target = this.#target!;
    this.#target = undefined;
    const lines = target.subarray(stretches[0]!.start, stretches.at(-1)!.end);
    this.#reached = this.#cursor!.seq;
    const records = this.#reached - this.#told;
    this.#sendChunk(lines, records, this.#request.numbered ? numbersOf(stretches, records) : undefined);
  }

  /** What was found so far, maybe nothing. */
  #sendSelected(selection: Selection): void {
    const { lines, records, seqs, timesMs } = selection.takeAway();
    this.#sendChunk(lines, records, this.#request.numbered ? { seqs, timesMs } : undefined);
  }

  #sendChunk(lines: Uint8Array<ArrayBuffer>, records: number, numbers: Numbers | undefined): void {
    const firstSeq = this.#told;
    this.#moved(this.#reached);
    this.#credits--;
    this.#parts.post(
      { type: 'chunk', feed: this.number, lines, records, firstSeq, nextSeq: this.#told, ...numbers },
      numbers === undefined ? [lines.buffer] : [lines.buffer, numbers.seqs.buffer, numbers.timesMs.buffer],
    );
  }

  #moved(seq: number): void {
    this.#told = seq;
    this.#toldMs = performance.now();
    this.#idle = false;
  }
}

/** Of one size, or of few: one that comes back is to be of use again. */
function wholeBuffer(bytes: number): number {
  return Math.max(LIMITS.replayChunkBytes, Math.ceil(bytes / WHOLE_BUFFER_BYTES) * WHOLE_BUFFER_BYTES);
}

type Gap = Extract<Step, { kind: 'gap' }>;

interface Numbers {
  readonly seqs: Float64Array<ArrayBuffer>;
  readonly timesMs: Float64Array<ArrayBuffer>;
}

function numbersOf(stretches: readonly Stretch[], records: number): Numbers {
  const seqs = new Float64Array(records);
  const timesMs = new Float64Array(records);
  let at = 0;
  for (const { firstSeq, nextSeq, receivedMs } of stretches)
    for (let seq = firstSeq; seq < nextSeq; seq++, at++) {
      seqs[at] = seq;
      timesMs[at] = receivedMs;
    }
  return { seqs, timesMs };
}
