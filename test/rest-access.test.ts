/**
 * Who may do what over REST: every route of the app, with every kind of credentials, against a table. A new route
 * without a row in the table fails here.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import { Access } from '../src/access/access.js';
import { AuditLog } from '../src/access/audit-log.js';
import { AuditReader } from '../src/access/audit-reader.js';
import type { Role } from '../src/access/principal.js';
import { parseToken } from '../src/access/token-text.js';
import type { Config } from '../src/config/config.js';
import { createEnrolmentDesk } from '../src/enrolment/desk.js';
import { openEnrolments } from '../src/enrolment/enrolments.js';
import { Ledger } from '../src/ledger/ledger.js';
import { LIMITS } from '../src/limits.js';
import { createAggregatorCounters } from '../src/memory/counters.js';
import { createLedgerTable } from '../src/memory/ledger-table.js';
import { createSessionTable } from '../src/memory/session-table.js';
import { NodeRegistry } from '../src/registry/registry.js';
import { createCoreView } from '../src/rest/core-view.js';
import { createRestServer, type RestServer } from '../src/rest/server.js';
import { openStateStore, StateBacklogFull, type StateStore } from '../src/state/store.js';
import { Metrics } from '../src/telemetry/metrics.js';
import { createRestMetrics } from '../src/telemetry/rest-metrics.js';
import { Stats } from '../src/telemetry/stats.js';
import { afterwards, temporaryFolder } from './core-process.js';
import { idleCommands } from './idle-commands.js';
import { idleLog } from './idle-log.js';
import { QuietLetters } from './quiet-letters.js';

type Limit = 'all' | 'nodes' | 'events';

interface Row {
  /** Roles that are let in; `public` is everybody. */
  readonly roles: readonly Role[] | 'public';
  /** Scopes that are let in, with the role. */
  readonly scopes: readonly Limit[];
}

const READ: readonly Role[] = ['read', 'command', 'admin'];
const STREAM: readonly Role[] = ['stream', 'admin'];
const ADMIN: readonly Role[] = ['admin'];
const EVERY_SCOPE: readonly Limit[] = ['all', 'nodes', 'events'];

const NO_ADMISSION = {
  waiting: 0,
  mostWaiting: 0,
  admitted: 0,
  turnedAway: { per_address: 0, queue_full: 0, max_connections: 0, no_descriptor: 0, stopping: 0 },
};

