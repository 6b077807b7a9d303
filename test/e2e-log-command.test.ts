/** `honeybee-core log` as people use it, with a Core that runs and with none; and keys that cannot be used. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LogReport } from '../src/log/segment-report.js';
import { cli } from './cli-run.js';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { poll } from './deadline.js';
import { keyFiles, NODE, sendBytes, sizeOf } from './keeper-load.js';
import { NodeClient } from './node-client.js';

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
