/**
 * The aggregator's side of the reader thread: the feeds of consumers that are not served from memory.
 *
 *   no reader --open()--> wanted, asked for once --use()--> reading --the port closes--> no reader, all feeds lost
 *
 * Main starts the reader, and the one that follows one that died. A feed does not outlive its reader: whoever had one
 * is told, and opens it again from where it is. What an older feed still sends finds nobody.
 */
import type { MessagePort } from 'node:worker_threads';
import { LIMITS } from '../limits.js';
import type { LogEnd } from '../log/segment-writer.js';
import type { FeedRequest, FromReader, ToReader } from '../replay/messages.js';

/** What comes of a feed. */
export type FeedMessage = Extract<FromReader, { readonly feed: number }>;

/** The part of a MessagePort that is used. */
export type ReaderPort = Pick<MessagePort, 'postMessage' | 'close'> & {
  on(event: 'message', listener: (message: FromReader) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  unref(): void;
};

/** Of all feeds together. */
const SPARE_BUFFERS = 4;

export interface LogFeedsHooks {
  /** Main is to start the reader. */
  wanted(): void;
  /** How far the log is written now. */
  end(): LogEnd;
  /** There is a reader, or none any more. Feeds of the one before are lost. */
  changed(): void;
}

export class LogFeeds {
  readonly #hooks: LogFeedsHooks;
  readonly #feeds = new Map<number, (message: FeedMessage) => void>();
  readonly #spare: ArrayBuffer[] = [];
  #port: ReaderPort | undefined;
  #asked = false;
  #lastFeed = 0;
  /** The reader waits for more than it was last told of. */
  #awake = false;
  #toldSeq = 0;
  #toldDurableSeq = 0;

  constructor(hooks: LogFeedsHooks) {
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#feeds.size;
  }

  /** Opens a feed, without credit; 0 where there is no reader yet: changed() will say when. */
  open(request: FeedRequest, receive: (message: FeedMessage) => void): number {
    if (this.#port === undefined) {
      if (!this.#asked) this.#hooks.wanted();
      this.#asked = true;
      return 0;
    }
    const feed = ++this.#lastFeed;
    this.#feeds.set(feed, receive);
    this.#post({ type: 'open', feed, ...request });
    return feed;
  }

  /** It may send one chunk more. `buffer`: one that it sent and may use again. */
  more(feed: number, buffer = this.#spare.pop()): void {
    if (buffer === undefined) this.#post({ type: 'more', feed });
    else this.#post({ type: 'more', feed, buffer }, [buffer]);
  }

  /** A buffer that came with a chunk, for the next one that is asked for: fresh memory costs more than what is read to it. */
  keep(buffer: ArrayBuffer): void {
    if (buffer.byteLength >= LIMITS.replayChunkBytes && this.#spare.length < SPARE_BUFFERS)
      this.#spare.push(buffer);
  }

  close(feed: number): void {
    if (this.#feeds.delete(feed)) this.#post({ type: 'close', feed });
    if (this.#feeds.size === 0) this.#spare.length = 0;
  }

  /** The reader that was asked for, or the next one. */
  use(port: ReaderPort): void {
    this.#port?.close();
    this.#port = port;
    this.#feeds.clear();
    port.on('message', (message) => {
      if (this.#port === port) this.#receive(message);
    });
    port.on('close', () => {
      if (this.#port === port) this.#lose();
    });
    port.unref();
    this.#tell(this.#hooks.end());
    this.#hooks.changed();
  }

  /** To be called after something was written, or became durable. */
  written(): void {
    if (!this.#awake) return;
    const end = this.#hooks.end();
    if (end.nextSeq === this.#toldSeq && end.durableSeq === this.#toldDurableSeq) return;
    this.#awake = false;
    this.#tell(end);
  }

  #receive(message: FromReader): void {
    switch (message.type) {
      case 'wake':
        this.#awake = true;
        this.written();
        break;
      case 'names-wanted':
        break; // main's to answer
      default: {
        const receive = this.#feeds.get(message.feed);
        if (message.type === 'end' || message.type === 'fault') this.#feeds.delete(message.feed);
        receive?.(message);
      }
    }
  }

  #lose(): void {
    this.#port = undefined;
    this.#awake = false;
    this.#feeds.clear();
    this.#hooks.changed();
  }

  #tell(end: LogEnd): void {
    this.#toldSeq = end.nextSeq;
    this.#toldDurableSeq = end.durableSeq;
    this.#post({ type: 'written', end });
  }

  #post(message: ToReader, transfer: ArrayBuffer[] = []): void {
    this.#port?.postMessage(message, transfer);
  }
}
