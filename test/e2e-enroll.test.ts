/** `honeybee-core enroll` against a Core that runs and against a data directory that none holds. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli } from './cli-run.js';
import { CLI_FILE, CoreProcess, cleanEnvironment, temporaryFolder } from './core-process.js';
import { get } from './rest-client.js';

const NAME = 'eu-west "1" ż/?#';

for (const running of [true, false]) {
  test(`nodes are enrolled, listed, rotated and revoked ${running ? 'in a Core that runs' : 'where none runs'}`, async (t) => {
    const folder = temporaryFolder(t);
    const core = running ? await CoreProcess.start(t, { folder }) : undefined;
    const dataDir = join(folder, 'data');
    const hb = (...args: string[]) => cli(['enroll', ...args, '--storage.dir', dataDir], { cwd: folder });
    const made = await hb(NAME);
    assert.equal(made.code, 0, made.stderr);
    const [, secret] = /^name {4}eu-west "1" ż\/\?#\nsecret {2}([A-Z2-7]{32})\nuri {5}otpauth:\/\//.exec(
      made.stdout,
    )!;
    assert.equal(made.stdout.split('\n').length, 4, 'no code where no terminal is');
    assert.ok(!made.stderr.includes(secret!));
    const again = await hb(NAME);
    assert.equal(again.code, 64, again.stderr);
    const rotated = JSON.parse((await hb('--rotate', NAME, '--json')).stdout) as Record<string, string>;
    assert.deepEqual(Object.keys(rotated), ['name', 'secret', 'otpauth_uri']);
    assert.equal(rotated.name, NAME);
    assert.notEqual(rotated.secret, secret);
    assert.ok(rotated.otpauth_uri!.includes(rotated.secret!));
    const rows = JSON.parse((await hb('--list', '--json')).stdout) as Record<string, string>[];
    assert.deepEqual(
      rows.map(({ name, state }) => [name, state]),
      [[NAME, 'active']],
    );
    assert.equal((await hb('--revoke', NAME)).code, 0);
    assert.match((await hb('--list')).stdout, /^name .*\neu-west "1" ż\/\?# +revoked/);
    assert.equal((await hb('--revoke', 'nobody')).code, 64);
    assert.equal((await hb('--open', '10m')).code, 0);
    const after = core ?? (await CoreProcess.start(t, { folder }));
    const { json } = await get(after.ports.backend_port, '/api/v1/enrolment-window');
    assert.equal(json.open, true);
    assert.equal((await hb('--close')).code, 0);
    assert.equal((await get(after.ports.backend_port, '/api/v1/enrolment-window')).json.open, false);
    const files = readdirSync(dataDir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name), 'latin1'));
    for (const one of [secret!, rotated.secret!])
      for (const said of [...files, after.story(), made.stderr]) assert.ok(!said.includes(one));
    assert.equal((await after.stop()).code, 0);
  });
}

test('on a terminal there is a code to scan, where it is wide enough', async (t) => {
  if (spawnSync('script', ['--version']).status !== 0)
    return t.skip('script(1) is not here to make a terminal');
  const folder = temporaryFolder(t);
  for (const [columns, hasCode] of [
    [100, true],
    [40, false],
  ] as const) {
    const command = `stty cols ${columns}; "${process.execPath}" "${CLI_FILE}" enroll n${columns} --storage.dir data`;
    const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
      cwd: folder,
      env: cleanEnvironment(),
      encoding: 'utf8',
    });
    assert.match(stdout, /otpauth:\/\//);
    assert.equal(stdout.includes('▀'), hasCode, stdout);
    assert.equal(/a QR code needs \d+ columns, this terminal has 40/.test(stdout), !hasCode);
  }
});
