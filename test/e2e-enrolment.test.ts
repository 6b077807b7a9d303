/**
 * Enrolment with a real Core: what nodes are told over their sockets, what administrators are told over REST, and what is
 * there after Core was killed. Nodes come from several addresses of loopback.
 */
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ask } from './admin-client.js';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { poll, within } from './deadline.js';
import { readDeadLetters } from './event-log.js';
import { NodeClient } from './node-client.js';
import { frame, isNotice, type NodeIdentity, numberedEvent, potStatus, registration } from './node-frames.js';
import { get, post } from './rest-client.js';
import { StreamClient } from './stream-client.js';
import { codeAt } from './totp-code.js';

interface Ack {
  readonly accepted: boolean;
  readonly message: string;
  readonly totp_key?: string;
}

async function tryRegister(port: number, identity: NodeIdentity, from?: string) {
  const node = await NodeClient.connect(port, true, from);
  await node.send(`${registration(identity)}\n`);
  const answer = JSON.parse(await node.answer('RegistrationAck')) as { message: { RegistrationAck: Ack } };
  return { node, ack: answer.message.RegistrationAck };
}

/** Does everything under the folder, and the log, keep this to itself? */
function assertNowhere(core: CoreProcess, secrets: readonly string[]): void {
  const files = readdirSync(core.folder, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  assert.ok(files.length > 3);
  for (const file of files) {
    const content = readFileSync(join(file.parentPath ?? file.path, file.name));
    for (const secret of secrets) assert.ok(!content.includes(secret), `${secret} in ${file.name}`);
    if (!file.name.startsWith('dead-letters')) continue;
    for (const { frame } of readDeadLetters(core.dataDir))
      for (const secret of secrets) assert.ok(!frame.includes(secret), `${secret} in a dead letter`);
  }
  const said = [...core.lines.all.map((line) => JSON.stringify(line)), ...core.otherOutput, core.stderr].join(
    '\n',
  );
  for (const secret of secrets) assert.ok(!said.includes(secret), `${secret} in the log`);
}

test('optional: a node enrols itself, and is that name for ever after', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.shards': 2, 'server.debug': true } });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const secrets: string[] = [];

  const first = await tryRegister(node_port, { id: 1n, name: 'bee', code: '987123' });
  assert.equal(first.ack.accepted, true);
  const secret = first.ack.totp_key!;
  assert.match(secret, /^[A-Z2-7]{32}$/);
  secrets.push(secret);
  const code = codeAt(secret, Date.now());

  for (const wrong of [undefined, '987123', code === '000000' ? '000001' : '000000']) {
    const { node, ack } = await tryRegister(node_port, { id: 1n, name: 'bee', code: wrong }, '127.0.0.9');
    assert.equal(ack.accepted, false);
    assert.match(ack.message, /^AUTHENTICATION_FAILED: /);
    assert.equal(ack.totp_key, undefined);
    await node.gone();
  }
  assert.equal(first.node.isClosed, false, 'strangers cannot take over');

  // With another id, because nodes draw a new one at every start; the old connection still stands.
  const second = await tryRegister(node_port, { id: 2n, name: 'bee', code });
  assert.equal(second.ack.accepted, true);
  assert.equal(second.ack.totp_key, undefined, 'the secret is told once');
  await first.node.gone();
  await stream.seen('1 leaves', (line) => isNotice(line, 'NodeDisconnected', 1n), 1);
  assert.equal((await get(backend_port, '/api/v1/nodes/1')).status, 404);

  await second.node.send(`${numberedEvent(2n, 0)}\n${registration({ id: 2n, name: 'bee' })}\n`);
  const again = JSON.parse(await second.node.answer('RegistrationAck', 1));
  assert.equal(
    again.message.RegistrationAck.accepted,
    true,
    'a connection that has registered needs no new code',
  );

  const stolen = await tryRegister(node_port, { id: 2n, name: 'bee', code }, '127.0.0.8');
  assert.equal(stolen.ack.accepted, false, 'a code that was used is worth nothing elsewhere');

  const shard = (await get(backend_port, '/api/v1/nodes/2')).json.shard;
  assert.equal((await post(backend_port, `/debug/shards/${shard}/kill`)).status, 202);
  await second.node.gone();
  const third = await tryRegister(node_port, { id: 2n, name: 'bee', code });
  assert.equal(
    third.ack.accepted,
    true,
    'within 30 s its own node may repeat it, whatever happened to the shard',
  );
  const unproven = await tryRegister(node_port, { id: 2n, name: 'bee', code: '123456' }, '127.0.0.7');
  assert.equal(unproven.ack.accepted, false);

  const twins = [
    await tryRegister(node_port, { id: 31n, name: 'twin' }),
    await tryRegister(node_port, { id: 32n, name: 'twin' }),
  ];
  assert.ok(
    twins.every(({ ack, node }) => ack.accepted && !node.isClosed),
    'names without a secret may be shared',
  );
  const enrolled = await ask(backend_port, 'POST', '/api/v1/enrolments', { name: 'twin' });
  secrets.push(enrolled.json.secret);
  const twinCode = codeAt(enrolled.json.secret, Date.now());
  const proven = await tryRegister(node_port, { id: 33n, name: 'twin', code: twinCode });
  assert.equal(proven.ack.accepted, true);
  for (const { node } of twins) await node.gone();

  assert.equal((await core.stop()).code, 0);
  assertNowhere(core, [...secrets, '987123', code, twinCode]);
});

