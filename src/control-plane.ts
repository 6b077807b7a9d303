/**
 * Everything that changes slowly: who is connected and who may be, what nodes are told to do, and whoever asks about it,
 * over REST and as a backend. Ordinary code on main; the data plane's threads send it messages and wait for nothing but
 * its verdict on a registration.
 *
 *   shards --register, status, pot, closed--> registrar --> registry --> state
 *                                                 '-------> commands --> shards
 *   REST, WebSocket, raw backends --> registry, commands, administration (control.ts)
 */
import { join } from 'node:path';
import type { Logger } from 'pino';
import { matchesPattern } from './access/pattern.js';
import { Backends } from './backends/backends.js';
import { createBackendActions } from './backends/core-actions.js';
import { CommandCenter, type KeptCommands, readKeptCommands } from './commands/center.js';
import type { Config } from './config/config.js';
import { originsOf } from './config/values.js';
import { Cursors } from './consumers/cursors.js';
import type { Control } from './control.js';
import { ReplayMarks } from './dead-letters/marks.js';
import { DeadLetterReader } from './dead-letters/reader.js';
import { Replays } from './dead-letters/replays.js';
import { Doorkeeper } from './enrolment/doorkeeper.js';
import type { Gate } from './gate/gate.js';
import { Registrar } from './gate/registrar.js';
import type { Sessions } from './gate/sessions.js';
import type { ShardDoor } from './gate/shard-door.js';
import type { KeeperThread } from './keeper/keeper-thread.js';
import type { Ledger } from './ledger/ledger.js';
import { LIMITS } from './limits.js';
import type { Mode } from './native/addon.js';
import type { RegistryJournal } from './registry/journal.js';
import { REGISTRY_LIMITS } from './registry/limits.js';
import { NodeRegistry } from './registry/registry.js';
import { restoreRegistry } from './registry/restore.js';
import { RegistrySaver } from './registry/saver.js';
import type { LogReader } from './replay/log-reader.js';
import type { NodeName } from './replay/messages.js';
import { createCoreView } from './rest/core-view.js';
import type { Faults } from './rest/routes/debug.js';
import { createRestServer, type RestServer } from './rest/server.js';
import type { Health } from './rest/view.js';
import type { ShardToMain } from './shard/messages.js';
import type { MainToConsumers } from './stream/consumer-messages.js';
import { boundedLogger } from './telemetry/bounded-logger.js';
import { Metrics } from './telemetry/metrics.js';
import { createRestMetrics } from './telemetry/rest-metrics.js';
import type { Stats } from './telemetry/stats.js';
import type { Certificates } from './tls/certificates.js';

const SECOND_MS = 1000;

/** What was on the disk when Core started. */
export interface KeptNodes {
  readonly registry: NodeRegistry;
  readonly saver: RegistrySaver;
  readonly commands: KeptCommands;
  readonly cursors: Cursors;
}

/** The nodes and commands that were known when Core ended. */
export async function readKeptNodes(
  { state, audit }: Pick<Control, 'state' | 'audit'>,
  table: Float64Array,
  ledger: Ledger,
  logger: Logger,
): Promise<KeptNodes> {
  const saver = new RegistrySaver(state, table);
  const registry = new NodeRegistry(REGISTRY_LIMITS, withLedger(saver, ledger));
  const restored = await restoreRegistry(state, registry);
  if (restored.damaged > 0 || restored.dropped > 0)
    logger.warn({ ...restored }, 'some of what was kept of nodes could not be used');
  for (const { serial } of registry.list()) ledger.rowFor(serial);
  saver.watch(registry);
  const cursors = await Cursors.open(state, audit);
  if (cursors.damaged > 0)
    logger.error({ consumers: cursors.damaged }, 'named consumers that cannot be read: they start anew');
  return { registry, saver, commands: await readKeptCommands(state), cursors };
}

