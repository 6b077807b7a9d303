/**
 * Consumers of the stream: many at once, slow ones, vanishing ones, ones that talk. None of them costs the nodes or
 * the others anything, and each that stays gets everything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';
import { assertContiguous, sessionsByNode } from './node-history.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const MIB = 1024 * 1024;

async function consumerStats(port: number): Promise<Record<string, number>> {
  return (await get(port, '/api/v1/stats')).json.aggregator.consumers;
}

async function metric(port: number, name: string): Promise<number> {
  const { text } = await get(port, '/metrics');
  return Number(new RegExp(`^honeybee_${name} (\\S+)$`, 'm').exec(text)![1]);
}

test('consumers that do not read are left behind, not cut off: later they get all of it; nobody else notices', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'stream.consumer_buffer_bytes': 2 * MIB, 'storage.segment_bytes': 4 * MIB },
  });
  const { node_port, backend_port, proxy_port } = core.ports;
  const keeping = await StreamClient.connect(proxy_port, 'batch');
  const slow = await Promise.all(
    (['events', 'batch', 'batch'] as const).map((form) => StreamClient.connect(proxy_port, form)),
  );
  for (const consumer of slow) consumer.pause();
  let peakBytes = 0;
  // The node waits for the consumer that keeps up: it sits in the same process, and must not be slow itself.
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  let sent = 0;
  const write = async () => {
    const block = Array.from({ length: 200 }, () => `${numberedEvent(1n, sent++, 'x'.repeat(2_000))}\n`);
    await node.send(block.join(''));
    await keeping.messages('PotEvent', sent);
    peakBytes = Math.max(peakBytes, core.residentBytes());
  };
  await poll('the slow ones are left behind', async () => {
    await write();
    return (await metric(backend_port, 'consumers_in_log')) === slow.length ? true : undefined;
  });
  // The node, and the one that keeps up, go on.
  for (let block = 0; block < 20; block++) await write();
  const { open, cut_off, bytes_buffered } = await consumerStats(backend_port);
  assert.deepEqual([open, cut_off], [4, 0]);
  assert.ok(bytes_buffered! <= slow.length * 3 * MIB, `${bytes_buffered} bytes are buffered`);

  const late = slow.slice(0, 2);
  for (const consumer of late) consumer.resume();
  await Promise.all(late.map((consumer) => consumer.messages('PotEvent', sent)));
  await poll('they are live again', async () =>
    (await metric(backend_port, 'consumers_in_log')) === 1 ? true : undefined,
  );
  for (let block = 0; block < 5; block++) await write();
  await node.end();
  await keeping.messages('NodeDisconnected');
  slow[2]!.vanish();
  await poll('the one that never read is gone', async () =>
    (await consumerStats(backend_port)).open === 3 ? true : undefined,
  );
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  const log = readLog(core.dataDir);
  const [session] = sessionsByNode(log.lines).get('1')!;
  assert.equal(assertContiguous(session!.events, 0, 'the log'), sent);
  for (const consumer of [keeping, ...late]) {
    assert.equal((await consumer.gone()).code, 1001);
    assert.ok(consumer.content.equals(log.content), 'nothing is missing, nothing is there twice');
    assert.equal(consumer.misshapen, 0);
  }
  t.diagnostic(
    `peak ${Math.round(peakBytes / MIB)} MiB resident, ${Math.round(log.content.length / MIB)} MiB logged`,
  );
  assert.ok(peakBytes < 300 * MIB);
});

test('twenty consumers at once, in both forms: all see the same', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const consumers = await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      StreamClient.connect(proxy_port, at % 2 === 0 ? 'batch' : 'events', at % 4 < 2 ? '/' : '/ws'),
    ),
  );
  const nodes = await startLoad(t, node_port, 5, { watchers: consumers });
  await consumers[0]!.messages('PotEvent', 5_000);
  await Promise.all(nodes.map((node) => node.stop()));
  await Promise.all(consumers.map((consumer) => consumer.messages('NodeDisconnected', nodes.length)));
  assert.equal((await core.stop()).code, 0);
  await Promise.all(consumers.map((consumer) => consumer.gone()));
  const { content, lines } = readLog(core.dataDir);
  for (const consumer of consumers) {
    assert.ok(consumer.content.equals(content), consumer.form);
    assert.deepEqual([consumer.misshapen, consumer.binaryCount], [0, 0]);
    if (consumer.form === 'events') assert.equal(consumer.messageCount, lines.length);
  }
});

test('consumers come, vanish and come again under load: those that stay miss nothing', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port, proxy_port } = core.ports;
  const staying = await StreamClient.connect(proxy_port, 'events');
  const nodes = await startLoad(t, node_port, 5, { watchers: [staying] });
  const all: StreamClient[] = [];
  for (let round = 0; round < 20; round++) {
    const guests = await Promise.all([
      StreamClient.connect(proxy_port, 'events'),
      StreamClient.connect(proxy_port, 'batch'),
    ]);
    await Promise.all(guests.map((guest) => guest.messages('PotEvent', 20)));
    if (round % 2 === 0) for (const guest of guests) guest.vanish();
    else await Promise.all(guests.map((guest) => guest.end()));
    all.push(...guests);
  }
  await Promise.all(nodes.map((node) => node.stop()));
  await staying.messages('NodeDisconnected', nodes.length);
  await poll('one consumer is left', async () =>
    (await consumerStats(backend_port)).open === 1 ? true : undefined,
  );
  assert.equal((await consumerStats(backend_port)).total, 41);
  assert.equal((await core.stop()).code, 0);
  await staying.gone();
  const { content } = readLog(core.dataDir);
  assert.ok(staying.content.equals(content));
  for (const guest of all) {
    assert.equal(guest.misshapen, 0);
    // It joined between two records, and saw every one from there on.
    const start = content.indexOf(guest.content);
    assert.ok(start > 0 && content[start - 1] === 0x0a, 'a guest saw a piece of the log, whole records only');
  }
});

test('no more consumers than stream.max_consumers: the next one gets 503, and a place when one leaves', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'stream.max_consumers': 2 } });
  const { proxy_port } = core.ports;
  const [first, second] = await Promise.all([
    StreamClient.connect(proxy_port, 'events'),
    StreamClient.connect(proxy_port, 'batch'),
  ]);
  await assert.rejects(StreamClient.connect(proxy_port, 'events'), /503/);
  await first.end();
  const third = await poll('a place', () =>
    StreamClient.connect(proxy_port, 'events').catch(() => undefined),
  );
  await third.end();
  await second.end();
  assert.equal((await core.stop()).code, 0);
});

test("what a consumer says is nobody else's trouble", async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const keeping = await StreamClient.connect(proxy_port, 'events');
  const talking = await StreamClient.connect(proxy_port, 'events');
  const shouting = await StreamClient.connect(proxy_port, 'events');
  talking.socket.send('{"version":2,"message":"GetNodes"}');
  talking.socket.send(Buffer.from([0, 255, 1]));
  talking.socket.ping();
  shouting.socket.send('x'.repeat(70 * 1024));
  assert.notEqual((await shouting.gone()).code, 1000, 'a message above 64 KiB ends the connection');
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  await node.send(`${numberedEvent(1n, 1)}\n`);
  await keeping.messages('PotEvent');
  await talking.messages('PotEvent');
  assert.equal((await core.stop()).code, 0);
});

test('9003 is a WebSocket and says so', async (t) => {
  const core = await CoreProcess.start(t);
  const { proxy_port } = core.ports;
  const health = await get(proxy_port, '/health');
  assert.deepEqual([health.status, health.json], [200, { status: 'ok' }]);
  assert.equal((await get(proxy_port, '/')).status, 426);
  assert.equal((await get(proxy_port, '/ws')).status, 426);
  assert.equal((await get(proxy_port, '/nothing')).status, 404);
  const elsewhere = new WebSocket(`ws://127.0.0.1:${proxy_port}/nothing`);
  await assert.rejects(new Promise((_, reject) => elsewhere.once('error', reject)), /404/);
  assert.equal((await core.stop()).code, 0);
});

test('without the proxy there is no WebSocket, and the log is written all the same', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'proxy.enabled': false } });
  const { node_port, proxy_port } = core.ports;
  assert.equal(proxy_port, 0);
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  await node.send(`${numberedEvent(1n, 1)}\n`);
  await node.end();
  assert.equal((await core.stop()).code, 0);
  assert.equal(readLog(core.dataDir).lines.length, 3);
});