test('REST: enrol, list, rotate, revoke, forget; secrets are shown once', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'auth.totp': 'required' } });
  const { node_port, backend_port: port } = core.ports;
  const path = '/api/v1/enrolments';
  const name = 'eu/west 1 & ä?#%\u{1f41d}';
  const at = `${path}/${encodeURIComponent(name)}`;
  assert.deepEqual((await ask(port, 'GET', path)).json, { enrolments: [], next: null });
  const made = await ask(port, 'POST', path, { name });
  assert.equal(made.status, 201);
  assert.deepEqual(Object.keys(made.json), ['name', 'secret', 'otpauth_uri']);
  assert.equal(made.json.name, name);
  assert.ok(made.json.otpauth_uri.includes(made.json.secret));
  assert.equal((await ask(port, 'POST', path, { name })).status, 409);
  const secrets: string[] = [made.json.secret];

  const stranger = await tryRegister(node_port, { id: 1n, name: 'stranger', code: '123456' }, '127.0.0.9');
  assert.equal(stranger.ack.accepted, false);
  const { ack, node } = await tryRegister(node_port, { id: 1n, name, code: codeAt(secrets[0]!, Date.now()) });
  assert.equal(ack.accepted, true);
  const [row] = (await ask(port, 'GET', path)).json.enrolments;
  assert.deepEqual([row.name, row.state, row.by], [name, 'active', 'admin']);
  assert.ok(Date.parse(row.last_used) >= Date.parse(row.created));

  const rotated = await ask(port, 'POST', `${at}/rotate`);
  assert.equal(rotated.status, 200);
  secrets.push(rotated.json.secret);
  assert.notEqual(secrets[1], secrets[0]);
  assert.equal(node.isClosed, false);
  const old = await tryRegister(
    node_port,
    { id: 1n, name, code: codeAt(secrets[0]!, Date.now()) },
    '127.0.0.9',
  );
  assert.equal(old.ack.accepted, false);

  assert.equal((await ask(port, 'DELETE', at)).status, 204);
  await node.gone();
  const revoked = await tryRegister(
    node_port,
    { id: 1n, name, code: codeAt(secrets[1]!, Date.now()) },
    '127.0.0.9',
  );
  assert.equal(revoked.ack.accepted, false);
  assert.equal((await ask(port, 'DELETE', at)).status, 204, 'revoked is revoked');
  assert.equal((await ask(port, 'GET', path)).json.enrolments[0].state, 'revoked');
  assert.equal((await ask(port, 'POST', `${at}/rotate`)).status, 404);
  assert.equal((await ask(port, 'DELETE', `${at}?forget=true`)).status, 204);
  assert.equal((await ask(port, 'DELETE', at)).status, 404);

  for (const other of ['a', 'b', 'c'])
    secrets.push((await ask(port, 'POST', path, { name: other })).json.secret);
  const page = (await ask(port, 'GET', `${path}?limit=2`)).json;
  assert.deepEqual([page.enrolments.map((one: { name: string }) => one.name), page.next], [['a', 'b'], 'b']);
  const rest = (await ask(port, 'GET', `${path}?limit=2&after=b`)).json;
  assert.deepEqual([rest.enrolments.map((one: { name: string }) => one.name), rest.next], [['c'], null]);

  const bad: [string, string, unknown][] = [
    ['POST', path, {}],
    ['POST', path, { name: '' }],
    ['POST', path, { name: 5 }],
    ['POST', path, { name: 'x'.repeat(256) }],
    ['POST', path, { name: 'x', more: 1 }],
    ['GET', `${path}?limit=0`, undefined],
    ['GET', `${path}?limit=1001`, undefined],
    ['GET', `${path}?limit=x`, undefined],
    ['PUT', '/api/v1/enrolment-window', { seconds: 0 }],
    ['PUT', '/api/v1/enrolment-window', { seconds: 86_401 }],
    ['PUT', '/api/v1/enrolment-window', { seconds: '60' }],
  ];
  for (const [method, where, body] of bad)
    assert.equal(
      (await ask(port, method, where, body)).status,
      400,
      `${method} ${where} ${JSON.stringify(body)}`,
    );

  const opened = await ask(port, 'PUT', '/api/v1/enrolment-window', { seconds: 600 });
  assert.deepEqual([opened.status, opened.json.open, opened.json.totp], [200, true, 'required']);
  assert.ok(Math.abs(Date.parse(opened.json.until) - Date.now() - 600_000) < 30_000);
  const newcomer = await tryRegister(node_port, { id: 9n, name: 'newcomer', code: '000000' });
  assert.equal(newcomer.ack.accepted, true);
  secrets.push(newcomer.ack.totp_key!);
  assert.equal((await ask(port, 'DELETE', '/api/v1/enrolment-window')).status, 204);
  assert.equal((await ask(port, 'GET', '/api/v1/enrolment-window')).json.open, false);
  const late = await tryRegister(node_port, { id: 10n, name: 'latecomer', code: '000000' }, '127.0.0.5');
  assert.equal(late.ack.accepted, false);

  const { entries } = (await ask(port, 'GET', '/api/v1/audit?limit=1000')).json;
  const audited = (entries as { action: string; outcome: string }[]).map(
    ({ action, outcome }) => `${action} ${outcome}`,
  );
  assert.equal(audited.filter((one) => one === 'enrolment.create done').length, 4);
  assert.ok(audited.includes('enrolment.create refused') && audited.includes('enrolment.revoke done'));
  assert.equal((await core.stop()).code, 0);
  assertNowhere(core, secrets);
});

