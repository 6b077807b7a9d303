/** Nodes and honeypots over REST: what is shown of them, digit by digit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEDGER, LEDGER_STRIDE, type LedgerField } from '../src/memory/ledger-table.js';
import { SESSION, SESSION_STRIDE } from '../src/memory/session-table.js';
import { accountRow, NO_ACCOUNT } from '../src/rest/ledger-rows.js';
import { STARTED_MS, startRest, U64_EDGES } from './rest-core.js';

test('every node id leaves with exactly its digits, as number and as text', async () => {
  const core = await startRest();
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

/** The threads are missing that would count. */
const NO_LEDGER = accountRow(NO_ACCOUNT);

test('a node shows what its past sessions and its present one have counted', async () => {
  const core = await startRest();
  const count = (field: LedgerField, value: number) => {
    const row = core.ledger.rowFor(core.registry.bySession(3)!.serial);
    core.ledger.table[row * LEDGER_STRIDE + LEDGER[field]]! += value;
  };
  core.register(7n, 'n', 3);
  count('frames', 50);
  count('events', 40);
  count('records', 44);
  count('quiet', 1);
  count('refused_INVALID_NODE_ID', 2);
  count('refused_INVALID_MESSAGE_FORMAT', 3);
  count('bytes_in', 12_000);
  core.registry.disconnected(3, { status: 'Unknown', nowMs: STARTED_MS + 500 });
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
    dialect: { framing: null, events: [], units: null },
    tls: false,
    frames: 50,
    records: 44,
    events: 40,
    refused: 5,
    bytes_in: 12_000,
    pots: 0,
    pots_not_kept: 0,
    honeypots: [],
    ledger: NO_LEDGER,
  });
  core.register(8n, 'n', 3);
  core.registry.pot(3, {
    potId: 'c1',
    potType: 'cowrie',
    status: 'Failed',
    message: 'why',
    nowMs: STARTED_MS,
  });
  count('frames', 3);
  count('events', 2);
  count('records', 3);
  core.sessionTable[3 * SESSION_STRIDE + SESSION.last_seen_ms] = STARTED_MS + 9_000;
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
  const core = await startRest();
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
    '9'.repeat(5_000),
  ];
  for (const text of [...bad, encodeURIComponent('<script>'), encodeURIComponent('１')]) {
    const answer = await core.get(`/api/v1/nodes/${text}`);
    assert.equal(answer.status, 400, text.slice(0, 40));
    assert.equal(answer.json.code, 'INVALID_NODE_ID');
  }
  const missing = await core.get(`/api/v1/nodes/${2n ** 64n - 1n}`);
  assert.equal(missing.status, 404);
  assert.equal(missing.json.code, 'NODE_NOT_FOUND');
});

test('texts that strangers chose come out as they went in, and only as JSON', async () => {
  const core = await startRest();
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
    const type = path === '/no' ? 'application/problem+json' : 'application/json; charset=utf-8';
    assert.equal(headers['content-type'], type, path);
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    const kept = /nodes|honeypots/.test(path) ? 'private, no-cache' : 'no-store';
    assert.equal(headers['cache-control'], kept, path);
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
