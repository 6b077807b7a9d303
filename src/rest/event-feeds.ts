/**
 * The feeds of the reader thread that requests hold open: so many at once, and each ends with whatever it was opened for:
 * its client, its token, or Core.
 *
 * Owned by main.
 */
import type { AccessChange } from '../access/access.js';
import type { Principal } from '../access/principal.js';
import { endedBy } from '../backends/access.js';
import { LIMITS } from '../limits.js';
import type { Feed, FeedItem, LogReader } from '../replay/log-reader.js';
import type { FeedRequest } from '../replay/messages.js';
import { RestError } from './errors.js';

/** What a request is told of tokens that end while it is served. */
export interface AccessChanges {
  onChange(subscriber: (change: AccessChange) => void): () => void;
}

export class OpenFeed {
  /** Why it was ended, other than by its reader or the log; for people. */
  endedFor: string | undefined;
  readonly principal: Principal;
  readonly #feed: Feed;
  readonly #released: () => void;
  #closed = false;

  constructor(feed: Feed, principal: Principal, released: () => void) {
    this.#feed = feed;
    this.principal = principal;
    this.#released = released;
  }

  /** One call at a time; a next() under way gives an `end` when the feed is closed. */
  next(): Promise<FeedItem> {
    return this.#feed.next();
  }

  /** May be called at any time, and again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#feed.close();
    this.#released();
  }

  get isClosed(): boolean {
    return this.#closed;
  }
}

export class EventFeeds {
  readonly #reader: LogReader;
  readonly #open = new Set<OpenFeed>();
  readonly #unsubscribe: () => void;
  #closed = false;

  constructor(reader: LogReader, access: AccessChanges) {
    this.#reader = reader;
    this.#unsubscribe = access.onChange((change) => {
      for (const feed of this.#open) {
        const reason = endedBy(change, feed.principal);
        if (reason !== undefined) this.#end(feed, reason);
      }
    });
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Its user closes it, whatever happens. Throws TOO_MANY_READERS. */
  open(request: FeedRequest, principal: Principal): OpenFeed {
    if (this.#closed) throw new RestError('UNAVAILABLE');
    if (this.#open.size >= LIMITS.restFeeds) throw new RestError('TOO_MANY_READERS');
    const feed = new OpenFeed(this.#reader.open(request), principal, () => this.#open.delete(feed));
    this.#open.add(feed);
    return feed;
  }

  /** Core stops: what is under way ends, and nothing new begins. */
  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    for (const feed of this.#open) this.#end(feed, 'Core is stopping');
  }

  #end(feed: OpenFeed, reason: string): void {
    feed.endedFor = reason;
    feed.close();
  }
}
