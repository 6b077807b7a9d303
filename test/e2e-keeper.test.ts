/**
 * The keeper in a real Core: seals and compresses under load and over ends without order, makes room on a full disk, tells
 * consumers what retention took, and costs nobody anything when it dies. The log is checked by the command line, as people do.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LogReport } from '../src/log/segment-report.js';
import { cli } from './cli-run.js';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { poll } from './deadline.js';
import { SEED } from './frames.js';
import { keyFiles, NODE, sendBytes, sizeOf } from './keeper-load.js';
import { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';
import { ask, get, post } from './rest-client.js';
import { SmallDisk } from './small-disk.js';
import { StreamClient } from './stream-client.js';

const MIB = 1024 * 1024;

async function verify(
  dataDir: string,
  ...args: string[]
): Promise<{ code: number | null; report: LogReport }> {
  const { code, stdout, stderr } = await cli(['log', 'verify', '--dir', dataDir, '--json', ...args], {
    cwd: dataDir,
  });
  assert.equal(stderr, '');
  return { code, report: JSON.parse(stdout) as LogReport };
}

/** Lines so far with this message. */
function lines(core: CoreProcess, msg: string): number {
  return core.lines.all.filter((line) => line.msg === msg).length;
}

test('killed in the middle of sealing and compressing, again and again, it leaves a log without a fault', async (t) => {
  const { privateFile, publicFile, pem } = keyFiles(t);
  const folder = temporaryFolder(t);
  const settings = {
    'storage.segment_bytes': 128 * 1024,
    'storage.compress': 'gzip',
    'storage.signing_key_file': privateFile,
    'server.debug': true,
  };
  let random = SEED >>> 0;
  let said = '';
  let dataDir = '';
  for (let round = 0; round < 3; round++) {
    const core = await CoreProcess.start(t, { folder, settings });
    dataDir = core.dataDir;
    const node = await NodeClient.register(core.ports.node_port, NODE);
    let next = round * 100_000;
    // The instant is where the machine happens to be when so many have been sealed.
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    const wanted = 3 + ((random >>> 16) % 6);
    await poll(`${wanted} segments are sealed`, async () => {
      next = await sendBytes(node, 100 * 1024, next);
      return lines(core, 'segment sealed') >= wanted ? true : undefined;
    });
    if (round === 1) {
      const { code, report } = await verify(dataDir, '--public-key', publicFile);
      assert.deepEqual(report.faults, [], 'while Core runs');
      assert.equal(code, 0);
      assert.equal((await post(core.ports.backend_port, '/debug/keeper/kill')).status, 202);
    }
    await core.crash();
    said += core.story();
  }
  const core = await CoreProcess.start(t, { folder, settings });
  await poll('everything is sealed, and compressed but for the newest', async () => {
    const { stdout } = await cli(['log', 'stat', '--dir', dataDir, '--json'], { cwd: dataDir });
    const { segments } = JSON.parse(stdout) as LogReport;
    return segments.slice(0, -1).every(({ sealed, compressed }) => sealed && compressed) ? true : undefined;
  });
  assert.equal((await core.stop()).code, 0);
  const { code, report } = await verify(dataDir, '--public-key', publicFile);
  assert.deepEqual(report.faults, []);
  assert.equal(code, 0);
  assert.deepEqual(report.holes, [], 'every number has a record');
  assert.ok(report.segments.length > 5);
  assert.deepEqual(
    readdirSync(join(dataDir, 'log')).filter((name) => name.endsWith('.tmp')),
    [],
  );
  const [secret] = pem.split('\n').slice(1);
  assert.ok(!said.includes(secret!) && !core.story().includes(secret!), 'the key is never said');
});

