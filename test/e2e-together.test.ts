/**
 * Everything that guards a Core at once, as an operator beyond loopback would set it up: TLS on every port, certificates and
 * one-time codes of nodes, tokens. A node gets in, its event comes out on every way, and it is told what to do.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { Agent, request } from 'undici';
import { WebSocket } from 'ws';
import { Authority } from '../bench/x509.js';
import { CoreProcess } from './core-process.js';
import { poll, Watched, within } from './deadline.js';
import { NodeClient } from './node-client.js';
import { numberedEvent, potStatus, registration } from './node-frames.js';
import { ask, post } from './rest-client.js';
import { shows, TlsFiles } from './tls-files.js';
import { codeAt } from './totp-code.js';

const ID = 2n ** 63n + 1n;
const NAME = 'eu-1';

/** Lines that come over a connection of any kind. */
function lines(): { readonly seen: Watched<string>; read(text: string): void } {
  const seen = new Watched<string>();
  let rest = '';
  return {
    seen,
    read(text) {
      const all = (rest + text).split('\n');
      rest = all.pop()!;
      for (const line of all) seen.push(line);
    },
  };
}

test('TLS, certificates, one-time codes and tokens together', async (t) => {
  const files = new TlsFiles(t);
  const nodes = new Authority('CA of nodes');
  const core = await CoreProcess.start(t, {
    settings: {
      ...files.settings,
      'tls.ca_file': files.write('ca.pem', nodes.cert),
      'tls.require_client_cert': true,
      'tls.match_node_name': true,
      'auth.totp': 'required',
    },
  });
  const { node_port, backend_port, proxy_port } = core.ports;
  const control = join(core.dataDir, 'control.sock');

  const token = (
    await post(control, '/api/v1/tokens', { body: { name: 'soc', roles: ['command', 'stream'] } })
  ).json.token as string;
  const secret = (await post(control, '/api/v1/enrolments', { body: { name: NAME } })).json.secret as string;

  const agent = new Agent({ connect: { ca: files.authority.cert } });
  t.after(() => agent.destroy());
  const rest = async (method: 'GET' | 'POST', path: string, body?: unknown) => {
    const answer = await request(`https://localhost:${backend_port}${path}`, {
      method,
      dispatcher: agent,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects of a parsed answer
    return { status: answer.statusCode, json: (await answer.body.json()) as any };
  };
  assert.equal(
    (await request(`https://localhost:${backend_port}/api/v1/nodes`, { dispatcher: agent })).statusCode,
    401,
  );

  const stream = lines();
  const consumer = new WebSocket(`wss://localhost:${proxy_port}/?batch=1`, {
    ca: files.authority.cert,
    headers: { authorization: `Bearer ${token}` },
  });
  t.after(() => consumer.terminate());
  consumer.on('message', (data: Buffer) => stream.read(data.toString('utf8')));
  await within('the consumer is let in', new Promise((resolve) => consumer.once('open', resolve)));

  const raw = lines();
  const backend = connect({
    host: '127.0.0.1',
    port: backend_port,
    servername: 'localhost',
    ...files.client,
  });
  t.after(() => backend.destroy());
  backend.setEncoding('utf8').on('data', raw.read);
  backend.write(
    `{"version":2,"message":{"BackendRegistration":{"backend_name":"b","backend_type":"Cli","token":"${token}"}}}\n` +
      '{"version":2,"message":{"BackendCommand":"SubscribeEvents"}}\n',
  );
  await within(
    'the raw backend is answered',
    raw.seen.first((line) => line.includes('"Success"'), 1),
  );

  const strangers = shows(new Authority('another CA').issue({ name: NAME, use: 'client' }));
  const stranger = await NodeClient.connectTls(node_port, { ...files.client, ...strangers });
  await stranger.gone();
  const other = await NodeClient.connectTls(node_port, {
    ...files.client,
    ...shows(nodes.issue({ name: 'eu-2', use: 'client' })),
  });
  await other.send(`${registration({ id: ID, name: NAME, code: codeAt(secret, Date.now()) })}\n`);
  assert.match(await other.answer('RegistrationAck'), /"accepted":false.*AUTHENTICATION_FAILED/);

  const node = await NodeClient.connectTls(node_port, {
    ...files.client,
    ...shows(nodes.issue({ name: NAME, use: 'client' })),
  });
  await node.register({ id: ID, name: NAME, code: codeAt(secret, Date.now()) });
  const event = numberedEvent(ID, 1);
  await node.send(`${event}\n`);
  await within(
    'the event over WebSocket',
    stream.seen.first((line) => line === event),
  );
  await within(
    'the event over the raw connection',
    raw.seen.first((line) => line === event),
  );

  const made = await rest('POST', `/api/v1/nodes/${ID}/commands`, { command: { StopPot: 'cowrie-1' } });
  assert.equal(made.status, 202);
  assert.match(await node.answer('NodeCommand'), /"command":\{"StopPot":"cowrie-1"\}/);
  await node.send(`${potStatus(ID, 'cowrie-1', 'cowrie', 'Stopped')}\n`);
  await poll('the command is done', async () => {
    const { state } = (await rest('GET', `/api/v1/commands/${made.json.id}`)).json;
    return state === 'done' ? true : undefined;
  });
  const row = (await rest('GET', `/api/v1/nodes?name=${NAME}`)).json.nodes[0];
  assert.deepEqual([row.id, row.tls, row.connected, row.pots], [String(ID), true, true, 1]);

  // Revoked: whoever holds a connection with it is told to leave.
  const gone = Promise.all([
    new Promise((resolve) => consumer.once('close', resolve)),
    new Promise((resolve) => backend.once('close', resolve)),
  ]);
  const id = token.split('_')[1];
  assert.equal((await ask(control, 'DELETE', `/api/v1/tokens/${id}`)).status, 204);
  assert.deepEqual((await within('both are closed', gone))[0], 4403);
  assert.equal((await rest('GET', '/api/v1/nodes')).status, 401);
  assert.equal(node.isClosed, false);
  assert.equal((await core.stop()).code, 0, core.story());
  for (const line of core.lines.all) {
    const text = JSON.stringify(line);
    assert.ok(!text.includes(secret) && !text.includes(token), text);
  }
});
