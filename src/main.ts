/**
 * Core as a whole: which threads there are, what connects them, and the order in which they start and stop. Runs on
 * the main thread.
 *
 *   start:  data directory -> state, access -> aggregator (log, 9003) -> shards -> REST (9002) -> node port (9001) -> "ready"
 *   stop:   node port -> shards drain -> aggregator writes the rest and says goodbye -> REST -> state -> data directory
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { matchesPattern } from './access/pattern.js';
import { Backends } from './backends/backends.js';
import { createBackendActions } from './backends/core-actions.js';
import { CommandCenter, type KeptCommands, readKeptCommands } from './commands/center.js';
import type { Config } from './config/config.js';
import { originsOf } from './config/values.js';
import { Control } from './control.js';
import { Doorkeeper } from './enrolment/doorkeeper.js';
import { EXIT, FatalError } from './errors.js';
import { Gate } from './gate/gate.js';
import { Registrar } from './gate/registrar.js';
import { Sessions } from './gate/sessions.js';
import { LIMITS } from './limits.js';
import { type DataDirectory, holdDataDirectory } from './log/data-directory.js';
import { newestDeadLetters } from './log/dead-letter-reader.js';
import { createAggregatorCounters } from './memory/counters.js';
import { createSessionTable } from './memory/session-table.js';
import { resolveMode } from './native/addon.js';
import { REGISTRY_LIMITS } from './registry/limits.js';
import { NodeRegistry } from './registry/registry.js';
import { restoreRegistry } from './registry/restore.js';
import { RegistrySaver } from './registry/saver.js';
import { createCoreView } from './rest/core-view.js';
import { createRestServer, type RestServer } from './rest/server.js';
import type { Health } from './rest/view.js';
import type { ShardToMain } from './shard/messages.js';
import { AggregatorThread } from './stream/aggregator-thread.js';
import { ShardSupervisor } from './supervisor.js';
import { boundedLogger } from './telemetry/bounded-logger.js';
import { Metrics } from './telemetry/metrics.js';
import { createRestMetrics } from './telemetry/rest-metrics.js';
import { Stats } from './telemetry/stats.js';
import { Certificates } from './tls/certificates.js';

const SECOND_MS = 1000;

export interface Ports {
  readonly node_port: number;
  readonly backend_port: number;
  /** 0 where the proxy is off. */
  readonly proxy_port: number;
}

/** What was on the disk when Core started, and its owners. */
interface Kept {
  readonly data: DataDirectory;
  readonly control: Control;
  readonly certificates: Certificates | undefined;
  readonly commands: KeptCommands;
}

export class Core {
  /** Resolves with the exit code when Core has ended, whoever ended it. */
  readonly ended: Promise<number>;
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #data: DataDirectory;
  readonly #control: Control;
  readonly #commands: CommandCenter;
  readonly #aggregator: AggregatorThread;
  readonly #shards: ShardSupervisor;
  readonly #gate: Gate;
  readonly #backends: Backends;
  readonly #rest: RestServer;
  readonly #certificates: Certificates | undefined;
  readonly #clock: NodeJS.Timeout;
  readonly #registry: NodeRegistry;
  readonly #saver: RegistrySaver;
  readonly #commandClock: NodeJS.Timeout;
  #health: Health = { status: 'starting', reason: 'not all ports listen yet' };
  #end!: (exitCode: number) => void;
  #stopping = false;

  /** Starts Core; resolves when everything listens. Throws a FatalError, with everything it had started ended. */
  static async start(config: Config, version: string, logger: Logger): Promise<Core> {
    const certificates = await Certificates.open(config.tls, logger);
    const data = await holdDataDirectory(config.storage.dir);
    let control: Control | undefined;
    let core: Core | undefined;
    try {
      control = await Control.open(config, logger);
      control.checkListeners();
      const kept = { data, control, certificates, commands: await readKeptCommands(control.state) };
      core = new Core(config, version, logger, kept);
      await core.#restoreNodes();
      await core.#listen(version);
      return core;
    } catch (error) {
      if (core !== undefined) await core.#abort();
      await control?.close(Date.now());
      data.release();
      throw error;
    }
  }

