/**
 * Core as a whole: which threads there are, what connects them, and the order in which they start and stop. Runs on
 * the main thread.
 *
 *   start:  data directory -> aggregator (log, 9003) -> shards -> REST (9002) -> node port (9001)   -> "ready"
 *   stop:   node port -> shards drain -> aggregator writes the rest and says goodbye -> REST -> data directory
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { AuditTrail } from './access/audit.js';
import { Backends } from './backends/backends.js';
import { createBackendActions } from './backends/core-actions.js';
import { BackendFailure } from './backends/failure.js';
import { openAccess } from './backends/open-access.js';
import type { Config } from './config/config.js';
import { backendHost } from './config/rules.js';
import { originsOf } from './config/values.js';
import { EXIT, FatalError } from './errors.js';
import { Gate } from './gate/gate.js';
import { Registrar } from './gate/registrar.js';
import { Sessions } from './gate/sessions.js';
import { type DataDirectory, holdDataDirectory } from './log/data-directory.js';
import { newestDeadLetters } from './log/dead-letter-reader.js';
import { createAggregatorCounters } from './memory/counters.js';
import { createSessionTable } from './memory/session-table.js';
import { resolveMode } from './native/addon.js';
import { NodeRegistry } from './registry/registry.js';
import { createCoreView } from './rest/core-view.js';
import { createRestServer, type RestServer } from './rest/server.js';
import type { Health } from './rest/view.js';
import type { ShardToMain } from './shard/messages.js';
import { AggregatorThread } from './stream/aggregator-thread.js';
import { ShardSupervisor } from './supervisor.js';
import { Metrics } from './telemetry/metrics.js';
import { Stats } from './telemetry/stats.js';

const SECOND_MS = 1000;
const NO_COMMANDS = new BackendFailure('UNAVAILABLE', 'commands cannot be sent yet');

export interface Ports {
  readonly node_port: number;
  readonly backend_port: number;
  /** 0 where the proxy is off. */
  readonly proxy_port: number;
}

export class Core {
  /** Resolves with the exit code when Core has ended, whoever ended it. */
  readonly ended: Promise<number>;
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #data: DataDirectory;
  readonly #aggregator: AggregatorThread;
  readonly #shards: ShardSupervisor;
  readonly #gate: Gate;
  readonly #backends: Backends;
  readonly #rest: RestServer;
  readonly #clock: NodeJS.Timeout;
  #health: Health = { status: 'starting', reason: 'not all ports listen yet' };
  #end!: (exitCode: number) => void;
  #stopping = false;

  /** Starts Core; resolves when everything listens. Throws a FatalError, with everything it had started ended. */
  static async start(config: Config, version: string, logger: Logger): Promise<Core> {
    const data = await holdDataDirectory(config.storage.dir);
    let core: Core | undefined;
    try {
      core = new Core(config, version, logger, data);
      await core.#listen(version);
      return core;
    } catch (error) {
      if (core !== undefined) await core.#abort();
      data.release();
      throw error;
    }
  }

