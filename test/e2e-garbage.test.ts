/**
 * What the internet sends to open ports, to each port of Core: nothing of it may harm a node, a consumer or a
 * request, and on the node port all of it is accounted for.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { Random } from '../bench/random.js';
import { CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { readDeadLetters, readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { numberedEvent, registration } from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const random = new Random(20_261_120);

function noise(length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}

/** A TLS 1.2 client's first record, as far as anybody looks at it. */
const CLIENT_HELLO = Buffer.concat([
  Buffer.from('16030100c8010000c40303', 'hex'),
  noise(32),
  Buffer.from('00002ac02cc02bc030c02f', 'hex'),
  noise(150),
]);

const GARBAGE: [what: string, bytes: Buffer][] = [
  ['a TLS hello', CLIENT_HELLO],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: zgrab/0.x\r\n\r\n')],
  ['an HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
  ['an SSH banner', Buffer.from('SSH-2.0-Go\r\n')],
  ['NULs', Buffer.alloc(3_000)],
  ['noise', noise(5_000)],
  ['an open string', Buffer.from('{"version":2,"message":"')],
  ['braces', Buffer.from('{'.repeat(20_000))],
  ['closing braces', Buffer.from('}'.repeat(2_000))],
  ['blanks', Buffer.from(' \t\r\n'.repeat(2_000))],
  ['one byte', Buffer.from([0x80])],
];

/** Sends bytes, waits until the other side has closed, and answers with what it said. */
function exchange(port: number, bytes: Buffer, end = false): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port });
  let answer = '';
  const closed = new Promise<string>((resolve) => {
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
  });
  if (end) socket.end(bytes);
  else socket.write(bytes);
  return within(`port ${port} closes`, closed);
}

test('garbage on the node port', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.registration_timeout_seconds': 1 } });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const node = await NodeClient.register(node_port, { id: 1n, name: 'honest' });
  let number = 0;

  for (const foreign of GARBAGE.slice(0, 4)) {
    await t.test(`${foreign[0]} is no node: Core closes at once`, async () => {
      const startMs = performance.now();
      await exchange(node_port, foreign[1]);
      assert.ok(performance.now() - startMs < 900, 'long before the time-out for registrations');
    });
  }

  await t.test(
    'all of it at once, whole, torn and cut off: every connection ends, no node notices',
    async () => {
      const guests = GARBAGE.flatMap(([, bytes]) => [
        exchange(node_port, bytes),
        exchange(node_port, bytes, true),
        NodeClient.connect(node_port).then(async (client) => {
          await client.sendPieces([bytes.subarray(0, 1), bytes.subarray(1, 7), bytes.subarray(7)]);
          await client.gone();
        }),
        NodeClient.connect(node_port).then(async (client) => {
          await client.send(bytes);
          client.reset();
        }),
      ]);
      let over = false;
      const all = Promise.all(guests).finally(() => {
        over = true;
      });
      for (; !over; number++) {
        await node.send(`${numberedEvent(1n, number)}\n`);
        await stream.seen('the event', (line) => line.includes(`{"n":${number},`));
      }
      await all;
    },
  );

  await t.test('a client that speaks TLS gets an error, not silence', async () => {
    const socket = connectTls({ host: '127.0.0.1', port: node_port, rejectUnauthorized: false });
    await within('TLS fails', new Promise((resolve) => socket.once('error', resolve)));
  });

  await t.test(
    'connections that never say anything are closed after registration_timeout_seconds',
    async () => {
      const startMs = performance.now();
      const silent = await Promise.all(Array.from({ length: 50 }, () => NodeClient.connect(node_port)));
      const halfOpen = silent.slice(0, 10);
      for (const client of halfOpen) client.socket.end();
      await Promise.all(halfOpen.map((client) => client.gone()));
      assert.ok(performance.now() - startMs < 900, 'a half-open one at once');
      await Promise.all(silent.map((client) => client.gone()));
      assert.ok(performance.now() - startMs > 900);
    },
  );

  await t.test('a node may speak after a long half of a registration, if it does so in time', async () => {
    const client = await NodeClient.connect(node_port);
    const text = registration({ id: 2n, name: 'slow' });
    await client.sendPieces([text.slice(0, 1), text.slice(1, 30), `${text.slice(30)}\n`]);
    await client.answer('RegistrationAck');
    await client.end();
  });

  await node.end();
  await stream.messages('NodeDisconnected', 2);
  await poll('no connection is left', async () =>
    (await get(backend_port, '/api/v1/stats')).json.totals.connections_open === 0 ? true : undefined,
  );
  const stats = (await get(backend_port, '/api/v1/stats')).json;
  assert.equal(stats.nodes.known, 2, 'nobody else became a node');
  assert.deepEqual(await core.stop(), { code: 0, signal: null });

  await t.test('every refused frame is a dead letter and counted, and none is a record', () => {
    const letters = readDeadLetters(core.dataDir);
    assert.equal(letters.length, stats.totals.refused);
    assert.ok(letters.length > GARBAGE.length);
    assert.ok(letters.every(({ nodeId }) => nodeId === null));
    const hello = letters.find(({ frame }) => frame.subarray(0, 3).equals(CLIENT_HELLO.subarray(0, 3)));
    assert.equal(hello?.code, 'MESSAGE_PARSE_FAILED');
    assert.equal(readLog(core.dataDir).lines.length, 4 + number);
  });

  await t.test('no thread was harmed', () => {
    assert.deepEqual(
      core.lines.all.filter(({ level }) => level >= 50),
      [],
    );
    assert.equal(core.stderr, '');
    assert.deepEqual(core.otherOutput, []);
  });
});

test('garbage on the REST port and on the WebSocket port', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port, proxy_port } = core.ports;
  const open: Socket[] = [];
  for (const port of [backend_port, proxy_port]) {
    const stream = await StreamClient.connect(proxy_port, 'batch');
    for (const [what, bytes] of GARBAGE) {
      await t.test(`${what} on ${port === backend_port ? 9002 : 9003}`, async () => {
        // Some of it may be the start of a request: whoever sends that is waited for.
        const socket = connect({ host: '127.0.0.1', port });
        socket.on('error', () => {});
        open.push(socket);
        socket.write(bytes);
        await exchange(port, bytes, true);
        assert.equal((await get(port, '/health')).status, 200);
      });
    }
    await stream.end();
  }
  await t.test('the node port does not notice', async () => {
    const stream = await StreamClient.connect(proxy_port, 'events');
    const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
    await node.send(`${numberedEvent(1n, 1)}\n`);
    await stream.messages('PotEvent');
    await node.end();
    await stream.end();
  });
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  assert.deepEqual(
    core.lines.all.filter(({ level }) => level >= 50),
    [],
  );
  for (const socket of open) socket.destroy();
});
