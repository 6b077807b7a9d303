/** Long lists: whole, in slices, bounded in number. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type net from 'node:net';
import { test } from 'node:test';
import { REST_LIMITS } from '../src/rest/limits.js';
import { startRest } from './rest-core.js';

test('a list of ten thousand is complete, in order, and leaves turns for others', async () => {
  const core = await startRest();
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
    const core = await startRest();
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
  const core = await startRest();
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
  assert.equal(refused.json.code, 'TOO_MANY_LISTS');
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