  private constructor(config: Config, version: string, logger: Logger, data: DataDirectory) {
    this.#config = config;
    this.#logger = logger;
    this.#data = data;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { mode, why } = this.#resolveMode();
    if (mode === 'portable') logger.warn({ why }, 'running in portable mode: same behaviour, slower');
    else logger.info({ why }, 'running in native mode');
    const startedAtMs = Date.now();
    const aggregatorCounters = createAggregatorCounters();
    const table = createSessionTable(config.ingest.max_connections);
    const registry = new NodeRegistry();
    const stats = new Stats(aggregatorCounters);
    const shardCount = this.#shardCount();
    const sessions = new Sessions(table, shardCount);
    this.#aggregator = new AggregatorThread(config, mode, aggregatorCounters, {
      onDisk: (full) => this.#onDisk(full),
      onConsumer: (message) => this.#backends.receive(message),
      onDeath: (error) => this.#onAggregatorDeath(error),
    });
    this.#shards = new ShardSupervisor(
      { config, mode, shards: shardCount, sessions: table, aggregator: this.#aggregator, stats, logger },
      {
        onMessage: (slot, message) => this.#onShardMessage(slot, message, sessions, registrar),
        onReady: (slot) => registrar.noticesGiven(slot),
        onDeath: (slot) => {
          for (const { number, fd } of sessions.ofSlot(slot)) this.#gate.abandon(number, fd);
          return registrar.abandon(slot);
        },
      },
    );
    const registrar = new Registrar(registry, sessions, table, this.#shards, logger);
    this.#gate = new Gate(config, mode, sessions, this.#shards, logger);
    const audit: AuditTrail = {
      record: ({ actor, ...entry }) =>
        logger.info({ who: actor.principal.name, from: actor.from, ...entry }, 'audit'),
    };
    this.#backends = new Backends(
      {
        actions: createBackendActions(registry, {
          removeNode: async (id, actor) => {
            const removed = await registrar.remove(id);
            const outcome = removed ? 'done' : 'failed';
            audit.record({ actor, action: 'node.remove', target: String(id), outcome });
            return removed;
          },
          sendCommand: () => Promise.reject(NO_COMMANDS),
          broadcast: () => Promise.reject(NO_COMMANDS),
        }),
        access: openAccess({
          rest: backendHost(config.server),
          proxy: config.proxy.host,
        }),
        allowedOrigins: originsOf(config.auth.allowed_origins),
        logger,
      },
      (message) => this.#aggregator.tell(message),
    );
    const metrics = new Metrics({
      version,
      mode,
      stats: () => stats.snapshot(),
      nodes: () => registry.counts(),
      healthy: () => this.#health.status === 'ok',
    });
    const view = createCoreView({
      registry,
      sessionTable: table,
      stats,
      metrics,
      newestDeadLetters: (limit) => newestDeadLetters(join(config.storage.dir, 'dead-letters'), limit),
      about: () => ({ version, mode, startedAtMs, uptimeMs: Date.now() - startedAtMs }),
      health: () => this.#health,
    });
    this.#rest = createRestServer({
      config,
      view,
      logger,
      raw: (socket, first) => this.#backends.accept(socket, first),
      ...(config.server.debug ? { debug: this.#faults() } : {}),
    });
    this.#clock = setInterval(() => {
      stats.sample(performance.now());
      registrar.sweep();
    }, SECOND_MS);
    this.#clock.unref();
  }

  /** Stops in order; `ended` resolves with the exit code. */
  async stop(signal: string): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#health = { status: 'stopping', reason: 'Core is stopping' };
    this.#logger.info({ signal }, 'stopping');
    const deadlineMs = Date.now() + this.#config.server.shutdown_timeout_ms;
    this.#gate.stop();
    // A shard that waits on a full ring (disk full) cannot drain; at the deadline its wait is ended for it.
    const timer = setTimeout(() => this.#shards.abandonRings(), this.#config.server.shutdown_timeout_ms);
    await this.#shards.drain();
    clearTimeout(timer);
    const runsLeft = await this.#aggregator.finish(deadlineMs);
    await this.#close();
    if (runsLeft > 0) {
      this.#logger.fatal({ runsLeft }, 'stopped before everything that was read could be written');
      this.#end(EXIT.ioError);
      return;
    }
    this.#logger.info('stopped');
    this.#end(EXIT.ok);
  }

  async #listen(version: string): Promise<void> {
    const { proxyPort, recovered } = await this.#aggregator.ready;
    if (recovered.tornBytes > 0 || recovered.reindexedRecords > 0)
      this.#logger.warn(recovered, 'log recovered after an unclean end');
    await this.#shards.start(this.#shardCount());
    const backendPort = await this.#rest.listen();
    this.#backends.restPort = backendPort;
    const ports: Ports = {
      node_port: await this.#gate.listen(),
      backend_port: backendPort,
      proxy_port: proxyPort,
    };
    this.#health = { status: 'ok' };
    this.#logger.info(
      {
        ...ports,
        version,
        mode: this.#resolveMode().mode,
        shards: this.#shardCount(),
        data_dir: this.#config.storage.dir,
        next_seq: recovered.nextSeq,
      },
      'ready',
    );
  }

  #resolveMode() {
    try {
      return resolveMode(this.#config.ingest.mode);
    } catch (error) {
      throw new FatalError(EXIT.config, (error as Error).message, { cause: error });
    }
  }

  #shardCount(): number {
    return this.#config.ingest.shards > 0
      ? this.#config.ingest.shards
      : Math.max(1, availableParallelism() - 1);
  }

  #onShardMessage(slot: number, message: ShardToMain, sessions: Sessions, registrar: Registrar): void {
    switch (message.type) {
      case 'register':
      case 'status':
      case 'pot':
      case 'closed':
        registrar.receive(message);
        break;
      case 'refused': {
        const { type: _, ...entry } = message;
        this.#logger.warn({ shard: slot, ...entry }, 'frame refused');
        break;
      }
      case 'opened': {
        const session = sessions.get(message.session);
        if (session !== undefined) session.fd = undefined;
        break;
      }
      case 'relay-consumed':
      case 'relay-write':
      case 'relay-close':
        this.#gate.relay(message);
        break;
      case 'ready':
      case 'drained':
        throw new Error(`the supervisor passed on ${message.type} of shard ${slot}`);
    }
  }

  #onDisk(full: boolean): void {
    if (full) {
      this.#logger.error(
        { dir: this.#config.storage.dir },
        'disk full: nodes are held back until there is room',
      );
      this.#health = { status: 'degraded', reason: 'the disk is full' };
    } else {
      this.#logger.info('disk has room again: going on');
      if (!this.#stopping) this.#health = { status: 'ok' };
    }
  }

  /** Half a Core is worse than none: the process ends, in order. */
  #onAggregatorDeath(error: FatalError): void {
    if (this.#health.status === 'starting') return;
    this.#stopping = true;
    this.#logger.fatal({ reason: error.message }, 'the aggregator is gone, Core ends');
    this.#gate.stop();
    void this.#shards
      .close()
      .then(() => this.#close())
      .finally(() => this.#end(error.exitCode));
  }

  #faults() {
    return {
      killShard: (slot: number) => this.#shards.post(slot, { type: 'die' }),
      killAggregator: () => this.#aggregator.die(),
    };
  }

  async #close(): Promise<void> {
    clearInterval(this.#clock);
    await Promise.all([this.#shards.close(), this.#backends.close(), this.#rest.close()]);
    this.#data.release();
  }

  /** Undoes a start that failed half way. */
  async #abort(): Promise<void> {
    this.#stopping = true;
    this.#gate.stop();
    clearInterval(this.#clock);
    await Promise.all([this.#shards.close(), this.#backends.close(), this.#rest.close()]);
    await this.#aggregator.finish(Date.now());
  }
}
