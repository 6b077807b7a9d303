/**
 * What a feed with a filter, a scope, or backwards lets through: collected from stretch to stretch until it is a chunk. Runs in
 * the reader thread.
 */
import { LIMITS } from '../limits.js';
import type { Lines } from '../log/lines.js';
import type { Stretch } from '../log/log-cursor.js';
import type { Addon } from '../native/addon.js';
import { LineFinder } from '../query/line-finder.js';
import { needleOf } from '../query/needle.js';
import { RecordFilter } from '../query/record-filter.js';
import type { FeedRequest } from './messages.js';
import { NameHistory } from './name-history.js';

/** Batches of several shards may be in another order than their times by so much; a clock may be set back a little. */
const TIME_SLACK_MS = 2_000;
const FIRST_BYTES = 4096;
/** Copied byte by byte: a view costs more. */
const SHORT_BYTES = 128;

export class Selection {
  /** Where names of nodes are asked for. */
  readonly names: NameHistory | undefined;
  records = 0;
  bytes = 0;
  /** When the first of them was found, in performance.now(). */
  sinceMs = 0;
  readonly #request: FeedRequest;
  readonly #lines: Lines;
  readonly #filter: RecordFilter | undefined;
  readonly #finder: LineFinder;
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #seqs: number[] = [];
  #timesMs: number[] = [];
  /** Of the record that is looked at. */
  #seq = 0;
  readonly #nameOf = (id: string): string | undefined => this.names?.nameAt(id, this.#seq);

  constructor(request: FeedRequest, lines: Lines, addon: Addon | undefined) {
    const { filter, scope, backwards } = request;
    this.#request = request;
    this.#lines = lines;
    this.#filter = filter === undefined && scope === undefined ? undefined : new RecordFilter(filter, scope);
    this.names = this.#filter?.needsNames ? new NameHistory(backwards) : undefined;
    this.#finder = new LineFinder(needleOf(filter), this.names !== undefined, addon);
  }

  /** Nothing behind a record of that time can pass any more. */
  isBeyond(receivedMs: number): boolean {
    const { filter, backwards } = this.#request;
    if (backwards) return filter?.sinceMs !== undefined && receivedMs < filter.sinceMs - TIME_SLACK_MS;
    return filter?.untilMs !== undefined && receivedMs >= filter.untilMs + TIME_SLACK_MS;
  }

  /**
   * Takes what is wanted of a stretch. Answers the number up to which it was looked at: the stretch's end, unless the chunk
   * is full before; then it is to be taken away, and the search goes on from there.
   */
  take(bytes: Uint8Array, stretch: Stretch): number {
    const { filter, backwards } = this.#request;
    const { receivedMs } = stretch;
    const inTime =
      (filter?.sinceMs === undefined || receivedMs >= filter.sinceMs) &&
      (filter?.untilMs === undefined || receivedMs < filter.untilMs);
    if (!inTime && this.names === undefined) return backwards ? stretch.firstSeq : stretch.nextSeq;
    this.#finder.find(bytes, stretch.start, stretch.end);
    return backwards
      ? this.#takeBackwards(bytes, stretch, inTime)
      : this.#takeForwards(bytes, stretch, inTime);
  }

  /** A chunk's worth; empties it. */
  takeAway(): {
    lines: Uint8Array<ArrayBuffer>;
    records: number;
    seqs: Float64Array<ArrayBuffer>;
    timesMs: Float64Array<ArrayBuffer>;
  } {
    const chunk = {
      lines: this.#buffer.subarray(0, this.bytes),
      records: this.records,
      seqs: Float64Array.from(this.#seqs),
      timesMs: Float64Array.from(this.#timesMs),
    };
    this.#buffer = new Uint8Array(0);
    this.#seqs = [];
    this.#timesMs = [];
    this.bytes = 0;
    this.records = 0;
    return chunk;
  }

  #takeForwards(bytes: Uint8Array, stretch: Stretch, inTime: boolean): number {
    const { names } = this;
    const { found, count } = this.#finder;
    let counted = stretch.start;
    let seq = stretch.firstSeq;
    for (let i = 0; i < count; i++) {
      const start = found[i * 2]!;
      const end = found[i * 2 + 1]!;
      // Which record it is matters for names; else only where it is taken.
      if (names === undefined && !this.#matches(bytes, start, end)) continue;
      seq += this.#lines.count(bytes, counted, start);
      counted = start;
      if (names === undefined || this.#isNamed(bytes, start, end, seq, inTime)) {
        if (this.#isFull(end + 1 - start)) return seq;
        this.#add(bytes, start, end + 1, seq, stretch.receivedMs);
      }
      names?.after(bytes, start, end);
    }
    return stretch.nextSeq;
  }

  #takeBackwards(bytes: Uint8Array, stretch: Stretch, inTime: boolean): number {
    const { names } = this;
    const { found, count } = this.#finder;
    const seqs = new Float64Array(count);
    let counted = stretch.start;
    let before = stretch.firstSeq;
    for (let i = 0; i < count; i++) {
      before += this.#lines.count(bytes, counted, found[i * 2]!);
      counted = found[i * 2]!;
      seqs[i] = before;
    }
    for (let i = count - 1; i >= 0; i--) {
      const start = found[i * 2]!;
      const end = found[i * 2 + 1]!;
      const seq = seqs[i]!;
      const wanted =
        names === undefined
          ? this.#matches(bytes, start, end)
          : this.#isNamed(bytes, start, end, seq, inTime);
      if (wanted) {
        if (this.#isFull(end + 1 - start)) return seq + 1;
        this.#add(bytes, start, end + 1, seq, stretch.receivedMs);
      }
      names?.after(bytes, start, end);
    }
    return stretch.firstSeq;
  }

  #matches(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#filter === undefined || this.#filter.matches(bytes, start, end, this.#nameOf);
  }

  #isNamed(bytes: Uint8Array, start: number, end: number, seq: number, inTime: boolean): boolean {
    this.names!.before(bytes, start, end);
    this.#seq = seq;
    return inTime && this.#matches(bytes, start, end);
  }

  #isFull(lengthBytes: number): boolean {
    const { maxRecords } = this.#request;
    if (this.records === 0) return false;
    return this.records === maxRecords || this.bytes + lengthBytes > LIMITS.replayChunkBytes;
  }

  #add(bytes: Uint8Array, start: number, end: number, seq: number, receivedMs: number): void {
    if (this.records === 0) this.sinceMs = performance.now();
    const length = end - start;
    if (this.bytes + length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(FIRST_BYTES, this.#buffer.length * 4, this.bytes + length));
      grown.set(this.#buffer.subarray(0, this.bytes));
      this.#buffer = grown;
    }
    if (length < SHORT_BYTES)
      for (let at = start, to = this.bytes; at < end; at++, to++) this.#buffer[to] = bytes[at]!;
    else this.#buffer.set(bytes.subarray(start, end), this.bytes);
    this.bytes += length;
    this.records++;
    if (!this.#request.numbered) return;
    this.#seqs.push(seq);
    this.#timesMs.push(receivedMs);
  }
}
