/**
 * Nodes over TLS, beside nodes without it: the same bytes come out, in whatever pieces the records come in, and what is
 * no handshake costs nobody anything but whoever sent it.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { afterwards, type Cleanup, CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { linesByNode, readDeadLetters, readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { numberedEvent, potStatus, registration, statusUpdate } from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';
import { TlsFiles } from './tls-files.js';

/** 9002 and 9003 have tests of their own. */
const NODES_ONLY = { 'tls.backend': false, 'tls.proxy': false };

async function metric(port: number, name: string): Promise<number> {
  const { text } = await get(port, '/metrics');
  const values = [...text.matchAll(new RegExp(`^honeybee_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

/** Between the node and Core: passes on what the node sends in pieces of `bytes`. */
async function tearing(cleanup: Cleanup, corePort: number, bytes: number): Promise<number> {
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: corePort, noDelay: true });
    far.on('data', (data) => near.write(data));
    far.on('end', () => near.end());
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    void passPieces(near, far, bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(cleanup, () => server.close());
  return (server.address() as { port: number }).port;
}

async function passPieces(near: Socket, far: Socket, bytes: number): Promise<void> {
  for await (const data of near as AsyncIterable<Buffer>) {
    for (let at = 0; at < data.length; at += bytes) {
      far.write(data.subarray(at, at + bytes));
      // So that the kernel does not join them.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  far.end();
}

/** Sends bytes, and answers what came back until Core closed. */
function sendRaw(port: number, bytes: Uint8Array, then: 'wait' | 'end' | 'reset' = 'wait'): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const received: Buffer[] = [];
  socket.on('data', (data) => received.push(data));
  socket.on('error', () => {});
  socket.write(bytes, () => {
    if (then === 'end') socket.end();
    if (then === 'reset') socket.resetAndDestroy();
  });
  const closed = new Promise<Buffer>((resolve) => {
    socket.on('close', () => resolve(Buffer.concat(received)));
  });
  return within('Core closes what is no handshake', closed);
}

/** What a client of node:tls sends first. */
async function clientHello(cleanup: Cleanup): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  afterwards(cleanup, () => server.close());
  const { port } = server.address() as { port: number };
  const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  client.on('error', () => {});
  return new Promise((resolve) => {
    server.once('connection', (socket: Socket) => {
      socket.on('error', () => {});
      socket.once('data', (data) => {
        resolve(data);
        client.destroy();
        socket.destroy();
      });
    });
  });
}

test('nodes with and without TLS on one port', async (t) => {
  const files = new TlsFiles(t);
  const core = await CoreProcess.start(t, {
    settings: { ...files.settings, ...NODES_ONLY, 'tls.plain_text': true, 'ingest.shards': 2 },
  });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  let expected = 0;

  await t.test('every byte of thousands of events comes out as it went in', async () => {
    const EVENTS = 4000;
    const sent = new Map<string, string[]>();
    const nodes = await Promise.all(
      [1n, 2n, 3n, 4n].map(async (id) => {
        const node =
          id % 2n === 0n
            ? await NodeClient.connect(node_port)
            : await NodeClient.connectTls(node_port, files.client);
        await node.register({ id, name: `node ${id}` });
        return { id, node };
      }),
    );
    await Promise.all(
      nodes.map(async ({ id, node }) => {
        const lines = Array.from({ length: EVENTS }, (_, n) =>
          numberedEvent(id, n, 'ü€😀"\\'.repeat(n % 40).replace(/["\\]/g, '\\$&')),
        );
        sent.set(String(id), lines);
        // Many in a write, so that records and frames do not begin together.
        for (let at = 0; at < EVENTS; at += 500) await node.send(`${lines.slice(at, at + 500).join('\n')}\n`);
      }),
    );
    expected += 4 * EVENTS;
    await stream.messages('PotEvent', expected);
    const received = linesByNode(stream.lines);
    for (const [id, lines] of sent) assert.deepEqual(received.get(id), lines, `events of node ${id}`);
    const rows = (await get(backend_port, '/api/v1/nodes')).json.nodes;
    const encrypted = rows.map((row: { id: string; tls: boolean }) => [row.id, row.tls]).sort();
    assert.deepEqual(encrypted, [
      ['1', true],
      ['2', false],
      ['3', true],
      ['4', false],
    ]);
    assert.equal(await metric(backend_port, 'tls_handshakes_total'), 2);
    await Promise.all(nodes.map(({ node }) => node.end()));
  });

  for (const bytes of [1, 7]) {
    await t.test(`records in pieces of ${bytes} bytes`, async (t) => {
      const id = 10n + BigInt(bytes);
      const port = await tearing(t, node_port, bytes);
      const node = await NodeClient.connectTls(port, files.client);
      const events = Array.from({ length: 5 }, (_, n) => numberedEvent(id, n));
      // All in one: what stands behind the registration is decrypted before the verdict is there.
      const lines = [registration({ id, name: `torn ${bytes}` }), ...events];
      await node.send(`${lines.join('\n')}\n`);
      await node.answer('RegistrationAck');
      expected += events.length;
      await stream.messages('PotEvent', expected);
      assert.deepEqual(linesByNode(stream.lines).get(String(id)), events);
      await node.end();
    });
  }

  await t.test('much behind a registration waits for the verdict and is not lost', async () => {
    const id = 30n;
    const events = Array.from({ length: 300 }, (_, n) => numberedEvent(id, n, 'y'.repeat(5_000)));
    const node = await NodeClient.connectTls(node_port, files.client);
    await node.send(`${registration({ id, name: 'hasty' })}\n${events.join('\n')}\n`);
    expected += events.length;
    await stream.messages('PotEvent', expected);
    assert.deepEqual(linesByNode(stream.lines).get('30'), events);
    await node.end();
  });

  await t.test('a last frame without a newline counts when the node closes', async () => {
    const node = await NodeClient.connectTls(node_port, files.client);
    await node.register({ id: 31n, name: 'no newline' });
    await node.send(numberedEvent(31n, 0));
    assert.deepEqual(await node.end(), { error: undefined });
    await stream.messages('PotEvent', ++expected);
    await stream.messages('NodeDisconnected', 4 + 2 + 2);
  });

  await t.test('a node that comes back over TLS takes over from its plain self', async () => {
    const plain = await NodeClient.register(node_port, { id: 32n, name: 'changes' });
    await plain.send(`${numberedEvent(32n, 0)}\n`);
    const encrypted = await NodeClient.connectTls(node_port, files.client);
    await encrypted.register({ id: 32n, name: 'changes' });
    await plain.gone();
    await encrypted.send(`${potStatus(32n, 'p', 'cowrie', 'Running')}\n${statusUpdate(32n, 'Running')}\n`);
    await poll('it runs, encrypted', async () => {
      const node = (await get(backend_port, '/api/v1/nodes/32')).json;
      return node.status === 'Running' && node.tls && node.honeypots.length === 1 ? true : undefined;
    });
    await stream.messages('PotEvent', ++expected);
    await encrypted.end();
  });

  const noOpenssl = spawnSync('openssl', ['version']).error !== undefined && 'there is no openssl';
  await t.test("another TLS library's client", { skip: noOpenssl }, async () => {
    const lines = [registration({ id: 33n, name: 'openssl' }), numberedEvent(33n, 0), '{"version":2,'];
    const child = spawn('openssl', [
      ...['s_client', '-quiet', '-no_ign_eof', '-tls1_3', '-verify_return_error'],
      ...['-CAfile', files.write('ca.pem', files.authority.cert), '-verify_hostname', 'localhost'],
      ...['-connect', `127.0.0.1:${node_port}`],
    ]);
    afterwards(t, () => child.kill('SIGKILL'));
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.stdin.write(`${lines.join('\n')}`);
    await stream.messages('PotEvent', ++expected);
    await poll('the acknowledgement', () => (output.includes('"accepted":true') ? true : undefined));
    child.stdin.end();
    await stream.seen('openssl leaves', (line) =>
      line.startsWith('{"version":2,"message":{"NodeDisconnected":{"node_id":33,'),
    );
  });

  await t.test('how a connection ends is told as it is without TLS', async () => {
    const ends: readonly (readonly [string, (node: NodeClient, carrier: Socket) => void, string])[] = [
      ['with close_notify', (node) => node.socket.end(), 'node closed the connection'],
      ['with the end of TCP alone', (_, carrier) => carrier.end(), 'node closed the connection'],
      ['with a reset', (_, carrier) => carrier.resetAndDestroy(), 'connection lost'],
      ['with garbage for a record', (_, carrier) => carrier.write('garbage, no record'), 'connection lost'],
    ];
    for (const [at, [what, end, reason]] of ends.entries()) {
      const id = 40n + BigInt(at);
      const carrier = connect({ host: '127.0.0.1', port: node_port, noDelay: true });
      carrier.on('error', () => {});
      const node = await NodeClient.connectTls(0, { ...files.client, socket: carrier });
      await node.register({ id, name: `ends ${what}` });
      await node.send(`${numberedEvent(id, 0)}\n`);
      await stream.messages('PotEvent', ++expected);
      end(node, carrier);
      const notice = await stream.record(`${what}: the notice`, (line) =>
        line.startsWith(`{"version":2,"message":{"NodeDisconnected":{"node_id":${id},`),
      );
      assert.match(notice, new RegExp(`"reason":"${reason}"`), what);
      carrier.destroy();
    }
  });

  await t.test('a node that never reads its answers is closed before they fill the memory', async () => {
    const node = await NodeClient.connectTls(node_port, files.client, false);
    const lines = `${registration({ id: 50n, name: 'deaf' })}\n`.repeat(1000);
    const notice = stream.record('the deaf node leaves', (line) =>
      line.startsWith('{"version":2,"message":{"NodeDisconnected":{"node_id":50,'),
    );
    let gone = false;
    void notice.then(() => {
      gone = true;
    });
    while (!gone) await node.send(lines);
    assert.match(await notice, /"reason":"does not read its answers"/);
    node.socket.destroy();
  });

  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  const log = readLog(core.dataDir);
  assert.ok(log.content.equals(stream.content), 'log and stream are equal');
});

test('where only TLS is taken', async (t) => {
  const files = new TlsFiles(t);
  const core = await CoreProcess.start(t, {
    settings: { ...files.settings, ...NODES_ONLY, 'ingest.registration_timeout_seconds': 1 },
  });
  const { node_port, backend_port } = core.ports;
  const failures = () => metric(backend_port, 'tls_failures_total');
  const steady = await NodeClient.connectTls(node_port, files.client);
  await steady.register({ id: 1n, name: 'steady' });
  const descriptors = core.descriptors();

  await t.test('a node without TLS is told so, in plain JSON, and its bytes are kept', async () => {
    const node = await NodeClient.connect(node_port);
    await node.send(`${registration({ id: 2n, name: 'plain' })}\n`);
    const { code, message } = JSON.parse(await node.answer('Error')).message.Error;
    assert.deepEqual([code, message], ['AUTHENTICATION_FAILED', 'this port takes TLS only']);
    await node.gone();
    assert.equal(await metric(backend_port, 'tls_missing_total'), 1);
    await core.line('frame refused', { reason: 'this port takes TLS only' });
    const letter = await poll('the dead letter', () => readDeadLetters(core.dataDir)[0]);
    assert.equal(letter.frame.toString('utf8'), `${registration({ id: 2n, name: 'plain' })}\n`);
  });

  await t.test('a client of TLS 1.2 is refused with an alert that says why', async () => {
    const before = await failures();
    const socket = connectTls({ port: node_port, host: '127.0.0.1', maxVersion: 'TLSv1.2', ...files.client });
    const [error] = await within(
      'the alert',
      new Promise<[NodeJS.ErrnoException]>((resolve) => socket.once('error', (error) => resolve([error]))),
    );
    assert.match(String(error.code), /ALERT_PROTOCOL_VERSION/);
    await core.line('TLS connection refused', { reason: 'unsupported protocol' });
    assert.equal(await failures(), before + 1);
  });

  await t.test('garbage behind the first byte of a handshake is refused and counted', async () => {
    const before = await failures();
    const random = Buffer.from(Array.from({ length: 600 }, (_, i) => (i * 197 + 31) & 0xff));
    const garbage = [
      Buffer.from([0x16]),
      Buffer.from([0x16, 0x03]),
      Buffer.from([0x16, 0x03, 0x01, 0xff, 0xff]),
      Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]), random]),
      Buffer.concat([Buffer.from([0x16]), random]),
      Buffer.from('\x16{"version":2,"message":{}}\n'),
    ];
    await Promise.all(garbage.map((bytes) => sendRaw(node_port, bytes, 'end')));
    await poll('all are counted', async () =>
      (await failures()) === before + garbage.length ? true : undefined,
    );
  });

  await t.test('half a ClientHello and then silence: closed when the time to register is over', async () => {
    const hello = await clientHello(t);
    const before = await failures();
    await sendRaw(node_port, hello.subarray(0, hello.length / 2));
    await poll('it is counted', async () => ((await failures()) > before ? true : undefined));
  });

  await t.test('a client that is gone after any number of bytes', async () => {
    const hello = await clientHello(t);
    const cuts = [1, 2, 5, 6, 11, 43, 44, 100, hello.length - 1, hello.length];
    await Promise.all(
      cuts.flatMap((cut) =>
        (['end', 'reset'] as const).map((how) => sendRaw(node_port, hello.subarray(0, cut), how)),
      ),
    );
    await poll('Core holds none of them', async () =>
      (await metric(backend_port, 'connections')) === 1 ? true : undefined,
    );
  });

  await t.test('a handshake that is done, and a node that says nothing', async () => {
    const silent = await NodeClient.connectTls(node_port, files.client);
    assert.deepEqual(await silent.gone(), { error: undefined });
  });

  await poll('no descriptor is left open', () =>
    core.descriptors().socket === descriptors.socket ? true : undefined,
  );
  await steady.send(`${numberedEvent(1n, 0)}\n`);
  await poll('the node that was there all the time is served', async () =>
    (await get(backend_port, '/api/v1/nodes/1')).json.events === 1 ? true : undefined,
  );
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  assert.equal((await steady.gone()).error, undefined);
});
