/**
 * A shard is killed under load: the rest of Core lives, the shard is replaced, its nodes come back, what it had put
 * in its ring is in the log, and consumers can still tell who is connected. Fault injection: server.debug.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { readLog } from './event-log.js';
import { type LoadNode, startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { assertContiguous, sessionsByNode } from './node-history.js';
import { get, post } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const KILLS = 4;
const NODES = 24;

/** What may only grow. */
interface Counters {
  readonly totals: Record<string, number>;
  readonly aggregator: Record<string, number>;
}

async function counters(port: number): Promise<Counters> {
  const { totals, aggregator } = (await get(port, '/api/v1/stats')).json;
  const { connections_open: _open, heap_used_bytes: _heap, ...rest } = totals;
  const { next_seq, records, bytes_logged, batches } = aggregator;
  return { totals: rest, aggregator: { next_seq, records, bytes_logged, batches } };
}

function assertGrown(before: Counters, after: Counters): void {
  for (const part of ['totals', 'aggregator'] as const) {
    for (const [name, value] of Object.entries(before[part])) {
      assert.ok(after[part][name]! >= value, `${part}.${name} went from ${value} to ${after[part][name]}`);
    }
  }
}

/** Asserts that each session of the log is a prefix of what the node sent in it. */
function assertPrefixes(nodes: readonly LoadNode[], lines: readonly string[]): void {
  const logged = sessionsByNode(lines);
  for (const { identity, sessions } of nodes) {
    const own = logged.get(String(identity.id)) ?? [];
    assert.equal(own.length, sessions.length, `${identity.name}: every accepted session is in the log`);
    for (const [at, { first, sent }] of sessions.entries()) {
      const next = assertContiguous(own[at]!.events, first, `${identity.name}, session ${at}`);
      assert.ok(next <= first + sent, `${identity.name}: nothing that was not sent`);
    }
  }
}

/** Waits until Core has no more of any kind of descriptor than before: those of other threads close in their time. */
async function noMoreDescriptors(core: CoreProcess, before: Record<string, number>): Promise<void> {
  await poll(
    'as few descriptors as before',
    () => {
      const now = Object.entries(core.descriptors());
      return now.every(([kind, count]) => count <= (before[kind] ?? 0)) ? true : undefined;
    },
    10_000,
    () => `${JSON.stringify(core.descriptors())}\nbefore: ${JSON.stringify(before)}`,
  );
}

test('shards die under load, one after the other', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: {
      'ingest.shards': 2,
      'server.debug': true,
      // The consumer shares a thread with the nodes: it may be slow, and is not what is tried here.
      'stream.consumer_buffer_bytes': 1024 ** 3,
    },
  });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  // A node on each shard: the event loop of a thread opens /dev/null with its first socket.
  const first = await Promise.all(
    [1n, 2n].map((id) => NodeClient.register(node_port, { id, name: `${id}` })),
  );
  await Promise.all(first.map((node) => node.end()));
  await stream.messages('NodeDisconnected', first.length);
  const descriptorsBefore = core.descriptors();
  const nodes = await startLoad(t, node_port, NODES);
  let last = await counters(backend_port);
  let deaths = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const shard = kill % 2;
    // Load before, so that the ring holds something, and a fresh session of every node.
    const wanted = last.totals.events! + 5_000;
    await poll(`${wanted} events`, async () => {
      const now = await counters(backend_port);
      assertGrown(last, now);
      last = now;
      return now.totals.events! >= wanted ? true : undefined;
    });
    assert.equal((await post(backend_port, `/debug/shards/${shard}/kill`)).status, 202);
    deaths++;
    await poll(`death ${deaths} and a new shard`, async () => {
      const { shards } = (await get(backend_port, '/api/v1/stats')).json;
      const now = await counters(backend_port);
      assertGrown(last, now);
      last = now;
      const died = shards.reduce((sum: number, { deaths: own }: { deaths: number }) => sum + own, 0);
      return died === deaths && shards.every(({ alive }: { alive: boolean }) => alive) ? true : undefined;
    });
    await poll('all nodes are connected', async () =>
      (await get(backend_port, '/api/v1/stats')).json.nodes.connected === NODES ? true : undefined,
    );
  }
  assert.equal((await get(backend_port, '/health')).status, 200);
  await Promise.all(nodes.map((node) => node.stop()));
  const registrations = nodes.reduce((sum, { sessions }) => sum + sessions.length, 0);
  await stream.messages('NodeDisconnected', first.length + registrations);

  await t.test('no descriptor is left behind', async () => {
    await stream.end();
    await noMoreDescriptors(core, descriptorsBefore);
  });

  const stats = (await get(backend_port, '/api/v1/stats')).json;
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  const log = readLog(core.dataDir);

  await t.test('everything a shard had put in its ring is in the log, each record whole', () => {
    assert.equal(stats.totals.records, stats.aggregator.records, 'put in rings, and taken out of them');
    assert.equal(stats.totals.records, log.lines.length);
    assert.equal(stats.totals.connections_open, 0);
    assert.ok(stream.content.equals(log.content), 'the consumer saw the log');
  });

  await t.test('no record is out of order, and consumers can tell at any time who is connected', () => {
    assertPrefixes(nodes, log.lines);
    const reasons = [...sessionsByNode(log.lines).values()].flat().map(({ reason }) => reason);
    const failed = reasons.filter((reason) => reason === 'shard failed').length;
    assert.ok(failed >= KILLS, `${failed} sessions ended with their shard`);
    assert.equal(failed + NODES + first.length, reasons.length, 'the others ended in order');
  });

  await t.test("Core's log says what happened, and nothing else went wrong", () => {
    const died = core.lines.all.filter(({ msg }) => msg === 'shard died');
    assert.equal(died.length, KILLS);
    const unexpected = core.lines.all.filter(
      ({ level, msg }) => level >= 40 && msg !== 'shard died' && !/portable/.test(msg),
    );
    assert.deepEqual(
      unexpected.filter(({ msg }) => msg !== 'connections turned away'),
      [],
    );
  });
});