test('kill -9 while nodes register: who was told so is known, with its secret; no used code is good again', async (t) => {
  const NODES = 300;
  /** At a time; as many may have been let in without hearing of it, and those are locked out by their own secret. */
  const AT_ONCE = 20;
  let core = await CoreProcess.start(t, { settings: { 'ingest.shards': 2 } });
  const { folder } = core;
  const secrets = new Map<number, string>();
  const acked = new Set<number>();
  const used = new Map<number, string>();
  const nameOf = (n: number) => `node ${n}`;

  for (const life of [1, 2, 3]) {
    const { node_port } = core.ports;
    const enough = [0, 63, 117, 181][life]!;
    let acksOfLife = 0;
    let next = 0;
    const register = async (n: number): Promise<void> => {
      const secret = secrets.get(n);
      // Each life a step of its own, all of them good at any moment of this test.
      const code = secret === undefined ? '000000' : codeAt(secret, Date.now() + (life - 2) * 30_000);
      const node = await NodeClient.connect(node_port, true, `127.0.1.${1 + (n % 200)}`);
      const id = BigInt(life * 1000 + n);
      void node.send(
        `${registration({ id, name: nameOf(n), code })}\n${potStatus(id, 'p', 'cowrie', 'Running')}\n`,
      );
      const heard = node.answers.first((line) => line.includes('RegistrationAck'));
      const answer = await within('an answer, or the end', Promise.race([heard, node.closed]));
      if (typeof answer !== 'string') return;
      const ack = (JSON.parse(answer) as { message: { RegistrationAck: Ack } }).message.RegistrationAck;
      if (!ack.accepted) return;
      acked.add(n);
      if (ack.totp_key !== undefined) secrets.set(n, ack.totp_key);
      else used.set(n, code);
      if (++acksOfLife === enough) core.signal('SIGKILL');
    };
    const worker = async () => {
      // What cannot connect any more is told by the count below.
      while (next < NODES && acksOfLife < enough) await register(next++).catch(() => {});
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    assert.ok(acksOfLife >= enough, `${acksOfLife} were let in`);
    await core.exit();
    core = await CoreProcess.start(t, { folder, settings: { 'ingest.shards': 2 } });
    const { json } = await get(core.ports.backend_port, '/api/v1/nodes');
    const known = new Map<string, { connected: boolean; status: string }>(
      json.nodes.map((row: { node_name: string }) => [row.node_name, row]),
    );
    assert.equal(known.size, json.nodes.length, 'a record for each name');
    for (const n of acked) {
      const row = known.get(nameOf(n));
      assert.ok(row, `${nameOf(n)} was let in and is not known`);
      assert.deepEqual([row.connected, row.status], [false, 'Unknown']);
    }
  }
  assert.ok(used.size > 100 && secrets.size > 150, `${used.size} codes used, ${secrets.size} secrets told`);
  // The lock-out of addresses bounds how many may be tried from one.
  let tried = 0;
  for (const [n, code] of [...used].slice(0, 40)) {
    const from = `127.0.2.${1 + Math.floor(tried++ / 4)}`;
    const { ack } = await tryRegister(core.ports.node_port, { id: 9n, name: nameOf(n), code }, from);
    assert.equal(ack.accepted, false, `the code of ${nameOf(n)} was good twice`);
  }
  assert.equal((await core.stop()).code, 0);
  assertNowhere(core, [...secrets.values()]);
});

test('a restart leaves pots, totals, and who had said goodbye', async (t) => {
  const first = await CoreProcess.start(t);
  const { node_port, backend_port } = first.ports;
  const polite = await NodeClient.register(node_port, { id: 1n, name: 'polite' });
  await polite.send(
    `${potStatus(1n, 'p', 'cowrie', 'Running', 'up')}\n${numberedEvent(1n, 0)}\n${frame('NodeDrop', 'null')}\n`,
  );
  await polite.gone();
  const cut = await NodeClient.register(node_port, { id: 2n ** 64n - 1n, name: 'cut off' });
  await cut.send(`${numberedEvent(2n ** 64n - 1n, 0)}\n${numberedEvent(2n ** 64n - 1n, 1)}\n`);
  await poll('both events are counted', async () =>
    (await get(backend_port, '/api/v1/stats')).json.totals.events === 3 ? true : undefined,
  );
  assert.equal((await first.stop()).code, 0);

  const second = await CoreProcess.start(t, { folder: first.folder });
  const rows = (await get(second.ports.backend_port, '/api/v1/nodes')).json.nodes;
  const row = (name: string) => rows.find((one: { node_name: string }) => one.node_name === name);
  assert.deepEqual(
    ['polite', 'cut off'].map((name) => [
      row(name).id,
      row(name).status,
      row(name).connected,
      row(name).events,
    ]),
    [
      ['1', 'Stopped', false, 1],
      ['18446744073709551615', 'Unknown', false, 2],
    ],
  );
  const { json } = await get(second.ports.backend_port, '/api/v1/nodes/1');
  assert.deepEqual([json.honeypots[0].pot_id, json.honeypots[0].message], ['p', 'up']);
  const back = await NodeClient.register(second.ports.node_port, { id: 5n, name: 'polite' });
  const taken = (await get(second.ports.backend_port, '/api/v1/nodes/5')).json;
  assert.deepEqual([taken.registrations, taken.events, taken.honeypots.length], [2, 1, 1]);
  await back.end();
  await second.crash();
  const third = await CoreProcess.start(t, { folder: first.folder });
  assert.equal((await get(third.ports.backend_port, '/api/v1/nodes/1')).status, 404);
  assert.equal((await get(third.ports.backend_port, '/api/v1/nodes/5')).json.registrations, 2);
});

test('codes in frames that are refused are masked, however the frame is broken', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const CODE = '428915';
  const body = (more: string) =>
    `{"node_id":1,"node_name":"bee","address":"a","port":1,"node_type":"Full",${more}}`;
  const frames = [
    frame('NodeRegistration', body(`"totp_code":${CODE}`)),
    frame('NodeRegistration', body(`"totp_code":["${CODE}"]`)),
    frame('NodeRegistration', body(`"totp\\u005fcode":"${CODE}","port":2`)),
    frame('NodeRegistration', body(`"totp_code" : "${CODE}"`)).slice(0, -4),
    frame('NodeRegistration', body(`'totp_code': '${CODE}'`)),
    `{"version":2,"message":{"NodeRegistration":{"totp_code":"${CODE}`,
  ];
  for (const text of frames) {
    const node = await NodeClient.connect(node_port);
    await node.send(`{}\n${text}\n`);
    await node.end();
  }
  await poll('all are kept', () =>
    readDeadLetters(core.dataDir).length === 2 * frames.length ? true : undefined,
  );
  const letters = (await get(backend_port, '/api/v1/dead-letters')).json.dead_letters as { bytes: string }[];
  const texts = letters.map(({ bytes }) => Buffer.from(bytes, 'base64').toString());
  for (const text of texts) assert.ok(!text.includes(CODE), text);
  assert.equal(texts.filter((text) => text.includes('******')).length, frames.length);
  assert.equal((await core.stop()).code, 0);
  assertNowhere(core, [CODE]);
});

