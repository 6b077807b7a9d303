/**
 * The ledger's side of the aggregator: what is logged of each node, what of that is durable, and what is kept of it over
 * restarts. Also the dead letters' fsyncs, because the number of a refused event is durable when its dead letter is.
 */
import { Accounts } from '../ledger/accounts.js';
import { Book, type BookOptions, type Recounted, type Written } from '../ledger/book.js';
import type { RingConsumer } from '../memory/ring.js';

interface RingPlace {
  readonly ring: RingConsumer;
  readonly published: number;
}

/** The log's writer, as far as it matters here. */
interface Log {
  readonly nextSeq: number;
  readonly durableSeq: number;
}

/** The dead letters' writer. */
interface Letters {
  /** Of the next one, and of the first that is not fsynced. */
  readonly next: number;
  readonly durableNext: number;
  /** Starts an fsync where one is due. */
  sync(nowMs: number): void;
}

export interface BookkeepingOptions extends Omit<BookOptions, 'accounts' | 'nextSeq' | 'nextLetter'> {
  readonly log: Log;
  readonly letters: Letters;
  /** Bytes logged since the start. */
  bytesLogged(): number;
  /** Some node has more durable events than before: what its shard reads now was stored before. */
  onDurable(): void;
  /** Nothing of the row's owner is in a ring, and nobody writes to it any more. */
  onRowFree(row: number): void;
}

export class Bookkeeping {
  readonly accounts: Accounts;
  readonly recounted: Recounted;
  readonly #options: BookkeepingOptions;
  readonly #book: Book;
  readonly #written: Written;
  /** Rows that are to be given back, and up to where each ring has to be read before. */
  #forgetting: { readonly row: number; readonly places: readonly RingPlace[] }[] = [];

  constructor(options: BookkeepingOptions) {
    const { log, letters, table } = options;
    this.#options = options;
    this.accounts = new Accounts(table);
    this.#book = new Book({
      ...options,
      accounts: this.accounts,
      nextSeq: log.nextSeq,
      nextLetter: letters.next,
    });
    this.recounted = this.#book.recounted;
    this.#written = {
      get nextSeq() {
        return log.nextSeq;
      },
      get durableSeq() {
        return log.durableSeq;
      },
      get letters() {
        return letters.next;
      },
      get durableLetters() {
        return letters.durableNext;
      },
      get bytes() {
        return options.bytesLogged();
      },
    };
  }

  /** An fsync of the log begins. */
  syncStarts(): void {
    this.accounts.syncStarts(this.#options.letters.next);
  }

  /** It is over. */
  logDurable(): void {
    this.accounts.logDurable();
    this.settle();
  }

  /** More is on the disk. */
  settle(): void {
    if (!this.accounts.settle(this.#options.letters.durableNext)) return;
    this.#options.onDurable();
    this.look();
  }

  /** To be called often. */
  sync(nowMs: number): void {
    const { log, letters } = this.#options;
    // Refused frames alone make no fsync of the log.
    if (this.accounts.needsNoSync && log.durableSeq === log.nextSeq) {
      this.syncStarts();
      this.logDurable();
    }
    letters.sync(nowMs);
    this.#book.tick(nowMs, this.#written);
  }

  /** The row's owner is forgotten; the rings hold nothing of it behind what they hold now. */
  forget(row: number, rings: readonly RingConsumer[]): void {
    this.#forgetting.push({ row, places: rings.map((ring) => ({ ring, published: ring.published })) });
    this.look();
  }

  /** Rings have been read. */
  look(): void {
    if (this.#forgetting.length === 0) return;
    this.#forgetting = this.#forgetting.filter(({ row, places }) => {
      if (!places.every(isRead) || !this.accounts.isSettled(row)) return true;
      this.#book.release(row);
      this.#options.onRowFree(row);
      return false;
    });
  }

  /** The log is closed, nothing is in any ring, and nobody counts any more. */
  close(): void {
    const { log, letters } = this.#options;
    this.#book.close(log.nextSeq, letters.next);
  }
}

function isRead({ ring, published }: RingPlace): boolean {
  return ((ring.taken - published) | 0) >= 0;
}