/** Who is forgotten by the registry is forgotten by the ledger. */
function withLedger(saver: RegistrySaver, ledger: Ledger): RegistryJournal {
  return {
    changed: (record) => saver.changed(record),
    potChanged: (record, potId) => saver.potChanged(record, potId),
    forgotten(record, highestSerial) {
      saver.forgotten(record, highestSerial);
      ledger.forget(record.serial);
    },
  };
}

export interface ControlPlaneParts {
  readonly config: Config;
  readonly version: string;
  readonly mode: Mode;
  readonly logger: Logger;
  readonly control: Control;
  readonly certificates: Certificates | undefined;
  readonly stats: Stats;
  /** The session table, and who has which row of it. */
  readonly table: Float64Array;
  readonly ledger: Ledger;
  readonly sessions: Sessions;
  readonly shards: ShardDoor;
  readonly gate: Gate;
  readonly reader: LogReader;
  /** The number that the next record in the log gets. */
  readonly nextSeq: () => number;
  readonly keeper: KeeperThread;
  /** To the aggregator, about consumers. */
  tell(message: MainToConsumers): void;
  health(): Health;
  readonly faults: Faults;
}

export class ControlPlane {
  readonly registrar: Registrar;
  readonly commands: CommandCenter;
  readonly backends: Backends;
  readonly deadLetters: Replays;
  readonly rest: RestServer;
  readonly #registry: NodeRegistry;
  readonly #saver: RegistrySaver;
  readonly #cursors: Cursors;
  readonly #clocks: readonly NodeJS.Timeout[];

  constructor(parts: ControlPlaneParts, kept: KeptNodes) {
    const { config, logger, control, stats } = parts;
    this.#registry = kept.registry;
    this.#saver = kept.saver;
    this.#cursors = kept.cursors;
    this.commands = this.#makeCommands(parts, kept.commands);
    this.registrar = new Registrar(kept.registry, parts.sessions, parts.table, parts.shards, {
      ledger: parts.ledger,
      doorkeeper: new Doorkeeper(config.auth.totp, control.enrolments, logger),
      keeper: this.#saver,
      logger: boundedLogger(logger),
      matchNodeName: config.tls.match_node_name,
      listener: this.commands,
      nextSeq: parts.nextSeq,
    });
    control.onRevoked = (name) => this.registrar.dismiss(name, 'enrolment revoked');
    this.backends = new Backends(
      {
        actions: createBackendActions(kept.registry, this.commands, {
          remove: (id) => this.remove(id),
          audit: control.audit,
        }),
        access: control.access,
        allowedOrigins: originsOf(config.auth.allowed_origins),
        cursors: kept.cursors,
        logger,
      },
      (message) => parts.tell(message),
    );
    this.deadLetters = this.#makeDeadLetters(parts);
    this.registrar.isReplaying = (nodeId, name) => this.deadLetters.isUnderWay(nodeId, name);
    this.rest = this.#makeRest(parts);
    const everySecond = setInterval(() => {
      stats.sample(performance.now());
      this.registrar.sweep();
    }, SECOND_MS);
    this.#clocks = [everySecond, setInterval(() => this.commands.tick(), LIMITS.commandTickMs)];
    for (const clock of this.#clocks) clock.unref();
  }

  /** What a shard says about its sessions. */
  receive(
    message: Extract<ShardToMain, { type: 'register' | 'status' | 'pot' | 'closed' | 'command-sent' }>,
  ): void {
    if (message.type === 'command-sent') this.commands.sent(message.session, message.command);
    else this.registrar.receive(message);
  }

  /** Whose each id is, for the reader of the log; in parts. */
  *nodeNames(): Iterable<readonly NodeName[]> {
    let part: NodeName[] = [];
    for (const { id, name, idSinceSeq } of this.#registry.list()) {
      if (idSinceSeq === null) continue;
      part.push({ id: String(id), name, sinceSeq: idSinceSeq });
      if (part.length < LIMITS.nodeNamesAtOnce) continue;
      yield part;
      part = [];
    }
    yield part;
  }

  /** Forgets a node, and what it was still to be told. Resolves when that is durable; false where none has the id. */
  async remove(id: bigint): Promise<boolean> {
    const name = this.#registry.byId(id)?.name;
    const removed = await this.registrar.remove(id);
    if (removed && name !== undefined) this.commands.nodeRemoved(name, id);
    return removed;
  }

  /** Opens the REST port; which it is. */
  async listen(): Promise<number> {
    const port = await this.rest.listen();
    this.backends.restPort = port;
    return port;
  }

  /** Nobody is answered any more. */
  async close(): Promise<void> {
    for (const clock of this.#clocks) clearInterval(clock);
    await Promise.all([this.backends.close(), this.rest.close(), this.deadLetters.close()]);
  }

  /** What is not in the state yet is written. The shards have ended. */
  async save(): Promise<void> {
    this.commands.close();
    this.#cursors.close();
    await this.#saver.close();
  }

  #makeCommands({ config, control, shards, logger }: ControlPlaneParts, kept: KeptCommands): CommandCenter {
    const commands = new CommandCenter(
      {
        store: control.state,
        nodes: this.#registry,
        audit: control.audit,
        ttlMs: config.commands.ttl_seconds * SECOND_MS,
        timeoutMs: config.commands.timeout_seconds * SECOND_MS,
        nowMs: Date.now,
        post: (slot, command) => shards.post(slot, { type: 'command', ...command }),
        matches: matchesPattern,
      },
      kept,
    );
    if (commands.unreadable > 0)
      logger.warn({ entries: commands.unreadable }, 'commands in the state cannot be read: left out');
    return commands;
  }

  #makeDeadLetters({ config, control, shards, ledger }: ControlPlaneParts): Replays {
    const folder = join(config.storage.dir, 'dead-letters');
    return new Replays({
      reader: new DeadLetterReader(folder, matchesPattern),
      marks: new ReplayMarks(folder),
      nodes: this.#registry,
      shards,
      ledger,
      mustProve: (name) => config.tls.match_node_name || control.enrolments.get(name) !== undefined,
    });
  }

