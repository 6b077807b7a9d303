/**
 * REST and metrics over real sockets, on a core view made of the real registry, session table and counters; only the
 * threads are missing, the test writes what they would.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, test } from 'node:test';
import { pino } from 'pino';
import { Agent, request as httpRequest } from 'undici';
import { CommandCenter } from '../src/commands/center.js';
import { matchesPattern } from '../src/commands/name-pattern.js';
import { EXIT, FatalError } from '../src/errors.js';
import { AGGREGATOR, createAggregatorCounters, createShardCounters, SHARD } from '../src/memory/counters.js';
import { createSessionTable, SESSION, SESSION_STRIDE } from '../src/memory/session-table.js';
import { NodeRegistry } from '../src/registry/registry.js';
import { sessionTotals } from '../src/registry/session-totals.js';
import { createCoreView } from '../src/rest/core-view.js';
import { REST_LIMITS } from '../src/rest/limits.js';
import { createRestServer, type RestServer } from '../src/rest/server.js';
import type { CoreView, Health } from '../src/rest/view.js';
import { Metrics } from '../src/telemetry/metrics.js';
import { Stats } from '../src/telemetry/stats.js';
import { SlowStore } from './command-world.js';

const STARTED_MS = Date.UTC(2026, 10, 20, 12, 0, 0);
const U64_EDGES = [1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
  json: any;
}

class Core {
  readonly registry = new NodeRegistry();
  readonly sessionTable = createSessionTable(32);
  readonly aggregator = createAggregatorCounters();
  readonly stats = new Stats(this.aggregator);
  readonly metrics = new Metrics({
    version: '1.2.3',
    mode: 'portable',
    stats: () => this.stats.snapshot(),
    nodes: () => this.registry.counts(),
    healthy: () => this.health.status === 'ok',
  });
  readonly logLines: string[] = [];
  health: Health = { status: 'ok' };
  deadLetters: string[] = [];
  readonly view: CoreView = createCoreView({
    registry: this.registry,
    sessionTable: this.sessionTable,
    stats: this.stats,
    metrics: this.metrics,
    newestDeadLetters: async (limit) => this.deadLetters.slice(0, limit),
    about: () => ({ version: '1.2.3', mode: 'portable', startedAtMs: STARTED_MS, uptimeMs: 61_500 }),
    health: () => this.health,
  });
  readonly commands = new CommandCenter(
    {
      store: new SlowStore(),
      nodes: this.registry,
      audit: { record() {} },
      ttlMs: 1_000,
      timeoutMs: 1_000,
      nowMs: Date.now,
      post() {},
      matches: matchesPattern,
    },
    { commands: [], rollouts: new Map() },
  );
  readonly server: RestServer;
  readonly agent = new Agent();
  port = 0;

  constructor(view?: (core: Core) => CoreView) {
    this.server = createRestServer({
      config: { server: { host: '127.0.0.1', backend_port: 0 } },
      view: view?.(this) ?? this.view,
      commands: this.commands,
      logger: pino({ level: 'info' }, { write: (line: string) => this.logLines.push(line) }),
    });
  }

  async get(
    path: string,
    method: 'GET' | 'HEAD' | 'POST' | 'DELETE' | 'OPTIONS' = 'GET',
    body?: string,
  ): Promise<Answer> {
    const answer = await httpRequest(`http://127.0.0.1:${this.port}${path}`, {
      method,
      dispatcher: this.agent,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
    const text = await answer.body.text();
    const isJson = String(answer.headers['content-type']).startsWith('application/json');
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
      const totals = { frames: 1, records: 1, events: 1, refused: 0, bytesIn: 300 };
      this.registry.disconnected(31, { status: 'Stopped', nowMs: STARTED_MS + n, totals });
    }
  }

  async stop(): Promise<void> {
    await this.agent.destroy();
    await this.server.close();
  }
}

const running: Core[] = [];

async function start(view?: (core: Core) => CoreView): Promise<Core> {
  const core = new Core(view);
  running.push(core);
  core.port = await core.server.listen();
  return core;
}

afterEach(async () => {
  for (const core of running.splice(0)) await core.stop();
});

async function readAll(socket: net.Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test('health is 200 while all is well, and 503 with a reason otherwise', async () => {
  const core = await start();
  assert.deepEqual(await core.get('/health').then(({ status, text }) => [status, text]), [
    200,
    '{"status":"ok"}',
  ]);
  for (const status of ['starting', 'stopping', 'degraded'] as const) {
    core.health = { status, reason: 'the disk is full' };
    const answer = await core.get('/health');
    assert.equal(answer.status, 503);
    assert.deepEqual(answer.json, { status, reason: 'the disk is full' });
  }
});

test('every node id leaves with exactly its digits, as number and as text', async () => {
  const core = await start();
  U64_EDGES.forEach((id, at) => {
    core.register(id, `node-${at}`, at);
    core.registry.pot(at, {
      potId: 'p',
      potType: 'cowrie',
      status: 'Running',
      message: null,
      nowMs: STARTED_MS,
    });
  });
  const nodes = await core.get('/api/v1/nodes');
  const honeypots = await core.get('/api/v1/honeypots');
  for (const id of U64_EDGES) {
    const one = await core.get(`/api/v1/nodes/${id}`);
    assert.equal(one.status, 200);
    for (const { text } of [nodes, honeypots, one]) {
      assert.ok(text.includes(`"node_id":${id},"id":"${id}"`), `${id} in ${text}`);
    }
  }
  assert.equal(nodes.json.nodes.length, U64_EDGES.length);
  assert.equal(honeypots.json.honeypots.length, U64_EDGES.length);
});

test('a node shows what its past sessions and its present one have counted', async () => {
  const core = await start();
  const row = (field: keyof typeof SESSION, value: number) => {
    core.sessionTable[3 * SESSION_STRIDE + SESSION[field]] = value;
  };
  core.register(7n, 'n', 3);
  row('events', 40);
  row('frames', 50);
  row('bytes_in', 12_000);
  const totals = sessionTotals(core.sessionTable, 3);
  core.registry.disconnected(3, { status: 'Unknown', nowMs: STARTED_MS + 500, totals });
  assert.deepEqual((await core.get('/api/v1/nodes/7')).json, {
    node_id: 7,
    id: '7',
    node_name: 'n',
    status: 'Unknown',
    node_type: 'Full',
    connected: false,
    address: '10.1.2.3',
    port: 8080,
    remote: '127.0.0.1:50000',
    shard: null,
    connected_since: null,
    last_seen: '2026-11-20T12:00:00.500Z',
    registrations: 1,
    frames: 50,
    records: 0,
    events: 40,
    refused: 0,
    bytes_in: 12_000,
    pots: 0,
    pots_not_kept: 0,
    honeypots: [],
  });
  core.register(8n, 'n', 3);
  core.registry.pot(3, {
    potId: 'c1',
    potType: 'cowrie',
    status: 'Failed',
    message: 'why',
    nowMs: STARTED_MS,
  });
  row('events', 2);
  row('frames', 3);
  row('last_seen_ms', STARTED_MS + 9_000);
  const { json } = await core.get('/api/v1/nodes/8');
  assert.equal(json.events, 42);
  assert.equal(json.frames, 53);
  assert.equal(json.connected, true);
  assert.equal(json.connected_since, '2026-11-20T12:00:00.000Z');
  assert.equal(json.last_seen, '2026-11-20T12:00:09.000Z');
  assert.equal(json.pots, 1);
  const pot = {
    pot_id: 'c1',
    pot_type: 'cowrie',
    status: 'Failed',
    message: 'why',
    updated: '2026-11-20T12:00:00.000Z',
  };
  assert.deepEqual(json.honeypots, [pot]);
  assert.deepEqual((await core.get('/api/v1/honeypots')).json, {
    honeypots: [{ node_id: 8, id: '8', node_name: 'n', ...pot }],
  });
  assert.equal((await core.get('/api/v1/nodes/7')).status, 404);
});

test('what is not a node id is 400, an id nobody has is 404', async () => {
  const core = await start();
  const bad = [
    '0',
    '01',
    '-1',
    '+1',
    '1.5',
    '1e3',
    'abc',
    '%20',
    '1%00',
    '0x10',
    `${2n ** 64n}`,
    '9'.repeat(10_000),
  ];
  for (const text of [...bad, encodeURIComponent('<script>'), encodeURIComponent('１')]) {
    const answer = await core.get(`/api/v1/nodes/${text}`);
    assert.equal(answer.status, 400, text.slice(0, 40));
    assert.equal(answer.json.error.code, 'INVALID_NODE_ID');
  }
  const missing = await core.get(`/api/v1/nodes/${2n ** 64n - 1n}`);
  assert.equal(missing.status, 404);
  assert.equal(missing.json.error.code, 'NODE_NOT_FOUND');
});

test('texts that strangers chose come out as they went in, and only as JSON', async () => {
  const core = await start();
  const nasty = [
    '"},{"',
    '</script><img src=x>',
    'a\u0000\n\r\t\\',
    '\u2028\u{1f41d}',
    '__proto__',
    'x'.repeat(255),
  ];
  nasty.forEach((name, at) => {
    core.register(BigInt(at + 1), name, at);
    core.registry.pot(at, {
      potId: name,
      potType: name,
      status: 'Running',
      message: name,
      nowMs: STARTED_MS,
    });
  });
  core.register(99n, 'half \ud83d', 30);
  for (const path of [
    '/api/v1/nodes',
    '/api/v1/nodes/1',
    '/api/v1/honeypots',
    '/api/v1/stats',
    '/health',
    '/',
    '/no',
  ]) {
    const { headers } = await core.get(path);
    assert.equal(headers['content-type'], 'application/json; charset=utf-8', path);
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    assert.equal(headers['cache-control'], 'no-store', path);
  }
  const names = (await core.get('/api/v1/nodes')).json.nodes.map(
    (node: { node_name: string }) => node.node_name,
  );
  assert.deepEqual(names.slice(0, nasty.length), nasty);
  assert.match(names.at(-1), /^half (\ud83d|\ufffd)$/);
  const pots = (await core.get('/api/v1/honeypots')).json.honeypots;
  nasty.forEach((name, at) => {
    assert.deepEqual([pots[at].pot_id, pots[at].pot_type, pots[at].message], [name, name, name]);
  });
});

test('a list of ten thousand is complete, in order, and leaves turns for others', async () => {
  const core = await start();
  core.registerDeparted(10_000, 1);
  let turns = 0;
  let counting = true;
  const count = () => {
    turns += 1;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  const { json } = await core.get('/api/v1/nodes');
  counting = false;
  assert.equal(json.nodes.length, 10_000);
  assert.ok(json.nodes.every((node: { id: string }, at: number) => node.id === String(at + 1)));
  assert.ok(
    turns > 10_000 / REST_LIMITS.listSliceNodes / 2,
    `${turns} turns of the event loop while the list was made`,
  );
  const honeypots = (await core.get('/api/v1/honeypots')).json.honeypots;
  assert.equal(honeypots.length, 10_000);
  assert.equal(honeypots.at(-1).node_name, 'node-10000');
});

test('lists at every edge of a slice are whole', async () => {
  const slice = REST_LIMITS.listSliceNodes;
  for (const count of [0, 1, slice - 1, slice, slice + 1, 2 * slice, 2 * slice + 1]) {
    const core = await start();
    core.registerDeparted(count);
    assert.equal((await core.get('/api/v1/nodes')).json.nodes.length, count);
    assert.deepEqual(
      (await core.get('/api/v1/honeypots')).json,
      { honeypots: [] },
      `${count} nodes without pots`,
    );
  }
});

test('readers that stall hold a bounded number of lists, others still get answers, and leaving frees the place', async () => {
  const core = await start();
  core.registerDeparted(40_000);
  const stalled: net.Socket[] = [];
  for (let n = 0; n < REST_LIMITS.listsAtOnce; n++) {
    const socket = await core.connect();
    socket.write('GET /api/v1/nodes HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'readable');
    stalled.push(socket);
  }
  assert.equal((await core.get('/health')).status, 200);
  assert.equal((await core.get('/api/v1/nodes/5')).status, 200);
  const refused = await core.get('/api/v1/nodes');
  assert.equal(refused.status, 503);
  assert.equal(refused.json.error.code, 'TOO_MANY_LISTS');
  assert.equal(refused.headers['retry-after'], '1');
  for (const socket of stalled) {
    socket.resume();
    socket.destroy();
  }
  // Each answer is a turn in which Core may notice the closed connections; it must within a bounded number of them.
  let status = 0;
  for (let attempt = 0; attempt < 1_000 && status !== 200; attempt++) {
    ({ status } = await core.get('/api/v1/nodes', 'HEAD').then(() => core.get('/api/v1/nodes')));
  }
  assert.equal(status, 200);
});

test('HEAD answers like GET without a body', async () => {
  const core = await start();
  core.register(1n, 'n', 1);
  for (const path of [
    '/',
    '/health',
    '/api/v1/nodes',
    '/api/v1/nodes/1',
    '/api/v1/honeypots',
    '/api/v1/stats',
    '/metrics',
  ]) {
    const answer = await core.get(path, 'HEAD');
    assert.equal(answer.status, 200, path);
    assert.equal(answer.text, '', path);
    assert.equal(answer.headers['content-type'], (await core.get(path)).headers['content-type'], path);
  }
  assert.equal((await core.get('/api/v1/nodes/2', 'HEAD')).status, 404);
});

test('an unknown path is 404, a known path with another method is 405 and says what it allows', async () => {
  const core = await start();
  for (const path of [
    '/nothing',
    '/api/v1/nodes/1/2',
    '/api/v2/nodes',
    '/..%2f',
    '/health/',
    '//',
    '/API/v1/nodes',
  ]) {
    const answer = await core.get(path);
    assert.equal(answer.status, 404, path);
    assert.equal(answer.json.error.code, 'NOT_FOUND', path);
  }
  for (const path of ['/', '/health', '/api/v1/nodes', '/api/v1/nodes/1', '/metrics']) {
    for (const method of ['POST', 'DELETE', 'OPTIONS'] as const) {
      const answer = await core.get(path, method, method === 'POST' ? '{' : undefined);
      assert.equal(answer.status, 405, `${method} ${path}`);
      assert.equal(answer.headers.allow, 'GET, HEAD');
      assert.equal(answer.json.error.code, 'METHOD_NOT_ALLOWED');
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    }
  }
});

test('what is not HTTP is answered in the same shape and closed', async () => {
  const core = await start();
  const cases: [string, string][] = [
    ['\u0016\u0003\u0001 not http\r\n\r\n', '400'],
    ['GET /health HTTP/1.1\r\n\r\n', '400'],
    ['GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', '400'],
    [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(REST_LIMITS.headerBytes)}\r\n\r\n`, '431'],
  ];
  for (const [bytes, status] of cases) {
    const socket = await core.connect();
    socket.write(bytes);
    const answer = await readAll(socket);
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${JSON.stringify(bytes.slice(0, 30))}: ${answer}`);
    if (bytes.includes('host: x')) {
      assert.match(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).error.code, /^[A-Z_]+$/);
    }
  }
  const body = await core.get('/nothing', 'POST', `"${'x'.repeat(300_000)}"`);
  assert.equal(body.status, 413);
  assert.equal(body.json.error.code, 'PAYLOAD_TOO_LARGE');
  assert.equal((await core.get('/health')).status, 200);
});

test('what went wrong inside is logged and never told', async () => {
  const core = await start(({ view }) => ({
    ...view,
    stats: () => {
      throw new Error('the secret of the house');
    },
    nodes: () => {
      throw Object.assign(new Error('the secret of the house'), { statusCode: 599 });
    },
  }));
  for (const path of ['/api/v1/stats', '/api/v1/nodes']) {
    const answer = await core.get(path);
    assert.equal(answer.status, 500);
    assert.equal(answer.json.error.code, 'INTERNAL_ERROR');
    assert.ok(!answer.text.includes('secret'));
  }
  assert.equal(core.logLines.filter((line) => line.includes('the secret of the house')).length, 2);
  assert.equal((await core.get('/health')).status, 200);
  assert.equal(core.logLines.length, 2, 'a request that goes well writes no line');
});

test('a port in use is a fatal error that names the port', async () => {
  const core = await start();
  const second = createRestServer({
    config: { server: { host: '127.0.0.1', backend_port: core.port } },
    view: core.view,
    logger: pino({ level: 'silent' }),
  });
  await assert.rejects(second.listen(), (error: unknown) => {
    assert.ok(error instanceof FatalError);
    assert.equal(error.exitCode, EXIT.unavailable);
    assert.match(error.message, new RegExp(`port ${core.port} of 127\\.0\\.0\\.1 .*in use`));
    return true;
  });
  assert.equal((await core.get('/health')).status, 200, 'the first one is untouched');
});

test('closing ends idle connections at once and cuts readers that stall after the grace', {
  timeout: 10_000,
}, async () => {
  const core = await start();
  core.registerDeparted(40_000);
  const idle = await core.connect();
  idle.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(idle, 'data');
  const stalled = await core.connect();
  stalled.write('GET /api/v1/nodes HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(stalled, 'readable');
  const fresh = await core.connect();
  const idleClosed = once(idle, 'close').then(() => 'idle');
  const closed = core.server.close().then(() => 'server');
  assert.equal(await Promise.race([idleClosed, closed]), 'idle');
  assert.equal(await closed, 'server');
  stalled.resume();
  fresh.resume();
  await Promise.all([once(stalled, 'close'), fresh.closed || once(fresh, 'close')]);
  await assert.rejects(core.get('/health'));
});

test('what a dead shard had counted stays in every total', () => {
  const core = new Core();
  const first = createShardCounters();
  const second = createShardCounters();
  core.stats.attach(0, first);
  core.stats.attach(1, second);
  first.set([100, 7], SHARD.events);
  first[SHARD.connections_open] = 9;
  second[SHARD.events] = 1;
  first[SHARD.refused_MESSAGE_PARSE_FAILED] = 3;
  second[SHARD.refused_INVALID_NODE_ID] = 2;
  const before = core.stats.snapshot();
  core.stats.retire(0, first);
  const between = core.stats.snapshot();
  assert.equal(between.totals.connections_open, 0, 'connections die with their shard');
  assert.equal(between.totals.events, before.totals.events);
  assert.equal(between.shards[0]?.alive, false);
  const replacement = createShardCounters();
  core.stats.attach(0, replacement);
  replacement[SHARD.events] = 5;
  first[SHARD.events] = 999_999;
  const after = core.stats.snapshot();
  assert.equal(after.totals.events, 106);
  assert.equal(after.shards[0]?.counters.events, 105);
  assert.equal(after.shards[0]?.deaths, 1);
  assert.equal(after.refused, 5);
  assert.equal(after.errors.MESSAGE_PARSE_FAILED, 3);
  assert.throws(() => core.stats.retire(0, first), 'a block is retired once');
  assert.throws(() => core.stats.attach(0, first), 'one block at a time');
});

test('rates are growth per second over each window, whatever the clock of the caller does', () => {
  const core = new Core();
  const block = createShardCounters();
  core.stats.attach(0, block);
  const rates = () => core.stats.snapshot().rates;
  assert.equal(rates().last1s.events, 0);
  core.stats.sample(1_000);
  assert.equal(rates().last60s.events, 0, 'one sample is no rate');
  for (let second = 2; second <= 200; second++) {
    // 100 a second up to second 190, then 1000.
    block[SHARD.events]! += second > 190 ? 1_000 : 100;
    core.aggregator[AGGREGATOR.bytes_logged]! += 300;
    core.stats.sample(second * 1_000 + (second % 3) - 1);
    core.stats.sample(second * 1_000 + 10);
  }
  assert.ok(Math.abs(rates().last1s.events - 1_000) < 5, `${rates().last1s.events}`);
  assert.ok(Math.abs(rates().last10s.events - 1_000) < 5, `${rates().last10s.events}`);
  assert.ok(Math.abs(rates().last60s.events - 250) < 2, `${rates().last60s.events}`);
  assert.ok(Math.abs(rates().last60s.bytes_logged - 300) < 1);
  // Main was busy for five seconds: coarser, not wrong.
  block[SHARD.events]! += 5_000;
  core.stats.sample(205_000);
  assert.ok(Math.abs(rates().last1s.events - 1_000) < 5, `${rates().last1s.events}`);
  core.stats.sample(100);
  assert.ok(Math.abs(rates().last1s.events - 1_000) < 5, 'a clock that goes back is not believed');
  const samplesAgree = rates();
  core.stats.retire(0, block);
  assert.deepEqual(rates(), samplesAgree);
  core.stats.sample(206_000);
  assert.equal(rates().last1s.events, 0, 'a death is neither growth nor loss');
});

test('stats show rates, totals, errors by code, shards and the aggregator', async () => {
  const core = await start();
  const block = createShardCounters();
  core.stats.attach(0, block);
  core.stats.sample(1_000);
  block[SHARD.events] = 500;
  block[SHARD.refused_NODE_NOT_FOUND] = 4;
  core.stats.sample(2_000);
  core.aggregator[AGGREGATOR.next_seq] = 2 ** 53 - 1;
  core.aggregator[AGGREGATOR.consumers_open] = 2;
  core.aggregator[AGGREGATOR.disk_waits] = 1;
  core.aggregator[AGGREGATOR.dead_letters] = 4;
  core.register(1n, 'n', 1);
  const { json, text } = await core.get('/api/v1/stats');
  assert.equal(json.mode, 'portable');
  assert.equal(json.version, '1.2.3');
  assert.equal(json.started, '2026-11-20T12:00:00.000Z');
  assert.equal(json.uptime_seconds, 61.5);
  assert.deepEqual(json.health, { status: 'ok' });
  assert.equal(json.nodes.connected, 1);
  assert.equal(json.nodes.by_status.Connected, 1);
  assert.equal(json.rates_per_second.last_1s.events, 500);
  assert.equal(json.rates_per_second.last_1s.refused, 4);
  assert.equal(json.totals.events, 500);
  assert.equal(json.totals.refused, 4);
  assert.equal(json.errors.NODE_NOT_FOUND, 4);
  assert.equal(json.errors.MESSAGE_PARSE_FAILED, 0);
  assert.equal(json.shards.length, 1);
  assert.equal(json.shards[0].alive, true);
  assert.equal(json.shards[0].events, 500);
  assert.equal(json.shards[0].refused_NODE_NOT_FOUND, 4);
  assert.ok(text.includes('"next_seq":9007199254740991'));
  assert.equal(json.aggregator.consumers.open, 2);
  assert.equal(json.aggregator.disk.waits, 1);
  assert.deepEqual(json.dead_letters, { frames: 4, bytes: 0 });
});

test('metrics are Prometheus text with absolute counters that never go back', async () => {
  const core = await start();
  const block = createShardCounters();
  core.stats.attach(0, block);
  core.register(1n, 'a "node"\nwith a name', 1);
  const scrape = async () => {
    const { text, headers, status } = await core.get('/metrics');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    const values = new Map<string, number>();
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const match = /^([a-z_:][a-z0-9_:]*(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})?) (\S+)$/i.exec(line);
      assert.ok(match, `not a sample: ${line}`);
      assert.ok(!values.has(match[1]!), `twice: ${line}`);
      values.set(match[1]!, Number(match[2]));
    }
    return { values, text };
  };
  block[SHARD.events] = 10;
  block[SHARD.ring_full_ms] = 1_500;
  block[SHARD.refused_MESSAGE_PARSE_FAILED] = 3;
  core.aggregator[AGGREGATOR.disk_wait_ms] = 250;
  const first = await scrape();
  assert.equal(first.values.get('honeybee_events_total{shard="0"}'), 10);
  assert.equal(first.values.get('honeybee_ring_full_seconds_total{shard="0"}'), 1.5);
  assert.equal(first.values.get('honeybee_refused_frames_total{shard="0",code="MESSAGE_PARSE_FAILED"}'), 3);
  assert.equal(first.values.get('honeybee_refused_frames_total{shard="0",code="NODE_NOT_FOUND"}'), 0);
  assert.equal(first.values.get('honeybee_disk_wait_seconds_total'), 0.25);
  assert.equal(first.values.get('honeybee_nodes{status="Connected"}'), 1);
  assert.equal(first.values.get('honeybee_nodes{status="Failed"}'), 0);
  assert.equal(first.values.get('honeybee_nodes_connected'), 1);
  assert.equal(first.values.get('honeybee_healthy'), 1);
  assert.equal(first.values.get('honeybee_build_info{version="1.2.3",mode="portable"}'), 1);
  assert.ok((first.values.get('process_resident_memory_bytes') ?? 0) > 0);
  assert.ok(!first.text.includes('with a name'), 'no text of a node is a label');
  core.stats.retire(0, block);
  core.stats.attach(0, createShardCounters());
  core.health = { status: 'degraded', reason: 'x' };
  const [second, third] = await Promise.all([scrape(), scrape()]);
  for (const { values } of [second, third]) {
    assert.equal(values.get('honeybee_healthy'), 0);
    assert.equal(values.get('honeybee_shard_deaths_total{shard="0"}'), 1);
    for (const [series, value] of first.values) {
      if (series.startsWith('honeybee_') && series.includes('_total')) {
        assert.ok((values.get(series) ?? -1) >= value, `${series} went back`);
      }
    }
  }
  for (const line of first.text.split('\n').filter((one) => one.startsWith('# TYPE honeybee_'))) {
    const [, , name, type] = line.split(' ');
    assert.equal(name?.endsWith('_total'), type === 'counter', line);
  }
});

test('the root lists what is here, and everything it lists is here', async () => {
  const core = await start();
  core.register(5n, 'n', 1);
  const { json } = await core.get('/');
  assert.equal(json.name, 'honeybee-core');
  assert.equal(json.protocol, 2);
  for (const { method, path } of json.routes) {
    const answer = await core.get(path.replace('{id}', '5'), method);
    if (method === 'GET' && !/(commands|rollouts)\/\{id\}$/.test(path))
      assert.equal(answer.status, 200, path);
    else
      assert.ok(!['NOT_FOUND', 'METHOD_NOT_ALLOWED'].includes(answer.json.error.code), `${method} ${path}`);
  }
});

test('refused frames are read newest first, with every digit of their ids, and only with a sensible limit', async () => {
  const core = await start();
  core.deadLetters = ['{"node_id":18446744073709551615,"code":"INVALID_NODE_ID"}', '{"node_id":null}'];
  const all = await core.get('/api/v1/dead-letters');
  assert.equal(all.text, `{"dead_letters":[${core.deadLetters.join(',')}]}`);
  assert.equal((await core.get('/api/v1/dead-letters?limit=1')).json.dead_letters.length, 1);
  for (const limit of ['0', '-1', '1e3', 'x', '']) {
    assert.equal((await core.get(`/api/v1/dead-letters?limit=${limit}`)).status, 400, limit);
  }
});
