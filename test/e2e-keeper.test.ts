/**
 * The keeper in a real Core: seals and compresses under load and over ends without order, makes room on a full disk, tells
 * consumers what retention took, and costs nobody anything when it dies. The log is checked by the command line, as people do.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { LogReport } from '../src/log/segment-report.js';
import { cli } from './cli-run.js';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { poll } from './deadline.js';
import { SEED } from './frames.js';
import { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';
import { ask, get, post } from './rest-client.js';
import { SmallDisk } from './small-disk.js';
import { StreamClient } from './stream-client.js';

const MIB = 1024 * 1024;
const NODE = { id: 2n ** 62n, name: 'kept' };

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

function keyFiles(t: TestContext): { privateFile: string; publicFile: string; pem: string } {
  const folder = temporaryFolder(t);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const privateFile = join(folder, 'key.pem');
  const publicFile = join(folder, 'public.pem');
  writeFileSync(privateFile, pem, { mode: 0o600 });
  writeFileSync(publicFile, publicKey.export({ type: 'spki', format: 'pem' }));
  return { privateFile, publicFile, pem };
}

/** Lines so far with this message. */
function lines(core: CoreProcess, msg: string): number {
  return core.lines.all.filter((line) => line.msg === msg).length;
}

/** Sends so many bytes of events, or a little more. */
async function sendBytes(node: NodeClient, bytes: number, first = 0): Promise<number> {
  let number = first;
  for (let sent = 0; sent < bytes; ) {
    const block = Array.from(
      { length: 50 },
      () => `${numberedEvent(NODE.id, number++, 'x'.repeat(1000))}\n`,
    ).join('');
    await node.send(block);
    sent += block.length;
  }
  return number;
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
  const sent = await sendBytes(node, MIB);
  await core.line('the log is not shortened: a consumer has not acknowledged its oldest records', {
    consumer: 'siem',
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

test('a signing key that cannot be used is said before anything starts', async (t) => {
  const folder = temporaryFolder(t);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const rsa = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const { publicFile, privateFile } = keyFiles(t);
  const wrong = join(folder, 'wrong.pem');
  const cases: [content: string | undefined, path: string, reason: string][] = [
    [undefined, join(folder, 'missing.pem'), 'cannot be read: ENOENT'],
    [undefined, folder, 'is not a file'],
    ['nonsense', wrong, 'does not hold an unencrypted private key in PEM'],
    [rsa, wrong, 'holds a key of the type rsa; allowed: ed25519'],
    [readFileSync(publicFile, 'utf8'), wrong, 'does not hold an unencrypted private key in PEM'],
  ];
  for (const [content, path, reason] of cases) {
    if (content !== undefined) writeFileSync(wrong, content);
    const core = CoreProcess.launch(t, { settings: { 'storage.signing_key_file': path } });
    assert.deepEqual(await core.exit(), { code: 78, signal: null }, core.story());
    assert.ok(core.stderr.includes(`storage.signing_key_file = "${path}" ${reason}`), core.stderr);
    assert.ok(content === undefined || !core.story().includes(content.split('\n')[1] ?? content));
  }
  const { code, stderr } = await cli(['log', 'verify', '--dir', folder, '--public-key', privateFile], {
    cwd: folder,
  });
  assert.equal(code, 64);
  assert.match(stderr, /there is no log in/);
});

test('log verify, repair and stat as people use them, with a Core that runs and with none', async (t) => {
  const { privateFile } = keyFiles(t);
  const core = await CoreProcess.start(t, { settings: { 'storage.segment_bytes': 64 * 1024 } });
  const node = await NodeClient.register(core.ports.node_port, NODE);
  let sent = 0;
  for (let round = 1; round <= 5; round++) {
    sent = await sendBytes(node, 70 * 1024, sent);
    await poll('it is written', () => (sizeOf(core.dataDir) >= round * 70 * 1024 ? true : undefined));
  }
  await poll('all is there and sealed', async () => {
    const { records, segments } = JSON.parse(
      (await cli(['log', 'stat', '--dir', core.dataDir, '--json'], { cwd: core.folder })).stdout,
    ) as LogReport;
    return records === sent + 1 && segments.slice(0, -1).every(({ sealed }) => sealed) ? true : undefined;
  });
  const run = (...args: string[]) => cli(['log', ...args], { cwd: core.folder });
  const stat = await run('stat', '--dir', core.dataDir);
  assert.equal(stat.code, 0);
  assert.match(stat.stdout, /^first {2}records {2}size +on disk +from +to +state\n1 /);
  assert.match(stat.stdout, /sealed\n/);
  assert.match(stat.stdout, /open\n/);
  const good = await run('verify', '--dir', core.dataDir);
  assert.equal(good.code, 0, good.stdout);
  assert.match(good.stdout, /no faults\n$/);
  // The configuration finds it, too.
  assert.equal((await run('verify', '--storage.dir', core.dataDir)).code, 0);

  // An index is lost: what is sealed is mended, also while Core runs.
  const folder = join(core.dataDir, 'log');
  const [first, second] = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  rmSync(join(folder, first!.replace('.ndjson', '.idx')));
  const lost = await run('verify', '--dir', core.dataDir);
  assert.equal(lost.code, 1);
  assert.match(lost.stdout, /fault: segment 1: there is no index\n/);
  const repaired = await run('repair', '--dir', core.dataDir);
  assert.equal(repaired.code, 0, repaired.stdout);
  assert.match(repaired.stdout, /segment 1: made again: its index: \d+ records were not in it\n/);
  assert.match(repaired.stdout, /left alone: it is the newest/);
  assert.equal((await run('verify', '--dir', core.dataDir)).code, 0);
  assert.equal((await core.stop()).code, 0);

  // A byte is changed: nothing mends that.
  const path = join(folder, second!);
  const bytes = readFileSync(path);
  bytes[1000]! ^= 1;
  writeFileSync(path, bytes);
  const changed = await run('verify', '--dir', folder);
  assert.equal(changed.code, 1);
  const segment = Number(second!.slice(0, 20));
  assert.match(changed.stdout, new RegExp(`fault: segment ${segment}: the content is not what was sealed\n`));
  assert.match(changed.stdout, /records \d+ to \d+ are damaged/);
  assert.equal((await run('repair', '--dir', folder)).code, 0);
  assert.ok(readFileSync(path).equals(bytes), 'data is never touched');
  assert.equal((await run('verify', '--dir', folder)).code, 1);

  const refusals: [args: string[], text: RegExp][] = [
    [[], /log needs one of/],
    [['verfy'], /unknown: log verfy, did you mean verify\?/],
    [['stat', '--chain', '0'.repeat(64)], /--chain belongs to log verify/],
    [['verify', '--chain', 'abc'], /--chain abc is no chain/],
    [['verify', '--dir', core.dataDir, '--public-key', privateFile], /does not hold a public key in PEM/],
    [['stat', 'more'], /unexpected argument more behind log stat/],
  ];
  for (const [args, text] of refusals) {
    const { code, stderr } = await run(...args);
    assert.equal(code, 64);
    assert.match(stderr, text);
  }
});

function sizeOf(dataDir: string): number {
  const folder = join(dataDir, 'log');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .reduce((sum, name) => {
      try {
        return sum + readFileSync(join(folder, name)).length;
      } catch {
        return sum; // deleted meanwhile
      }
    }, 0);
}
