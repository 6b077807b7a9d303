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
import type { Config } from './config/config.js';
import { Control } from './control.js';
import { ControlPlane, type KeptNodes, readKeptNodes } from './control-plane.js';
import { EXIT, FatalError } from './errors.js';
import { Gate } from './gate/gate.js';
import { Sessions } from './gate/sessions.js';
import { KeeperThread } from './keeper/keeper-thread.js';
import { Ledger } from './ledger/ledger.js';
import { LIMITS } from './limits.js';
import { type DataDirectory, holdDataDirectory } from './log/data-directory.js';
import { recoveredLines } from './log/recovered-lines.js';
import { readSigningKey } from './log/signing-key.js';
import { AGGREGATOR, createAggregatorCounters } from './memory/counters.js';
import { createLedgerTable } from './memory/ledger-table.js';
import { createSessionTable } from './memory/session-table.js';
import { resolveMode } from './native/addon.js';
import { REGISTRY_LIMITS } from './registry/limits.js';
import { type ReaderHooks, ReaderThread } from './replay/reader-thread.js';
import type { Health } from './rest/view.js';
import type { ShardToMain } from './shard/messages.js';
import { AggregatorThread } from './stream/aggregator-thread.js';
import { ShardSupervisor } from './supervisor.js';
import { boundedLogger } from './telemetry/bounded-logger.js';
import { Stats } from './telemetry/stats.js';
import { Certificates } from './tls/certificates.js';

export interface Ports {
  readonly node_port: number;
  readonly backend_port: number;
  /** 0 where the proxy is off. */
  readonly proxy_port: number;
}

/** What Core stands on, and what was kept of the one before. */
interface Ground {
  readonly data: DataDirectory;
  readonly control: Control;
  readonly certificates: Certificates | undefined;
  readonly table: Float64Array;
  readonly ledger: Ledger;
  readonly kept: KeptNodes;
}

export class Core {
  /** Resolves with the exit code when Core has ended, whoever ended it. */
  readonly ended: Promise<number>;
  readonly #config: Config;
  readonly #logger: Logger;
  readonly #data: DataDirectory;
  readonly #control: Control;
  readonly #certificates: Certificates | undefined;
  readonly #aggregator: AggregatorThread;
  readonly #keeper: KeeperThread;
  readonly #reader: ReaderThread;
  readonly #shards: ShardSupervisor;
  readonly #gate: Gate;
  readonly #sessions: Sessions;
  readonly #plane: ControlPlane;
  #health: Health = { status: 'starting', reason: 'not all ports listen yet' };
  /** What is wrong while Core goes on; the first of them is what /health says. */
  readonly #troubles = new Set<string>();
  #end!: (exitCode: number) => void;
  #stopping = false;

  /** Starts Core; resolves when everything listens. Throws a FatalError, with everything it had started ended. */
  static async start(config: Config, version: string, logger: Logger): Promise<Core> {
    const certificates = await Certificates.open(config.tls, logger);
    // The keeper reads it again; a mistake is said before anything has started.
    readSigningKey(config.storage.signing_key_file);
    const data = await holdDataDirectory(config.storage.dir);
    let control: Control | undefined;
    let core: Core | undefined;
    try {
      control = await Control.open(config, logger);
      control.checkListeners();
      const table = createSessionTable(config.ingest.max_connections);
      const ledger = new Ledger(createLedgerTable(REGISTRY_LIMITS.nodes + LIMITS.ledgerSpareRows));
      const kept = await readKeptNodes(control, table, ledger, logger);
      core = new Core(config, version, logger, { data, control, certificates, table, ledger, kept });
      await core.#listen(version);
      return core;
    } catch (error) {
      if (core !== undefined) await core.#abort();
      await control?.close(Date.now());
      data.release();
      throw error;
    }
  }