test('keys: from the environment, from a file that is nobody else’s business, or Core’s own; a wrong one ends the start', async (t) => {
  const folder = temporaryFolder(t);
  const key = Buffer.alloc(32, 7).toString('base64');
  const keyFile = join(folder, 'secret.key');
  const refusedBecause = async (
    pattern: RegExp,
    env: Record<string, string>,
    settings: Record<string, string>,
  ) => {
    const core = CoreProcess.launch(t, { folder, env, settings });
    assert.equal((await core.exit()).code, 78, core.story());
    assert.match(core.stderr, pattern);
    assert.ok(!core.stderr.includes(key));
  };
  const withFile = { 'auth.key_file': keyFile };
  writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
  chmodSync(keyFile, 0o640);
  await refusedBecause(/auth\.key_file .*0640.*chmod 600/, {}, withFile);
  chmodSync(keyFile, 0o400);

  const core = await CoreProcess.start(t, { folder, settings: withFile });
  const made = await ask(core.ports.backend_port, 'POST', '/api/v1/enrolments', { name: 'bee' });
  assert.equal(made.status, 201);
  await core.crash();
  const other = Buffer.alloc(32, 8).toString('base64');
  await refusedBecause(/another key than HONEYBEE_SECRET_KEY/, { HONEYBEE_SECRET_KEY: other }, withFile);
  const same = await CoreProcess.start(t, { folder, env: { HONEYBEE_SECRET_KEY: key } });
  assert.deepEqual(
    same.lines.all.filter(({ msg }) => msg === 'configuration'),
    [],
    'the variable is known',
  );
  const { ack } = await tryRegister(same.ports.node_port, {
    id: 1n,
    name: 'bee',
    code: codeAt(made.json.secret, Date.now()),
  });
  assert.equal(ack.accepted, true);
  assert.equal((await same.stop()).code, 0);
  rmSync(keyFile, { force: true });
  assertNowhere(same, [key, made.json.secret]);
});

test('off: codes are ignored, no secret is issued, and enrolments wait for better times', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'auth.totp': 'off' } });
  const { node_port, backend_port } = core.ports;
  const made = await ask(backend_port, 'POST', '/api/v1/enrolments', { name: 'bee' });
  const { ack } = await tryRegister(node_port, { id: 1n, name: 'bee', code: '000000' });
  assert.deepEqual([ack.accepted, ack.totp_key], [true, undefined]);
  const second = await tryRegister(node_port, { id: 2n, name: 'bee' });
  assert.equal(second.ack.accepted, true, 'names may be shared');
  await core.crash();
  const later = await CoreProcess.start(t, { folder: core.folder });
  const refused = await tryRegister(later.ports.node_port, { id: 1n, name: 'bee' });
  assert.equal(refused.ack.accepted, false);
  const code = codeAt(made.json.secret, Date.now());
  const proven = await tryRegister(later.ports.node_port, { id: 1n, name: 'bee', code });
  assert.equal(proven.ack.accepted, true);
});
