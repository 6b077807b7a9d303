/**
 * A log, a reader and recipients as a model, for the class that decides who is sent what. The log is an array; records
 * vanish from its front (retention), from its middle (damage) and are lost before a start; the reader keeps to the
 * contract of replay/messages.ts, answers whenever the test lets it, and dies now and then. Outlets have a window that is
 * emptied at the test's pace, and check each record, position and gap as it comes.
 */
import assert from 'node:assert/strict';
import type { LogEnd } from '../src/log/segment-writer.js';
import type { FeedRequest, FromReader, GapReason, ToReader } from '../src/replay/messages.js';
import type { LogSource } from '../src/stream/deliveries.js';
import type { Lines } from '../src/stream/lines.js';
import type { ReaderPort } from '../src/stream/log-feeds.js';
import type { Outlet } from '../src/stream/outlet.js';

export const lineOf = (seq: number, extra = '') => `${seq}:${'x'.repeat(seq % 7)}${extra}\n`;
/** What the filter of the model lets through. */
export const isWanted = (seq: number) => seq % 5 === 0;

export class ModelLog implements LogSource {
  nextSeq = 1;
  durableSeq = 1;
  /** Before it everything was deleted. */
  oldestSeq = 1;
  /** Cannot be read. */
  readonly damaged = new Set<number>();
  /** What readTail() may still find at hand. */
  tailFromSeq = 1;

  get end(): LogEnd {
    return { segment: 1, bytes: 0, nextSeq: this.nextSeq, durableSeq: this.durableSeq };
  }

  append(records: number): Buffer {
    const first = this.nextSeq;
    this.nextSeq += records;
    return this.lines(first, this.nextSeq);
  }

  lines(fromSeq: number, nextSeq: number): Buffer {
    let text = '';
    for (let seq = fromSeq; seq < nextSeq; seq++) text += lineOf(seq);
    return Buffer.from(text);
  }

  readTail(fromSeq: number): Uint8Array | undefined {
    return fromSeq < this.tailFromSeq ? undefined : this.lines(fromSeq, this.nextSeq);
  }

  missing(seq: number): GapReason | undefined {
    if (seq < this.oldestSeq) return 'retention';
    return this.damaged.has(seq) ? 'damaged' : undefined;
  }
}

interface ModelFeed {
  readonly feed: number;
  readonly request: FeedRequest;
  at: number;
  credits: number;
  idleAt: number;
}

/** The reader's end of the port. */
export class ModelReader implements ReaderPort {
  readonly #log: ModelLog;
  readonly #random: () => number;
  readonly #feeds = new Map<number, ModelFeed>();
  /** On their way to the aggregator. */
  #sent: FromReader[] = [];
  #onMessage: (message: FromReader) => void = () => {};
  #onClose: () => void = () => {};
  #end: LogEnd = { segment: 0, bytes: 0, nextSeq: 1, durableSeq: 1 };
  #asleep = false;
  dead = false;
  /** No more feeds than this. */
  places = 3;
  /** Faults that the test plants: what it says is then not to be believed. */
  fault: 'none' | 'skips' | 'repeats' = 'none';

  constructor(log: ModelLog, random: () => number) {
    this.#log = log;
    this.#random = random;
  }

  on(event: 'message' | 'close', listener: (message: FromReader) => void): this {
    if (event === 'message') this.#onMessage = listener;
    else this.#onClose = listener as () => void;
    return this;
  }

  unref(): void {}

  close(): void {
    this.dead = true;
  }

  die(): void {
    this.dead = true;
    this.#onClose();
  }