  #makeRest(parts: ControlPlaneParts): RestServer {
    const { config, version, mode, logger, control, certificates, stats, gate } = parts;
    const startedAtMs = Date.now();
    const metrics = new Metrics({
      version,
      mode,
      stats: () => stats.snapshot(),
      admission: () => gate.counts(),
      nodes: () => this.#registry.counts(),
      commands: () => this.commands.counts(),
      healthy: () => parts.health().status === 'ok',
      log: {
        state: () => parts.keeper.state,
        ledger: () => parts.ledger.totals(),
        consumers: () => this.#cursors.list(),
        nextSeq: () => stats.snapshot().aggregator.next_seq,
      },
      ...(certificates !== undefined && { certificate: () => certificates.state() }),
    });
    const view = createCoreView({
      registry: this.#registry,
      sessionTable: parts.table,
      ledger: parts.ledger,
      stats,
      metrics,
      admission: () => gate.counts(),
      about: () => ({ version, mode, startedAtMs, uptimeMs: Date.now() - startedAtMs }),
      health: () => parts.health(),
    });
    return createRestServer({
      config,
      administration: control,
      core: {
        view,
        removal: { remove: (id) => this.remove(id) },
        commands: this.commands,
        deadLetters: this.deadLetters,
        log: {
          reader: parts.reader,
          ledger: parts.ledger,
          consumers: this.#cursors,
          deliveries: this.backends,
          state: () => parts.keeper.state,
          storage: config.storage,
        },
        metrics: createRestMetrics(metrics.registry),
        ...(config.server.debug ? { debug: parts.faults } : {}),
      },
      logger,
      ...(config.tls.backend && certificates !== undefined ? { tls: certificates.material } : {}),
      raw: (socket, first) => this.backends.accept(socket, first),
    });
  }
}
