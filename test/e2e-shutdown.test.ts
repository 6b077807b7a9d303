/**
 * Core is told to stop while many nodes write as fast as they can: what was read is written, every consumer gets all
 * of it and then a goodbye, and the process ends with 0 in time.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { readDeadLetters, readLog } from './event-log.js';
import { startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { frame, numberedEvent, potEvent } from './node-frames.js';
import { assertContiguous, sessionsByNode } from './node-history.js';
import { get, post } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const SHUTDOWN_TIMEOUT_MS = 10_000;
const NODES = 40;

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} under load: nothing that was read is lost`, async (t) => {
    const core = await CoreProcess.start(t, {
      settings: { 'server.shutdown_timeout_ms': SHUTDOWN_TIMEOUT_MS, 'ingest.shards': 2 },
    });
    const { node_port, backend_port, proxy_port } = core.ports;
    const consumers = await Promise.all([
      StreamClient.connect(proxy_port, 'events'),
      StreamClient.connect(proxy_port, 'batch'),
      StreamClient.connect(proxy_port, 'batch', '/ws'),
    ]);
    const nodes = await startLoad(t, node_port, NODES, { watchers: consumers });
    await consumers[1]!.messages('PotEvent', 50_000);
    const before = (await get(backend_port, '/api/v1/stats')).json.totals;
    const startMs = performance.now();
    core.signal(signal);
    for (const node of nodes) node.dontReconnect();
    assert.deepEqual(await core.exit(), { code: 0, signal: null });
    const tookMs = performance.now() - startMs;
    assert.ok(tookMs < SHUTDOWN_TIMEOUT_MS, `it took ${tookMs} ms`);
    t.diagnostic(`ended ${Math.round(tookMs)} ms after ${signal}`);
    await Promise.all(nodes.map((node) => node.stop()));
    const log = readLog(core.dataDir);

    await t.test('the log holds a prefix of what each node sent, and all that was counted', () => {
      const sessions = sessionsByNode(log.lines);
      for (const { identity, sessions: sent } of nodes) {
        assert.equal(sent.length, 1);
        const own = sessions.get(String(identity.id))!;
        assert.equal(own.length, 1);
        assert.ok(assertContiguous(own[0]!.events, 0, identity.name) <= sent[0]!.sent);
        assert.equal(own[0]!.reason, 'Core is stopping');
      }
      assert.ok(log.lines.length >= before.records + NODES);
      // The last frame of a node may have come in half: that is one dead letter at most.
      const letters = readDeadLetters(core.dataDir);
      assert.ok(letters.length <= NODES);
      assert.equal(new Set(letters.map(({ remote }) => remote)).size, letters.length);
      assert.ok(letters.every(({ code }) => code === 'MESSAGE_PARSE_FAILED'));
    });

    await t.test('every consumer got the whole log, then a goodbye', async () => {
      for (const consumer of consumers) {
        const { code, reason } = await consumer.gone();
        assert.deepEqual([code, reason], [1001, 'Core is stopping']);
        assert.ok(consumer.content.equals(log.content), consumer.form);
      }
    });

    await t.test('nothing is left behind', () => {
      assert.ok(!existsSync(join(core.dataDir, 'core.lock')));
      assert.deepEqual(readdirSync(core.dataDir).sort(), [
        'audit',
        'dead-letters',
        'ledger',
        'log',
        'state',
        'state.spare',
      ]);
      assert.equal(core.stderr, '');
      assert.deepEqual(core.lines.all.at(-1)!.msg, 'stopped');
      const bad = core.lines.all.filter(
        ({ level, msg }) => level >= 40 && !/portable|frame refused/.test(msg),
      );
      assert.deepEqual(bad, []);
    });
  });
}

test('consumers that are behind when Core stops still get all records, and the goodbye after them', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const fast = await StreamClient.connect(proxy_port, 'batch');
  const behind = await Promise.all(
    (['events', 'batch'] as const).map((form) => StreamClient.connect(proxy_port, form)),
  );
  for (const consumer of behind) consumer.pause();
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  // More than sockets' buffers take, less than Core keeps for a consumer.
  const filler = 'x'.repeat(8_000);
  for (let number = 0; number < 3_000; number += 100) {
    const some = Array.from({ length: 100 }, (_, at) => `${numberedEvent(1n, number + at, filler)}\n`);
    await node.send(some.join(''));
  }
  await fast.messages('PotEvent', 3_000);
  core.signal('SIGTERM');
  await core.line('stopping');
  await fast.gone();
  for (const consumer of behind) consumer.resume();
  for (const consumer of behind) {
    const { code } = await consumer.gone();
    assert.equal(code, 1001);
  }
  assert.deepEqual(await core.exit(), { code: 0, signal: null });
  const log = readLog(core.dataDir);
  for (const consumer of [fast, ...behind]) {
    assert.equal(consumer.byteCount, log.content.length, consumer.form);
    assert.ok(consumer.content.equals(log.content), consumer.form);
  }
});

test('what a node had sent whole before Core was told to stop is in the log, in every framing habit', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const ends = { lines: '\n', objects: '' };
  const bytes: Record<string, number> = {};
  for (const [at, [name, end]] of Object.entries(ends).entries()) {
    const id = BigInt(at) + 1n;
    const node = await NodeClient.register(node_port, { id, name }, end);
    const sent = Array.from({ length: 500 }, (_, n) => numberedEvent(id, n) + end).join('');
    // Behind the last whole frame, the first half of one.
    await node.send(sent + potEvent(id, '{}').slice(0, 50));
    bytes[name] = sent.length + 50;
  }
  await poll('all was read', async () => {
    const { nodes } = (await get(backend_port, '/api/v1/nodes')).json;
    return nodes.every(
      ({ node_name, bytes_in }: { node_name: string; bytes_in: number }) => bytes_in > bytes[node_name]!,
    )
      ? true
      : undefined;
  });
  assert.equal((await core.stop()).code, 0);
  const sessions = sessionsByNode(readLog(core.dataDir).lines);
  for (const id of ['1', '2']) {
    const [session] = sessions.get(id)!;
    assert.equal(assertContiguous(session!.events, 0, id), 500);
  }
  assert.equal(readDeadLetters(core.dataDir).length, 2, 'the two halves are accounted for');
});

test('Core that stops takes no more connections, and says so over REST until the end', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'server.shutdown_timeout_ms': 8_000 } });
  const { node_port, backend_port, proxy_port } = core.ports;
  // A consumer that never reads keeps the end waiting: it is given time to take what is queued for it.
  const deaf = await StreamClient.connect(proxy_port, 'batch');
  deaf.pause();
  const live = await StreamClient.connect(proxy_port, 'batch');
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  const filler = 'x'.repeat(8_000);
  const block = Array.from({ length: 1000 }, (_, at) => `${numberedEvent(1n, at, filler)}\n`).join('');
  await node.send(block);
  await node.send(block);
  await live.messages('PotEvent', 2_000);
  core.signal('SIGTERM');
  await core.line('stopping');
  await node.gone();
  const health = await get(backend_port, '/health');
  assert.deepEqual([health.status, health.json.status], [503, 'stopping']);
  await assert.rejects(NodeClient.connect(node_port), /ECONNREFUSED/);
  await within('9003 takes nobody', refused(proxy_port));

  await t.test('a second signal ends it at once', async () => {
    const startMs = performance.now();
    core.signal('SIGINT');
    const exit = await core.exit();
    assert.equal(exit.signal, 'SIGKILL');
    assert.ok(performance.now() - startMs < 1_000);
    await core.line('second signal: ending at once');
  });
});

test('told to stop between the death of a shard and the next one, Core still gives notice of its nodes', async (t) => {
  for (const waits of [true, false]) {
    const core = await CoreProcess.start(t, { settings: { 'server.debug': true, 'ingest.shards': 2 } });
    const { node_port, backend_port } = core.ports;
    const nodes = await Promise.all(
      Array.from({ length: 10 }, (_, at) =>
        NodeClient.register(node_port, { id: BigInt(at) + 1n, name: `n${at}` }),
      ),
    );
    await post(backend_port, '/debug/shards/0/kill');
    if (waits) await core.line('shard died');
    assert.deepEqual(await core.stop(), { code: 0, signal: null });
    await Promise.all(nodes.map((node) => node.gone()));
    const sessions = [...sessionsByNode(readLog(core.dataDir).lines).values()].flat();
    assert.equal(sessions.length, nodes.length);
    const reasons = sessions.map(({ reason }) => reason);
    assert.ok(
      reasons.every((reason) => reason === 'shard failed' || reason === 'Core is stopping'),
      String(reasons),
    );
    if (waits) assert.equal(reasons.filter((reason) => reason === 'shard failed').length, 5);
  }
});

test('a node that says goodbye while Core stops is not announced twice', async (t) => {
  const core = await CoreProcess.start(t);
  const nodes = await Promise.all(
    Array.from({ length: 50 }, (_, at) =>
      NodeClient.register(core.ports.node_port, { id: BigInt(at) + 1n, name: `n${at}` }),
    ),
  );
  const goodbyes = nodes.map((node) => node.send(`${frame('NodeDrop', '{}')}\n`));
  core.signal('SIGTERM');
  await Promise.all(goodbyes);
  assert.equal((await core.exit()).code, 0);
  for (const [session, ...more] of sessionsByNode(readLog(core.dataDir).lines).values()) {
    assert.ok(['node said goodbye', 'Core is stopping'].includes(session!.reason!));
    assert.equal(more.length, 0);
  }
});

function refused(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => resolve());
    socket.on('connect', () => socket.destroy());
    socket.on('close', () => resolve());
  });
}
