/**
 * Guards on memory, loose on purpose: a thousandfold mistake must fail them, a busy machine must not. The figures
 * that count come from the bench.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const MIB = 1024 * 1024;
const BYTES_PER_IDLE_NODE = 40 * 1024;
const EVENTS = 400_000;

test('an idle node costs little memory', async (t) => {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const allowed = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 1024);
  const count = allowed >= 4_500 ? 2_000 : 300;
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const nodes: NodeClient[] = [];
  const connect = async (until: number) => {
    while (nodes.length < until) {
      const some = Array.from({ length: Math.min(50, until - nodes.length) }, (_, at) => {
        const id = BigInt(nodes.length + at) + 1n;
        return NodeClient.register(node_port, { id, name: `idle ${id}` });
      });
      nodes.push(...(await Promise.all(some)));
    }
  };
  // The first hundred warm everything up.
  await connect(100);
  const before = core.residentBytes();
  await connect(100 + count);
  assert.equal((await get(backend_port, '/api/v1/stats')).json.nodes.connected, 100 + count);
  const perNode = (core.residentBytes() - before) / count;
  t.diagnostic(`${count} idle nodes cost ${(perNode / 1024).toFixed(1)} KiB each`);
  assert.ok(perNode < BYTES_PER_IDLE_NODE, `${perNode} bytes`);
  for (const node of nodes) node.reset();
  await poll('all have gone', async () =>
    (await get(backend_port, '/api/v1/stats')).json.nodes.connected === 0 ? true : undefined,
  );
  assert.equal((await core.stop()).code, 0);
});

test('memory does not grow with the number of events', async (t) => {
  const core = await CoreProcess.start(t, {
    // Segments small enough to be turned over, a consumer in batches beside the log.
    settings: { 'storage.segment_bytes': 8 * MIB },
  });
  const { node_port, backend_port, proxy_port } = core.ports;
  // It reads what it gets and keeps nothing of it.
  const stream = await StreamClient.connect(proxy_port, 'batch');
  stream.forget();
  const nodes = await startLoad(t, node_port, 10, { blockEvents: 100, fillerBytes: 40 });
  const events = async () => (await get(backend_port, '/api/v1/stats')).json.totals.events as number;
  const reach = (what: string, count: number) =>
    poll(what, async () => ((await events()) >= count ? true : undefined), 60_000);
  await reach('warm', EVENTS / 4);
  const before = core.residentBytes();
  await reach('the rest', EVENTS + EVENTS / 4);
  const grown = core.residentBytes() - before;
  t.diagnostic(`${EVENTS} events: ${(grown / MIB).toFixed(1)} MiB more resident`);
  // In portable mode every read makes garbage, which is collected when V8 sees fit.
  assert.ok(grown < (core.mode === 'native' ? 40 : 96) * MIB, `${grown} bytes: ${grown / EVENTS} per event`);
  await Promise.all(nodes.map((node) => node.stop()));
  await stream.end();
  assert.equal((await core.stop()).code, 0);
});
