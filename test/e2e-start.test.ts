/**
 * Core is started wrong: it ends at once, with the exit code of the reason and a message that a person can act on.
 * And started right: configuration from file, environment and flags.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CoreProcess, type LaunchOptions, temporaryFolder } from './core-process.js';
import { NodeClient } from './node-client.js';
import { registration } from './node-frames.js';
import { get } from './rest-client.js';
import { SmallDisk } from './small-disk.js';

/** What is right away for a person, on a machine with other things to do. */
const AT_ONCE_MS = 5_000;

/** Core that must not come up; answers its exit code and what it said on standard error. */
async function failing(
  t: TestContext,
  options: LaunchOptions,
): Promise<[number | null, string, CoreProcess]> {
  const core = CoreProcess.launch(t, options);
  const { code } = await core.exit(AT_ONCE_MS);
  return [code, core.stderr, core];
}

test('a port that is in use: 69, and the message names port and setting', async (t) => {
  for (const setting of ['server.node_port', 'server.backend_port', 'proxy.port']) {
    await t.test(setting, async (t) => {
      const other = createServer();
      other.listen(0, '127.0.0.1');
      await once(other, 'listening');
      t.after(() => other.close());
      const { port } = other.address() as AddressInfo;
      const [code, message, core] = await failing(t, { settings: { [setting]: port } });
      assert.equal(code, 69, core.story());
      assert.ok(message.includes(String(port)) && message.includes(setting), message);
      assert.match(message, /in use/);
      assert.equal(message.trim().split('\n').length, 1, 'one line, no stack');
      assert.ok(
        core.lines.all.some(({ msg, exit_code }) => msg === 'Core did not start' && exit_code === 69),
      );
      assert.ok(!core.lines.all.some(({ msg }) => msg === 'ready'));
      assert.ok(!existsSync(join(core.dataDir, 'core.lock')), 'the data directory is let go');
    });
  }
});

test('a port of another Core is in use, too', async (t) => {
  const first = await CoreProcess.start(t);
  for (const [setting, port] of [
    ['server.node_port', first.ports.node_port],
    ['server.backend_port', first.ports.backend_port],
    ['proxy.port', first.ports.proxy_port],
  ] as const) {
    const [code, message] = await failing(t, { settings: { [setting]: port } });
    assert.deepEqual([code, message.includes(setting)], [69, true], message);
  }
  assert.equal((await first.stop()).code, 0);
});

test('a data directory that cannot be made: 73', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  for (const dataDir of [join(folder, 'file', 'data'), join(folder, 'file')]) {
    const [code, message] = await failing(t, { dataDir });
    assert.equal(code, 73, message);
    assert.ok(message.includes(dataDir) && message.includes('storage.dir'), message);
  }
});

test('a data directory that cannot be written: 73', async (t) => {
  const disk = SmallDisk.mount(t, 1, ',ro');
  if (disk === undefined) return t.skip('mounting a tmpfs is not permitted here');
  const [code, message] = await failing(t, { dataDir: disk.path });
  assert.equal(code, 73, message);
  assert.match(message, /read-only file system/i);
});

test('a second Core on the same data directory: 75, and the first one does not notice', async (t) => {
  const first = await CoreProcess.start(t);
  const [code, message] = await failing(t, { dataDir: first.dataDir });
  assert.equal(code, 75, message);
  assert.ok(message.includes(first.dataDir) && message.includes(`process ${first.pid}`), message);
  await (await NodeClient.register(first.ports.node_port, { id: 1n, name: 'n' })).end();
  assert.equal((await first.stop()).code, 0);
  const third = await CoreProcess.start(t, { dataDir: first.dataDir });
  assert.equal((await third.stop()).code, 0, 'and afterwards the directory is free');
});

test('a Core that was killed leaves a lock file, which does not keep the next one out', async (t) => {
  const first = await CoreProcess.start(t);
  await first.crash();
  assert.ok(existsSync(join(first.dataDir, 'core.lock')));
  const second = await CoreProcess.start(t, { dataDir: first.dataDir });
  assert.equal((await second.stop()).code, 0);
});

test('a wrong configuration: 78, every mistake with its place', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'bee_config.toml');
  writeFileSync(file, '[server]\nnode_prot = 9001\n\n[ingest]\nshards = "two"\n');
  const [code, message, core] = await failing(t, {
    folder,
    settings: { 'stream.max_consumers': 0 },
    env: { HONEYBEE_STORAGE_SEGMENT_BYTES: 'many' },
  });
  assert.equal(code, 78, message);
  for (const part of [
    /bee_config\.toml:2: server\.node_prot .*unknown key, did you mean server\.node_port\?/,
    /bee_config\.toml:5: ingest\.shards = "two" is a string; allowed: an integer from 0 to 128/,
    /HONEYBEE_STORAGE_SEGMENT_BYTES/,
    /--stream\.max_consumers/,
  ]) {
    assert.match(message, part);
  }
  assert.ok(!existsSync(core.dataDir), 'nothing was begun');
});

test('a mode that this machine cannot run: 78', async (t) => {
  const [code, message] = await failing(t, { settings: { 'ingest.mode': 'turbo' } });
  assert.equal(code, 78);
  assert.match(message, /ingest\.mode/);
});

