/**
 * Somebody who is sent the stream, and how far. Runs in the aggregator.
 *
 *            +--------------- reads the log --------------+
 *   in the log --everything is sent, the rest is at hand--> live --its buffer is full--> in the log
 *
 * `live`: sent every batch as it is written, from memory. `log`: a feed of the reader thread, asked for more as its
 * outlet empties; for ever where it has a filter or a scope, or wants only what is fsynced.
 */
import type { Scope } from '../access/principal.js';
import type { Filter, Start } from '../query/filter.js';
import type { FeedRequest } from '../replay/messages.js';
import type { Outlet } from './outlet.js';
import { positionText } from './stream-notes.js';

/** What somebody asked for, and may see. */
export interface Terms {
  readonly from: Start;
  readonly filter: Filter | undefined;
  /** Undefined: without limits. */
  readonly scope: Scope | undefined;
  /** Only what is fsynced. */
  readonly durableOnly: boolean;
  /** It is told its position after each batch. */
  readonly positions: boolean;
}

export class Recipient {
  readonly outlet: Outlet;
  terms: Terms;
  mode: 'live' | 'log' | 'over' = 'log';
  /** Everything before it was sent, or it was told that it is missing; 0 while nobody knows yet where it starts. */
  nextSeq = 0;
  /** Of the reader; 0: none. */
  feed = 0;
  /** Chunks that were asked for and have not come. */
  ahead = 0;
  /** It is looked at in the next turn. */
  pumping = false;
  records = 0;
  bytes = 0;
  /** Records in gaps. */
  missing = 0;
  /** What it was told last of its position, and when. */
  #toldSeq = 0;
  #toldMs = 0;

  constructor(outlet: Outlet, terms: Terms) {
    this.outlet = outlet;
    this.terms = terms;
  }

  /** It gets every record. */
  get isEverything(): boolean {
    return this.terms.filter === undefined && this.terms.scope === undefined;
  }

  /** It gets every record at once, so it may be served from memory. */
  get isWhole(): boolean {
    return this.isEverything && !this.terms.durableOnly;
  }

  get feedRequest(): FeedRequest {
    const { from, filter, scope, durableOnly } = this.terms;
    return {
      from: this.nextSeq === 0 ? from : { kind: 'seq', seq: this.nextSeq },
      filter,
      scope,
      follow: true,
      durableOnly,
      numbered: false,
      maxRecords: 0,
      backwards: false,
    };
  }

  get state() {
    const { mode, nextSeq, records, bytes, missing } = this;
    return { mode: mode === 'live' ? mode : ('log' as const), nextSeq, records, bytes, missing };
  }

  /** `records` were sent to it, in `bytes`; now it is there. */
  sent(records: number, bytes: number, nextSeq: number): void {
    this.records += records;
    this.bytes += bytes;
    this.nextSeq = nextSeq;
  }

  /** For those who want it: the position that follows what is sent now. */
  positionAt(nextSeq: number, nowMs: number): string | undefined {
    if (!this.terms.positions) return undefined;
    this.told(nextSeq, nowMs);
    return positionText(nextSeq);
  }

  told(nextSeq: number, nowMs: number): void {
    this.#toldSeq = nextSeq;
    this.#toldMs = nowMs;
  }

  /** It has come further than it knows; not more often than every `intervalMs`. */
  isTellDue(nowMs: number, intervalMs: number): boolean {
    return this.terms.positions && this.nextSeq > this.#toldSeq && nowMs - this.#toldMs >= intervalMs;
  }
}
