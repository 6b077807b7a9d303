/**
 * Raw backends and HTTP on one port: whatever comes first, in whatever pieces, reaches whom it is meant for, whole; and
 * the stream over raw connections, for those that read and those that do not.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Conversation } from '../src/backends/conversation.js';
import { RawBackend } from '../src/backends/raw-backend.js';
import { LIMITS } from '../src/limits.js';
import { ShardBuffer } from '../src/shard/framer.js';
import { BackendStage } from './backend-stage.js';
import { GOODBYE_ANSWER, GOODBYES, REGISTRATION } from './backend-transcripts.js';
import { afterwards } from './core-process.js';
import { poll, within } from './deadline.js';
import { numberedEvent } from './node-frames.js';
import { RawClient } from './raw-client.js';
import { get } from './rest-client.js';

const SUBSCRIBE = '{"version":2,"message":{"BackendCommand":"SubscribeEvents"}}';
const UNSUBSCRIBE = '{"version":2,"message":{"BackendCommand":{"UnsubscribeEvents":null}}}';

/** Answers with what it was sent. */
const echo: NonNullable<Parameters<typeof BackendStage.start>[1]>['serve'] = (incoming, response) => {
  const chunks: Buffer[] = [];
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
  incoming.on('end', () => response.end(`${incoming.method} ${incoming.url} ${Buffer.concat(chunks)}`));
};

