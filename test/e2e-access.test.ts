/**
 * Access in a Core that runs: what it refuses to start with, tokens that outlive a crash, the control socket, and that
 * no secret is ever anywhere but in the answer that shows it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseToken } from '../src/access/token-text.js';
import { LIMITS } from '../src/limits.js';
import { cli } from './cli-run.js';
import { CLI_FILE, CoreProcess, cleanEnvironment, temporaryFolder } from './core-process.js';
import { ask, get, post } from './rest-client.js';

const ADMIN = { body: { name: 'admin', roles: ['admin'] } };

/** Every file of a folder and of those in it, as bytes in one text. */
function contents(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name), 'latin1'))
    .join('\n');
}

test('Core does not open REST or WebSocket to strangers without a token, and the way out that it names is one', async (t) => {
  const folder = temporaryFolder(t);
  const open = { 'server.host': '0.0.0.0', 'proxy.host': '0.0.0.0' };
  const refused = CoreProcess.launch(t, { folder, settings: open });
  assert.equal((await refused.exit()).code, 78);
  assert.match(
    refused.stderr,
    /REST on 0\.0\.0\.0 \(server\.host\) and WebSocket on 0\.0\.0\.0 \(proxy\.host\)/,
  );
  assert.ok(!refused.lines.all.some(({ msg }) => msg === 'ready'));
  assert.ok(!existsSync(join(refused.dataDir, 'core.lock')), 'the data directory is let go');
  const command = /make a token: +honeybee-core (.*)/.exec(refused.stderr)![1]!;
  const run = spawnSync('sh', ['-c', `"${process.execPath}" "${CLI_FILE}" ${command}`], {
    cwd: folder,
    env: cleanEnvironment(),
    encoding: 'utf8',
  });
  assert.equal(run.status, 0, run.stderr);
  const token = run.stdout.trim();
  const core = await CoreProcess.start(t, { folder, settings: open });
  const { backend_port } = core.ports;
  assert.equal((await get(backend_port, '/api/v1/nodes')).status, 401, 'on this machine neither');
  assert.equal((await get(backend_port, '/api/v1/nodes', { token })).status, 200);
  assert.equal((await get(backend_port, '/health')).status, 200);
  assert.equal((await core.stop()).code, 0);
});

test('the node port alone may be open to strangers; REST is then where it was told to be', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'server.host': '0.0.0.0', 'server.backend_host': '127.0.0.1' },
  });
  assert.equal((await get(core.ports.backend_port, '/api/v1/nodes')).status, 200);
  const hex = core.ports.backend_port.toString(16).toUpperCase().padStart(4, '0');
  const listening = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`:${hex} `));
  assert.ok(
    listening.some((line) => line.includes(` 0100007F:${hex} 00000000:0000 0A`)),
    listening.join('\n'),
  );
  assert.ok(!listening.some((line) => line.includes(` 00000000:${hex} `)));
  assert.equal((await core.stop()).code, 0);
});

test('allow_anonymous opens REST to everybody, but not its administration', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'server.host': '0.0.0.0', 'auth.allow_anonymous': true },
  });
  await core.line('auth.allow_anonymous: whoever reaches the ports may read, stream and command');
  assert.equal((await get(core.ports.backend_port, '/api/v1/nodes')).status, 200);
  assert.equal((await get(core.ports.backend_port, '/api/v1/tokens')).status, 403);
  assert.equal((await core.stop()).code, 0);
});

