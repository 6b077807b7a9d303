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
import type { FeedRequest, FromReader, GapReason } from './messages.js';

/** What of the log may be read, as of now. */
export interface LogBounds {
  readonly nextSeq: number;
  readonly durableSeq: number;
}

/** `again`: it has more to do. `blocked`: until `more`. `waiting`: until more was written. */
export type FeedState = 'again' | 'blocked' | 'waiting' | 'over';

/** A chunk with fewer bytes gets a buffer of just its size. */
const WHOLE_BUFFER_BYTES = 128 * 1024;

export interface FeedParts {
  readonly segments: OpenSegments;
  bounds(): LogBounds;
  post(message: FromReader, transfer?: ArrayBuffer[]): void;
}

export class ReaderFeed {
  readonly number: number;
  readonly #request: FeedRequest;
  readonly #parts: FeedParts;
  #cursor: LogCursor | undefined;
  /** Where the next chunk or gap begins. */
  #told = 0;
  #credits = 0;
  readonly #buffers: ArrayBuffer[] = [];
  /** `idle` was said, and nothing since. */
  #idle = false;
  #over = false;

  constructor(number: number, request: FeedRequest, parts: FeedParts) {
    this.number = number;
    this.#request = request;
    this.#parts = parts;
  }

  more(buffer: ArrayBuffer | undefined): void {
    this.#credits = Math.min(this.#credits + 1, LIMITS.replayChunksAhead);
    if (buffer !== undefined && buffer.byteLength >= LIMITS.replayChunkBytes && this.#buffers.length < 2)
      this.#buffers.push(buffer);
  }

  /** One slice of work. */
  work(): FeedState {
    if (this.#over) return 'over';
    this.#cursor ??= this.#start();
    const cursor = this.#cursor;
    const limitSeq = this.#limit();
    const { backwards, follow } = this.#request;
    const atEnd = backwards ? cursor.seq <= 1 : cursor.seq >= limitSeq;
    if (this.#credits === 0 && !atEnd) return 'blocked';
    const step = backwards
      ? cursor.previous(limitSeq, this.#request.maxRecords, (bytes) => this.#room(bytes))
      : cursor.next(limitSeq, LIMITS.replayChunkBytes, this.#request.maxRecords, (bytes) =>
          this.#room(bytes),
        );
    switch (step.kind) {
      case 'working':
        return 'again';
      case 'gap':
        this.#gap(step.reason);
        return 'again';
      case 'lines':
        this.#chunk(step);
        return 'again';
      case 'end':
        if (follow) return this.#wait();
        this.#parts.post({ type: 'end', feed: this.number, nextSeq: this.#told });
        this.#over = true;
        return 'over';
    }
  }

  #limit(): number {
    const { nextSeq, durableSeq } = this.#parts.bounds();
    return this.#request.durableOnly ? durableSeq : nextSeq;
  }

  #start(): LogCursor {
    const { segments } = this.#parts;
    const { from } = this.#request;
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
        seq = segments.findTime(from.timeMs, limitSeq);
        break;
    }
    this.#told = seq;
    return new LogCursor(segments, seq);
  }

  #wait(): FeedState {
    if (!this.#idle) this.#parts.post({ type: 'idle', feed: this.number, nextSeq: this.#told });
    this.#idle = true;
    return 'waiting';
  }

  #gap(reason: GapReason): void {
    const firstSeq = this.#told;
    this.#told = this.#cursor!.seq;
    this.#idle = false;
    this.#parts.post({ type: 'gap', feed: this.number, firstSeq, nextSeq: this.#told, reason });
  }

  #room(bytes: number): Uint8Array<ArrayBuffer> {
    if (bytes <= WHOLE_BUFFER_BYTES) {
      this.#target = new Uint8Array(bytes);
      return this.#target;
    }
    const at = this.#buffers.findIndex((buffer) => buffer.byteLength >= bytes);
    const [buffer] = at < 0 ? [] : this.#buffers.splice(at, 1);
    this.#target = new Uint8Array(buffer ?? new ArrayBuffer(Math.max(bytes, LIMITS.replayChunkBytes)));
    return this.#target;
  }

  /** What the last step was read to. */
  #target: Uint8Array<ArrayBuffer> | undefined;

  #chunk(step: Extract<Step, { kind: 'lines' }>): void {
    const { stretches } = step;
    const target = this.#target!;
    this.#target = undefined;
    const firstSeq = this.#told;
    const nextSeq = this.#cursor!.seq;
    const lines = target.subarray(stretches[0]!.start, stretches.at(-1)!.end);
    this.#told = nextSeq;
    this.#idle = false;
    this.#credits--;
    const records = Math.abs(nextSeq - firstSeq);
    const numbers = this.#request.numbered ? numbersOf(stretches, records) : undefined;
    this.#parts.post(
      { type: 'chunk', feed: this.number, lines, records, firstSeq, nextSeq, ...numbers },
      numbers === undefined ? [lines.buffer] : [lines.buffer, numbers.seqs.buffer, numbers.timesMs.buffer],
    );
  }
}

function numbersOf(
  stretches: readonly Stretch[],
  records: number,
): { seqs: Float64Array<ArrayBuffer>; timesMs: Float64Array<ArrayBuffer> } {
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
