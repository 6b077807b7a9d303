/**
 * Who may connect as a backend, and what each role may say: tokens in the header, as subprotocol and in the first
 * message, on the WebSocket and raw; origins; the end of a token.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROLES, type Role } from '../src/access/principal.js';
import { LIMITS } from '../src/limits.js';
import { BackendStage } from './backend-stage.js';
import { REGISTRATION } from './backend-transcripts.js';
import { poll } from './deadline.js';
import { numberedEvent } from './node-frames.js';
import { RawClient } from './raw-client.js';
import { TalkClient } from './talk-client.js';

const authenticate = (token: string) => `{"version":2,"message":{"Authenticate":{"token":"${token}"}}}`;
const registerWith = (token: string) =>
  `{"version":2,"message":{"BackendRegistration":{"token":"${token}","backend_name":"b","backend_type":"Api"}}}`;
const command = (text: string) => `{"version":2,"message":{"BackendCommand":${text}}}`;
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

/** A stage on which `stream-token` may read the stream, `read-token` ask, and so on. */
async function stageWithTokens(t: Parameters<typeof BackendStage.start>[0]): Promise<BackendStage> {
  const stage = await BackendStage.start(t);
  for (const role of ROLES) stage.access.add(`${role}-token`, [role]);
  return stage;
}

test('a token in the header or as subprotocol opens the stream; the answer never repeats it', async (t) => {
  const stage = await stageWithTokens(t);
  const byHeader = await TalkClient.connect(stage.proxyPort, bearer('stream-token'));
  const lower = await TalkClient.connect(stage.proxyPort, {
    headers: { authorization: 'bearer   stream-token' },
  });
  const byProtocol = await TalkClient.connect(stage.proxyPort, {}, [
    'honeybee.v2',
    'honeybee.token.stream-token',
  ]);
  const otherOrder = await TalkClient.connect(stage.proxyPort, {}, [
    'honeybee.token.stream-token',
    'honeybee.v2',
  ]);
  assert.deepEqual(
    [byHeader, byProtocol, otherOrder].map(({ socket }) => socket.protocol),
    ['', 'honeybee.v2', 'honeybee.v2'],
  );
  stage.records(numberedEvent(1n, 1));
  for (const client of [byHeader, lower, byProtocol, otherOrder])
    assert.equal(await client.next(), numberedEvent(1n, 1));
  assert.ok(stage.logLines.every((line) => !line.includes('stream-token')));
});

test('a wrong token is refused before there is a WebSocket; a locked address, too', async (t) => {
  const stage = await stageWithTokens(t);
  const wrong = [
    TalkClient.connect(stage.proxyPort, bearer('wrong')),
    TalkClient.connect(stage.proxyPort, { headers: { authorization: 'Basic c3RyZWFtLXRva2Vu' } }),
    TalkClient.connect(stage.proxyPort, { headers: { authorization: 'Bearer' } }),
    TalkClient.connect(stage.proxyPort, {}, ['honeybee.v2', 'honeybee.token.wrong']),
    TalkClient.connect(stage.proxyPort, {}, ['honeybee.v2', 'honeybee.token.']),
  ];
  for (const attempt of wrong) await assert.rejects(attempt, /401 the token is not valid/);
  stage.access.locked = true;
  await assert.rejects(TalkClient.connect(stage.proxyPort, bearer('wrong')), /429/);
  assert.ok(stage.logLines.every((line) => !line.includes('c3RyZWFt')));
});

test('without a token a WebSocket gets nothing of the stream until its first message shows one', async (t) => {
  const stage = await stageWithTokens(t);
  const waiting = await TalkClient.connect(stage.proxyPort);
  const registering = await TalkClient.connect(stage.proxyPort);
  const watching = await TalkClient.connect(stage.proxyPort, bearer('stream-token'));
  stage.records(numberedEvent(1n, 1));
  await watching.next();
  assert.match(await waiting.ask(authenticate('stream-token')), /"Authentication successful","data":null/);
  assert.match(await registering.ask(registerWith('stream-token')), /"backend_id":\d+/);
  stage.records(numberedEvent(1n, 2));
  for (const client of [waiting, registering]) assert.equal(await client.next(), numberedEvent(1n, 2));
});

