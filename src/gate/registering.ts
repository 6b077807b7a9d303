/**
 * Which shard takes the next connection: the one with the fewest of those that have not too many strangers to deal
 * with. A storm of reconnecting nodes is so handed over at the pace at which it registers, in small batches, and what
 * a shard does for nodes that are registered never waits behind more than one batch. Owned by main.
 *
 * A stranger counts until it has registered or gone, but no longer than LIMITS.registeringMs: whoever connects and
 * says nothing costs a shard nothing, and must not keep others out.
 */
import { LIMITS } from '../limits.js';
import type { OpenSession } from './sessions.js';

export class Registering {
  /** By slot: until when each counts, in the order they were handed over. */
  readonly #strangers: Map<OpenSession, number>[];

  constructor(slots: number) {
    this.#strangers = Array.from({ length: slots }, () => new Map());
  }

  handedOver(session: OpenSession, nowMs: number): void {
    this.#strangers[session.slot]!.set(session, nowMs + LIMITS.registeringMs);
  }

  /** It has registered, or its connection is over. */
  done(session: OpenSession): void {
    this.#strangers[session.slot]!.delete(session);
  }

  /** Until one of the slots, which are all full, has room without anybody doing anything. */
  waitMs(slots: readonly number[], nowMs: number): number {
    const oldest = slots.map((slot) => this.#strangers[slot]!.values().next().value ?? nowMs);
    return Math.max(0, Math.min(...oldest) - nowMs);
  }

  /** Those of the slots that take another one now. */
  withRoom(slots: readonly number[], nowMs: number): readonly number[] {
    return slots.filter((slot) => {
      const strangers = this.#strangers[slot]!;
      for (const [session, untilMs] of strangers) {
        if (untilMs > nowMs) break;
        strangers.delete(session);
      }
      return strangers.size < LIMITS.registeringPerShard;
    });
  }
}