test('a full disk: retention makes room by itself, and Core goes on without losing anything that is kept', async (t) => {
  const disk = SmallDisk.mount(t, 48);
  if (disk === undefined) return t.skip('mounting a tmpfs is not permitted here');
  const core = await CoreProcess.start(t, {
    dataDir: `${disk.path}/data`,
    settings: {
      'storage.segment_bytes': MIB,
      'storage.retention_free_bytes': 4 * MIB,
      'ingest.ring_bytes': 4 * MIB,
    },
  });
  const node = await NodeClient.register(core.ports.node_port, NODE);
  let sent = await sendBytes(node, 10 * MIB);
  await poll('it is written', () => (sizeOf(core.dataDir) >= 10 * MIB ? true : undefined));
  // Not one byte is left, for the keeper neither.
  disk.leave(0);
  sent = await sendBytes(node, 20 * MIB, sent);
  disk.makeRoom();
  // More than the disk has, by far.
  sent = await sendBytes(node, 50 * MIB, sent);
  await node.end();
  await core.line('node disconnected');
  assert.ok(lines(core, 'segment deleted') > 20);
  const stream = await StreamClient.open(core.ports.proxy_port, 'batch', { query: { from: 'earliest' } });
  await stream.record('the last event', (line) =>
    line.includes(numberedEvent(NODE.id, sent - 1, 'x'.repeat(1000))),
  );
  await poll('health is ok', async () =>
    (await get(core.ports.backend_port, '/health')).json.status === 'ok' ? true : undefined,
  );
  assert.equal((await core.stop()).code, 0);
  const { code, report } = await verify(core.dataDir);
  assert.deepEqual(report.faults, []);
  assert.equal(code, 0);
  assert.ok(report.deleted !== null && report.deleted.next_seq === report.segments[0]!.segment);
});

test('a named consumer holds retention; who comes after it is told what is gone', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'storage.segment_bytes': 64 * 1024, 'storage.retention_bytes': 512 * 1024 },
  });
  const { node_port, proxy_port, backend_port } = core.ports;
  const node = await NodeClient.register(node_port, NODE);
  const consumer = await StreamClient.open(proxy_port, 'batch', {
    query: { from: 'earliest', consumer: 'siem' },
  });
  await consumer.messages('NodeRegistered');
  consumer.ack(2);
  // What is sent in one go comes into one segment, whatever its size, and that one is not finished.
  let sent = 0;
  await poll('the consumer holds retention', async () => {
    sent = await sendBytes(node, 40 * 1024, sent);
    const held = 'the log is not shortened: a consumer has not acknowledged its oldest records';
    return core.lines.all.find(({ msg, consumer: who }) => msg === held && who === 'siem');
  });
  assert.equal(lines(core, 'segment deleted'), 0);
  assert.equal((await get(backend_port, '/health')).json.status, 'ok');
  assert.equal((await ask(backend_port, 'DELETE', '/api/v1/consumers/siem')).status, 204);
  await core.line('segment deleted', { why: 'retention_bytes' });
  await poll('the log is small enough', () => (sizeOf(core.dataDir) <= 512 * 1024 ? true : undefined));
  const late = await StreamClient.open(proxy_port, 'batch', { query: { from: 1 } });
  await late.record('the last event', (line) =>
    line.includes(numberedEvent(NODE.id, sent - 1, 'x'.repeat(1000))),
  );
  const [gap] = late.gaps;
  assert.equal(gap?.reason, 'retention');
  assert.equal(gap.first_seq, 1);
  const { report } = await verify(core.dataDir);
  assert.deepEqual(report.faults, []);
  assert.equal(gap.next_seq, report.deleted?.next_seq);
});

test('its death costs nothing: it is started again, and Core is well all the time', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'storage.segment_bytes': 64 * 1024, 'server.debug': true },
  });
  const { node_port, proxy_port, backend_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const node = await NodeClient.register(node_port, NODE);
  let sent = 0;
  /** Until more than so many segments are sealed. What is sent in one go comes into one segment, whatever its size. */
  const sealMore = (than: number) =>
    poll(`more than ${than} segments are sealed`, async () => {
      sent = await sendBytes(node, 40 * 1024, sent);
      return lines(core, 'segment sealed') > than ? true : undefined;
    });
  await sealMore(0);
  for (let death = 1; death <= 3; death++) {
    assert.equal((await post(backend_port, '/debug/keeper/kill')).status, 202);
    await poll('it is said', () => (lines(core, 'the keeper died, restarting') === death ? true : undefined));
    assert.equal((await get(backend_port, '/health')).json.status, 'ok');
    await sealMore(lines(core, 'segment sealed'));
  }
  await stream.messages('PotEvent', sent);
  assert.equal((await core.stop()).code, 0);
  assert.deepEqual((await verify(core.dataDir)).report.faults, []);
});
