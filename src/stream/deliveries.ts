/**
 * Who is sent the stream, from where, and how: nobody misses a record, nobody gets one twice, nobody who is slow costs
 * anybody else anything. Runs in the aggregator; knows no sockets.
 *
 *   batch appended --publish()--> everybody live
 *   reader thread --chunk, gap--> whoever reads the log, as far as there is room
 *
 * What holds after every call:
 *
 *   - a recipient has been given exactly the records before its `nextSeq` (from where it started, of those it asked for),
 *     each once, in order, but for those in gaps that it was told of
 *   - live:  nextSeq = the end of the log
 *   - in the log:  nextSeq = where the next chunk or gap of its feed begins
 *
 * So it can change over at any moment, and a feed can be thrown away and opened again at any moment, from `nextSeq`.
 * From the log to memory it goes within one turn: the aggregator itself reads what is left, which is in the page cache.
 * What is buffered of each is bounded: live by `stream.consumer_buffer_bytes`, in the log by LIMITS.replayBacklogBytes
 * and the chunks that were asked for.
 */
import type { Scope } from '../access/principal.js';
import { LIMITS } from '../limits.js';
import type { LogEnd } from '../log/segment-writer.js';
import { AGGREGATOR } from '../memory/counters.js';
import type { Addon } from '../native/addon.js';
import { Lines } from './lines.js';
import { type FeedMessage, LogFeeds, type ReaderPort } from './log-feeds.js';
import type { Outlet } from './outlet.js';
import { Recipient, type Terms } from './recipient.js';
import { gapText } from './stream-notes.js';

/** The log as it is being written. */
export interface LogSource {
  readonly nextSeq: number;
  readonly end: LogEnd;
  /** The lines from this record to the end; undefined where that is more, or not at hand. */
  readTail(fromSeq: number, maxBytes: number): Uint8Array | undefined;
}

export interface DeliveriesHooks {
  /** The reader is needed. */
  readerWanted(): void;
  /** A batch was given to everybody: what was only collected is to be sent. */
  flush(lines: Lines): void;
}

export class Deliveries {
  readonly #log: LogSource;
  readonly #bufferBytes: number;
  readonly #counters: Float64Array;
  readonly #hooks: DeliveriesHooks;
  readonly #lines: Lines;
  readonly #feeds: LogFeeds;
  readonly #live = new Set<Recipient>();
  readonly #behind = new Set<Recipient>();
  #finishing = false;

