/**
 * The disk fills up under load. Core says so, holds the nodes back, loses nothing, and goes on by itself when there
 * is room; told to stop meanwhile, it ends in time and says what it could not write.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { CoreProcess, type LaunchOptions } from './core-process.js';
import { poll } from './deadline.js';
import { readDeadLetters, readLog } from './event-log.js';
import { type LoadNode, startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { assertContiguous, sessionsByNode } from './node-history.js';
import { get } from './rest-client.js';
import { SmallDisk } from './small-disk.js';
import { StreamClient } from './stream-client.js';

const DISK_MIB = 96;
const FREE_MIB = 10;
const LOAD = { blockEvents: 20, fillerBytes: 2_000 };
const SETTINGS = {
  'ingest.ring_bytes': 4 * 1024 * 1024,
  // So that the disk is met full at the start of a segment, in its middle, and by its index.
  'storage.segment_bytes': 1024 * 1024,
};
const STILL_SAMPLES = 8;

function smallDisk(t: TestContext): SmallDisk | undefined {
  const disk = SmallDisk.mount(t, DISK_MIB);
  if (disk === undefined) t.skip('mounting a tmpfs is not permitted here');
  return disk;
}

/** A Core whose disk has filled up under the load of some nodes. */
async function fill(t: TestContext, disk: SmallDisk, options: LaunchOptions, nodeCount: number) {
  disk.leave(FREE_MIB);
  const core = await CoreProcess.start(t, { ...options, dataDir: `${disk.path}/data` });
  const stream = await StreamClient.connect(core.ports.proxy_port, 'batch');
  const nodes = await startLoad(t, core.ports.node_port, nodeCount, LOAD);
  await core.line('disk full: nodes are held back until there is room');
  await standStill(nodes);
  return { core, stream, nodes };
}

/** Waits until nobody gets rid of anything any more. */
async function standStill(nodes: readonly LoadNode[]): Promise<void> {
  let last = -1;
  let same = 0;
  await poll('the nodes are held back', async () => {
    const sent = nodes.reduce((sum, node) => sum + node.sent, 0);
    same = sent === last ? same + 1 : 0;
    last = sent;
    await pause(50);
    return same >= STILL_SAMPLES ? true : undefined;
  });
}

test('disk full: nodes are held back, nothing is lost, and Core goes on by itself', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const { core, stream, nodes } = await fill(t, disk, { settings: SETTINGS }, 3);
  const { backend_port, node_port } = core.ports;

  await t.test('health says why, REST and the stream still answer', async () => {
    const { status, json } = await get(backend_port, '/health');
    assert.deepEqual([status, json], [503, { status: 'degraded', reason: 'the disk is full' }]);
    const stats = (await get(backend_port, '/api/v1/stats')).json;
    assert.equal(stats.aggregator.disk.waits, 1);
    assert.equal(stats.nodes.connected, nodes.length, 'nobody lost the connection');
    await (await StreamClient.connect(core.ports.proxy_port, 'events')).end();
  });

  await t.test('what nodes write stays with them: no memory takes it instead', () => {
    for (const node of nodes) assert.ok(node.heldBackBytes > 0, node.identity.name);
    const residentMib = core.residentBytes() / 1024 / 1024;
    assert.ok(residentMib < 250, `${residentMib} MiB`);
  });

  // They have written all they will; it is in the kernel, in the rings, or waits in the nodes.
  const stopped = Promise.all(nodes.map((node) => node.stop()));
  // Somebody comes while nothing can be written: the connection stands, the registration waits.
  const late = await NodeClient.connect(node_port);
  disk.makeRoom();
  await core.line('disk has room again: going on');
  await stopped;
  await late.register({ id: 1n, name: 'late' });
  await late.send('nonsense\n');
  await late.end();
  await stream.messages('NodeDisconnected', nodes.length + 1);
  // What else needs the disk (the keeper, the ledger) finds out at its own pace that there is room.
  await poll('health is ok again', async () =>
    (await get(backend_port, '/health')).status === 200 ? true : undefined,
  );
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  await stream.gone();

  await t.test('everything that was sent is in the log, in order, once', () => {
    const log = readLog(core.dataDir);
    const sessions = sessionsByNode(log.lines);
    for (const node of nodes) {
      const own = sessions.get(String(node.identity.id))!;
      assert.equal(own.length, 1);
      assert.equal(assertContiguous(own[0]!.events, 0, node.identity.name), node.sent);
      assert.equal(own[0]!.reason, 'node closed the connection');
    }
    assert.ok(stream.content.equals(log.content), 'and the consumer saw it so');
    assert.equal(readDeadLetters(core.dataDir).length, 1);
  });
});

test('told to stop while the disk is full, Core ends in time with 74 and says what is left', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const timeoutMs = 1_500;
  const options = { settings: { ...SETTINGS, 'server.shutdown_timeout_ms': timeoutMs } };
  const { core, stream, nodes } = await fill(t, disk, options, 3);
  const startMs = performance.now();
  core.signal('SIGTERM');
  for (const node of nodes) node.dontReconnect();
  assert.deepEqual(await core.exit(), { code: 74, signal: null });
  const tookMs = performance.now() - startMs;
  t.diagnostic(`ended ${Math.round(tookMs)} ms after SIGTERM`);
  assert.ok(tookMs < timeoutMs + 1_500, `it took ${tookMs} ms`);
  const line = await core.line('stopped before everything that was read could be written');
  assert.ok(Number(line.runsLeft) > 0, JSON.stringify(line));
  await stream.gone();

  await t.test('the next start, on a disk with room, goes on behind what was written', async () => {
    disk.makeRoom();
    const next = await CoreProcess.start(t, { settings: SETTINGS, dataDir: core.dataDir });
    assert.deepEqual(await next.stop(), { code: 0, signal: null }, next.story());
    const log = readLog(core.dataDir);
    assert.ok(log.content.subarray(0, stream.byteCount).equals(stream.content));
    const sessions = sessionsByNode(log.lines);
    for (const { identity, sent } of nodes) {
      // Of one that came when the disk was already full, nothing was written.
      for (const session of sessions.get(String(identity.id)) ?? [])
        assert.ok(assertContiguous(session.events, 0, identity.name) <= sent);
    }
  });
});

test('a second signal while the disk is full ends Core at once', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const { core } = await fill(t, disk, { settings: SETTINGS }, 2);
  core.signal('SIGTERM');
  await core.line('stopping');
  core.signal('SIGTERM');
  assert.equal((await core.exit(2_000)).signal, 'SIGKILL');
});

test('a Core that is started on a full disk says so and ends at once', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  disk.leave(0);
  const core = CoreProcess.launch(t, { settings: SETTINGS, dataDir: `${disk.path}/data` });
  const exit = await core.exit();
  assert.equal(exit.code, 73, core.story());
  assert.match(core.stderr, /no space left/i);
});