test('a shard dies while connections pour in: none is lost between two threads', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.shards': 1, 'server.debug': true } });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  await (await NodeClient.register(node_port, { id: 1_000_000n, name: 'first' })).end();
  await stream.messages('NodeDisconnected');
  const descriptorsBefore = core.descriptors();
  // Three waves; the shard is killed in the middle of each, and every connection must end: accepted or not.
  for (let wave = 0; wave < 3; wave++) {
    const clients = Array.from({ length: 200 }, (_, at) =>
      NodeClient.connect(node_port).then(async (client) => {
        await client.send(
          `{"version":2,"message":{"NodeRegistration":{"node_id":${wave * 1000 + at + 1},"node_name":"w${wave}-${at}","address":"a","port":1,"node_type":"Agent"}}}\n`,
        );
        return client;
      }),
    );
    await clients[60];
    await post(backend_port, '/debug/shards/0/kill');
    const all = await Promise.all(clients.map((client) => client.catch(() => undefined)));
    await poll('the shard is back', async () => {
      const [shard] = (await get(backend_port, '/api/v1/stats')).json.shards;
      return shard.alive && shard.deaths === wave + 1 ? true : undefined;
    });
    for (const client of all) client?.socket.end();
    await within('all connections end', Promise.all(all.map((client) => client?.closed)));
  }
  await stream.end();
  await noMoreDescriptors(core, descriptorsBefore);
  await poll('no session is left', async () => {
    const { nodes, totals } = (await get(backend_port, '/api/v1/stats')).json;
    return nodes.connected === 0 && totals.connections_open === 0 ? true : undefined;
  });
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  sessionsByNode(readLog(core.dataDir).lines);
});

test('fault injection is not there unless it was asked for', async (t) => {
  const core = await CoreProcess.start(t);
  const { backend_port } = core.ports;
  assert.equal((await post(backend_port, '/debug/shards/0/kill')).status, 404);
  assert.equal((await post(backend_port, '/debug/aggregator/kill')).status, 404);
  assert.equal((await core.stop()).code, 0);
});

test('fault injection knows which shards there are', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.shards': 1, 'server.debug': true } });
  const { backend_port } = core.ports;
  for (const shard of ['1', '-1', '00', 'x', '1e0']) {
    assert.equal((await post(backend_port, `/debug/shards/${shard}/kill`)).status, 404, shard);
  }
  assert.equal((await get(backend_port, '/debug/shards/0/kill')).status, 405);
  assert.equal((await core.stop()).code, 0);
  assert.equal(core.lines.all.filter(({ msg }) => msg === 'shard died').length, 0);
});
