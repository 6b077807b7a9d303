/** The command line against a Core that runs and against a data directory that none holds: the same, as far as it goes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { type CliResult, cli } from './cli-run.js';
import { CLI_FILE, CoreProcess, cleanEnvironment, temporaryFolder } from './core-process.js';
import { get } from './rest-client.js';

const TOKEN = /^hb_([a-z2-7]{8})_[A-Za-z0-9_-]{43}\n$/;

function idOf({ stdout, stderr }: CliResult): string {
  const match = TOKEN.exec(stdout);
  assert.ok(match !== null, `no token and nothing else: ${stdout}${stderr}`);
  return match[1]!;
}

for (const running of [true, false]) {
  test(`tokens are made, listed and revoked ${running ? 'in a Core that runs' : 'where none runs'}`, async (t) => {
    const folder = temporaryFolder(t);
    const core = running ? await CoreProcess.start(t, { folder }) : undefined;
    const dataDir = join(folder, 'data');
    const hb = (...args: string[]) => cli([...args, '--storage.dir', dataDir], { cwd: folder });
    const limits = ['--expires', '30d', '--nodes', 'eu-*', '--event-type', 'cowrie.*', '--event-type', 'x'];
    const made = await hb('token', 'create', '--name', 'ci', '--role', 'read', '--role', 'stream', ...limits);
    assert.equal(made.code, 0, made.stderr);
    const id = idOf(made);
    assert.match(
      made.stderr,
      new RegExp(`^token ${id}, ci; roles read, stream; nodes eu-\\*; events cowrie`),
    );
    assert.ok(!made.stderr.includes('hb_'));
    const json = await hb('token', 'create', '--name', 'ż\tq'.replace('\t', ''), '--role', 'admin', '--json');
    const { token, ...row } = JSON.parse(json.stdout) as Record<string, string>;
    assert.match(`${token}\n`, TOKEN);
    assert.equal(row.name, 'żq');
    assert.equal(json.stderr, '');
    const listed = JSON.parse((await hb('token', 'list', '--json')).stdout) as Record<string, unknown>[];
    assert.deepEqual(
      listed.map(({ id, state, nodes, event_types }) => ({ id, state, nodes, event_types })),
      [
        { id: row.id, state: 'active', nodes: null, event_types: null },
        { id, state: 'active', nodes: 'eu-*', event_types: ['cowrie.*', 'x'] },
      ],
    );
    const days = (Date.parse(String(listed[1]!.expires)) - Date.now()) / 86_400_000;
    assert.ok(days > 29.9 && days < 30.1);
    assert.equal((await hb('token', 'revoke', id)).code, 0);
    const table = (await hb('token', 'list')).stdout.trimEnd().split('\n');
    assert.match(table[0]!, /^id +name +state +roles +scope +expires +last used$/);
    assert.match(
      table[2]!,
      new RegExp(`^${id}  ci +revoked  read,stream  nodes eu-\\*; events cowrie.\\*,x  20`),
    );
    const unknown = await hb('token', 'revoke', 'aaaaaaaa');
    assert.deepEqual([unknown.code, unknown.stdout], [64, '']);
    assert.match(unknown.stderr, /no token with this id/);
    const refused = await hb('token', 'create', '--name', 'x'.repeat(65), '--role', 'read');
    assert.equal(refused.code, 64);
    assert.match(refused.stderr, /name/);
    assert.ok(!existsSync(join(folder, 'bee_config.toml')) || running, 'nothing is written but the state');
    // What was made is in force, whichever way it was.
    const after = core ?? (await CoreProcess.start(t, { folder }));
    const { backend_port } = after.ports;
    assert.equal((await get(backend_port, '/api/v1/tokens', { token: token! })).json.tokens.length, 2);
    assert.equal((await get(backend_port, '/api/v1/nodes', { token: made.stdout.trim() })).status, 401);
    const trail = await get(backend_port, '/api/v1/audit', { token: token! });
    assert.deepEqual(
      trail.json.entries.map(({ action, from }: Record<string, string>) => [action, from]),
      [
        ['token.revoke', 'local'],
        ['token.create', 'local'],
        ['token.create', 'local'],
      ],
    );
    assert.equal((await after.stop()).code, 0);
  });
}

test('the data directory is found as Core finds it: file, environment, flag; and never made for a look', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'bee_config.toml'), '[storage]\ndir = "from-file"\n');
  writeFileSync(join(folder, 'other.toml'), '[storage]\ndir = "from-other"\n');
  const make = ['token', 'create', '--name', 'x', '--role', 'read'];
  const cases: [string, string[], Record<string, string>][] = [
    ['from-file', [], {}],
    ['from-other', ['--config', 'other.toml'], {}],
    ['from-environment', [], { HONEYBEE_STORAGE_DIR: 'from-environment' }],
    ['from-flag', ['--storage.dir', 'from-flag'], { HONEYBEE_STORAGE_DIR: 'from-environment' }],
  ];
  for (const [dir, args, env] of cases) {
    if (dir === 'from-file') {
      const looked = await cli(['token', 'list', ...args], { cwd: folder, env });
      assert.equal(looked.code, 69, looked.stderr);
      assert.match(looked.stderr, new RegExp(`no data directory .*${dir} \\(storage\\.dir\\)`));
    }
    assert.equal((await cli([...make, ...args], { cwd: folder, env })).code, 0);
    assert.ok(existsSync(join(folder, dir, 'state')), dir);
    assert.deepEqual(
      readdirSync(join(folder, dir)).sort(),
      ['audit', 'state', 'state.spare'],
      'nothing is left of the socket and the lock',
    );
  }
  const missing = await cli(['token', 'list', '--config', 'none.toml'], { cwd: folder });
  assert.equal(missing.code, 78);
  assert.match(missing.stderr, /none\.toml, named by --config, is not there/);
  assert.ok(!existsSync(join(folder, 'none.toml')));
});

test('another user’s data directory: 77, and how to go about it', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can give a folder away');
  const folder = temporaryFolder(t);
  chmodSync(folder, 0o755);
  const dir = join(folder, 'data');
  mkdirSync(dir, { mode: 0o750 });
  chownSync(dir, 65534, 65534);
  const args = ['token', 'create', '--name', 'x', '--role', 'read', '--storage.dir', dir];
  const refused = await cli(args, { cwd: folder });
  assert.equal(refused.code, 77, refused.stderr);
  assert.match(refused.stderr, /belongs to user 65534: run this as that user, sudo -u '#65534'/);
  assert.deepEqual(readdirSync(dir), [], 'nothing is left there that its owner could not open');
  // A Core of another user that runs: root gets through, others do not.
  const core = await CoreProcess.start(t, { folder: temporaryFolder(t) });
  chmodSync(core.folder, 0o755);
  chmodSync(core.dataDir, 0o755);
  const asNobody = (args: string[]) =>
    spawnSync(process.execPath, args, {
      uid: 65534,
      gid: 65534,
      cwd: '/',
      env: cleanEnvironment(),
      encoding: 'utf8',
    });
  const reads = asNobody(['-e', `require('node:fs').readFileSync(${JSON.stringify(CLI_FILE)})`]);
  if (reads.status === 0) {
    const other = asNobody([CLI_FILE, 'token', 'list', '--storage.dir', core.dataDir]);
    assert.equal(other.status, 77, other.stderr);
    assert.match(other.stderr, /control\.sock belongs to another user/);
  } else t.diagnostic('nobody may read this checkout, so what another user is told was not tried');
  assert.equal((await core.stop()).code, 0);
});

test('while a Core starts or stops, the command waits for it', async (t) => {
  const folder = temporaryFolder(t);
  const core = CoreProcess.launch(t, { folder });
  const args = ['token', 'create', '--name', 'x', '--role', 'read', '--storage.dir', join(folder, 'data')];
  const results = await Promise.all([1, 2, 3].map(() => cli(args, { cwd: folder })));
  for (const result of results) assert.equal(result.code, 0, result.stderr);
  // Core may have come second, and found the directory taken.
  const list = await cli(['token', 'list', '--json', '--storage.dir', join(folder, 'data')], { cwd: folder });
  assert.equal(JSON.parse(list.stdout).length, 3);
  core.signal('SIGKILL');
  await core.exit();
});

test('status: this machine’s Core without a token, any other with one, 77 without', async (t) => {
  const core = await CoreProcess.start(t);
  const { cwd } = { cwd: core.folder };
  const dir = ['--storage.dir', core.dataDir];
  const made = await cli(['token', 'create', '--name', 'x', '--role', 'read', ...dir], { cwd });
  writeFileSync(join(cwd, 'token'), made.stdout, { mode: 0o600 });
  const url = ['--url', `http://127.0.0.1:${core.ports.backend_port}/`];
  const local = await cli(['status', ...dir], { cwd });
  assert.equal(local.code, 0, local.stderr);
  assert.match(local.stdout, /^health +ok\nCore/);
  for (const [args, env] of [
    [['--token-file', 'token'], {}],
    [[], { HONEYBEE_TOKEN: made.stdout.trim() }],
  ] as const) {
    const remote = await cli(['status', ...url, ...args], { cwd, env });
    assert.equal(remote.code, 0, remote.stderr);
  }
  const stranger = await cli(['status', ...url], { cwd });
  assert.equal(stranger.code, 77);
  assert.match(stranger.stderr, /a valid token is needed.*--token-file FILE or HONEYBEE_TOKEN/);
  const wrong = await cli(['status', ...url], { cwd, env: { HONEYBEE_TOKEN: 'hb_secret_of_mine' } });
  assert.equal(wrong.code, 77);
  assert.ok(!wrong.stderr.includes('hb_secret'));
  const none = await cli(['status', ...url, '--token-file', 'absent'], { cwd });
  assert.deepEqual(
    [none.code, /absent \(--token-file\) cannot be read: ENOENT/.test(none.stderr)],
    [64, true],
  );
  const odd = await cli(['status', ...url], { cwd, env: { HONEYBEE_TOKEN: 'a b\r\nx: y' } });
  assert.deepEqual(
    [odd.code, odd.stderr.split('\n')[0]],
    [64, 'honeybee-core: HONEYBEE_TOKEN holds no token'],
  );
  assert.equal((await core.stop()).code, 0);
  const gone = await cli(['status', ...url], { cwd });
  assert.equal(gone.code, 69);
});

test('tail shows its token in the header, and nowhere else', async (t) => {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  const asked: { url: string | undefined; authorization: string | undefined }[] = [];
  sockets.on('connection', (socket, { url, headers }) => {
    asked.push({ url, authorization: headers.authorization });
    socket.send('{"n":1}\n');
    socket.close(1001);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    sockets.close();
    server.close();
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const cwd = temporaryFolder(t);
  const tail = await cli(['tail', '--url', url], { cwd, env: { HONEYBEE_TOKEN: 'hb_x_y' } });
  assert.deepEqual([tail.code, tail.stdout], [0, '{"n":1}\n']);
  await cli(['tail', '--url', url], { cwd });
  assert.deepEqual(asked, [
    { url: '/?batch=1', authorization: 'Bearer hb_x_y' },
    { url: '/?batch=1', authorization: undefined },
  ]);
});

test('tail starts where it is told, shows what passes the filter, and says apart from that what is missing', async (t) => {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  const asked: (string | undefined)[] = [];
  sockets.on('connection', (socket, { url }) => {
    asked.push(url);
    socket.send('{"version":2,"message":{"StreamPosition":{"next_seq":5}}}\n');
    socket.send('{"n":1}\n');
    socket.send(
      '{"version":2,"message":{"StreamGap":{"first_seq":6,"next_seq":9,"records":3,"reason":"retention"}}}\n',
    );
    socket.send('{"n":2}\n');
    socket.close(1001);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    sockets.close();
    server.close();
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const cwd = temporaryFolder(t);
  const filter = ['--event-type', 'ssh.*', '--event-type', 'http.*', '--text', 'a&b'];
  const tail = await cli(['tail', '--url', url, '--from', '5', ...filter], { cwd });
  assert.deepEqual([tail.code, tail.stdout], [0, '{"n":1}\n{"n":2}\n']);
  assert.match(tail.stderr, /3 records from 6 on are missing \(retention\); it goes on with 9/);
  assert.deepEqual(asked, ['/?from=5&event_type=ssh.*&event_type=http.*&text=a%26b&batch=1']);
  const wrong = await cli(['tail', '--url', url, '--from', 'yesterday'], { cwd });
  assert.equal(wrong.code, 64);
  assert.match(wrong.stderr, /--from yesterday is no sequence number/);
});