  constructor(
    log: LogSource,
    bufferBytes: number,
    counters: Float64Array,
    addon: Addon | undefined,
    hooks: DeliveriesHooks,
  ) {
    this.#log = log;
    this.#bufferBytes = bufferBytes;
    this.#counters = counters;
    this.#hooks = hooks;
    this.#lines = new Lines(addon);
    this.#feeds = new LogFeeds({
      wanted: () => hooks.readerWanted(),
      end: () => log.end,
      changed: () => this.#readerChanged(),
    });
  }

  /** Is there anybody who is sent what is written now? */
  get wanted(): boolean {
    return this.#live.size > 0;
  }

  add(outlet: Outlet, terms: Terms): Recipient {
    const recipient = new Recipient(outlet, terms);
    const { from } = terms;
    if (from.kind === 'latest') this.#start(recipient, this.#log.nextSeq);
    else if (from.kind === 'seq') this.#start(recipient, Math.min(Math.max(from.seq, 1), this.#log.nextSeq));
    this.#goOn(recipient);
    return recipient;
  }

  /** It may see something else from now on; what it has been given stays. */
  change(recipient: Recipient, scope: Scope | undefined): void {
    if (recipient.mode === 'over') return;
    this.#leave(recipient);
    recipient.terms = { ...recipient.terms, scope };
    this.#goOn(recipient);
  }

  /** It is sent nothing more. */
  remove(recipient: Recipient): void {
    this.#leave(recipient);
    recipient.mode = 'over';
  }

  /** Whole lines, `records` of them, which were appended to the log just now: for everybody live. */
  publish(bytes: Uint8Array, records: number): void {
    const { nextSeq } = this.#log;
    const lines = this.#lines.set(bytes, records);
    let nowMs = 0;
    for (const recipient of this.#live) {
      if (recipient.nextSeq !== nextSeq - records)
        throw new Error(
          `a live consumer is at ${recipient.nextSeq}, the batch begins at ${nextSeq - records}`,
        );
      const { outlet } = recipient;
      const { bufferedBytes } = outlet;
      if (bufferedBytes > 0 && bufferedBytes + bytes.length > this.#bufferBytes) {
        this.#fallBehind(recipient);
        continue;
      }
      if (recipient.terms.positions && nowMs === 0) nowMs = performance.now();
      outlet.send(lines, recipient.positionAt(nextSeq, nowMs));
      recipient.sent(records, bytes.length, nextSeq);
    }
    this.#hooks.flush(lines);
  }

  /** Something was written, or became durable: the reader may wait for it. */
  written(): void {
    this.#feeds.written();
  }

  /** An outlet has got rid of something. */
  drained(recipient: Recipient): void {
    if (recipient.mode === 'log') this.#pumpSoon(recipient);
  }

  useReader(port: ReaderPort): void {
    this.#feeds.use(port);
  }

  /** To be called now and then. */
  tick(): void {
    const nowMs = performance.now();
    for (const recipient of this.#behind) {
      this.#tellPosition(recipient, nowMs);
      // Also those that the reader had no place for.
      this.#pump(recipient);
    }
  }

  /** Nothing more is appended. Each outlet is told when it has everything, or when the time is over. */
  finish(): void {
    this.#finishing = true;
    this.#feeds.written();
    for (const recipient of [...this.#live]) this.#end(recipient);
    for (const recipient of [...this.#behind]) this.#checkOver(recipient);
    if (this.#behind.size === 0) return;
    setTimeout(() => {
      for (const recipient of [...this.#behind]) this.#end(recipient);
    }, LIMITS.streamFinishMs);
  }

  /** Where it is known now where it starts, it is told. */
  #start(recipient: Recipient, nextSeq: number): void {
    recipient.nextSeq = nextSeq;
    recipient.outlet.started(nextSeq);
    const text = recipient.positionAt(nextSeq, performance.now());
    if (text !== undefined) recipient.outlet.note(text);
  }

  #goOn(recipient: Recipient): void {
    if (recipient.isWhole && recipient.nextSeq === this.#log.nextSeq) {
      recipient.mode = 'live';
      this.#live.add(recipient);
      return;
    }
    recipient.mode = 'log';
    this.#behind.add(recipient);
    this.#count();
    this.#pumpSoon(recipient);
  }

  #leave(recipient: Recipient): void {
    this.#live.delete(recipient);
    this.#behind.delete(recipient);
    this.#closeFeed(recipient);
    this.#count();
  }

  #fallBehind(recipient: Recipient): void {
    this.#live.delete(recipient);
    recipient.mode = 'log';
    this.#behind.add(recipient);
    this.#counters[AGGREGATOR.consumers_to_log]!++;
    this.#count();
  }

  #count(): void {
    this.#counters[AGGREGATOR.consumers_in_log] = this.#behind.size;
  }

  /** Not within the call of a socket's handler, which would collect what is sent in too small a buffer. */
  #pumpSoon(recipient: Recipient): void {
    if (recipient.pumping) return;
    recipient.pumping = true;
    setImmediate(() => {
      recipient.pumping = false;
      this.#pump(recipient);
    });
  }

  /** Gives it what there is room for. */
  #pump(recipient: Recipient): void {
    if (recipient.mode !== 'log') return;
    const { bufferedBytes } = recipient.outlet;
    if (bufferedBytes > LIMITS.replayBacklogBytes) return;
    if (bufferedBytes === 0 && this.#join(recipient)) return;
    if (recipient.feed === 0) {
      recipient.feed = this.#feeds.open(recipient.feedRequest, (message) =>
        this.#receive(recipient, message),
      );
      if (recipient.feed === 0) return;
    }
    for (; recipient.ahead < LIMITS.replayChunksAhead; recipient.ahead++) this.#feeds.more(recipient.feed);
  }

  /** Gives it all that is left, if that is not much; from then on it is live. */
  #join(recipient: Recipient): boolean {
    const { nextSeq } = this.#log;
    if (!recipient.isWhole || recipient.nextSeq === 0 || this.#finishing) return false;
    if (recipient.nextSeq < nextSeq) {
      const tail = this.#log.readTail(recipient.nextSeq, LIMITS.joinBytes);
      if (tail === undefined) return false;
      const records = nextSeq - recipient.nextSeq;
      const lines = this.#lines.set(tail, records);
      // Damage is for the reader to find and to name.
      if (!lines.areWhole) return false;
      recipient.outlet.send(lines, recipient.positionAt(nextSeq, performance.now()));
      recipient.sent(records, tail.length, nextSeq);
      this.#hooks.flush(lines);
    }
    this.#leave(recipient);
    recipient.mode = 'live';
    this.#live.add(recipient);
    this.#counters[AGGREGATOR.consumers_to_live]!++;
    return true;
  }

  #receive(recipient: Recipient, message: FeedMessage): void {
    switch (message.type) {
      case 'chunk':
        recipient.ahead--;
        if (!this.#follows(recipient, message.firstSeq)) return;
        // What is at hand needs no chunk.
        if (recipient.outlet.bufferedBytes === 0 && this.#join(recipient)) return;
        this.#giveChunk(recipient, message);
        break;
      case 'gap':
        if (!this.#follows(recipient, message.firstSeq)) return;
        this.#giveGap(recipient, message);
        break;
      case 'idle':
        if (recipient.nextSeq === 0) this.#start(recipient, message.nextSeq);
        if (recipient.isEverything && message.nextSeq > recipient.nextSeq)
          return this.#fail(recipient, `the reader has left out what is before ${message.nextSeq}`);
        recipient.nextSeq = Math.max(recipient.nextSeq, message.nextSeq);
        this.#tellPosition(recipient, performance.now());
        break;
      case 'end':
      case 'fault':
        recipient.feed = 0;
        recipient.ahead = 0;
        // Where there is no place it is tried again with the next tick.
        if (message.type === 'fault' && message.kind === 'failed') recipient.outlet.fail(message.message);
        return;
    }
    if (!this.#checkOver(recipient)) this.#pump(recipient);
  }

  #giveChunk(recipient: Recipient, chunk: Extract<FeedMessage, { type: 'chunk' }>): void {
    const { lines: bytes, records, nextSeq } = chunk;
    const lengthBytes = bytes.length;
    let buffer: ArrayBuffer | undefined = bytes.buffer;
    if (recipient.isEverything && records !== nextSeq - recipient.nextSeq)
      return this.#fail(recipient, `${records} records for ${nextSeq - recipient.nextSeq} numbers`);
    if (records > 0) {
      const note = recipient.positionAt(nextSeq, performance.now());
      buffer = recipient.outlet.give(bytes, this.#lines.set(bytes, records), note);
    }
    recipient.sent(records, lengthBytes, nextSeq);
    if (records === 0) this.#tellPosition(recipient, performance.now());
    const hasRoom = recipient.outlet.bufferedBytes <= LIMITS.replayBacklogBytes;
    if (buffer === undefined || recipient.feed === 0) return;
    if (!hasRoom) return this.#feeds.keep(buffer);
    this.#feeds.more(recipient.feed, buffer);
    recipient.ahead++;
  }

  #giveGap(recipient: Recipient, { firstSeq, nextSeq, reason }: Extract<FeedMessage, { type: 'gap' }>): void {
    recipient.outlet.note(gapText(firstSeq, nextSeq, reason));
    recipient.missing += nextSeq - firstSeq;
    recipient.nextSeq = nextSeq;
    recipient.told(nextSeq, performance.now());
    this.#counters[AGGREGATOR.stream_gaps]!++;
  }

  /** What comes begins where it is. Else Core is wrong about what it sent, and may not go on as if it were not. */
  #follows(recipient: Recipient, firstSeq: number): boolean {
    if (recipient.nextSeq === 0) this.#start(recipient, firstSeq);
    if (recipient.nextSeq === firstSeq) return true;
    this.#fail(recipient, `the reader is at ${firstSeq}, the consumer at ${recipient.nextSeq}`);
    return false;
  }

  #fail(recipient: Recipient, reason: string): void {
    this.#closeFeed(recipient);
    recipient.outlet.fail(reason);
  }

  #tellPosition(recipient: Recipient, nowMs: number): void {
    if (recipient.nextSeq === 0 || !recipient.isTellDue(nowMs, LIMITS.positionIntervalMs)) return;
    recipient.outlet.note(recipient.positionAt(recipient.nextSeq, nowMs)!);
  }

  #closeFeed(recipient: Recipient): void {
    if (recipient.feed !== 0) this.#feeds.close(recipient.feed);
    recipient.feed = 0;
    recipient.ahead = 0;
  }

  #readerChanged(): void {
    for (const recipient of this.#behind) {
      recipient.feed = 0;
      recipient.ahead = 0;
      this.#pumpSoon(recipient);
    }
  }

  #checkOver(recipient: Recipient): boolean {
    if (!this.#finishing || recipient.nextSeq !== this.#log.nextSeq) return false;
    this.#end(recipient);
    return true;
  }

  #end(recipient: Recipient): void {
    if (recipient.nextSeq > 0 && recipient.isTellDue(Number.POSITIVE_INFINITY, 0))
      recipient.outlet.note(recipient.positionAt(recipient.nextSeq, performance.now())!);
    this.remove(recipient);
    recipient.outlet.over();
  }
}
