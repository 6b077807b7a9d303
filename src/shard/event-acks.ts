/**
 * When the nodes of a shard are told which of their events are on the disk: in rounds, at most one in
 * LIMITS.eventAckIntervalMs, and one more behind the last news, so that none is forgotten. Runs in the shard.
 */
import { LIMITS } from '../limits.js';

export interface Acknowledged {
  /** Tells the node, if there is something that it does not know. */
  acknowledge(): void;
}

export class EventAcks {
  readonly #sessions = new Set<Acknowledged>();
  readonly #guard: (work: () => void) => void;
  #timer: NodeJS.Timeout | undefined;
  #lastRoundMs = Number.NEGATIVE_INFINITY;

  /** `guard` runs what may find the ring stopped. */
  constructor(guard: (work: () => void) => void) {
    this.#guard = guard;
  }

  add(session: Acknowledged): void {
    this.#sessions.add(session);
  }

  remove(session: Acknowledged): void {
    this.#sessions.delete(session);
  }

  /** More events are on the disk. */
  durable(): void {
    if (this.#sessions.size === 0 || this.#timer !== undefined) return;
    const waitMs = LIMITS.eventAckIntervalMs - (performance.now() - this.#lastRoundMs);
    if (waitMs <= 0) return this.#round();
    this.#timer = setTimeout(() => this.#round(), waitMs);
    this.#timer.unref();
  }

  /** A node is to be told again. Not at once: more of what it sends again is on its way. */
  owe(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#round(), LIMITS.eventAckIntervalMs);
    this.#timer.unref();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#sessions.clear();
  }

  #round(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#lastRoundMs = performance.now();
    // A node that does not read its answers is closed, and leaves the set.
    for (const session of [...this.#sessions]) this.#guard(() => session.acknowledge());
  }
}