test('a token that was answered is there after kill -9 right behind the answer, its audit entry, too; a revoked one stays revoked', async (t) => {
  const folder = temporaryFolder(t);
  let core = await CoreProcess.start(t, { folder });
  const first = await post(core.ports.backend_port, '/api/v1/tokens', ADMIN);
  await core.crash();
  assert.equal(first.status, 201);
  const admin: string = first.json.token;
  const made = [first.json.id];
  const revoked: string[] = [];
  for (let round = 0; round < 3; round++) {
    core = await CoreProcess.start(t, { folder });
    const { backend_port: port } = core.ports;
    const list = await get(port, '/api/v1/tokens', { token: admin });
    assert.equal(list.status, 200, list.text);
    const states = new Map<string, string>(
      list.json.tokens.map(({ id, state }: { id: string; state: string }) => [id, state]),
    );
    assert.deepEqual([...states.keys()].sort(), [...made].sort());
    for (const id of made) assert.equal(states.get(id), revoked.includes(id) ? 'revoked' : 'active');
    const trail = await get(port, '/api/v1/audit?limit=1000', { token: admin });
    const entries: { action: string; target: string; seq: number }[] = trail.json.entries;
    for (const [action, ids] of [
      ['token.create', made],
      ['token.revoke', revoked],
    ] as const) {
      const targets = entries.filter((entry) => entry.action === action).map(({ target }) => target);
      assert.deepEqual(targets.sort(), [...ids].sort(), action);
    }
    assert.deepEqual(
      entries.map(({ seq }) => seq),
      entries.map((_, at) => entries.length - at),
    );
    const answers = await Promise.all(
      [0, 1, 2].map((n) =>
        post(port, '/api/v1/tokens', { token: admin, body: { name: `n${n}`, roles: ['read'] } }),
      ),
    );
    made.push(...answers.map(({ json }) => json.id));
    const gone = answers[1]!.json.id as string;
    assert.equal((await ask(port, 'DELETE', `/api/v1/tokens/${gone}`, { token: admin })).status, 204);
    revoked.push(gone);
    await core.crash();
  }
});

test('the control socket is its owner’s alone, needs no token, and is replaced after a crash', async (t) => {
  const folder = temporaryFolder(t);
  let core = await CoreProcess.start(t, { folder });
  const path = join(core.dataDir, 'control.sock');
  const { json } = await post(core.ports.backend_port, '/api/v1/tokens', ADMIN);
  assert.equal((await get(core.ports.backend_port, '/api/v1/tokens')).status, 401);
  const local = await post(path, '/api/v1/tokens', { body: { name: 'x', roles: ['read'] } });
  assert.equal(local.status, 201);
  assert.equal(local.json.created_by, 'local');
  assert.equal(
    (await get(path, '/api/v1/tokens', { token: 'hb_wrong' })).status,
    200,
    'a token is not looked at',
  );
  const trail = await get(path, '/api/v1/audit?limit=1');
  assert.deepEqual([trail.json.entries[0].kind, trail.json.entries[0].from], ['local', 'local']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(core.dataDir, 'state')).mode & 0o777, 0o700);
  if (process.getuid?.() === 0) {
    const script = `require('net').connect(${JSON.stringify(path)}).on('connect',()=>process.exit(0)).on('error',(e)=>{console.log(e.code);process.exit(1)})`;
    const other = spawnSync(process.execPath, ['-e', script], { uid: 65534, gid: 65534, encoding: 'utf8' });
    // Where nobody else may run this Node there is nobody to try.
    if (other.error === undefined) assert.equal(other.stdout.trim(), 'EACCES', other.stderr);
    else t.diagnostic(`another user was not tried: ${other.error.message}`);
  }
  await core.crash();
  assert.ok(existsSync(path), 'a killed Core leaves its socket');
  core = await CoreProcess.start(t, { folder });
  assert.equal((await get(path, '/api/v1/tokens')).json.tokens.length, 2);
  assert.equal((await get(core.ports.backend_port, '/api/v1/tokens', { token: json.token })).status, 200);
  assert.equal((await core.stop()).code, 0);
  assert.ok(!existsSync(path), 'a Core that ends in order takes it away');
  assert.deepEqual(
    readdirSync(core.dataDir).filter((name) => name.startsWith('.control')),
    [],
  );
});

