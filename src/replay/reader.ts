/**
 * The reader thread: reads the log for whoever is behind, filters, or asks over REST. Everything here is bounded by credits,
 * so a client that does not take what it asked for costs nothing but its place.
 *
 * Feeds take turns: each a slice (at most a chunk), then the event loop, then the next round.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { LIMITS } from '../limits.js';
import { Catalog } from '../log/catalog.js';
import { OpenSegments } from '../log/log-cursor.js';
import { AGGREGATOR } from '../memory/counters.js';
import { type Addon, loadAddon } from '../native/addon.js';
import { type LogBounds, ReaderFeed } from './feed.js';
import type { FromReader, ToReader } from './messages.js';
import { OwnersDesk } from './name-history.js';
import type { ReaderStart } from './reader-thread.js';

/** Files that nobody reads are closed so soon. */
const SWEEP_MS = 500;
/** Feeds that wait are looked at so often, should nobody say that something was written: the aggregator may have to wait for
 *  its disk, or be about to end. */
const LOOK_MS = 250;

interface Client {
  readonly port: MessagePort;
  readonly feeds: Map<number, Entry>;
}

interface Entry {
  readonly client: Client;
  readonly feed: ReaderFeed;
}

class Reader {
  readonly #counters: Float64Array;
  readonly #segments: OpenSegments;
  readonly #addon: Addon | undefined;
  readonly #owners: OwnersDesk;
  readonly #aggregator: MessagePort;
  /** What filters read to. */
  #scratch: Uint8Array = new Uint8Array(0);
  readonly #ready = new Set<Entry>();
  readonly #waiting = new Set<Entry>();
  /** Feeds there may be at once. */
  readonly #places: number;
  #feeds = 0;
  #scheduled = false;
  /** The aggregator was asked to say when more was written. */
  #asked = false;
  #sweeping: NodeJS.Timeout | undefined;
  #looking: NodeJS.Timeout | undefined;

  constructor({ folder, mode, counters, places, main, aggregator }: ReaderStart) {
    this.#places = places;
    this.#counters = counters;
    this.#addon = mode === 'native' ? loadAddon() : undefined;
    this.#segments = new OpenSegments(new Catalog(folder), this.#addon);
    this.#owners = new OwnersDesk((asked) => main.postMessage({ type: 'names-wanted', asked }));
    this.#aggregator = aggregator;
    for (const port of [main, aggregator]) {
      const client: Client = { port, feeds: new Map() };
      port.on('message', (message: ToReader) => this.#receive(client, message));
    }
  }

  #receive(client: Client, message: ToReader): void {
    switch (message.type) {
      case 'open':
        this.#open(client, message);
        break;
      case 'more': {
        const entry = client.feeds.get(message.feed);
        if (entry === undefined) return;
        entry.feed.more(message.buffer);
        this.#wake(entry);
        break;
      }
      case 'close':
        this.#forget(client, message.feed);
        break;
      case 'written':
        this.#asked = false;
        this.#wakeAll();
        break;
      case 'names':
        this.#owners.answered(message.asked, message.nodes, message.last);
        break;
    }
  }

  #open(client: Client, message: Extract<ToReader, { type: 'open' }>): void {
    const { type: _, feed: number, ...request } = message;
    const post = (answer: FromReader, transfer: ArrayBuffer[] = []) =>
      client.port.postMessage(answer, transfer);
    if (this.#feeds >= this.#places) {
      post({ type: 'fault', feed: number, kind: 'busy', message: 'too many readers of the log' });
      return;
    }
    const feed = new ReaderFeed(number, request, {
      segments: this.#segments,
      addon: this.#addon,
      owners: this.#owners,
      scratch: (bytes) => this.#room(bytes),
      bounds: () => this.#bounds(),
      post,
      wake: () => this.#wake(entry),
    });
    const entry: Entry = { client, feed };
    client.feeds.set(number, entry);
    this.#feeds++;
    this.#wake(entry);
  }

  #forget(client: Client, number: number): void {
    const entry = client.feeds.get(number);
    if (entry === undefined) return;
    entry.feed.close();
    client.feeds.delete(number);
    this.#feeds--;
    this.#ready.delete(entry);
    this.#waiting.delete(entry);
  }

  #wake(entry: Entry): void {
    this.#waiting.delete(entry);
    this.#ready.add(entry);
    this.#schedule();
  }

  #wakeAll(): void {
    for (const entry of this.#waiting) this.#ready.add(entry);
    this.#waiting.clear();
    if (this.#ready.size > 0) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#round());
  }

  /** A slice for everybody who has something to do. */
  #round(): void {
    this.#scheduled = false;
    for (const entry of [...this.#ready]) {
      const { client, feed } = entry;
      const state = this.#slice(client, feed);
      if (state === 'again') continue;
      this.#ready.delete(entry);
      if (state === 'waiting') this.#waiting.add(entry);
      if (state === 'over') this.#forget(client, feed.number);
    }
    if (this.#waiting.size > 0) this.#askForMore();
    if (this.#ready.size > 0) this.#schedule();
    this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  #slice(client: Client, feed: ReaderFeed): ReturnType<ReaderFeed['work']> {
    try {
      return feed.work();
    } catch (error) {
      const message = `the log cannot be read: ${(error as Error).message}`;
      client.port.postMessage({
        type: 'fault',
        feed: feed.number,
        kind: 'failed',
        message,
      } satisfies FromReader);
      return 'over';
    }
  }

  #askForMore(): void {
    if (!this.#asked) {
      this.#asked = true;
      this.#aggregator.postMessage({ type: 'wake' } satisfies FromReader);
    }
    this.#looking ??= setInterval(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    if (this.#waiting.size > 0) return this.#wakeAll();
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  #sweep(): void {
    if (this.#segments.sweep()) return;
    // Nobody reads: what filters read to is given back.
    this.#scratch = new Uint8Array(0);
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }

  #room(bytes: number): Uint8Array {
    if (this.#scratch.length < bytes)
      this.#scratch = new Uint8Array(Math.max(bytes, LIMITS.replayChunkBytes));
    return this.#scratch;
  }

  #bounds(): LogBounds {
    return {
      nextSeq: this.#counters[AGGREGATOR.next_seq]!,
      durableSeq: this.#counters[AGGREGATOR.durable_seq]!,
    };
  }
}

const start = workerData as ReaderStart;
new Reader(start);
parentPort!.on('message', (message: 'finish' | 'die') => {
  if (message === 'die') throw new Error('fault injected');
  process.exit(0);
});
