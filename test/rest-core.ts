/**
 * A REST server for a test, over real sockets, on a core view made of the real registry, session table and counters;
 * only the threads are missing, the test writes what they would. Ended when its file's tests are over, one by one.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { afterEach } from 'node:test';
import { pino } from 'pino';
import { Agent, request as httpRequest } from 'undici';
import type { AccessChange } from '../src/access/access.js';
import type { AuditEntry } from '../src/access/audit.js';
import type { Principal } from '../src/access/principal.js';
import { ANONYMOUS_OPEN } from '../src/access/principals.js';
import { Ledger } from '../src/ledger/ledger.js';
import { createAggregatorCounters } from '../src/memory/counters.js';
import { createLedgerTable } from '../src/memory/ledger-table.js';
import { createSessionTable } from '../src/memory/session-table.js';
import { NodeRegistry } from '../src/registry/registry.js';
import { createCoreView } from '../src/rest/core-view.js';
import type { LogView } from '../src/rest/log-view.js';
import { createRestServer, type RestServer, type RunningCore } from '../src/rest/server.js';
import type { CoreView, Health } from '../src/rest/view.js';
import { Metrics } from '../src/telemetry/metrics.js';
import { createRestMetrics } from '../src/telemetry/rest-metrics.js';
import { Stats } from '../src/telemetry/stats.js';
import { idleCommands } from './idle-commands.js';
import { idleLog } from './idle-log.js';
import { openAdministration } from './open-administration.js';
import { QuietLetters } from './quiet-letters.js';

export const STARTED_MS = Date.UTC(2026, 10, 20, 12, 0, 0);
export const U64_EDGES = [1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

export const ADMISSION = {
  waiting: 3,
  mostWaiting: 4,
  admitted: 50,
  turnedAway: { per_address: 6, queue_full: 7, max_connections: 8, no_descriptor: 9, stopping: 10 },
};

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
  json: any;
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';

export interface AskOptions {
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RestCoreOptions {
  readonly view?: (core: RestCore) => CoreView;
  readonly port?: number;
  readonly allowedOrigins?: string;
  readonly requestsPerMinute?: number;
  readonly debug?: NonNullable<RunningCore['debug']>;
  readonly log?: Partial<LogView>;
}

export class RestCore {
  readonly registry = new NodeRegistry();
  readonly sessionTable = createSessionTable(32);
  readonly ledger = new Ledger(createLedgerTable(64));
  readonly aggregator = createAggregatorCounters();
  readonly stats = new Stats(this.aggregator);
  readonly metrics = new Metrics({
    version: '1.2.3',
    mode: 'portable',
    stats: () => this.stats.snapshot(),
    admission: () => ADMISSION,
    nodes: () => this.registry.counts(),
    healthy: () => this.health.status === 'ok',
  });
  readonly logLines: string[] = [];
  health: Health = { status: 'ok' };
  readonly deadLetters = new QuietLetters();
  readonly view: CoreView = createCoreView({
    registry: this.registry,
    sessionTable: this.sessionTable,
    ledger: this.ledger,
    stats: this.stats,
    metrics: this.metrics,
    admission: () => ADMISSION,
    about: () => ({ version: '1.2.3', mode: 'portable', startedAtMs: STARTED_MS, uptimeMs: 61_500 }),
    health: () => this.health,
  });
  readonly audit: AuditEntry[] = [];
  /** By token; a token that is not here is refused, a request without one has open access. */
  readonly principals = new Map<string, Principal>();
  /** Who is told of tokens that end. */
  readonly accessSubscribers = new Set<(change: AccessChange) => void>();
  /** What removal of a node answers, or does. */
  remove: (id: bigint) => Promise<boolean> = async () => true;
  readonly server: RestServer;
  readonly agent = new Agent();
  port = 0;

  constructor(options: RestCoreOptions = {}) {
    const administration = openAdministration(this.audit);
    this.server = createRestServer({
      config: {
        server: { host: '127.0.0.1', backend_host: '', backend_port: options.port ?? 0 },
        auth: { allowed_origins: options.allowedOrigins ?? '' },
        rest: { requests_per_minute: options.requestsPerMinute ?? 0 },
      },
      administration: {
        ...administration,
        access: {
          ...administration.access,
          onChange: (subscriber) => {
            this.accessSubscribers.add(subscriber);
            return () => this.accessSubscribers.delete(subscriber);
          },
          check: (token) => {
            const principal = token === undefined ? ANONYMOUS_OPEN : this.principals.get(token);
            return principal === undefined ? { refusal: 'invalid' } : { principal };
          },
        },
      },
      core: {
        view: options.view?.(this) ?? this.view,
        removal: { remove: (id) => this.remove(id) },
        commands: idleCommands(this.registry),
        deadLetters: this.deadLetters,
        log: idleLog(options.log),
        metrics: createRestMetrics(this.metrics.registry),
        ...(options.debug === undefined ? {} : { debug: options.debug }),
      },
      logger: pino({ level: 'info' }, { write: (line: string) => this.logLines.push(line) }),
    });
  }

  async get(path: string, method: Method = 'GET', options: AskOptions = {}): Promise<Answer> {
    const { body, headers = {} } = options;
    const answer = await httpRequest(`http://127.0.0.1:${this.port}${path}`, {
      method,
      dispatcher: this.agent,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    const isJson = /^application\/(problem\+)?json/.test(String(answer.headers['content-type']));
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text,
      json: isJson && text !== '' ? JSON.parse(text) : undefined,
    };
  }

  /** A raw connection, for what an HTTP client would not do. */
  async connect(): Promise<net.Socket> {
    const socket = net.connect(this.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  register(id: bigint, name: string, session: number): void {
    const decision = this.registry.register({
      nodeId: id,
      nodeName: name,
      address: '10.1.2.3',
      port: 8080,
      nodeType: 'Full',
      session,
      shard: 0,
      remote: '127.0.0.1:50000',
      nowMs: STARTED_MS,
    });
    assert.equal(decision.kind, 'accept');
  }

  /** Nodes that were here and have left: they need no row in the session table. */
  registerDeparted(count: number, pots = 0): void {
    for (let n = 1; n <= count; n++) {
      this.register(BigInt(n), `node-${n}`, 31);
      for (let p = 0; p < pots; p++) {
        const update = { potId: `pot-${p}`, potType: 'cowrie', status: 'Running' as const, message: null };
        this.registry.pot(31, { ...update, nowMs: STARTED_MS });
      }
      this.registry.disconnected(31, { status: 'Stopped', nowMs: STARTED_MS + n });
    }
  }

  async stop(): Promise<void> {
    await this.agent.destroy();
    await this.server.close();
  }
}

const running: RestCore[] = [];

export async function startRest(options: RestCoreOptions = {}): Promise<RestCore> {
  const core = new RestCore(options);
  running.push(core);
  core.port = await core.server.listen();
  return core;
}

afterEach(async () => {
  for (const core of running.splice(0)) await core.stop();
});

export async function readAll(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
