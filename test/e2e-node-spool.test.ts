/**
 * The node that people copy (scripts/node.ts) with its spool, and a real Core: both are killed, the network breaks, and
 * everything that the node took is in the log, once, as it was taken.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { afterwards, CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { folder, lines, MAX_ID, NodeProcess, startNode } from './node-double.js';
import { messageName } from './node-frames.js';
import { Network } from './oracle/network.js';
import { get } from './rest-client.js';

const SETTINGS = { 'auth.totp': 'off', 'storage.fsync_interval_ms': 20, 'storage.segment_bytes': 65_536 };

/** The log holds `count` events: what the node was given, in its order, and numbered from 1. */
function assertHolds(dataDir: string, count: number): void {
  const events = readLog(dataDir).lines.filter((line) => messageName(line) === 'PotEvent');
  const wrong = events.findIndex(
    (line, at) => !line.includes(`"seq":${at + 1},`) || !line.includes(`"data":{"n":${at},`),
  );
  assert.equal(wrong, -1, `event ${wrong} of ${events.length} is ${events[wrong]}`);
  assert.equal(events.length, count);
}

const spooledLines = (spool: string) =>
  readdirSync(spool)
    .filter((name) => name.endsWith('.ndjson'))
    .reduce((sum, name) => sum + readFileSync(join(spool, name), 'latin1').split('\n').length - 1, 0);

test('a file goes through a Core that acknowledges, in order, and nothing is left in the spool', async (t) => {
  const core = await CoreProcess.start(t, { settings: SETTINGS });
  const path = folder(t);
  const [file, spool] = [join(path, 'pot.json'), join(path, 'spool')];
  writeFileSync(file, lines(0, 20_000));
  const node = startNode(t, `127.0.0.1:${core.ports.node_port}`, '--file', file, '--spool', spool);
  assert.equal(await node.ended(), 0, node.err);
  const { sent, acknowledged, spooled, unsent } = node.summary;
  assert.deepEqual([sent, acknowledged, spooled, unsent], [20_000, 20_000, 0, 0]);
  assert.equal((await core.stop()).code, 0);
  assertHolds(core.dataDir, 20_000);
});

test('Core and the node are killed again and again, the network breaks: nothing is lost, nothing is there twice', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = new Random(seed);
  const network = await Network.open(t);
  let core = await CoreProcess.start(t, { settings: SETTINGS });
  network.target = core.ports.node_port;
  const spool = join(folder(t), 'spool');
  let node: NodeProcess | undefined;
  afterwards(t, () => node?.child.kill('SIGKILL'));
  const start = async () => {
    node = new NodeProcess([
      '--core',
      `127.0.0.1:${network.port}`,
      '--listen',
      '0',
      '--spool',
      spool,
      '--id',
      MAX_ID,
    ]);
    return node.listening();
  };
  let port = await start();
  let taken = 0;
  const restart = async () => {
    await core.crash();
    core = await CoreProcess.start(t, { settings: SETTINGS, folder: core.folder });
    network.target = core.ports.node_port;
  };
  const rounds = 8;
  for (let round = 0; round < rounds; round++) {
    // Everything is handed over, and then the node's: in its spool. What it still has in memory dies with it.
    const count = 200 + random.below(800);
    const before = spooledLines(spool);
    const ended = node!.exitCode !== undefined;
    assert.ok(!ended, node!.err);
    const peer = net.connect(port, '127.0.0.1');
    peer.on('error', () => {});
    peer.end(lines(taken, taken + count));
    taken += count;
    const fault = random.below(4);
    if (fault === 0) await restart();
    if (fault === 1) network.cut(random, 1, random.below(2) === 0 ? 'reset' : 'ghost');
    const last = `"data":{"n":${taken - 1},`;
    await poll('the spool has it', () => {
      const names = readdirSync(spool).filter((name) => name.endsWith('.ndjson'));
      if (names.some((name) => readFileSync(join(spool, name), 'latin1').includes(last))) return true;
      return spooledLines(spool) === before + count ? true : undefined;
    });
    if (fault >= 2) {
      node!.child.kill('SIGKILL');
      await node!.ended();
      if (fault === 3) await restart();
      const newest = readdirSync(spool)
        .filter((name) => name.endsWith('.ndjson'))
        .sort()
        .at(-1)!;
      if (random.below(2) === 0) appendFileSync(join(spool, newest), '{"version":2,"mess');
      port = await start();
    }
  }
  await node!.until('registered', () => /registered as/.test(node!.err));
  await poll('everything is acknowledged', async () => {
    const [row] = (await get(core.ports.backend_port, '/api/v1/ledger/nodes')).json.nodes;
    return row?.connected && row.durable_seq === taken ? true : undefined;
  });
  node!.child.kill('SIGTERM');
  assert.equal(await node!.ended(), 0, node!.err);
  assert.equal(node!.summary.spooled, 0, node!.err);
  assert.equal((await core.stop()).code, 0);
  assertHolds(core.dataDir, taken);
  assert.equal(statSync(join(spool, 'state')).mode & 0o777, 0o600);
});

test('with fsync = never nothing is acknowledged: the node says so and keeps nothing back', async (t) => {
  const core = await CoreProcess.start(t, { settings: { ...SETTINGS, 'storage.fsync': 'never' } });
  const path = folder(t);
  const [file, spool] = [join(path, 'pot.json'), join(path, 'spool')];
  writeFileSync(file, lines(0, 1000));
  const node = startNode(t, `127.0.0.1:${core.ports.node_port}`, '--file', file, '--spool', spool);
  assert.equal(await node.ended(), 0, node.err);
  assert.match(node.err, /does not acknowledge events/);
  assert.equal(node.summary.spooled, 0);
  assert.equal((await core.stop()).code, 0);
  assertHolds(core.dataDir, 1000);
});
