/**
 * Who gets in, and when: between accepting a connection and handing it to a shard. Owned by main.
 *
 *   arrive --limit per address--> [ fair queue ] --token--> a shard with room --> admitted
 *              |                       |                                             |
 *              +-- turned away --------+                                  left, when its connection is over
 *
 * The kernel's backlog is short (net.core.somaxconn), so everybody is accepted at once and waits here: a waiting one is a
 * descriptor and a few words of memory. While nobody waits a connection goes through without delay. Nothing is read
 * from who waits; one that has closed meanwhile is handed over like the others, and its shard finds that out.
 */
import { LIMITS } from '../limits.js';
import {
  type AdmissionCounts,
  TURNED_AWAY_REASONS,
  type TurnedAwayReason,
} from '../telemetry/admission-counts.js';
import { FairQueue } from './fair-queue.js';
import { Registering } from './registering.js';
import type { OpenSession } from './sessions.js';
import { TokenBucket } from './token-bucket.js';

/** A connection that has been accepted, and nothing more. */
export interface Arrival {
  /** Of addressKey(): whom limits and turns are counted for. */
  readonly address: string;
}

export interface AdmissionSettings {
  readonly acceptsPerSecond: number;
  readonly connectionsPerAddress: number;
  readonly slots: number;
}

export interface AdmissionHooks<A extends Arrival> {
  /** The shards that take connections now; none while they are being restarted. */
  runningSlots(): readonly number[];
  /** Hands it to one of these shards. The session it has become, or why it has none: then it is turned away. */
  admit(arrival: A, slots: readonly number[]): OpenSession | TurnedAwayReason;
  /** Closes it. */
  turnAway(arrival: A, reason: TurnedAwayReason): void;
  /** Milliseconds of a clock that never goes back. */
  nowMs(): number;
}

/** How soon to look again for a shard that takes connections. */
const NO_SHARD_RETRY_MS = 20;

export class Admission<A extends Arrival> {
  readonly #settings: AdmissionSettings;
  readonly #hooks: AdmissionHooks<A>;
  readonly #queue: FairQueue<A>;
  readonly #tokens: TokenBucket;
  readonly #registering: Registering;
  /** Connections by address, waiting or with a shard. */
  readonly #perAddress = new Map<string, number>();
  readonly #turnedAway = Object.fromEntries(TURNED_AWAY_REASONS.map((reason) => [reason, 0])) as Record<
    TurnedAwayReason,
    number
  >;
  #admitted = 0;
  #mostWaiting = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerDueMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(settings: AdmissionSettings, hooks: AdmissionHooks<A>) {
    const { acceptsPerSecond, slots } = settings;
    this.#settings = settings;
    this.#hooks = hooks;
    this.#queue = new FairQueue(waitingBound(acceptsPerSecond));
    this.#tokens = new TokenBucket(
      acceptsPerSecond,
      (acceptsPerSecond * LIMITS.acceptBurstMs) / 1000,
      hooks.nowMs(),
    );
    this.#registering = new Registering(slots);
  }

  arrive(arrival: A): void {
    if (this.#stopped) return this.#turnAway(arrival, 'stopping');
    const { address } = arrival;
    const open = this.#perAddress.get(address) ?? 0;
    if (open >= this.#settings.connectionsPerAddress) return this.#turnAway(arrival, 'per_address');
    this.#perAddress.set(address, open + 1);
    const gaveWay = this.#queue.push(address, arrival);
    if (gaveWay !== undefined) {
      this.#leave(gaveWay.address);
      this.#turnAway(gaveWay, 'queue_full');
    }
    this.#mostWaiting = Math.max(this.#mostWaiting, this.#queue.size);
    this.#pump();
  }

  /** A connection that could not even wait; the caller has closed it. */
  lost(reason: TurnedAwayReason): void {
    this.#turnedAway[reason]++;
  }

  /** The session has registered: its shard has room for another stranger. */
  registered(session: OpenSession): void {
    this.#registering.done(session);
    this.#pump();
  }

  /** The connection of a session is over. */
  left(session: OpenSession): void {
    this.#registering.done(session);
    this.#leave(session.address);
    this.#pump();
  }

  /** Nobody is admitted any more; who waits is turned away, in the order of their turns. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (let next = this.#queue.take(); next !== undefined; next = this.#queue.take()) {
      this.#leave(next.address);
      this.#turnAway(next, 'stopping');
    }
  }

  counts(): AdmissionCounts {
    return {
      waiting: this.#queue.size,
      mostWaiting: this.#mostWaiting,
      admitted: this.#admitted,
      turnedAway: { ...this.#turnedAway },
    };
  }

  /** Connections of an address, waiting or with a shard. */
  ofAddress(address: string): number {
    return this.#perAddress.get(address) ?? 0;
  }

  #pump(): void {
    if (this.#stopped) return;
    while (this.#queue.size > 0) {
      const nowMs = this.#hooks.nowMs();
      const running = this.#hooks.runningSlots();
      const slots = this.#registering.withRoom(running, nowMs);
      if (slots.length === 0)
        return this.#pumpAt(
          nowMs + (running.length === 0 ? NO_SHARD_RETRY_MS : this.#registering.waitMs(running, nowMs)),
        );
      if (!this.#tokens.take(nowMs)) return this.#pumpAt(nowMs + this.#tokens.waitMs);
      this.#admit(this.#queue.take()!, slots, nowMs);
    }
  }

  #admit(arrival: A, slots: readonly number[], nowMs: number): void {
    const session = this.#hooks.admit(arrival, slots);
    if (typeof session === 'string') {
      this.#leave(arrival.address);
      this.#turnAway(arrival, session);
      return;
    }
    this.#admitted++;
    this.#registering.handedOver(session, nowMs);
  }

  /** One timer, for the earliest time that was asked for. */
  #pumpAt(dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return;
    clearTimeout(this.#timer);
    this.#timerDueMs = dueMs;
    this.#timer = setTimeout(
      () => {
        this.#timerDueMs = Number.POSITIVE_INFINITY;
        this.#pump();
      },
      Math.max(1, Math.ceil(dueMs - this.#hooks.nowMs())),
    );
  }

  #leave(address: string): void {
    const open = this.#perAddress.get(address);
    if (open === undefined) throw new Error(`more connections of ${address} left than came`);
    if (open === 1) this.#perAddress.delete(address);
    else this.#perAddress.set(address, open - 1);
  }

  #turnAway(arrival: A, reason: TurnedAwayReason): void {
    this.#turnedAway[reason]++;
    this.#hooks.turnAway(arrival, reason);
  }
}

function waitingBound(acceptsPerSecond: number): number {
  const inTime = Math.max(LIMITS.waitingConnectionsMin, acceptsPerSecond * LIMITS.waitingSeconds);
  return Math.min(LIMITS.waitingConnections, inTime);
}
