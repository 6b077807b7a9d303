/**
 * Which records of a feed an answer is made of: those between two sequence numbers, in either direction, up to so many.
 * And what it has looked at, for the cursor.
 *
 *         first_seq ......... last_seq               what has been looked at
 *   ascending    --------------------> next = after   the last one that was
 *   descending   <-------------------- next = before  the first one that was
 *
 * Owned by main. Pure.
 */
import type { FeedItem } from '../replay/log-reader.js';
import { type GapJson, gapJson } from './event-writer.js';
import { type Chunk, RecordChunk } from './record-chunk.js';

export interface WindowBounds {
  readonly order: 'asc' | 'desc';
  /** Records at most; undefined: no limit. */
  readonly limit: number | undefined;
  /** Those of [firstSeq, nextSeq). */
  readonly firstSeq: number;
  readonly nextSeq: number;
}

/** As it stands in answers. `next`: null where there is nothing more. */
export interface Position {
  readonly next: number | null;
  readonly first_seq: number;
  readonly last_seq: number;
}

export class EventWindow {
  readonly #bounds: WindowBounds;
  readonly #isAscending: boolean;
  #left: number;
  /** [#low, #high) has been looked at; undefined before anything was. */
  #low: number | undefined;
  #high = 0;
  #isCut = false;
  #isEnd = false;

  constructor(bounds: WindowBounds) {
    this.#bounds = bounds;
    this.#isAscending = bounds.order === 'asc';
    this.#left = bounds.limit ?? Number.POSITIVE_INFINITY;
  }

  /** Nothing more belongs into the answer. */
  get isFull(): boolean {
    return this.#isCut || this.#isAtEnd;
  }

  /** `write` may say that it was the last one that there is room for. */
  chunk(item: Chunk, write: (chunk: RecordChunk, at: number) => boolean): void {
    const { firstSeq, nextSeq } = this.#bounds;
    const chunk = new RecordChunk(item);
    const { count } = chunk;
    // Of a feed that goes backwards the lines of a chunk may stand in either order.
    const isAscending = count < 2 || chunk.seq(0) < chunk.seq(count - 1);
    for (let step = 0; step < count; step++) {
      const at = isAscending === this.#isAscending ? step : count - 1 - step;
      const seq = chunk.seq(at);
      if (seq < firstSeq || seq >= nextSeq) continue;
      const hasRoom = write(chunk, at);
      this.#left -= 1;
      if (hasRoom && this.#left > 0) continue;
      this.#isCut = true;
      this.#looked(item.firstSeq, this.#isAscending ? seq + 1 : seq);
      return;
    }
    this.#looked(item.firstSeq, item.nextSeq);
  }

  /** The part of a gap that belongs into the answer. */
  gap(item: Extract<FeedItem, { type: 'gap' }>): GapJson | undefined {
    const first = Math.max(Math.min(item.firstSeq, item.nextSeq), this.#bounds.firstSeq);
    const next = Math.min(Math.max(item.firstSeq, item.nextSeq), this.#bounds.nextSeq);
    this.#looked(item.firstSeq, item.nextSeq);
    return first < next ? gapJson(first, next, item.reason) : undefined;
  }

  /** The feed has ended there. */
  end(endSeq: number): void {
    this.#isEnd = true;
    const { firstSeq, nextSeq } = this.#bounds;
    if (this.#isAscending) this.#looked(this.#low ?? firstSeq, endSeq);
    else this.#looked(endSeq, this.#low === undefined ? nextSeq : this.#high);
  }

  get position(): Position {
    const { firstSeq, nextSeq } = this.#bounds;
    // Nothing was there to be looked at: a cursor that is in front of what comes, and never behind what is known already.
    const low = this.#low ?? (this.#isAscending ? firstSeq : Math.max(firstSeq, nextSeq));
    const high = this.#low === undefined ? low : this.#high;
    const isEnd = this.#isEnd || this.#isAtEnd;
    return {
      next: isEnd ? null : this.#isAscending ? high - 1 : low,
      first_seq: low,
      last_seq: high - 1,
    };
  }

  get #isAtEnd(): boolean {
    if (this.#bounds.firstSeq >= this.#bounds.nextSeq) return true;
    if (this.#low === undefined) return false;
    return this.#isAscending ? this.#high >= this.#bounds.nextSeq : this.#low <= this.#bounds.firstSeq;
  }

  /** Either end may come first: a feed that goes backwards begins with the higher one. */
  #looked(oneSeq: number, otherSeq: number): void {
    const { firstSeq, nextSeq } = this.#bounds;
    const low = Math.max(Math.min(oneSeq, otherSeq), firstSeq);
    const high = Math.min(Math.max(oneSeq, otherSeq), nextSeq);
    if (low > high) return;
    this.#high = this.#low === undefined ? high : Math.max(this.#high, high);
    this.#low = this.#low === undefined ? low : Math.min(this.#low, low);
  }
}