async function inPieces(client: RawClient, text: string, cuts: readonly number[]): Promise<void> {
  let from = 0;
  for (const to of [...cuts, text.length]) {
    if (to > from) client.send(text.slice(from, to));
    from = to;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('HTTP torn at every byte, with white space in front, is HTTP still, and nothing of it is lost', async (t) => {
  const stage = await BackendStage.start(t, { serve: echo });
  const text =
    '\r\n\r\nPOST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{"a":"b"}';
  for (let cut = 0; cut <= text.length; cut++) {
    const client = await RawClient.connect(stage.rawPort);
    await inPieces(client, text, [cut, Math.min(cut + 1, text.length)]);
    await client.gone();
    assert.match(client.text, /^HTTP\/1\.1 200 OK\r\n/, `cut at ${cut}`);
    assert.ok(client.text.includes('POST /a {"a":"b"}'), `cut at ${cut}`);
  }
});

test('pipelined and kept-alive HTTP goes on as before', async (t) => {
  const stage = await BackendStage.start(t, { serve: echo });
  const client = await RawClient.connect(stage.rawPort);
  const requests = Array.from({ length: 50 }, (_, at) => `GET /${at} HTTP/1.1\r\nhost: x\r\n\r\n`);
  client.send(requests.slice(0, 25).join(''));
  await poll('half of the answers', () => (client.text.includes('GET /24 ') ? true : undefined));
  client.send(requests.slice(25).join(''));
  await poll('all answers', () => (client.text.includes('GET /49 ') ? true : undefined));
  const order = [...client.text.matchAll(/GET \/(\d+) /g)].map(([, at]) => Number(at));
  assert.deepEqual(
    order,
    Array.from({ length: 50 }, (_, at) => at),
  );
  client.socket.destroy();
  const body = 'x'.repeat(1_000_000);
  const answer = await within(
    'a large body',
    new Promise<string>((resolve, reject) => {
      const outgoing = request(
        { port: stage.rawPort, method: 'PUT', path: '/large', agent: false },
        (incoming) => {
          let text = '';
          incoming.on('data', (chunk) => {
            text += chunk;
          });
          incoming.on('end', () => resolve(text));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    }),
  );
  assert.equal(answer, `PUT /large ${body}`);
});

test('what is neither gets the answer of HTTP; who says nothing, or only white space, is sent away in time', async (t) => {
  const stage = await BackendStage.start(t, { serve: echo, firstByteMs: 300 });
  const garbage = await RawClient.connect(stage.rawPort);
  garbage.send(Buffer.from([0x16, 0x03, 0x01, 0x00, 0xff]));
  await garbage.gone();
  assert.match(garbage.text, /^HTTP\/1\.1 400/);
  const endless = await RawClient.connect(stage.rawPort);
  endless.send('\n'.repeat(LIMITS.leadingBlanks + 1));
  endless.send('NONSENSE\r\n\r\n');
  await endless.gone();
  const startMs = performance.now();
  const silent = await RawClient.connect(stage.rawPort);
  const blank = await RawClient.connect(stage.rawPort);
  const timer = setInterval(() => blank.send('\n'), 50);
  t.after(() => clearInterval(timer));
  await silent.gone();
  await blank.gone();
  assert.ok(performance.now() - startMs < 3_000);
  const left = await RawClient.connect(stage.rawPort);
  left.socket.end();
  await left.gone();
  assert.equal(left.text, '');
  assert.equal((await get(stage.rawPort, '/')).text, 'GET / ');
});

test('raw and HTTP side by side, many of both', async (t) => {
  const stage = await BackendStage.start(t, { serve: echo });
  await Promise.all(
    Array.from({ length: 40 }, async (_, at) => {
      if (at % 2 === 0) return assert.equal((await get(stage.rawPort, `/${at}`)).text, `GET /${at} `);
      const client = await RawClient.connect(stage.rawPort);
      await inPieces(client, `\n ${REGISTRATION}${GOODBYES[at % 3]}`, [at % 7, at]);
      await client.gone();
      assert.equal(client.lines.all[1], GOODBYE_ANSWER);
    }),
  );
});

test('no more raw backends than there are places; HTTP has its own', async (t) => {
  const stage = await BackendStage.start(t, { serve: echo });
  const clients = await Promise.all(
    Array.from({ length: LIMITS.rawBackends }, () => RawClient.connect(stage.rawPort)),
  );
  await Promise.all(clients.map((client) => client.ask(REGISTRATION)));
  const late = await RawClient.connect(stage.rawPort);
  late.send('{');
  assert.match(await late.next(), /UNAVAILABLE: as many backends are connected as Core takes/);
  await late.gone();
  assert.equal((await get(stage.rawPort, '/')).status, 200);
  clients[0]!.socket.destroy();
  await poll('a place', async () => {
    const client = await RawClient.connect(stage.rawPort);
    return (await client.ask(REGISTRATION)).includes('backend_id') ? true : undefined;
  });
});

test('a raw backend that takes nothing of what waits for it is closed; one for which nothing waits may be silent', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  afterwards(t, () => server.close());
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  afterwards(t, () => client.destroy());
  client.pause();
  const [socket] = (await once(server, 'connection')) as [Socket];
  const closed = new Promise<void>((resolve) => {
    const conversation = { registered: true, principal: undefined } as Conversation;
    const hooks = { onNext: async () => {}, onClosed: resolve };
    const backend = new RawBackend(socket, conversation, new ShardBuffer(), hooks);
    assert.equal(socket.timeout, LIMITS.rawStalledMs);
    socket.emit('timeout');
    assert.equal(socket.destroyed, false);
    // More than the system takes.
    for (let piece = 0; piece < 64; piece++) backend.stream(new Uint8Array(1024 * 1024), () => {});
  });
  assert.ok(socket.writableLength > 0);
  socket.emit('timeout');
  await within('its end', closed);
});

test('a raw backend gets the stream only while it asks for it, byte for byte', async (t) => {
  const stage = await BackendStage.start(t);
  const [client, other] = await Promise.all([
    RawClient.connect(stage.rawPort),
    RawClient.connect(stage.rawPort),
  ]);
  for (const backend of [client, other]) await backend.ask(REGISTRATION);
  await other.ask(SUBSCRIBE);
  stage.records(numberedEvent(1n, 0));
  assert.equal(await other.next(), numberedEvent(1n, 0));
  await client.ask(SUBSCRIBE);
  const events = Array.from({ length: 2000 }, (_, at) =>
    numberedEvent(2n ** 64n - 1n, at + 1, 'ü'.repeat(at % 50)),
  );
  for (let at = 0; at < events.length; at += 100) stage.records(...events.slice(at, at + 100));
  for (const line of events) {
    assert.equal(await client.next(), line);
    assert.equal(await other.next(), line);
  }
  assert.match(await client.ask(UNSUBSCRIBE), /Events unsubscribed/);
  stage.records(numberedEvent(1n, 9_999));
  assert.equal(await other.next(), numberedEvent(1n, 9_999));
  assert.match(await client.ask('{"version":2,"message":{"BackendCommand":"GetNodeCount"}}'), /"count":0/);
});

test('a subscriber that does not read gets everything later, from the log; the others lack nothing', async (t) => {
  const stage = await BackendStage.start(t, {
    settings: { 'stream.consumer_buffer_bytes': String(2 * 1024 * 1024), 'storage.segment_bytes': '1000000' },
  });
  const [stalled, reading] = await Promise.all([
    RawClient.connect(stage.rawPort),
    RawClient.connect(stage.rawPort),
  ]);
  for (const backend of [stalled, reading]) {
    await backend.ask(REGISTRATION);
    await backend.ask(SUBSCRIBE);
  }
  stalled.socket.pause();
  let sent = 0;
  const filler = 'x'.repeat(8_000);
  const send = async (until: number) => {
    while (sent < until) {
      stage.records(...Array.from({ length: 50 }, () => numberedEvent(1n, sent++, filler)));
      for (let at = 0; at < 50; at++) await reading.next();
    }
  };
  // Far more than the window and what the kernel takes.
  await send(3_000);
  const behind = (await stage.backends.deliveries()).filter(({ mode }) => mode === 'log');
  assert.equal(behind.length, 1);
  assert.deepEqual([behind[0]!.kind, behind[0]!.name, behind[0]!.remote], ['raw', null, '127.0.0.1']);
  assert.ok(behind[0]!.bufferedBytes <= 4 * 1024 * 1024, `${behind[0]!.bufferedBytes} bytes`);
  stalled.socket.resume();
  await send(3_500);
  for (const backend of [stalled, reading]) {
    await poll('all of it', () => (backend.lines.all.length >= 2 + sent ? true : undefined));
    for (const [at, line] of backend.lines.all.slice(2).entries())
      assert.equal(line, numberedEvent(1n, at, filler));
  }
  await poll(
    'both are live',
    async () =>
      (await stage.backends.deliveries()).every(
        ({ mode, nextSeq }) => mode === 'live' && nextSeq === sent + 1,
      ) || undefined,
  );
});

test('Core that stops sends subscribers the rest, and ends everybody', async (t) => {
  const stage = await BackendStage.start(t);
  const [subscriber, idle, torn] = await Promise.all([
    RawClient.connect(stage.rawPort),
    RawClient.connect(stage.rawPort),
    RawClient.connect(stage.rawPort),
  ]);
  for (const backend of [subscriber, idle]) await backend.ask(REGISTRATION);
  torn.send('{"version"');
  await subscriber.ask(SUBSCRIBE);
  for (let at = 0; at < 500; at++) stage.records(numberedEvent(1n, at, 'x'.repeat(1000)));
  await within('the stage stops', stage.stop());
  await Promise.all([subscriber.gone(), idle.gone(), torn.gone()]);
  const lines = subscriber.lines.all.slice(2);
  assert.deepEqual(
    lines.slice(0, -1),
    Array.from({ length: 500 }, (_, at) => numberedEvent(1n, at, 'x'.repeat(1000))),
  );
  assert.match(lines.at(-1)!, /Core is stopping/);
  assert.equal(idle.lines.all.length, 1);
});
