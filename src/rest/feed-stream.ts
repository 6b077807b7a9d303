/**
 * A feed of the log as the body of an answer: nothing is read before the client has taken what was sent, so that a slow
 * one costs a chunk or two and nobody's time.
 *
 * Owned by main. Ends with the feed, and the feed with it: a client that goes away leaves nothing behind.
 */
import { Readable } from 'node:stream';
import type { FeedItem } from '../replay/log-reader.js';
import type { OpenFeed } from './event-feeds.js';

/** How the items of a feed are written; an empty text says nothing. */
export interface FeedShape {
  readonly opening?: string;
  /** Every so often where nothing else is sent, so that nobody takes the connection for dead. */
  readonly heartbeat?: { readonly text: string; readonly everyMs: number };
  item(item: Exclude<FeedItem, { type: 'end' | 'fault' }>): Uint8Array | string;
  /** Everything that was asked for has been given, before the feed's end. */
  readonly isDone: boolean;
  /** The last words; `end` where it was the feed that ended. */
  ending(end: { readonly nextSeq: number } | undefined): string;
  /** The last words where it is cut off; without it the connection is, so that nobody takes it for the end. */
  cutOff?(reason: string): string;
}

const UNREADABLE = 'the log cannot be read at present';

export class FeedStream extends Readable {
  readonly #feed: OpenFeed;
  readonly #shape: FeedShape;
  readonly #heartbeat: NodeJS.Timeout | undefined;
  #saidSomething = true;
  #isPumping = false;
  #isOver = false;

  /** `first`: what the feed gave already. */
  constructor(feed: OpenFeed, shape: FeedShape, first?: FeedItem) {
    super({ highWaterMark: 1 });
    this.#feed = feed;
    this.#shape = shape;
    if (shape.opening !== undefined) this.push(shape.opening);
    if (first !== undefined) this.#take(first);
    const { heartbeat } = shape;
    if (heartbeat === undefined) return;
    this.#heartbeat = setInterval(() => {
      // Who has not taken what was said last needs no other.
      if (!this.#saidSomething && this.readableLength === 0 && !this.#isOver) this.push(heartbeat.text);
      this.#saidSomething = false;
    }, heartbeat.everyMs);
    this.#heartbeat.unref();
  }

  override _read(): void {
    if (this.#isPumping || this.#isOver) return;
    this.#isPumping = true;
    this.#pump().then(
      () => {
        this.#isPumping = false;
      },
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#isOver = true;
    clearInterval(this.#heartbeat);
    this.#feed.close();
    callback(error);
  }

  /** Each call of _read() is answered by a push, or it would be the last one. */
  async #pump(): Promise<void> {
    while (!this.#take(await this.#feed.next())) {}
  }

  /** True where something was given, or there is nothing more. */
  #take(item: FeedItem): boolean {
    if (this.#isOver) return true;
    if (item.type === 'fault' || (item.type === 'end' && this.#feed.isClosed)) {
      this.#cutOff(this.#feed.endedFor ?? UNREADABLE);
      return true;
    }
    if (item.type === 'end') {
      this.#finish(this.#shape.ending(item));
      return true;
    }
    const bytes = this.#shape.item(item);
    if (bytes.length > 0) {
      this.#saidSomething = true;
      this.push(bytes);
    }
    if (this.#shape.isDone) this.#finish(this.#shape.ending(undefined));
    return this.#isOver || bytes.length > 0;
  }

  #cutOff(reason: string): void {
    const text = this.#shape.cutOff?.(reason);
    if (text === undefined) this.destroy(new Error(reason));
    else this.#finish(text);
  }

  #finish(text: string): void {
    this.#isOver = true;
    if (text !== '') this.push(text);
    this.push(null);
  }
}
