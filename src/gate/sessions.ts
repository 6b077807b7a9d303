/**
 * The sessions that exist: who owns which row of the session table. Owned by main.
 *
 * A session number is given out again only after its shard has said `closed`, or has died.
 */
import { SESSION_STRIDE } from '../memory/session-table.js';

export interface OpenSession {
  readonly number: number;
  /** Higher than that of every connection that came before it. */
  readonly turn: number;
  readonly slot: number;
  readonly remote: string;
  /** Of addressKey(): whom the connection counts for. */
  readonly address: string;
  /** Native mode: a descriptor that the shard has not taken over yet; closed by main if the shard dies first. */
  fd: number | undefined;
}

/** Who wants to know what becomes of the sessions. */
export interface SessionWatch {
  registered(session: OpenSession): void;
  closed(session: OpenSession): void;
}

export class Sessions {
  watch: SessionWatch = { registered() {}, closed() {} };
  readonly #table: Float64Array;
  readonly #free: number[];
  readonly #open = new Map<number, OpenSession>();
  readonly #perSlot: number[];
  #lastTurn = 0;

  constructor(table: Float64Array, slots: number) {
    this.#table = table;
    const rows = table.length / SESSION_STRIDE;
    // Low numbers first: rows in use lie together.
    this.#free = Array.from({ length: rows }, (_, i) => rows - 1 - i);
    this.#perSlot = new Array<number>(slots).fill(0);
  }

  get slots(): number {
    return this.#perSlot.length;
  }

  get size(): number {
    return this.#open.size;
  }

  /** A new session of a shard, its row cleared; undefined where all rows are in use. */
  open(slot: number, remote: string, address: string): OpenSession | undefined {
    const number = this.#free.pop();
    if (number === undefined) return undefined;
    this.#table.fill(0, number * SESSION_STRIDE, (number + 1) * SESSION_STRIDE);
    const session: OpenSession = { number, turn: ++this.#lastTurn, slot, remote, address, fd: undefined };
    this.#open.set(number, session);
    this.#perSlot[slot]!++;
    return session;
  }

  get(number: number): OpenSession | undefined {
    return this.#open.get(number);
  }

  close(number: number): OpenSession | undefined {
    const session = this.#open.get(number);
    if (session === undefined) return undefined;
    this.#open.delete(number);
    this.#free.push(number);
    this.#perSlot[session.slot]!--;
    this.watch.closed(session);
    return session;
  }

  /** Main has accepted the session's registration. */
  registered(session: OpenSession): void {
    this.watch.registered(session);
  }

  ofSlot(slot: number): OpenSession[] {
    return [...this.#open.values()].filter((session) => session.slot === slot);
  }

  /** The one of the slots with the fewest connections; undefined where there is none to choose from. */
  leastLoaded(slots: readonly number[]): number | undefined {
    let best: number | undefined;
    for (const slot of slots)
      if (best === undefined || this.#perSlot[slot]! < this.#perSlot[best]!) best = slot;
    return best;
  }
}
