/**
 * Starts the shards in the piscina pool, keeps them running, and carries messages to and from them. Owned by main.
 *
 *   starting --ready--> running --drain--> draining --drained--> drained
 *      ^                   |
 *      +--- restart after a pause (doubling) <--- dead
 *
 * A shard that dies is replaced by a new one with a new ring; its old ring is still read to its end. The rest of
 * Core goes on meanwhile.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Logger } from 'pino';
import { Piscina } from 'piscina';
import type { Config } from './config/config.js';
import { EXIT, FatalError } from './errors.js';
import { LIMITS } from './limits.js';
import { createShardCounters } from './memory/counters.js';
import { createRingMemory, RingObserver } from './memory/ring.js';
import type { Mode } from './native/addon.js';
import type { MainToShard, Orphan, ShardStart, ShardToMain } from './shard/messages.js';
import type { AggregatorThread } from './stream/aggregator-thread.js';
import type { Stats } from './telemetry/stats.js';
import type { TlsMaterial } from './tls/material.js';

export interface SupervisorHooks {
  onMessage(slot: number, message: ShardToMain): void;
  /** A shard has started; the notices it owed are in its ring. */
  onReady(slot: number): void;
  /** A shard died with its connections. Answers the sessions whose notices the next one owes. */
  onDeath(slot: number): Orphan[];
}

type SlotState = 'starting' | 'running' | 'draining' | 'drained' | 'dead';

interface Slot {
  readonly number: number;
  state: SlotState;
  port: MessagePort;
  ring: RingObserver;
  counters: Float64Array;
  restartDelayMs: number;
  /** When it was ready, in performance.now(); Infinity before. */
  readyMs: number;
  orphans: Orphan[];
}

export class ShardSupervisor {
  readonly #config: Config;
  readonly #mode: Mode;
  readonly #sessions: Float64Array;
  readonly #ledger: Float64Array;
  readonly #aggregator: AggregatorThread;
  readonly #stats: Stats;
  readonly #logger: Logger;
  readonly #hooks: SupervisorHooks;
  #tls: TlsMaterial | undefined;
  readonly #pool: Piscina;
  readonly #slots: Slot[] = [];
  #running: number[] = [];
  #stopping = false;
  #closed = false;
  #onDrained: (() => void) | undefined;

