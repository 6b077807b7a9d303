/** How main reads the log: each question is a feed of the reader thread, which is started when it is first needed. */
import type { FeedRequest, FromReader } from './messages.js';

/** What a feed gives, see FromReader. `end` and `fault` are the last. */
export type FeedItem = Extract<FromReader, { readonly type: 'chunk' | 'gap' | 'idle' | 'end' | 'fault' }>;

export interface Feed {
  /** The next item. A chunk is asked for only then, so who does not call holds the reader back. One call at a time. */
  next(): Promise<FeedItem>;
  /** May be called at any time; a next() under way gives an `end`. */
  close(): void;
}

export interface LogReader {
  open(request: FeedRequest): Feed;
}

/** The client's end of one feed. `ask`: lets the reader send one chunk. */
export class FeedClient implements Feed {
  readonly #number: number;
  readonly #ask: () => void;
  readonly #leave: () => void;
  readonly #items: FeedItem[] = [];
  /** A chunk was asked for and has not come. */
  #asked = false;
  #waiting: ((item: FeedItem) => void) | undefined;
  /** It has ended, with this. */
  #last: FeedItem | undefined;
  #nextSeq = 0;

  constructor(number: number, ask: () => void, leave: () => void) {
    this.#number = number;
    this.#ask = ask;
    this.#leave = leave;
  }

  next(): Promise<FeedItem> {
    if (this.#waiting !== undefined) throw new Error('next() of a feed was called while one was under way');
    const item = this.#items.shift() ?? this.#last;
    if (item !== undefined) return Promise.resolve(item);
    if (!this.#asked) {
      this.#asked = true;
      this.#ask();
    }
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    if (this.#last !== undefined) return;
    this.#leave();
    this.#items.length = 0;
    this.receive({ type: 'end', feed: this.#number, nextSeq: this.#nextSeq });
  }

  receive(item: FeedItem): void {
    if (this.#last !== undefined) return;
    if (item.type === 'chunk') this.#asked = false;
    if (item.type === 'end' || item.type === 'fault') this.#last = item;
    else this.#nextSeq = item.nextSeq;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) waiting(item);
    else if (item !== this.#last) this.#items.push(item);
  }
}