test('a data directory with a path too long for a socket has a control socket all the same', async (t) => {
  if (process.platform !== 'linux') return t.skip('there is no short name for a folder here');
  const folder = join(temporaryFolder(t), 'long-'.repeat(30));
  mkdirSync(folder);
  const core = await CoreProcess.start(t, { folder });
  const args = ['--storage.dir', core.dataDir];
  const status = await cli(['status', ...args], { cwd: folder });
  assert.equal(status.code, 0, status.stderr);
  assert.match(status.stdout, /^health +ok/);
  assert.equal((await core.stop()).code, 0);
  const stopped = await cli(['token', 'create', '--name', 'x', '--role', 'read', ...args], { cwd: folder });
  assert.equal(stopped.code, 0, stopped.stderr);
});

test('an address that guesses is locked, and both the log and the audit trail say so, once', async (t) => {
  const core = await CoreProcess.start(t);
  const { backend_port: port } = core.ports;
  const { token } = (await post(port, '/api/v1/tokens', ADMIN)).json;
  const answers: number[] = [];
  for (let n = 0; n < LIMITS.accessFailuresPerMinute + 3; n++)
    answers.push((await get(port, '/api/v1/nodes', { token: 'hb_guess' })).status);
  assert.deepEqual(answers.slice(-4), [401, 429, 429, 429]);
  assert.equal((await get(port, '/api/v1/nodes', { token })).status, 429);
  const line = await core.line('too many wrong tokens: the address is not listened to for a minute');
  assert.equal(line.address, '127.0.0.1');
  const { json } = await get(join(core.dataDir, 'control.sock'), '/api/v1/audit?action=access.lock');
  assert.deepEqual(
    json.entries.map(({ target, outcome }: Record<string, string>) => [target, outcome]),
    [['127.0.0.1', 'refused']],
  );
  assert.equal((await core.stop()).code, 0);
});

test('a request for a name that strangers may have bound is refused while access is open', async (t) => {
  const core = await CoreProcess.start(t);
  const { backend_port: port } = core.ports;
  const rebound = { headers: { host: `evil.example:${port}` } };
  assert.equal((await get(port, '/api/v1/nodes', rebound)).status, 403);
  assert.equal((await post(port, '/api/v1/tokens', { ...ADMIN, ...rebound })).status, 403);
  const page = { headers: { origin: 'http://evil.example' } };
  assert.equal((await post(port, '/api/v1/tokens', { ...ADMIN, ...page })).status, 403);
  assert.equal((await get(port, '/api/v1/tokens')).json.tokens.length, 0);
  assert.equal((await core.stop()).code, 0);
});

test('no token is on disk or in the log, wherever it was shown, used right or wrong', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'logging.level': 'trace', 'server.debug': true },
  });
  const { backend_port: port } = core.ports;
  const { token } = (await post(port, '/api/v1/tokens', ADMIN)).json;
  const viaCli = await cli(
    ['token', 'create', '--name', 'c', '--role', 'read', '--storage.dir', core.dataDir],
    {
      cwd: core.folder,
    },
  );
  const other = viaCli.stdout.trim();
  await get(port, `/api/v1/nodes?token=${token}`, { token });
  await get(port, `/${token}`, { token });
  await get(port, '/api/v1/nodes', { headers: { authorization: `Basic ${token}` } });
  await get(port, '/api/v1/nodes', { token: `${token}x` });
  await ask(port, 'DELETE', `/api/v1/tokens/${parseToken(other)!.id}`, { token });
  await post(port, '/api/v1/tokens', { token, body: { name: 'y', roles: [token] } });
  const running = contents(core.dataDir);
  assert.equal((await core.stop()).code, 0);
  const said = [
    running,
    contents(core.folder),
    core.story(),
    core.otherOutput.join('\n'),
    viaCli.stderr,
  ].join('\n');
  assert.ok(said.includes(parseToken(token)!.id), 'ids are there');
  for (const one of [token, other]) {
    const { secret } = parseToken(one)!;
    assert.ok(!said.includes(secret));
    assert.ok(!said.includes(secret.slice(0, 20)), 'nor a part of it');
  }
});
