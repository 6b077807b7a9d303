/**
 * A stage for tests of backends: the real aggregator thread with its WebSocket, the real conversation, the real raw port
 * and registry, with a ring that the test fills as a shard would. Only what tokens there are is the test's own table.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { pino } from 'pino';
import type { Actor, Principal, Role, Scope } from '../src/access/principal.js';
import { withImplied } from '../src/access/principal.js';
import { hostAllowed } from '../src/access/web.js';
import type { AccessChange, AccessVerdict, AskedFrom, BackendAccess } from '../src/backends/access.js';
import { Backends } from '../src/backends/backends.js';
import { createBackendActions } from '../src/backends/core-actions.js';
import type { BackendFailure } from '../src/backends/failure.js';
import { SharedPort } from '../src/backends/port.js';
import { loadConfig } from '../src/config/load.js';
import { Cursors } from '../src/consumers/cursors.js';
import { AGGREGATOR, createAggregatorCounters } from '../src/memory/counters.js';
import { createLedgerTable } from '../src/memory/ledger-table.js';
import { createRingMemory, RingProducer, RUN } from '../src/memory/ring.js';
import { resolveMode } from '../src/native/addon.js';
import { NodeRegistry } from '../src/registry/registry.js';
import { ReaderThread } from '../src/replay/reader-thread.js';
import { AggregatorThread } from '../src/stream/aggregator-thread.js';
import { afterwards, type Cleanup, temporaryFolder } from './core-process.js';
import { idleCommands } from './idle-commands.js';
import type { NodeIdentity } from './node-frames.js';

export const EVERYTHING: Scope = { nodes: null, eventTypes: null };

export function tokenHolder(name: string, roles: readonly Role[], scope: Scope = EVERYTHING): Principal {
  return { kind: 'token', tokenId: name, name, roles: withImplied(roles), scope, expiresMs: null };
}

/** Tokens by their text. While there is none, access is open. */
export class TokenTable implements BackendAccess {
  readonly tokens = new Map<string, Principal>();
  readonly asked: (string | undefined)[] = [];
  locked = false;
  /** Somebody without a token may not come in, though there are no tokens. */
  closed = false;
  readonly #subscribers = new Set<(change: AccessChange) => void>();

  add(token: string, roles: readonly Role[], scope: Scope = EVERYTHING): this {
    this.tokens.set(token, tokenHolder(token, roles, scope));
    return this;
  }

  end(kind: 'revoked' | 'expired', token: string): void {
    this.tokens.delete(token);
    for (const tell of this.#subscribers) tell({ kind, tokenId: token });
  }

  firstTokenMade(): void {
    this.closed = true;
    for (const tell of this.#subscribers) tell({ kind: 'no-longer-open' });
  }

  check(token: string | undefined, { host }: AskedFrom): AccessVerdict {
    this.asked.push(token);
    if (token === undefined) {
      if (this.tokens.size > 0 || this.closed) return { refusal: 'missing' };
      if (!hostAllowed(host, '127.0.0.1', [])) return { refusal: 'host' };
      return {
        principal: { ...tokenHolder('anonymous', ['admin']), kind: 'anonymous', tokenId: null },
      };
    }
    if (this.locked) return { refusal: 'locked' };
    const principal = this.tokens.get(token);
    return principal === undefined ? { refusal: 'invalid' } : { principal };
  }

  onChange(subscriber: (change: AccessChange) => void): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }
}

export interface StageOptions {
  readonly settings?: Readonly<Record<string, string>>;
  readonly allowedOrigins?: readonly string[];
  readonly firstByteMs?: number;
  readonly serve?: (request: IncomingMessage, response: ServerResponse) => void;
}

export class BackendStage {
  readonly access = new TokenTable();
  readonly registry = new NodeRegistry();
  readonly removed: [bigint, Actor][] = [];
  readonly commands: { id: bigint | 'all'; command: unknown; actor: Actor }[] = [];
  readonly logLines: string[] = [];
  /** What commands come to. */
  commandOutcome: 'sent' | 'queued' | BackendFailure | Error = 'sent';
  readonly backends: Backends;
  readonly aggregator: AggregatorThread;
  readonly reader: ReaderThread;
  readonly counters = createAggregatorCounters();
  readonly ring: RingProducer;
  readonly #server: Server;
  readonly #port: SharedPort;
  #sessions = 0;
  #stopped: Promise<void> | undefined;
  proxyPort = 0;
  rawPort = 0;