  private constructor(config: Config, version: string, logger: Logger, kept: Kept) {
    const { control, certificates } = kept;
    this.#certificates = certificates;
    this.#config = config;
    this.#logger = logger;
    this.#data = kept.data;
    this.#control = control;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { mode, why } = this.#resolveMode();
    if (mode === 'portable') logger.warn({ why }, 'running in portable mode: same behaviour, slower');
    else logger.info({ why }, 'running in native mode');
    const startedAtMs = Date.now();
    const aggregatorCounters = createAggregatorCounters();
    const table = createSessionTable(config.ingest.max_connections);
    this.#saver = new RegistrySaver(control.state, table);
    const registry = new NodeRegistry(REGISTRY_LIMITS, this.#saver);
    this.#registry = registry;
    const stats = new Stats(aggregatorCounters);
    const shardCount = this.#shardCount();
    const sessions = new Sessions(table, shardCount);
    this.#aggregator = new AggregatorThread(config, mode, aggregatorCounters, {
      onDisk: (full) => this.#onDisk(full),
      onTlsFailed: () =>
        logger.error('the WebSocket port cannot use the new certificate and keeps the one it has'),
      onConsumer: (message) => this.#backends.receive(message),
      onDeath: (error) => this.#onAggregatorDeath(error),
    });
    this.#shards = new ShardSupervisor(
      {
        config,
        mode,
        shards: shardCount,
        sessions: table,
        aggregator: this.#aggregator,
        stats,
        logger,
        tls: certificates?.material,
      },
      {
        onMessage: (slot, message) => this.#onShardMessage(slot, message, sessions, registrar),
        onReady: (slot) => registrar.noticesGiven(slot),
        onDeath: (slot) => {
          this.#gate.abandon(slot);
          return registrar.abandon(slot);
        },
      },
    );
    this.#commands = new CommandCenter(
      {
        store: control.state,
        nodes: registry,
        audit: control.audit,
        ttlMs: config.commands.ttl_seconds * SECOND_MS,
        timeoutMs: config.commands.timeout_seconds * SECOND_MS,
        nowMs: Date.now,
        post: (slot, command) => this.#shards.post(slot, { type: 'command', ...command }),
        matches: matchesPattern,
      },
      kept.commands,
    );
    if (this.#commands.unreadable > 0)
      logger.warn({ entries: this.#commands.unreadable }, 'commands in the state cannot be read: left out');
    const doorkeeper = new Doorkeeper(config.auth.totp, control.enrolments, logger);
    const registrar = new Registrar(registry, sessions, table, this.#shards, {
      doorkeeper,
      keeper: this.#saver,
      logger: boundedLogger(logger),
      matchNodeName: config.tls.match_node_name,
      listener: this.#commands,
    });
    control.onRevoked = (name) => registrar.dismiss(name, 'enrolment revoked');
    this.#gate = new Gate(config, mode, sessions, this.#shards, logger);
    const removeNode = (id: bigint) => this.#remove(id, registry, registrar);
    this.#backends = new Backends(
      {
        actions: createBackendActions(registry, this.#commands, {
          remove: removeNode,
          audit: control.audit,
        }),
        access: control.access,
        allowedOrigins: originsOf(config.auth.allowed_origins),
        logger,
      },
      (message) => this.#aggregator.tell(message),
    );
    const metrics = new Metrics({
      version,
      mode,
      stats: () => stats.snapshot(),
      admission: () => this.#gate.counts(),
      nodes: () => registry.counts(),
      commands: () => this.#commands.counts(),
      healthy: () => this.#health.status === 'ok',
      ...(certificates !== undefined && { certificate: () => certificates.state() }),
    });
    const view = createCoreView({
      registry,
      sessionTable: table,
      stats,
      metrics,
      admission: () => this.#gate.counts(),
      newestDeadLetters: (limit) => newestDeadLetters(join(config.storage.dir, 'dead-letters'), limit),
      about: () => ({ version, mode, startedAtMs, uptimeMs: Date.now() - startedAtMs }),
      health: () => this.#health,
    });
    this.#rest = createRestServer({
      config,
      administration: control,
      core: {
        view,
        removal: { remove: removeNode },
        commands: this.#commands,
        metrics: createRestMetrics(metrics.registry),
        ...(config.server.debug ? { debug: this.#faults() } : {}),
      },
      logger,
      ...(config.tls.backend && certificates !== undefined ? { tls: certificates.material } : {}),
      raw: (socket, first) => this.#backends.accept(socket, first),
    });
    certificates?.onChange((material) => {
      this.#shards.renewTls(material);
      this.#aggregator.renewTls();
      this.#rest.renewTls(material);
    });
    this.#clock = setInterval(() => {
      stats.sample(performance.now());
      registrar.sweep();
    }, SECOND_MS);
    this.#clock.unref();
    this.#commandClock = setInterval(() => this.#commands.tick(), LIMITS.commandTickMs);
    this.#commandClock.unref();
  }

  /** Stops in order; `ended` resolves with the exit code. */
  async stop(signal: string): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#certificates?.close();
    this.#health = { status: 'stopping', reason: 'Core is stopping' };
    this.#logger.info({ signal }, 'stopping');
    const deadlineMs = Date.now() + this.#config.server.shutdown_timeout_ms;
    this.#gate.stop();
    // A shard that waits on a full ring (disk full) cannot drain; at the deadline its wait is ended for it.
    const timer = setTimeout(() => this.#shards.abandonRings(), this.#config.server.shutdown_timeout_ms);
    await this.#shards.drain();
    clearTimeout(timer);
    const runsLeft = await this.#aggregator.finish(deadlineMs);
    await this.#close(deadlineMs);
    if (runsLeft > 0) {
      this.#logger.fatal({ runsLeft }, 'stopped before everything that was read could be written');
      this.#end(EXIT.ioError);
      return;
    }
    this.#logger.info('stopped');
    this.#end(EXIT.ok);
  }

  /** The operator says that files have changed. Without TLS there is nothing to be read again. */
  reload(): void {
    if (this.#certificates === undefined) this.#logger.info('nothing to reload: TLS is not configured');
    else void this.#certificates.reload();
  }

  async #listen(version: string): Promise<void> {
    const { proxyPort, recovered } = await this.#aggregator.ready;
    if (recovered.tornBytes > 0 || recovered.reindexedRecords > 0)
      this.#logger.warn(recovered, 'log recovered after an unclean end');
    await this.#shards.start(this.#shardCount());
    await this.#control.serve(this.#rest);
    const backendPort = await this.#rest.listen();
    this.#backends.restPort = backendPort;
    const ports: Ports = {
      node_port: await this.#gate.listen(),
      backend_port: backendPort,
      proxy_port: proxyPort,
    };
    this.#health = { status: 'ok' };
    this.#certificates?.watch();
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
      case 'tls-failed': {
        const { type: _, ...entry } = message;
        this.#logger.warn({ shard: slot, ...entry }, 'TLS connection refused');
        break;
      }
      case 'command-sent':
        this.#commands.sent(message.session, message.command);
        break;
      case 'opened': {
        const session = sessions.get(message.session);
        if (session !== undefined) session.fd = undefined;
        break;
      }
      case 'relay-consumed':
      case 'relay-write':
      case 'relay-close':
        this.#gate.relay(message, (session, command) => this.#commands.sent(session, command));
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
      .then(() => this.#close(Date.now() + this.#config.server.shutdown_timeout_ms))
      .finally(() => this.#end(error.exitCode));
  }

  #faults() {
    return {
      killShard: (slot: number) => this.#shards.post(slot, { type: 'die' }),
      killAggregator: () => this.#aggregator.die(),
    };
  }

  /** A node is forgotten: what it was still to be told is, too. */
  async #remove(id: bigint, registry: NodeRegistry, registrar: Registrar): Promise<boolean> {
    const name = registry.byId(id)?.name;
    const removed = await registrar.remove(id);
    if (removed && name !== undefined) this.#commands.nodeRemoved(name, id);
    return removed;
  }

  /** The nodes that were known when Core ended. */
  async #restoreNodes(): Promise<void> {
    const restored = await restoreRegistry(this.#control.state, this.#registry);
    if (restored.damaged > 0 || restored.dropped > 0)
      this.#logger.warn({ ...restored }, 'some of what was kept of nodes could not be used');
    this.#saver.watch(this.#registry);
  }

  async #close(deadlineMs: number): Promise<void> {
    clearInterval(this.#clock);
    clearInterval(this.#commandClock);
    this.#certificates?.close();
    await Promise.all([this.#shards.close(), this.#backends.close(), this.#rest.close()]);
    this.#commands.close();
    await this.#saver.close();
    await this.#control.close(deadlineMs);
    this.#data.release();
  }

  /** Undoes a start that failed half way. */
  async #abort(): Promise<void> {
    this.#stopping = true;
    this.#gate.stop();
    clearInterval(this.#clock);
    this.#certificates?.close();
    clearInterval(this.#commandClock);
    this.#commands.close();
    await Promise.all([this.#shards.close(), this.#backends.close(), this.#rest.close()]);
    await this.#aggregator.finish(Date.now());
    await this.#saver.close();
  }
}
