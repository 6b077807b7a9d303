/**
 * The feeds of the reader thread that requests hold open: so many at once, and each ends with whatever it was opened for:
 * its client, its token, or Core.
 *
 * Owned by main.
 */
import type { Logger } from 'pino';
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

interface FeedHooks {
  released(): void;
  /** The reader says why. */
  failed(message: string): void;
}

export class OpenFeed {
  /** Why it was ended, other than by its reader or the log; for people. */
  endedFor: string | undefined;
  readonly principal: Principal;
  readonly #feed: Feed;
  readonly #hooks: FeedHooks;
  #closed = false;

  constructor(feed: Feed, principal: Principal, hooks: FeedHooks) {
    this.#feed = feed;
    this.principal = principal;
    this.#hooks = hooks;
  }

  /** One call at a time; a next() under way gives an `end` when the feed is closed. */
  async next(): Promise<FeedItem> {
    const item = await this.#feed.next();
    if (item.type === 'fault' && item.kind === 'failed') this.#hooks.failed(item.message);
    return item;
  }

  /** May be called at any time, and again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#feed.close();
    this.#hooks.released();
  }

  get isClosed(): boolean {
    return this.#closed;
  }
}

export class EventFeeds {
  readonly #reader: LogReader;
  readonly #logger: Pick<Logger, 'warn'>;
  readonly #open = new Set<OpenFeed>();
  readonly #unsubscribe: () => void;
  #closed = false;

  /** The logger should be bounded: whoever may read the log may also ask again and again. */
  constructor(reader: LogReader, access: AccessChanges, logger: Pick<Logger, 'warn'>) {
    this.#reader = reader;
    this.#logger = logger;
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
    const feed = new OpenFeed(this.#reader.open(request), principal, {
      released: () => this.#open.delete(feed),
      failed: (reason) => this.#logger.warn({ reason }, 'the log could not be read for REST'),
    });
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