const TABLE: Readonly<Record<string, Row>> = {
  'GET /': { roles: ['read', 'stream', 'command', 'admin'], scopes: EVERY_SCOPE },
  'GET /health': { roles: 'public', scopes: EVERY_SCOPE },
  'GET /api/v1/nodes': { roles: READ, scopes: EVERY_SCOPE },
  'GET /api/v1/nodes/:id': { roles: READ, scopes: EVERY_SCOPE },
  'DELETE /api/v1/nodes/:id': { roles: ['command', 'admin'], scopes: EVERY_SCOPE },
  'POST /api/v1/nodes/:id/commands': { roles: ['command', 'admin'], scopes: EVERY_SCOPE },
  'GET /api/v1/nodes/:id/commands': { roles: READ, scopes: EVERY_SCOPE },
  'POST /api/v1/commands': { roles: ['command', 'admin'], scopes: EVERY_SCOPE },
  'GET /api/v1/commands': { roles: READ, scopes: EVERY_SCOPE },
  'GET /api/v1/commands/:id': { roles: READ, scopes: EVERY_SCOPE },
  'DELETE /api/v1/commands/:id': { roles: ['command', 'admin'], scopes: EVERY_SCOPE },
  'GET /api/v1/rollouts': { roles: READ, scopes: EVERY_SCOPE },
  'GET /api/v1/rollouts/:id': { roles: READ, scopes: EVERY_SCOPE },
  'DELETE /api/v1/rollouts/:id': { roles: ['command', 'admin'], scopes: EVERY_SCOPE },
  'GET /openapi.json': { roles: 'public', scopes: EVERY_SCOPE },
  'GET /docs/:file': { roles: 'public', scopes: EVERY_SCOPE },
  'GET /docs': { roles: 'public', scopes: EVERY_SCOPE },
  'GET /api/v1/honeypots': { roles: READ, scopes: EVERY_SCOPE },
  'GET /api/v1/stats': { roles: READ, scopes: ['all', 'events'] },
  'GET /metrics': { roles: READ, scopes: ['all', 'events'] },
  'GET /api/v1/events': { roles: STREAM, scopes: EVERY_SCOPE },
  'GET /api/v1/events/stream': { roles: STREAM, scopes: EVERY_SCOPE },
  'GET /api/v1/consumers': { roles: READ, scopes: ['all'] },
  'GET /api/v1/consumers/:name': { roles: READ, scopes: ['all'] },
  'DELETE /api/v1/consumers/:name': { roles: ADMIN, scopes: ['all'] },
  'GET /api/v1/deliveries': { roles: READ, scopes: ['all'] },
  'GET /api/v1/ledger': { roles: READ, scopes: ['all', 'events'] },
  'GET /api/v1/ledger/nodes': { roles: READ, scopes: EVERY_SCOPE },
  'GET /api/v1/log': { roles: READ, scopes: ['all', 'events'] },
  'GET /api/v1/dead-letters': { roles: READ, scopes: ['all'] },
  'GET /api/v1/dead-letters/:id': { roles: READ, scopes: ['all'] },
  'GET /api/v1/dead-letters/:id/bytes': { roles: READ, scopes: ['all'] },
  'POST /api/v1/dead-letters/:id/replay': { roles: ADMIN, scopes: ['all'] },
  'GET /api/v1/audit': { roles: ADMIN, scopes: ['all'] },
  'GET /api/v1/tokens': { roles: ADMIN, scopes: ['all'] },
  'POST /api/v1/tokens': { roles: ADMIN, scopes: ['all'] },
  'GET /api/v1/tokens/:id': { roles: ADMIN, scopes: ['all'] },
  'DELETE /api/v1/tokens/:id': { roles: ADMIN, scopes: ['all'] },
  'GET /api/v1/enrolments': { roles: ADMIN, scopes: ['all'] },
  'POST /api/v1/enrolments': { roles: ADMIN, scopes: ['all'] },
  'POST /api/v1/enrolments/:name/rotate': { roles: ADMIN, scopes: ['all'] },
  'DELETE /api/v1/enrolments/:name': { roles: ADMIN, scopes: ['all'] },
  'GET /api/v1/enrolment-window': { roles: ADMIN, scopes: ['all'] },
  'PUT /api/v1/enrolment-window': { roles: ADMIN, scopes: ['all'] },
  'DELETE /api/v1/enrolment-window': { roles: ADMIN, scopes: ['all'] },
  'POST /debug/shards/:shard/kill': { roles: ADMIN, scopes: ['all'] },
  'POST /debug/aggregator/kill': { roles: ADMIN, scopes: ['all'] },
  'POST /debug/keeper/kill': { roles: ADMIN, scopes: ['all'] },
  'POST /debug/reader/kill': { roles: ADMIN, scopes: ['all'] },
};

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
  readonly json: any;
}

class Rest {
  nowMs = Date.now();
  access!: Access;
  server!: RestServer;
  port = 0;
  state!: StateStore;
  readonly registry = new NodeRegistry();
  readonly logLines: string[] = [];
  readonly #agent = new Agent();