  postMessage(message: ToReader): void {
    if (this.dead) return;
    switch (message.type) {
      case 'open':
        if (this.#feeds.size >= this.places) {
          this.#sent.push({ type: 'fault', feed: message.feed, kind: 'busy', message: 'no place' });
          break;
        }
        this.#feeds.set(message.feed, {
          feed: message.feed,
          request: message,
          at: this.#start(message),
          credits: 0,
          idleAt: 0,
        });
        break;
      case 'more': {
        const feed = this.#feeds.get(message.feed);
        if (feed !== undefined) feed.credits++;
        break;
      }
      case 'close':
        this.#feeds.delete(message.feed);
        break;
      case 'written':
        this.#end = message.end;
        this.#asleep = false;
        break;
    }
  }

  /** Does a piece of work, and lets some of what it said arrive. */
  step(): void {
    if (this.dead) return;
    for (const feed of this.#feeds.values()) if (this.#random() < 0.6) this.#work(feed);
    const arriving = Math.floor(this.#random() * (this.#sent.length + 1));
    for (const message of this.#sent.splice(0, arriving)) if (!this.dead) this.#onMessage(message);
  }

  #start({ from }: FeedRequest): number {
    if (from.kind === 'seq') return from.seq;
    return from.kind === 'earliest' ? this.#log.oldestSeq : this.#log.nextSeq;
  }

  #work(feed: ModelFeed): void {
    const { request } = feed;
    const limit = request.durableOnly ? this.#end.durableSeq : this.#end.nextSeq;
    if (feed.at >= limit) {
      if (feed.idleAt !== feed.at) this.#sent.push({ type: 'idle', feed: feed.feed, nextSeq: feed.at });
      feed.idleAt = feed.at;
      if (!this.#asleep) this.#sent.push({ type: 'wake' });
      this.#asleep = true;
      return;
    }
    const first = feed.at;
    const reason = this.#log.missing(first);
    let next = first;
    if (reason !== undefined) {
      while (next < limit && this.#log.missing(next) === reason) next++;
      this.#sent.push({ type: 'gap', feed: feed.feed, firstSeq: first, nextSeq: next, reason });
      feed.at = next;
      return;
    }
    if (feed.credits === 0) return;
    feed.credits--;
    const most = first + 1 + Math.floor(this.#random() * 20);
    while (next < limit && next < most && this.#log.missing(next) === undefined) next++;
    let text = '';
    let records = 0;
    for (let seq = first; seq < next; seq++) {
      if (request.filter !== undefined && !isWanted(seq)) continue;
      text += lineOf(seq);
      records++;
    }
    const lines = new Uint8Array(Buffer.from(text));
    const shift = this.fault === 'none' ? 0 : this.fault === 'skips' ? 1 : -1;
    this.#sent.push({
      type: 'chunk',
      feed: feed.feed,
      lines,
      records,
      firstSeq: first + (this.#random() < 0.1 ? shift : 0),
      nextSeq: next,
    });
    feed.at = next;
  }
}

/** Takes what it is given, at the test's pace, and knows what must come next. */
export class ModelOutlet implements Outlet {
  bufferedBytes = 0;
  peakBytes = 0;
  startSeq = 0;
  /** The next record that it may be given is this or a later one that it asked for. */
  expectedSeq = 0;
  got = 0;
  positions: number[] = [];
  gaps: { firstSeq: number; nextSeq: number; reason: string }[] = [];
  failed: string | undefined;
  isOver = false;
  readonly filtered: boolean;

  constructor(filtered: boolean) {
    this.filtered = filtered;
  }

  send(lines: Lines, note: string | undefined): void {
    this.#take(lines.bytes, lines.count);
    if (note !== undefined) this.note(note);
  }

  give(bytes: Uint8Array<ArrayBuffer>, lines: Lines, note: string | undefined): ArrayBuffer {
    assert.equal(bytes, lines.bytes);
    this.send(lines, note);
    return bytes.buffer;
  }

  note(text: string): void {
    const { message } = JSON.parse(text) as { message: Record<string, Record<string, never>> };
    const { StreamPosition, StreamGap } = message;
    if (StreamPosition !== undefined) {
      const nextSeq: number = StreamPosition.next_seq!;
      assert.ok(nextSeq >= this.expectedSeq, `told ${nextSeq} while at ${this.expectedSeq}`);
      this.#nothingWanted(nextSeq);
      this.positions.push(nextSeq);
    } else {
      const { first_seq, next_seq, reason, records } = StreamGap!;
      assert.equal(records, next_seq! - first_seq!);
      this.#nothingWanted(first_seq!);
      assert.equal(first_seq, this.expectedSeq);
      this.expectedSeq = next_seq!;
      this.gaps.push({ firstSeq: first_seq!, nextSeq: next_seq!, reason: reason! });
    }
    this.bufferedBytes += text.length;
  }

  started(nextSeq: number): void {
    assert.equal(this.startSeq, 0, 'it starts once');
    this.startSeq = nextSeq;
    this.expectedSeq = nextSeq;
  }

  over(): void {
    this.isOver = true;
  }

  fail(reason: string): void {
    this.failed = reason;
  }

  /** Up to this number there was nothing to be given. */
  #nothingWanted(nextSeq: number): void {
    for (; this.expectedSeq < nextSeq; this.expectedSeq++)
      assert.ok(this.filtered && !isWanted(this.expectedSeq), `${this.expectedSeq} is missing`);
  }

  #take(bytes: Uint8Array, count: number): void {
    const lines = Buffer.from(bytes).toString('latin1').split('\n').slice(0, -1);
    assert.equal(lines.length, count);
    for (const line of lines) {
      const seq = Number.parseInt(line, 10);
      assert.equal(`${line}\n`, lineOf(seq));
      this.#nothingWanted(seq);
      assert.equal(seq, this.expectedSeq, 'no gap, no duplicate');
      this.expectedSeq++;
      this.got++;
    }
    this.bufferedBytes += bytes.length;
    this.peakBytes = Math.max(this.peakBytes, this.bufferedBytes);
  }
}