test('the command line', async (t) => {
  await t.test('--help and --version print and end with 0', async (t) => {
    const help = CoreProcess.launch(t, { args: ['--help'] });
    assert.equal((await help.exit(AT_ONCE_MS)).code, 0);
    assert.match(help.otherOutput.join('\n'), /--config[\s\S]*node_port/);
    const version = CoreProcess.launch(t, { args: ['--version'] });
    assert.equal((await version.exit(AT_ONCE_MS)).code, 0);
    assert.match(version.otherOutput.join('\n'), /^\d+\.\d+\.\d+$/);
    assert.ok(!existsSync(join(version.folder, 'bee_config.toml')), 'nothing is written');
  });

  await t.test('an unknown flag or command: 64, with what was meant', async (t) => {
    const [flag, flagMessage] = await failing(t, { args: ['--server.node_prot=1'] });
    assert.deepEqual([flag, /server\.node_port/.test(flagMessage)], [64, true], flagMessage);
    const [command, commandMessage] = await failing(t, { args: ['statsu'] });
    assert.deepEqual([command, /status/.test(commandMessage)], [64, true], commandMessage);
  });
});

test('configuration by file, environment and flags', async (t) => {
  await t.test('on the first start bee_config.toml is written, and the second one reads it', async (t) => {
    const folder = temporaryFolder(t);
    const first = await CoreProcess.start(t, { folder });
    await first.stop();
    const text = readFileSync(join(folder, 'bee_config.toml'), 'utf8');
    assert.match(text, /^\[server\]$/m);
    assert.match(text, /node_port = 9001/);
    assert.ok(first.lines.all.some(({ created }) => created === true));
    const second = await CoreProcess.start(t, { folder });
    await second.stop();
    assert.ok(second.lines.all.some(({ created }) => created === false));
    assert.equal(readFileSync(join(folder, 'bee_config.toml'), 'utf8'), text, 'it is left as it is');
  });

  await t.test('flags override the environment, the environment overrides the file', async (t) => {
    const folder = temporaryFolder(t);
    const file = join(folder, 'elsewhere.toml');
    writeFileSync(
      file,
      '[ingest]\nshards = 1\nmax_connections = 3\n[stream]\nmax_consumers = 7\n[logging]\nfolder = "logs"\n',
    );
    mkdirSync(join(folder, 'logs'));
    const core = await CoreProcess.start(t, {
      folder,
      args: ['--config', file, '--ingest.shards', '3'],
      env: { HONEYBEE_INGEST_SHARDS: '2', HONEYBEE_INGEST_MAX_CONNECTIONS: '1' },
    });
    assert.equal((await core.ready()).shards, 3);
    const { backend_port, node_port } = core.ports;
    assert.equal((await get(backend_port, '/api/v1/stats')).json.shards.length, 3);
    // One connection is allowed, says the environment.
    const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
    const refused = await NodeClient.connect(node_port);
    await refused.gone();
    await core.line('connections turned away');
    await node.end();
    assert.equal((await core.stop()).code, 0);
    const logged = readFileSync(join(folder, 'logs', 'honeybee-core.log'), 'utf8')
      .trim()
      .split('\n');
    assert.deepEqual(
      logged.map((line) => JSON.parse(line).msg),
      core.lines.all.map(({ msg }) => msg),
      'the file has the same lines as standard output',
    );
  });

  await t.test('free ports are taken where 0 is asked for, and said', async (t) => {
    const core = await CoreProcess.start(t);
    const { node_port, backend_port, proxy_port } = core.ports;
    assert.equal(new Set([node_port, backend_port, proxy_port]).size, 3);
    for (const port of [node_port, backend_port, proxy_port]) assert.ok(port > 1023);
    assert.equal((await core.stop()).code, 0);
  });
});

test('on an IPv6 address', async (t) => {
  const probe = createServer();
  probe.listen(0, '::1');
  const usable = await Promise.race([once(probe, 'listening'), once(probe, 'error')]).then(
    () => probe.listening,
    () => false,
  );
  probe.close();
  if (!usable) return t.skip('this machine has no IPv6 loopback');
  const core = await CoreProcess.start(t, { settings: { 'server.host': '::1', 'proxy.host': '::1' } });
  const node = connect({ host: '::1', port: core.ports.node_port });
  node.write(`${registration({ id: 1n, name: 'six' })}\n`);
  await once(node, 'data');
  const registered = await core.line('node registered');
  assert.equal(registered.remote, `[::1]:${node.localPort}`);
  node.destroy();
  assert.equal((await core.stop()).code, 0);
});

test('a signal during the start is obeyed when it is over', async (t) => {
  const core = CoreProcess.launch(t);
  await core.line('honeybee-core starts');
  core.signal('SIGTERM');
  assert.deepEqual(await core.exit(), { code: 0, signal: null });
  assert.equal(core.lines.all.at(-1)!.msg, 'stopped');
});

test('a signal in the moment of readiness is obeyed in order', async (t) => {
  for (let round = 0; round < 3; round++) {
    const core = await CoreProcess.start(t);
    assert.deepEqual(await core.stop(), { code: 0, signal: null });
  }
});