  static async start(t: TestContext, auth: Partial<Config['auth']> = {}): Promise<Rest> {
    const rest = new Rest();
    const folder = temporaryFolder(t);
    const config = {
      server: { host: '127.0.0.1', backend_host: '', backend_port: 0 },
      proxy: { host: '127.0.0.1' },
      rest: { requests_per_minute: 0 },
      auth: { allow_anonymous: false, allowed_origins: '', ...auth },
    } as unknown as Config;
    const state = await openStateStore(join(folder, 'state'), { onTrouble() {} });
    rest.state = state;
    afterwards(t, () => state.close(Date.now() + 5_000));
    rest.access = await Access.open(config, state, {}, () => rest.nowMs);
    afterwards(t, () => rest.access.close());
    const audit = new AuditLog(join(folder, 'audit'), { onTrouble() {}, onLost() {} });
    afterwards(t, () => audit.close());
    const { enrolments } = await openEnrolments(state, { env: {}, keyFile: '', dataDir: folder });
    const sessionTable = createSessionTable(8);
    const stats = new Stats(createAggregatorCounters());
    const metrics = new Metrics({
      version: '1',
      mode: 'portable',
      stats: () => stats.snapshot(),
      admission: () => NO_ADMISSION,
      nodes: () => rest.registry.counts(),
      healthy: () => true,
    });
    rest.server = createRestServer({
      config,
      administration: {
        access: rest.access,
        audit,
        auditShelf: new AuditReader(join(folder, 'audit')),
        enrolmentDesk: createEnrolmentDesk('optional', enrolments),
      },
      logger: pino({ level: 'info' }, { write: (line: string) => rest.logLines.push(line) }),
      core: {
        debug: { killShard() {}, killAggregator() {}, killReader() {}, killKeeper() {} },
        removal: { remove: async () => true },
        commands: idleCommands(rest.registry),
        deadLetters: new QuietLetters(),
        log: idleLog(),
        metrics: createRestMetrics(metrics.registry),
        view: createCoreView({
          registry: rest.registry,
          sessionTable,
          ledger: new Ledger(createLedgerTable(8)),
          stats,
          metrics,
          admission: () => NO_ADMISSION,
          about: () => ({ version: '1', mode: 'portable', startedAtMs: 1, uptimeMs: 1 }),
          health: () => ({ status: 'ok' }),
        }),
      },
    });
    rest.port = await rest.server.listen();
    afterwards(t, async () => {
      await rest.#agent.destroy();
      await rest.server.close();
    });
    return rest;
  }