  private constructor(config: Config, version: string, logger: Logger, ground: Ground) {
    const { control, certificates, table } = ground;
    this.#config = config;
    this.#logger = logger;
    this.#data = ground.data;
    this.#control = control;
    this.#certificates = certificates;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { mode, why } = this.#resolveMode();
    if (mode === 'portable') logger.warn({ why }, 'running in portable mode: same behaviour, slower');
    else logger.info({ why }, 'running in native mode');
    const aggregatorCounters = createAggregatorCounters();
    const stats = new Stats(aggregatorCounters);
    const shards = this.#shardCount();
    this.#sessions = new Sessions(table, shards);
    this.#aggregator = new AggregatorThread(config, mode, aggregatorCounters, ground.ledger.table, {
      onDisk: (full) => this.#onDisk(full),
      onDeadLettersDropped: (first, next) =>
        logger.warn({ first, next }, 'the oldest dead letters gave way (storage.dead_letter_bytes)'),
      onReaderWanted: () => this.#reader.wanted(),
      onRowFree: (row) => ground.ledger.left(row),
      onLedgerTrouble: (message) => logger.warn({ message }, "the ledger's checkpoint cannot be written"),
      onTlsFailed: () =>
        logger.error('the WebSocket port cannot use the new certificate and keeps the one it has'),
      onConsumer: (message) => this.#plane.backends.receive(message),
      onDeath: (error) => this.#onAggregatorDeath(error),
    });
    this.#keeper = new KeeperThread(config, mode, aggregatorCounters, boundedLogger(logger), {
      onTrouble: (there) => this.#onTrouble('the log cannot be sealed, compressed or shortened', there),
    });
    const readerHooks: ReaderHooks = {
      useReader: (port) => this.#aggregator.useReader(port),
      nodeNames: () => this.#plane.nodeNames(),
      onDeath: (error) =>
        logger.error(
          { reason: error.stack ?? error.message },
          'the reader of the log died and is started again',
        ),
    };
    this.#reader = new ReaderThread(
      join(config.storage.dir, 'log'),
      mode,
      aggregatorCounters,
      readerHooks,
      config.stream.max_consumers,
    );
    ground.ledger.onForgotten = (row) => this.#aggregator.forgetRow(row);
    // Retention deletes nothing before it was told.
    ground.kept.cursors.onOldest = (oldest) => this.#keeper.useCursor(oldest);
    this.#shards = new ShardSupervisor(
      {
        config,
        mode,
        shards,
        sessions: table,
        ledger: ground.ledger.table,
        aggregator: this.#aggregator,
        stats,
        logger,
        tls: certificates?.material,
      },
      {
        onMessage: (slot, message) => this.#onShardMessage(slot, message),
        onReady: (slot) => this.#plane.registrar.noticesGiven(slot),
        onDeath: (slot) => {
          this.#gate.abandon(slot);
          this.#plane.deadLetters.abandon(slot);
          return this.#plane.registrar.abandon(slot);
        },
      },
    );
    this.#gate = new Gate(config, mode, this.#sessions, this.#shards, logger);
    this.#plane = new ControlPlane(
      {
        config,
        version,
        mode,
        logger,
        control,
        certificates,
        stats,
        table,
        ledger: ground.ledger,
        sessions: this.#sessions,
        shards: this.#shards,
        gate: this.#gate,
        keeper: this.#keeper,
        reader: this.#reader,
        nextSeq: () => aggregatorCounters[AGGREGATOR.next_seq]!,
        tell: (message) => this.#aggregator.tell(message),
        health: () => this.#health,
        faults: this.#faults(),
      },
      ground.kept,
    );
    control.onStateTrouble = (trouble) => this.#onTrouble('the state does not reach the disk', trouble);
    certificates?.onChange((material) => {
      this.#shards.renewTls(material);
      this.#aggregator.renewTls();
      this.#plane.rest.renewTls(material);
    });
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
    const [runsLeft] = await Promise.all([this.#aggregator.finish(deadlineMs), this.#keeper.stop()]);
    await this.#close(deadlineMs);
    const { failure } = this.#aggregator;
    if (failure !== undefined) {
      this.#logger.fatal({ reason: failure.message }, 'stopped, but the aggregator failed');
      this.#end(failure.exitCode);
      return;
    }
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
    const { proxyPort, recovered, recounted } = await this.#aggregator.ready;
    for (const { level, text } of recoveredLines(recovered)) this.#logger[level](recovered, text);
    if (recounted.records > 0) this.#logger.info(recounted, 'counted what the log holds for the ledger');
    this.#keeper.start();
    await this.#shards.start(this.#shardCount());
    await this.#control.serve(this.#plane.rest);
    const backendPort = await this.#plane.listen();
    const ports: Ports = {
      node_port: await this.#gate.listen(),
      backend_port: backendPort,
      proxy_port: proxyPort,
    };
    this.#health = { status: 'ok' };
    this.#sayTroubles();
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

  #onShardMessage(slot: number, message: ShardToMain): void {
    switch (message.type) {
      case 'register':
      case 'status':
      case 'pot':
      case 'closed':
      case 'command-sent':
        this.#plane.receive(message);
        break;
      case 'replayed':
        this.#plane.deadLetters.receive(message);
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
      case 'opened': {
        const session = this.#sessions.get(message.session);
        if (session !== undefined) session.fd = undefined;
        break;
      }
      case 'relay-consumed':
      case 'relay-write':
      case 'relay-close':
        this.#gate.relay(message, (session, command) => this.#plane.commands.sent(session, command));
        break;
      case 'ready':
      case 'drained':
        throw new Error(`the supervisor passed on ${message.type} of shard ${slot}`);
    }
  }

  #onDisk(full: boolean): void {
    const { dir } = this.#config.storage;
    if (full) this.#logger.error({ dir }, 'disk full: nodes are held back until there is room');
    else this.#logger.info('disk has room again: going on');
    this.#onTrouble('the disk is full', full);
  }

  #onTrouble(reason: string, there: boolean): void {
    if (there) this.#troubles.add(reason);
    else this.#troubles.delete(reason);
    this.#sayTroubles();
  }

  #sayTroubles(): void {
    if (this.#health.status === 'starting' || this.#health.status === 'stopping') return;
    const [reason] = this.#troubles;
    this.#health = reason === undefined ? { status: 'ok' } : { status: 'degraded', reason };
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
      killKeeper: () => this.#keeper.die(),
      killReader: () => this.#reader.die(),
    };
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#certificates?.close();
    await Promise.all([this.#shards.close(), this.#plane.close(), this.#reader.close(), this.#keeper.stop()]);
    await this.#plane.save();
    await this.#control.close(deadlineMs);
    this.#data.release();
  }

  /** Undoes a start that failed half way. */
  async #abort(): Promise<void> {
    this.#stopping = true;
    this.#gate.stop();
    this.#certificates?.close();
    await Promise.all([this.#shards.close(), this.#plane.close(), this.#reader.close(), this.#keeper.stop()]);
    await this.#aggregator.finish(Date.now());
    await this.#plane.save();
  }
}