  constructor(
    parts: {
      config: Config;
      mode: Mode;
      shards: number;
      sessions: Float64Array;
      ledger: Float64Array;
      aggregator: AggregatorThread;
      stats: Stats;
      logger: Logger;
      tls: TlsMaterial | undefined;
    },
    hooks: SupervisorHooks,
  ) {
    this.#config = parts.config;
    this.#mode = parts.mode;
    this.#sessions = parts.sessions;
    this.#ledger = parts.ledger;
    this.#aggregator = parts.aggregator;
    this.#stats = parts.stats;
    this.#logger = parts.logger;
    this.#hooks = hooks;
    this.#tls = parts.tls;
    this.#pool = new Piscina({
      filename: new URL('./shard/worker.js', import.meta.url).href,
      minThreads: parts.shards,
      maxThreads: parts.shards,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Between tasks a thread must keep its event loop alive: the last answers to nodes leave from there.
      atomics: 'disabled',
      closeTimeout: 1000,
      resourceLimits: { maxYoungGenerationSizeMb: LIMITS.workerYoungGenerationMiB },
    });
    // A thread that dies between two tasks; without a listener that would end the process.
    this.#pool.on('error', (error) => this.#logger.error({ err: error }, 'shard pool error'));
  }

  /** Resolves when all shards are ready. */
  async start(shards: number): Promise<void> {
    for (let number = 0; number < shards; number++) this.#launch(number, LIMITS.shardRestartMinMs, []);
    const deadlineMs = performance.now() + LIMITS.threadStartTimeoutMs;
    while (this.#running.length < shards) {
      if (performance.now() > deadlineMs || this.#slots.some((slot) => slot.state === 'dead')) {
        throw new FatalError(EXIT.software, 'the shards did not start; see the log');
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  runningSlots(): readonly number[] {
    return this.#running;
  }

  ring(slot: number): RingObserver {
    return this.#slots[slot]!.ring;
  }

  post(slot: number, message: MainToShard, transfer: ArrayBuffer[] = []): void {
    this.#slots[slot]!.port.postMessage(message, transfer);
  }

  /** What new TLS connections are made with, in shards that run and in those that start later. */
  renewTls(material: TlsMaterial): void {
    this.#tls = material;
    for (const slot of this.#slots)
      if (slot.state === 'starting' || slot.state === 'running')
        slot.port.postMessage({ type: 'tls', material } satisfies MainToShard);
  }

  /** Every shard deals with what it has read, closes its connections and stops. */
  drain(): Promise<void> {
    this.#stopping = true;
    return new Promise((resolve) => {
      this.#onDrained = resolve;
      for (const slot of this.#slots) {
        if (slot.state === 'starting' || slot.state === 'running') this.#drainSlot(slot);
        else if (slot.state === 'dead' && slot.orphans.length > 0) this.#giveNotices(slot);
      }
      this.#running = [];
      this.#checkDrained();
    });
  }

  /** Ends the waits of shards on full rings: what they hold is given up. */
  abandonRings(): void {
    for (const slot of this.#slots) slot.ring.stop();
  }

  async close(): Promise<void> {
    this.#stopping = true;
    this.#closed = true;
    this.abandonRings();
    await this.#pool.destroy();
  }

  #drainSlot(slot: Slot): void {
    slot.state = 'draining';
    slot.port.postMessage({ type: 'drain' } satisfies MainToShard);
  }

  /** Core stops and a dead shard has notices to give: the next one starts for that alone. */
  #giveNotices(dead: Slot): void {
    this.#launch(dead.number, dead.restartDelayMs, dead.orphans);
    this.#drainSlot(this.#slots[dead.number]!);
  }

  #launch(number: number, restartDelayMs: number, orphans: Orphan[]): void {
    const toShard = new MessageChannel();
    const wake = new MessageChannel();
    const memory = createRingMemory(this.#config.ingest.ring_bytes);
    const counters = createShardCounters();
    const slot: Slot = {
      number,
      state: 'starting',
      port: toShard.port1,
      ring: new RingObserver(memory),
      counters,
      restartDelayMs,
      readyMs: Number.POSITIVE_INFINITY,
      orphans,
    };
    this.#slots[number] = slot;
    this.#stats.attach(number, counters);
    this.#aggregator.addRing(number, memory, wake.port2);
    toShard.port1.on('message', (message: ShardToMain) => this.#receive(slot, message));
    const start: ShardStart = {
      slot: number,
      mode: this.#mode,
      config: this.#config,
      port: toShard.port2,
      aggregatorPort: wake.port1,
      ring: memory,
      counters,
      sessions: this.#sessions,
      ledger: this.#ledger,
      tls: this.#tls,
      orphans,
    };
    const startTimer = setTimeout(
      () => this.#died(slot, new Error('the shard did not start in time')),
      LIMITS.threadStartTimeoutMs,
    );
    startTimer.unref();
    this.#pool.run(start, { transferList: [toShard.port2, wake.port1] }).then(
      () => clearTimeout(startTimer),
      (error: unknown) => {
        clearTimeout(startTimer);
        this.#died(slot, error);
      },
    );
    toShard.port1.once('message', () => clearTimeout(startTimer));
  }

  #receive(slot: Slot, message: ShardToMain): void {
    switch (message.type) {
      case 'ready':
        if (slot.state !== 'starting') break;
        slot.state = 'running';
        slot.readyMs = performance.now();
        slot.orphans = [];
        this.#running = [...this.#running, slot.number];
        this.#hooks.onReady(slot.number);
        break;
      case 'drained':
        slot.state = 'drained';
        this.#checkDrained();
        break;
      default:
        this.#hooks.onMessage(slot.number, message);
    }
  }

  #died(slot: Slot, error: unknown): void {
    // A thread that close() ends has not died.
    if (this.#closed || slot.state === 'drained' || slot.state === 'dead') return;
    // What a dead shard said last still counts: which descriptors it took over, which sessions had ended.
    for (
      let last = receiveMessageOnPort(slot.port);
      last !== undefined;
      last = receiveMessageOnPort(slot.port)
    )
      this.#receive(slot, last.message as ShardToMain);
    slot.state = 'dead';
    this.#running = this.#running.filter((number) => number !== slot.number);
    slot.port.close();
    this.#stats.retire(slot.number, slot.counters);
    const gaveNotices = slot.orphans.length === 0;
    const orphans = [...slot.orphans, ...this.#hooks.onDeath(slot.number)];
    slot.orphans = orphans;
    this.#logger.error({ err: error, shard: slot.number, nodes: orphans.length }, 'shard died');
    if (this.#stopping) {
      // Tried once: one that dies of giving notices would do so for ever.
      if (gaveNotices && orphans.length > 0) this.#giveNotices(slot);
      return this.#checkDrained();
    }
    // One that ran well for long has not died of what killed its predecessor.
    const ranWell = performance.now() - slot.readyMs > LIMITS.shardRestartForgetMs;
    const delayMs = ranWell ? LIMITS.shardRestartMinMs : slot.restartDelayMs;
    setTimeout(() => {
      if (this.#stopping) return;
      this.#launch(slot.number, Math.min(delayMs * 2, LIMITS.shardRestartMaxMs), orphans);
      this.#logger.info({ shard: slot.number, afterMs: delayMs }, 'shard restarted');
    }, delayMs);
  }

  #checkDrained(): void {
    if (this.#slots.every(({ state }) => state === 'drained' || state === 'dead')) this.#onDrained?.();
  }
}