  static async start(cleanup: Cleanup, options: StageOptions = {}): Promise<BackendStage> {
    const state = { async *read() {}, async write() {} };
    const cursors = await Cursors.open(state, { record() {} });
    const stage = new BackendStage(temporaryFolder(cleanup), options, cursors);
    afterwards(cleanup, () => stage.stop());
    stage.proxyPort = (await stage.aggregator.ready).proxyPort;
    await new Promise<void>((resolve) => stage.#server.listen(0, '127.0.0.1', resolve));
    stage.rawPort = (stage.#server.address() as AddressInfo).port;
    stage.backends.restPort = stage.rawPort;
    return stage;
  }

  private constructor(folder: string, options: StageOptions, cursors: Cursors) {
    const { config } = loadConfig({
      file: join(folder, 'config.toml'),
      explicit: false,
      env: {},
      flags: { 'storage.dir': join(folder, 'data'), 'proxy.port': '0', ...options.settings },
    });
    const mode = resolveMode((process.env.HONEYBEE_INGEST_MODE as 'auto' | undefined) || 'auto').mode;
    this.aggregator = new AggregatorThread(config, mode, this.counters, createLedgerTable(16), {
      onDisk: () => {},
      onDeadLettersDropped: () => {},
      onReaderWanted: () => this.reader.wanted(),
      onRowFree: () => {},
      onLedgerTrouble: () => {},
      onTlsFailed: () => {},
      onConsumer: (message) => this.backends.receive(message),
      onDeath: (error) => {
        throw error;
      },
    });
    this.reader = new ReaderThread(join(config.storage.dir, 'log'), mode, this.counters, {
      useReader: (port) => this.aggregator.useReader(port),
      nodeNames: () => [
        this.registry
          .list()
          .flatMap(({ id, name, idSinceSeq }) =>
            idSinceSeq === null ? [] : [{ id: String(id), name, sinceSeq: idSinceSeq }],
          ),
      ],
      onDeath: (error) => {
        throw error;
      },
    });
    const memory = createRingMemory(8 * 1024 * 1024);
    const { port1, port2 } = new MessageChannel();
    port1.unref();
    this.ring = new RingProducer(memory, () => port1.postMessage(0));
    this.aggregator.addRing(0, memory, port2);
    const run = async (id: bigint | 'all', command: unknown, actor: Actor) => {
      this.commands.push({ id, command, actor });
      if (typeof this.commandOutcome !== 'string') throw this.commandOutcome;
      return this.commandOutcome;
    };
    this.backends = new Backends(
      {
        actions: {
          ...createBackendActions(this.registry, idleCommands(this.registry), {
            remove: async () => false,
            audit: { record() {} },
          }),
          removeNode: async (id, actor) => {
            this.removed.push([id, actor]);
            return this.registry.remove(id);
          },
          sendCommand: run,
          broadcast: async (command, actor) => void (await run('all', command, actor)),
        },
        access: this.access,
        allowedOrigins: options.allowedOrigins ?? [],
        cursors,
        logger: pino({ level: 'info' }, { write: (line: string) => this.logLines.push(line) }),
      },
      (message) => this.aggregator.tell(message),
    );
    this.#server = createServer(options.serve ?? ((_request, response) => response.end('this is HTTP')));
    this.#port = new SharedPort(
      this.#server,
      'connection',
      (socket, first) => this.backends.accept(socket, first),
      options.firstByteMs ?? 10_000,
    );
  }

  /** A node in the registry; its id is found by others at once. */
  connect({ id, name }: NodeIdentity): number {
    const session = ++this.#sessions;
    const decision = this.registry.register({
      nodeId: id,
      nodeName: name,
      address: '',
      port: 0,
      nodeType: 'Full',
      session,
      shard: 0,
      remote: '192.0.2.1:1',
      nowMs: Date.now(),
      nextSeq: this.counters[AGGREGATOR.next_seq]!,
    });
    if (decision.kind !== 'accept') throw new Error(`node ${name} is ${decision.kind}`);
    return session;
  }

  disconnect(session: number): void {
    this.registry.disconnected(session, { status: 'Unknown', nowMs: Date.now() });
  }

  /** Puts lines in the ring, as one run. */
  records(...lines: string[]): void {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''), 'utf8');
    this.#reserve(bytes);
    this.ring.publish(RUN.records, bytes.length, lines.length, Date.now());
  }

  #reserve(bytes: Buffer): void {
    while (!this.ring.reserve(bytes.length)) this.ring.wait(1000);
    this.ring.data.set(bytes, this.ring.offset);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await this.aggregator.finish(Date.now() + 5_000);
    await this.reader.close();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#port.close();
    await this.backends.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