  async ask(
    method: string,
    path: string,
    { token, body, ...headers }: Readonly<Record<string, string | undefined>> = {},
  ): Promise<Answer> {
    const {
      statusCode,
      headers: answered,
      body: stream,
    } = await request(`http://127.0.0.1:${this.port}${path}`, {
      method: method as 'GET',
      dispatcher: this.#agent,
      ...(body === undefined ? {} : { body }),
      headers: {
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
    });
    // Every answer names its own request; what else it says is compared.
    const text = (await stream.text()).replace(/,"instance":"[^"]*"/, '');
    return {
      status: statusCode,
      headers: answered,
      text,
      get json() {
        return JSON.parse(text);
      },
    };
  }

  async token(
    roles: readonly Role[],
    limit: Limit = 'all',
    expiresMs: number | null = null,
  ): Promise<string> {
    const scope = {
      nodes: limit === 'nodes' ? 'eu-*' : null,
      eventTypes: limit === 'events' ? ['cowrie.*'] : null,
    };
    return (await this.access.createToken({ name: 'n', roles, scope, expiresMs, createdBy: 't' })).text;
  }

  register(id: bigint, name: string): void {
    const decision = this.registry.register({
      nodeId: id,
      nodeName: name,
      address: '10.0.0.1',
      port: 1,
      nodeType: 'Full',
      session: Number(id),
      shard: 0,
      remote: '127.0.0.1:1',
      nowMs: 1,
    });
    assert.equal(decision.kind, 'accept');
    const update = { potId: `pot-of-${name}`, potType: 'cowrie', status: 'Running' as const, message: null };
    this.registry.pot(Number(id), { ...update, nowMs: 1 });
  }
}

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

/** The path of a route with something in the place of its parameters. */
function sample(path: string): string {
  const named = path.replace('/nodes/:id', '/nodes/77').replace(':file', 'start.js');
  return named.replace(':shard', '9').replace(':id', 'aaaaaaaa');
}

test('the table of who may do what: every route, every role, every scope', async (t) => {
  const rest = await Rest.start(t);
  const who: { roles: readonly Role[]; limit: Limit; token: string }[] = [];
  for (const role of ['read', 'stream', 'command'] as const)
    for (const limit of EVERY_SCOPE)
      who.push({ roles: [role], limit, token: await rest.token([role], limit) });
  who.push({ roles: ['admin'], limit: 'all', token: await rest.token(['admin']) });
  const paths = new Set(rest.server.routes.map(({ path }) => path));
  const rows = Object.keys(TABLE).map((name) => name.split(' ') as [string, string]);
  assert.deepEqual(
    [...paths].sort(),
    [...new Set(rows.map(([, path]) => path))].sort(),
    'every path has a row',
  );
  let asked = 0;
  for (const path of paths) {
    for (const method of METHODS) {
      const row = TABLE[`${method === 'HEAD' ? 'GET' : method} ${path}`];
      const isPublic = rows.some(([, other]) => other === path && TABLE[`GET ${path}`]?.roles === 'public');
      for (const { roles, limit, token } of who) {
        const { status, headers, text } = await rest.ask(method, sample(path), { token });
        asked += 1;
        const told = `${method} ${path} with ${roles} ${limit}: ${status} ${text}`;
        if (row === undefined) assert.equal(status, 405, told);
        else if (row.roles === 'public' || (row.roles.includes(roles[0]!) && row.scopes.includes(limit)))
          assert.ok([200, 202, 204, 400, 404, 415].includes(status), told);
        else {
          assert.equal(status, 403, told);
          const lacksRole = !row.roles.includes(roles[0]!);
          assert.equal(
            headers['www-authenticate'],
            lacksRole ? 'Bearer realm="honeybee-core", error="insufficient_scope"' : undefined,
            told,
          );
        }
      }
      for (const credentials of [{}, { token: 'hb_aaaaaaaa_x' }, { authorization: 'Basic YTpi' }]) {
        const { status, headers } = await rest.ask(method, sample(path), credentials);
        if (isPublic) assert.equal(status, row === undefined ? 405 : 200, `${method} ${path}`);
        else if (status !== 429) {
          assert.equal(status, 401, `${method} ${path} without a token`);
          assert.match(String(headers['www-authenticate']), /^Bearer realm="honeybee-core"/);
        }
      }
      rest.nowMs += 61_000; // nobody is locked out for what the test does wrong on purpose
    }
  }
  assert.ok(asked >= paths.size * METHODS.length * who.length);
});

test('strangers are not told what exists: a path that is not there answers as one that is', async (t) => {
  const rest = await Rest.start(t);
  const token = await rest.token(['stream']);
  for (const [method, path] of [
    ['GET', '/api/v1/nodes'],
    ['GET', '/api/v1/nothing'],
    ['DELETE', '/api/v1/nodes'],
    ['POST', '/api/v1/nothing'],
    ['OPTIONS', '/api/v1/nodes'],
    ['PATCH', '/x'],
  ] as const) {
    const { status, text, headers } = await rest.ask(method, path);
    const first = await rest.ask(method, '/api/v1/nodes');
    assert.deepEqual([status, text, headers.allow], [401, first.text, undefined], `${method} ${path}`);
  }
  assert.equal((await rest.ask('GET', '/api/v1/nothing', { token })).status, 404);
  assert.equal((await rest.ask('DELETE', '/api/v1/nodes', { token })).status, 405);
  assert.equal((await rest.ask('DELETE', '/health')).status, 405, 'what is public is no secret');
});

test('a token counts in the Authorization header and nowhere else', async (t) => {
  const rest = await Rest.start(t);
  const token = await rest.token(['read']);
  for (const authorization of [`Bearer ${token}`, `bearer  ${token} `, `BEARER ${token}`])
    assert.equal((await rest.ask('GET', '/api/v1/nodes', { authorization })).status, 200, authorization);
  for (const authorization of [
    'Bearer',
    `Bearer x ${token}`,
    `Bearer ${token},${token}`,
    token,
    `Token ${token}`,
  ])
    assert.equal((await rest.ask('GET', '/api/v1/nodes', { authorization })).status, 401, authorization);
  for (const query of [`?token=${token}`, `?access_token=${token}`, `?authorization=Bearer%20${token}`])
    assert.equal((await rest.ask('GET', `/api/v1/nodes${query}`)).status, 401);
  assert.equal(
    (await rest.ask('GET', '/api/v1/nodes', { 'x-api-key': token, cookie: `token=${token}` })).status,
    401,
  );
});

test('expired, revoked and wrong tokens: 401 and why, as far as their owner may know', async (t) => {
  const rest = await Rest.start(t);
  const expiring = await rest.token(['read'], 'all', rest.nowMs + 1_000);
  const revoked = await rest.token(['read']);
  const admin = await rest.token(['admin']);
  assert.equal((await rest.ask('GET', '/api/v1/nodes', { token: expiring })).status, 200);
  rest.nowMs += 1_000;
  const expired = await rest.ask('GET', '/api/v1/nodes', { token: expiring });
  assert.equal(expired.status, 401);
  assert.match(expired.text, /expired/);
  const { id } = parseToken(revoked)!;
  assert.equal((await rest.ask('GET', '/api/v1/nodes', { token: revoked })).status, 200);
  assert.equal((await rest.ask('DELETE', `/api/v1/tokens/${id}`, { token: admin })).status, 204);
  const gone = await rest.ask('GET', '/api/v1/nodes', { token: revoked });
  const wrong = await rest.ask('GET', '/api/v1/nodes', { token: `${revoked.slice(0, -5)}AAAAA` });
  assert.deepEqual([gone.status, gone.text], [401, wrong.text], 'revoked is as wrong as wrong');
  assert.equal(
    (await rest.ask('DELETE', `/api/v1/tokens/${id}`, { token: admin })).status,
    204,
    'again is fine',
  );
  assert.equal((await rest.ask('DELETE', '/api/v1/tokens/aaaaaaaa', { token: admin })).status, 404);
  assert.equal((await rest.ask('DELETE', '/api/v1/tokens/..%2fnodes', { token: admin })).status, 404);
});

test('guessing is answered 429 without a look at the token, with the time to wait', async (t) => {
  const rest = await Rest.start(t);
  const token = await rest.token(['read']);
  for (let n = 0; n < LIMITS.accessFailuresPerMinute; n++)
    assert.equal((await rest.ask('GET', '/api/v1/nodes', { token: 'guess' })).status, 401);
  const locked = await rest.ask('GET', '/api/v1/nodes', { token });
  assert.equal(locked.status, 429);
  assert.equal(locked.headers['retry-after'], '60');
  assert.equal((await rest.ask('GET', '/health')).status, 200);
  rest.nowMs += 60_000;
  assert.equal((await rest.ask('GET', '/api/v1/nodes', { token })).status, 200);
});

test('a token with a scope sees the nodes of its scope, and does not learn of others', async (t) => {
  const rest = await Rest.start(t);
  rest.register(1n, 'eu-1');
  rest.register(2n, 'us-1');
  rest.register(3n, 'eu-');
  const scoped = await rest.token(['read'], 'nodes');
  const all = await rest.token(['read']);
  const names = async (token: string, path: string, list: string) =>
    (await rest.ask('GET', path, { token })).json[list]
      .map((row: { node_name: string }) => row.node_name)
      .sort();
  assert.deepEqual(await names(scoped, '/api/v1/nodes', 'nodes'), ['eu-', 'eu-1']);
  assert.deepEqual(await names(scoped, '/api/v1/honeypots', 'honeypots'), ['eu-', 'eu-1']);
  assert.equal((await names(all, '/api/v1/nodes', 'nodes')).length, 3);
  assert.equal((await rest.ask('GET', '/api/v1/nodes/1', { token: scoped })).status, 200);
  const hidden = await rest.ask('GET', '/api/v1/nodes/2', { token: scoped });
  const absent = await rest.ask('GET', '/api/v1/nodes/99', { token: scoped });
  assert.deepEqual([hidden.status, hidden.text], [404, absent.text]);
});

test('open access on loopback: everything, but not for pages of strangers, and not once a token was made', async (t) => {
  const rest = await Rest.start(t, { allowed_origins: 'https://soc.example.org' });
  const headers: [Record<string, string>, number][] = [
    [{}, 200],
    [{ host: `localhost:${rest.port}` }, 200],
    [{ host: 'evil.example' }, 403],
    [{ host: `evil.example:${rest.port}` }, 403],
    [{ origin: `http://127.0.0.1:${rest.port}` }, 200],
    [{ origin: 'https://soc.example.org' }, 200],
    [{ origin: 'http://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ host: 'soc.example.org' }, 200],
  ];
  for (const [header, status] of headers)
    for (const path of ['/', '/api/v1/nodes', '/metrics', '/api/v1/tokens'])
      assert.equal((await rest.ask('GET', path, header)).status, status, JSON.stringify([header, path]));
  assert.equal((await rest.ask('GET', '/nothing', { host: 'evil.example' })).status, 403);
  const made = await rest.ask('POST', '/api/v1/tokens', { body: '{"name":"first","roles":["admin"]}' });
  assert.equal(made.status, 201);
  assert.equal(made.json.created_by, 'anonymous');
  assert.equal((await rest.ask('GET', '/api/v1/nodes')).status, 401);
  const { token } = made.json;
  assert.equal((await rest.ask('GET', '/api/v1/nodes', { token, host: 'core.example' })).status, 200);
});

test('allow_anonymous over REST: reading and commanding, no administration', async (t) => {
  const rest = await Rest.start(t, { allow_anonymous: true });
  assert.equal((await rest.ask('GET', '/api/v1/nodes')).status, 200);
  assert.equal((await rest.ask('GET', '/api/v1/tokens')).status, 403);
  assert.equal((await rest.ask('POST', '/debug/aggregator/kill')).status, 403);
});

test('a token is made as asked, shown once, listed without its secret, and named in the audit trail', async (t) => {
  const rest = await Rest.start(t);
  const admin = await rest.token(['admin']);
  const body = JSON.stringify({
    name: 'soc "ż"',
    roles: ['stream', 'read'],
    nodes: 'eu-*',
    event_types: ['cowrie.*'],
    expires: '2099-01-01T00:00:00+01:00',
  });
  const made = await rest.ask('POST', '/api/v1/tokens', { token: admin, body });
  assert.equal(made.status, 201, made.text);
  const { token, ...row } = made.json;
  assert.equal(made.headers.location, `/api/v1/tokens/${row.id}`);
  assert.deepEqual(
    { ...row, id: 0, created: 0 },
    {
      id: 0,
      name: 'soc "ż"',
      roles: ['stream', 'read'],
      nodes: 'eu-*',
      event_types: ['cowrie.*'],
      state: 'active',
      created: 0,
      created_by: 'n',
      expires: '2098-12-31T23:00:00.000Z',
      revoked: null,
      last_used: null,
    },
  );
  assert.equal((await rest.ask('GET', '/api/v1/nodes', { token })).status, 200);
  await rest.ask('DELETE', `/api/v1/tokens/${row.id}`, { token: admin });
  const list = await rest.ask('GET', '/api/v1/tokens', { token: admin });
  const one = await rest.ask('GET', `/api/v1/tokens/${row.id}`, { token: admin });
  const trail = await rest.ask('GET', `/api/v1/audit?target=${row.id}`, { token: admin });
  assert.deepEqual(
    list.json.tokens.find(({ id }: { id: string }) => id === row.id),
    one.json,
  );
  assert.equal(one.json.state, 'revoked');
  for (const { text } of [list, one, trail]) assert.ok(!text.includes(parseToken(token)!.secret));
  assert.deepEqual(
    trail.json.entries.map((entry: Record<string, unknown>) => [
      entry.action,
      entry.principal,
      entry.outcome,
    ]),
    [
      ['token.revoke', 'n', 'done'],
      ['token.create', 'n', 'done'],
    ],
  );
  assert.match(trail.json.entries[0].from, /^127\.0\.0\.1:\d+$/);
  assert.equal(trail.json.entries[0].token_id, parseToken(admin)!.id);
});

test('what is no token to make is refused with its field, and no token is made', async (t) => {
  const rest = await Rest.start(t);
  const admin = await rest.token(['admin']);
  const good = { name: 'x', roles: ['read'] };
  const bad: [unknown, RegExp][] = [
    [{}, /name|roles/],
    [{ ...good, name: '' }, /name/],
    [{ ...good, name: 'x'.repeat(65) }, /name/],
    [{ ...good, name: 'a\nb' }, /name/],
    [{ ...good, name: 'a\u202eb' }, /name/],
    [{ ...good, name: ' a' }, /name/],
    [{ ...good, name: 5 }, /name/],
    [{ ...good, roles: [] }, /roles/],
    [{ ...good, roles: ['root'] }, /roles/],
    [{ ...good, roles: ['read', 'read'] }, /roles/],
    [{ ...good, roles: 'read' }, /roles/],
    [{ ...good, roles: ['admin'], nodes: 'eu-*' }, /admin/],
    [{ ...good, roles: ['admin', 'read'], event_types: ['x'] }, /admin/],
    [{ ...good, nodes: '' }, /nodes/],
    [{ ...good, nodes: 'x'.repeat(256) }, /nodes/],
    [{ ...good, event_types: [] }, /event_types/],
    [{ ...good, event_types: ['a*b'] }, /event_types/],
    [{ ...good, event_types: [''] }, /event_types/],
    [{ ...good, expires: '2020-01-01T00:00:00Z' }, /expires.*future/],
    [{ ...good, expires: '2099-01-01' }, /expires/],
    [{ ...good, expires: '2099-13-01T00:00:00Z' }, /expires/],
    [{ ...good, expires: 'tomorrow' }, /expires/],
    [{ ...good, expires: 5 }, /expires/],
    [{ ...good, secret: 'mine' }, /not known|unknown|no field|body/],
    [[], /object|body/],
    ['x', /object|body/],
  ];
  for (const [body, reason] of bad) {
    const answer = await rest.ask('POST', '/api/v1/tokens', { token: admin, body: JSON.stringify(body) });
    assert.equal(answer.status, 400, `${JSON.stringify(body)}: ${answer.text}`);
    assert.match(answer.text, reason, JSON.stringify(body));
  }
  assert.equal((await rest.ask('POST', '/api/v1/tokens', { token: admin, body: '{' })).status, 400);
  assert.equal(rest.access.tokens().length, 1);
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?after=-1', '?after=x', '?wild=1', '?action='])
    assert.equal((await rest.ask('GET', `/api/v1/audit${query}`, { token: admin })).status, 400, query);
});

test('who tries what it was not given is in the audit trail, with what it tried', async (t) => {
  const rest = await Rest.start(t);
  const reader = await rest.token(['read']);
  const admin = await rest.token(['admin']);
  await rest.ask('DELETE', '/api/v1/tokens/aaaaaaaa?x=1', { token: reader });
  const { json } = await rest.ask('GET', '/api/v1/audit?action=access.*&limit=1', { token: admin });
  const [entry] = json.entries;
  assert.deepEqual(
    [entry.action, entry.target, entry.outcome, entry.token_id, entry.detail],
    ['access.refuse', 'DELETE /api/v1/tokens/:id', 'refused', parseToken(reader)!.id, { needs: 'admin' }],
  );
});

test('what could not be saved is said so: to whoever asked, and in the audit trail', async (t) => {
  const rest = await Rest.start(t);
  const admin = await rest.token(['admin']);
  const token = await rest.token(['read']);
  const write = rest.state.write.bind(rest.state);
  rest.state.write = () => {
    throw new StateBacklogFull();
  };
  const made = await rest.ask('POST', '/api/v1/tokens', {
    token: admin,
    body: '{"name":"x","roles":["read"]}',
  });
  assert.equal(made.status, 503);
  assert.ok(!made.text.includes('hb_'));
  const { id } = parseToken(token)!;
  const revoked = await rest.ask('DELETE', `/api/v1/tokens/${id}`, { token: admin });
  assert.equal(revoked.status, 503);
  assert.match(revoked.text, /is revoked, but that is not on disk/);
  assert.equal((await rest.ask('GET', '/api/v1/nodes', { token })).status, 401, 'and it is');
  rest.state.write = write;
  assert.equal(
    (await rest.ask('DELETE', `/api/v1/tokens/${id}`, { token: admin })).status,
    204,
    'now it is saved',
  );
  assert.equal((await rest.ask('GET', '/api/v1/tokens', { token: admin })).json.tokens.length, 2);
  const { json } = await rest.ask('GET', '/api/v1/audit', { token: admin });
  assert.deepEqual(
    json.entries.map(({ action, outcome, detail }: Record<string, unknown>) => [action, outcome, detail]),
    [
      ['token.revoke', 'done', { name: 'n' }],
      ['token.revoke', 'failed', { name: 'n', code: 'STATE_UNAVAILABLE', in_force: true }],
      ['token.create', 'failed', { name: 'x', code: 'STATE_UNAVAILABLE' }],
    ],
  );
});

test('nothing of a token reaches the log', async (t) => {
  const rest = await Rest.start(t);
  const token = await rest.token(['read']);
  await rest.ask('GET', '/api/v1/nodes', { token });
  await rest.ask('GET', `/api/v1/nodes?token=${token}`, { token });
  await rest.ask('GET', `/${token}`, { token });
  assert.deepEqual(rest.logLines, []);
});
