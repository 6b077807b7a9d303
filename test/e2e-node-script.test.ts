/**
 * The node that people copy (scripts/node.ts) with a whole Core: events to the stream, a key that lasts over restarts of
 * both, and commands through REST to their end.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { folder, lines, NodeProcess } from './node-double.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const coreOf = (core: CoreProcess) => ['--core', `127.0.0.1:${core.ports.node_port}`];

test('it sends a file through a whole Core, as the same node each time', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'auth.totp': 'off' } });
  const stream = await StreamClient.connect(core.ports.proxy_port, 'events');
  const path = folder(t);
  const [file, state] = [join(path, 'pot.json'), join(path, 'state')];
  writeFileSync(file, lines(0, 500));
  for (let run = 0; run < 2; run++) {
    const node = new NodeProcess([...coreOf(core), '--file', file, '--state', state]);
    assert.equal(await node.ended(), 0, node.err);
  }
  await stream.messages('PotEvent', 1000);
  const [row, ...others] = (await get(core.ports.backend_port, '/api/v1/nodes')).json.nodes;
  assert.deepEqual(others, []);
  assert.deepEqual([row.id, row.registrations], [JSON.parse(readFileSync(state, 'utf8')).node_id, 2]);
  assert.deepEqual(row.dialect, { framing: 'lines', events: ['documented'], units: 'object' });
  assert.equal((await core.stop()).code, 0);
});

test('it is enrolled once, and gets in with its key after restarts of both; without the key it does not', async (t) => {
  const settings = { 'auth.totp': 'optional' };
  let core = await CoreProcess.start(t, { settings });
  const path = folder(t);
  const [file, state] = [join(path, 'pot.json'), join(path, 'state')];
  writeFileSync(file, lines(0, 10));
  const run = async (...args: string[]) => {
    const node = new NodeProcess([...coreOf(core), '--file', file, ...args]);
    t.after(() => node.child.kill('SIGKILL'));
    return node;
  };
  const first = await run('--state', state);
  assert.equal(await first.ended(), 0, first.err);
  const { totp_key } = JSON.parse(readFileSync(state, 'utf8'));
  assert.match(totp_key, /^[A-Z2-7]{32}$/);
  assert.equal(statSync(state).mode & 0o777, 0o600);
  const second = await run('--state', state);
  assert.equal(await second.ended(), 0, second.err);
  await core.crash();
  core = await CoreProcess.start(t, { settings, folder: core.folder });
  const third = await run('--state', state);
  assert.equal(await third.ended(), 0, third.err);
  assert.equal(JSON.parse(readFileSync(state, 'utf8')).totp_key, totp_key);
  const stranger = await run('--totp', '000000');
  await stranger.until('a refusal', () => /AUTHENTICATION_FAILED/.test(stranger.err));
  stranger.child.kill('SIGTERM');
  await stranger.ended();
  for (const { err, out } of [first, second, third]) assert.ok(!(err + out).includes(totp_key));
  assert.equal((await core.stop()).code, 0);
});

function send(port: number, path: string, body: unknown): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, path, method: 'POST', headers: { 'content-type': 'application/json' } },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        incoming.on('end', () => resolve({ status: incoming.statusCode!, text }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(body));
  });
}

test('commands through REST come to their end', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'auth.totp': 'off' } });
  const { backend_port } = core.ports;
  const node = new NodeProcess([...coreOf(core), '--no-listen', '--id', '77', '--pot-id', 'p']);
  t.after(() => node.child.kill('SIGKILL'));
  await poll('the node is there', async () => {
    const { status, json } = await get(backend_port, '/api/v1/nodes/77');
    return status === 200 && json.honeypots.length === 1 ? true : undefined;
  });
  for (const command of [
    { InstallPot: { pot_id: 'q', honeypot_type: 'heralding', auto_start: true } },
    { InstallPot: { pot_id: 'r', honeypot_type: 'heralding', auto_start: false } },
    { StopPot: 'p' },
    { DeployPot: 'p' },
    { RestartPot: 'p' },
    { GetPotStatus: 'p' },
    { GetPotInfo: 'p' },
    { GetPotLogs: 'p' },
    { GetPotMetrics: 'p' },
    { GetInstalledPots: {} },
    'UpdateConfig',
    { Restart: {} },
  ]) {
    const { status, text } = await send(backend_port, '/api/v1/nodes/77/commands', { command });
    assert.equal(status, 202, text);
    const { id } = JSON.parse(text);
    await poll(`${JSON.stringify(command)} is done`, async () => {
      const { json } = await get(backend_port, `/api/v1/commands/${id}`);
      assert.ok(!['failed', 'timed_out', 'cancelled'].includes(json.state), JSON.stringify(json));
      return json.state === 'done' ? true : undefined;
    });
  }
  node.child.kill('SIGTERM');
  assert.equal(await node.ended(), 0, node.err);
  assert.equal((await core.stop()).code, 0);
});
