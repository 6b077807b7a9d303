/**
 * Main's handle on the reader thread: starts it when somebody first wants to read the log, starts it again when it dies, and
 * opens main's own feeds. Owned by main.
 *
 *   off --open(), wanted()--> running --dies--> pause (doubling) --> running
 *                                '--close()--> off
 *
 * When it dies main's feeds end with a `fault`; the aggregator is given a port to the next one, and opens its feeds again.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { LIMITS } from '../limits.js';
import type { Mode } from '../native/addon.js';
import { type Feed, FeedClient, type LogReader } from './log-reader.js';
import type { FeedRequest, FromReader, NodeName, ToReader } from './messages.js';

/** `workerData` of the reader. */
export interface ReaderStart {
  /** Of the log. */
  readonly folder: string;
  readonly mode: Mode;
  /** The aggregator's counters: how far the log is written, and durable. */
  readonly counters: Float64Array;
  /** Feeds there may be at once. */
  readonly places: number;
  /** The reader's ends. */
  readonly main: MessagePort;
  readonly aggregator: MessagePort;
}

export interface ReaderHooks {
  /** The aggregator's end, after each start. */
  useReader(port: MessagePort): void;
  /** All nodes that the registry knows, in parts. */
  nodeNames(): Iterable<readonly NodeName[]>;
  onDeath(error: Error): void;
}

export class ReaderThread implements LogReader {
  readonly #folder: string;
  readonly #mode: Mode;
  readonly #counters: Float64Array;
  readonly #hooks: ReaderHooks;
  readonly #places: number;
  #worker: Worker | undefined;
  #port: MessagePort | undefined;
  readonly #feeds = new Map<number, FeedClient>();
  #lastFeed = 0;
  #closed = false;
  #pauseMs: number = LIMITS.shardRestartMinMs;
  #startedMs = 0;
  #restarting: NodeJS.Timeout | undefined;

  /** `maxConsumers`: WebSockets there may be. Each of them has a place. */
  constructor(folder: string, mode: Mode, counters: Float64Array, hooks: ReaderHooks, maxConsumers = 0) {
    this.#places = Math.max(LIMITS.replayFeeds, maxConsumers + LIMITS.rawBackends + LIMITS.restFeeds);
    this.#folder = folder;
    this.#mode = mode;
    this.#counters = counters;
    this.#hooks = hooks;
  }

  /** The aggregator wants it. */
  wanted(): void {
    if (!this.#closed && this.#worker === undefined && this.#restarting === undefined) this.#start();
  }

  open(request: FeedRequest): Feed {
    const feed = ++this.#lastFeed;
    const client = new FeedClient(
      feed,
      () => this.#post({ type: 'more', feed }),
      () => {
        this.#feeds.delete(feed);
        this.#post({ type: 'close', feed });
      },
    );
    this.wanted();
    if (this.#port === undefined) {
      const message = this.#closed ? 'Core is stopping' : 'the reader of the log starts again';
      client.receive({ type: 'fault', feed, kind: 'failed', message });
      return client;
    }
    this.#feeds.set(feed, client);
    this.#post({ type: 'open', feed, ...request });
    return client;
  }

  /** Fault injection. */
  die(): void {
    this.#worker?.postMessage('die');
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restarting);
    const worker = this.#worker;
    if (worker === undefined) return;
    worker.postMessage('finish');
    this.#end('Core is stopping');
    await new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  }

  #start(): void {
    this.#restarting = undefined;
    this.#startedMs = performance.now();
    const main = new MessageChannel();
    const aggregator = new MessageChannel();
    const start: ReaderStart = {
      folder: this.#folder,
      mode: this.#mode,
      counters: this.#counters,
      places: this.#places,
      main: main.port1,
      aggregator: aggregator.port1,
    };
    const worker = new Worker(new URL('./reader.js', import.meta.url), {
      workerData: start,
      transferList: [main.port1, aggregator.port1],
      resourceLimits: { maxYoungGenerationSizeMb: LIMITS.workerYoungGenerationMiB },
    });
    this.#worker = worker;
    this.#port = main.port2;
    main.port2.on('message', (message: FromReader) => this.#receive(message));
    let failure: Error | undefined;
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', () => {
      this.#end('the reader of the log has died');
      if (!this.#closed) this.#died(failure ?? new Error('the reader of the log ended'));
    });
    this.#hooks.useReader(aggregator.port2);
  }

  #died(error: Error): void {
    this.#hooks.onDeath(error);
    if (performance.now() - this.#startedMs > LIMITS.shardRestartForgetMs)
      this.#pauseMs = LIMITS.shardRestartMinMs;
    this.#restarting = setTimeout(() => this.#start(), this.#pauseMs);
    this.#restarting.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, LIMITS.shardRestartMaxMs);
  }

  #end(message: string): void {
    this.#worker = undefined;
    this.#port?.close();
    this.#port = undefined;
    for (const [feed, client] of this.#feeds)
      client.receive({ type: 'fault', feed, kind: 'failed', message });
    this.#feeds.clear();
  }

  #receive(message: FromReader): void {
    switch (message.type) {
      case 'names-wanted':
        void this.#sendNames(message.asked);
        break;
      case 'wake':
        throw new Error('the reader woke main');
      default: {
        const client = this.#feeds.get(message.feed);
        if (message.type === 'end' || message.type === 'fault') this.#feeds.delete(message.feed);
        client?.receive(message);
      }
    }
  }

  /** In parts with turns of the event loop in between: there may be a hundred thousand nodes. Only to the reader that asked:
   *  one that has taken its place meanwhile counts its questions anew, and would take an older answer for its own. */
  async #sendNames(asked: number): Promise<void> {
    const port = this.#port;
    const send = (message: ToReader) => {
      if (this.#port === port) port?.postMessage(message);
    };
    for (const nodes of this.#hooks.nodeNames()) {
      send({ type: 'names', asked, nodes, last: false });
      await new Promise((resolve) => setImmediate(resolve));
    }
    send({ type: 'names', asked, nodes: [], last: true });
  }

  #post(message: ToReader): void {
    this.#port?.postMessage(message);
  }
}