test('a first message with a wrong token, or without any, ends the WebSocket with 4401', async (t) => {
  const stage = await stageWithTokens(t);
  for (const first of [
    authenticate('wrong'),
    registerWith('wrong'),
    REGISTRATION,
    command('"GetNodes"'),
    'rubbish',
    '{"version":2,"message":"BackendDrop"}',
  ]) {
    const client = await TalkClient.connect(stage.proxyPort);
    client.send(first);
    // What was sent behind it is not looked at any more.
    client.send(authenticate('admin-token'));
    assert.match(await client.next(), /"Failure":"UNAUTHORIZED: /);
    assert.equal((await client.gone()).code, 4401, first);
    assert.equal(client.messages.all.length, 1);
  }
});

test('who says nothing within the time is closed with 4408; raw with a reason', async (t) => {
  const stage = await stageWithTokens(t);
  const startMs = performance.now();
  const silent = await TalkClient.connect(stage.proxyPort);
  const raw = await RawClient.connect(stage.rawPort);
  raw.send('{"version":2,');
  assert.equal((await silent.gone()).code, 4408);
  assert.match(await raw.next(), /"Failure":"REQUEST_TIMEOUT: /);
  await raw.gone();
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs >= LIMITS.strangerMs - 50 && tookMs < LIMITS.strangerMs + 2_000, `${tookMs} ms`);
});

test('places without a token are few, also for both transports together, and come back', async (t) => {
  const stage = await stageWithTokens(t);
  const half = LIMITS.strangersPerAddress / 2;
  const sockets = await Promise.all(Array.from({ length: half }, () => TalkClient.connect(stage.proxyPort)));
  const raws = await Promise.all(Array.from({ length: half }, () => RawClient.connect(stage.rawPort)));
  for (const raw of raws) raw.send('{');
  await poll('all places are taken', () =>
    TalkClient.connect(stage.proxyPort).then(
      // It stays: on a slow machine the first ones have had their time by now.
      (client) => void sockets.push(client),
      (error: Error) => (error.message.startsWith('503') ? true : undefined),
    ),
  );
  const turnedAway = await RawClient.connect(stage.rawPort);
  turnedAway.send('{');
  assert.match(await turnedAway.next(), /UNAVAILABLE: too many connections without a token/);
  await turnedAway.gone();
  // With a token there is room, and whoever shows one makes room.
  await TalkClient.connect(stage.proxyPort, bearer('read-token'));
  await sockets.at(-1)!.ask(authenticate('read-token'));
  raws[0]!.socket.destroy();
  await poll('two places', () => TalkClient.connect(stage.proxyPort).catch(() => undefined));
  await poll('two places', () => TalkClient.connect(stage.proxyPort).catch(() => undefined));
});

/** What each message asks for; walked with every role. */
const NEEDED: readonly (readonly [message: string, role: Role | undefined])[] = [
  ['"GetNodes"', 'read'],
  ['"GetNodeCount"', 'read'],
  ['"GetActiveConnections"', 'read'],
  ['{"GetNode":{"node_id":1}}', 'read'],
  ['{"GetNodesByStatus":{"status":"Running"}}', 'read'],
  ['{"NodeCommand":{"node_id":1,"command":"Restart"}}', 'command'],
  ['{"BroadcastCommand":{"command":"Restart"}}', 'command'],
  ['{"RemoveNode":{"node_id":2}}', 'command'],
  ['"SubscribeEvents"', 'stream'],
  ['"UnsubscribeEvents"', undefined],
];
const INCLUDED: Readonly<Record<Role, readonly Role[]>> = {
  read: ['read'],
  stream: ['stream'],
  command: ['command', 'read'],
  admin: ['read', 'stream', 'command', 'admin'],
};

for (const role of ROLES) {
  test(`the role ${role} may say what it may, and nothing else, on both transports`, async (t) => {
    const stage = await stageWithTokens(t);
    stage.connect({ id: 1n, name: 'one' });
    const talkers = [
      await TalkClient.connect(stage.proxyPort, bearer(`${role}-token`)),
      await RawClient.connect(stage.rawPort),
    ];
    for (const talker of talkers) {
      await talker.ask(registerWith(`${role}-token`));
      for (const [message, needed] of NEEDED) {
        const answer = await talker.ask(command(message));
        const allowed = needed === undefined || INCLUDED[role].includes(needed);
        assert.equal(!answer.includes('FORBIDDEN'), allowed, `${message}: ${answer}`);
      }
    }
    const may = INCLUDED[role].includes('command');
    assert.equal(stage.commands.length, may ? 4 : 0, 'nothing that was refused was done');
    assert.equal(stage.removed.length, 0, 'node 2 is not known');
  });
}

test('without the role for it there is no stream, whatever else a token may do', async (t) => {
  const stage = await stageWithTokens(t);
  const asking = await TalkClient.connect(stage.proxyPort, bearer('command-token'));
  const watching = await TalkClient.connect(stage.proxyPort, bearer('stream-token'));
  stage.records(numberedEvent(1n, 1));
  await watching.next();
  assert.match(
    await asking.ask(REGISTRATION),
    /Registration successful/,
    'the answer is the first thing it got',
  );
});

test('origins: the page that Core serves, those that are allowed, and no other', async (t) => {
  const stage = await BackendStage.start(t, { allowedOrigins: ['https://soc.example.org'] });
  const own = `127.0.0.1:${stage.proxyPort}`;
  const cases: readonly (readonly [origin: string | undefined, host: string | undefined, opens: boolean])[] =
    [
      [undefined, undefined, true],
      [`http://${own}`, undefined, true],
      [`http://127.0.0.1:${stage.rawPort}`, undefined, true],
      ['https://soc.example.org', undefined, true],
      ['https://soc.example.org:8443', undefined, false],
      ['http://soc.example.org', undefined, false],
      ['http://evil.example.org', undefined, false],
      [`http://evil.example.org:${stage.proxyPort}`, undefined, false],
      [`http://evil.example.org:${stage.rawPort}`, undefined, false],
      ['http://127.0.0.1:1', undefined, false],
      ['null', undefined, false],
      ['file://', undefined, false],
      ['rubbish', undefined, false],
      [undefined, 'localhost:9003', true],
      [undefined, '[::1]:9003', true],
      // A name that somebody has bound anew to this address, while no token is needed.
      [undefined, 'rebound.example.org', false],
      ['http://rebound.example.org', 'rebound.example.org', false],
    ];
  for (const [origin, host, opens] of cases) {
    const attempt = TalkClient.connect(stage.proxyPort, {
      headers: { ...(origin === undefined ? {} : { origin }), ...(host === undefined ? {} : { host }) },
    });
    if (opens) (await attempt).socket.terminate();
    else await assert.rejects(attempt, /403/, `${origin} ${host}`);
  }
  stage.access.add('good', ['stream']);
  await TalkClient.connect(stage.proxyPort, {
    headers: { ...bearer('good').headers, host: 'core.example.org' },
  });
  await assert.rejects(
    TalkClient.connect(stage.proxyPort, {
      headers: { ...bearer('good').headers, origin: 'http://evil.example.org' },
    }),
    /403/,
  );
});

test('the end of a token ends its connections at once, and no other', async (t) => {
  const stage = await stageWithTokens(t);
  stage.access.add('doomed', ['admin']);
  const doomed = await TalkClient.connect(stage.proxyPort, bearer('doomed'));
  const later = await TalkClient.connect(stage.proxyPort);
  const raw = await RawClient.connect(stage.rawPort);
  const staying = await TalkClient.connect(stage.proxyPort, bearer('stream-token'));
  const stranger = await TalkClient.connect(stage.proxyPort);
  await later.ask(authenticate('doomed'));
  await raw.ask(registerWith('doomed'));
  stage.access.end('revoked', 'doomed');
  for (const client of [doomed, later])
    assert.deepEqual(await client.gone(), { code: 4403, reason: 'the token is revoked' });
  assert.match(await raw.next(), /UNAUTHORIZED: the token is revoked/);
  await raw.gone();
  stage.records(numberedEvent(1n, 1));
  assert.equal(await staying.next(), numberedEvent(1n, 1));
  assert.deepEqual(doomed.messages.all, []);
  await stranger.ask(authenticate('stream-token'));
});

test('the first token ends access that was open', async (t) => {
  const stage = await BackendStage.start(t);
  const early = await TalkClient.connect(stage.proxyPort);
  const raw = await RawClient.connect(stage.rawPort);
  await raw.ask(REGISTRATION);
  stage.access.firstTokenMade();
  assert.deepEqual(await early.gone(), { code: 4403, reason: 'a token is needed by now' });
  await raw.gone();
});
