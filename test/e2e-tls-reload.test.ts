/**
 * A certificate is exchanged while Core runs: in every way operators do it, on all three ports, under load. Nobody's
 * connection is dropped, no event is lost, and what cannot be used is not used.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect as connectNet } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import type { Issued } from '../bench/x509.js';
import { CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { NodeClient } from './node-client.js';
import { eventNumber, messageName, nodeIdOf, numberedEvent } from './node-frames.js';
import { CORE_NAMES, TlsFiles } from './tls-files.js';

/** The serial number of the certificate that a port shows to whoever connects now. */
async function shownBy(port: number, files: TlsFiles): Promise<string> {
  const socket: TLSSocket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ...files.client });
  try {
    return await within(
      `a certificate from port ${port}`,
      new Promise<string>((resolve, reject) => {
        socket.once('secureConnect', () => resolve(socket.getPeerCertificate().serialNumber));
        socket.once('error', reject);
      }),
    );
  } finally {
    socket.destroy();
  }
}

const serialOf = ({ serial }: Issued) => serial.toString('hex').toUpperCase();

/** Waits until all ports show it. */
async function allShow(core: CoreProcess, files: TlsFiles, issued: Issued): Promise<void> {
  for (const port of Object.values(portsOf(core))) {
    await poll(`the new certificate on port ${port}`, async () =>
      (await shownBy(port, files)) === serialOf(issued) ? true : undefined,
    );
  }
}

function portsOf({ ports: { node_port, backend_port, proxy_port } }: CoreProcess) {
  return { node_port, backend_port, proxy_port };
}

function getSecure(port: number, path: string, files: TlsFiles): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    const options = { host: '127.0.0.1', servername: 'localhost', port, path, agent: false, ...files.client };
    request(options, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      incoming.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
  return within(`GET ${path}`, answer);
}

/** A consumer over wss: counts the events of each node, in order. */
class Consumer {
  readonly counts = new Map<string, number>();
  readonly gaps: string[] = [];
  closed: string | undefined;
  readonly socket: WebSocket;

  static async connect(port: number, files: TlsFiles): Promise<Consumer> {
    const consumer = new Consumer(port, files);
    await within(
      'wss',
      new Promise((resolve, reject) => {
        consumer.socket.once('open', resolve);
        consumer.socket.once('error', reject);
      }),
    );
    return consumer;
  }

  private constructor(port: number, files: TlsFiles) {
    this.socket = new WebSocket(`wss://127.0.0.1:${port}/?batch=1`, {
      ca: files.authority.cert,
      perMessageDeflate: false,
    });
    this.socket.on('message', (data: Buffer) => {
      for (const line of data.toString('utf8').split('\n')) {
        if (messageName(line) !== 'PotEvent') continue;
        const id = nodeIdOf(line)!;
        const expected = this.counts.get(id) ?? 0;
        if (eventNumber(line) !== expected)
          this.gaps.push(`node ${id}: ${eventNumber(line)} for ${expected}`);
        this.counts.set(id, eventNumber(line) + 1);
      }
    });
    this.socket.on('close', (code) => {
      this.closed = String(code);
    });
  }
}

/** Sends numbered events until it is told to stop. */
async function sendEvents(node: NodeClient, id: bigint, goesOn: () => boolean): Promise<number> {
  let number = 0;
  while (goesOn()) {
    const lines = Array.from({ length: 20 }, () => numberedEvent(id, number++, 'load'));
    await node.send(`${lines.join('\n')}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return number;
}

test('a certificate is exchanged under load, on every port and in every way', async (t) => {
  const files = new TlsFiles(t);
  // As Kubernetes mounts it: file -> ..data/file, ..data -> a folder; a new folder, and ..data is renamed over.
  const mount = join(files.folder, 'mount');
  const version = (number: number, { cert, key }: Issued) => {
    const folder = join(mount, `v${number}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'tls.crt'), cert);
    writeFileSync(join(folder, 'tls.key'), key, { mode: 0o600 });
    symlinkSync(`v${number}`, join(mount, '..data.new'));
    renameSync(join(mount, '..data.new'), join(mount, '..data'));
  };
  version(1, files.issued);
  for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(mount, name));
  const settings = {
    'tls.cert_file': join(mount, 'tls.crt'),
    'tls.key_file': join(mount, 'tls.key'),
    'ingest.shards': 2,
    'logging.level': 'debug',
  };
  const core = await CoreProcess.start(t, { settings });
  const { node_port, backend_port, proxy_port } = core.ports;
  await allShow(core, files, files.issued);

  const early = await Consumer.connect(proxy_port, files);
  const kept = connectTls({
    port: backend_port,
    host: '127.0.0.1',
    servername: 'localhost',
    ...files.client,
  });
  let answers = 0;
  kept.on('data', (data) => {
    answers += data.toString('latin1').split('HTTP/1.1 200').length - 1;
  });
  let running = true;
  const nodes = await Promise.all(
    [1n, 2n, 3n].map(async (id) => {
      const node = await NodeClient.connectTls(node_port, files.client);
      await node.register({ id, name: `node ${id}` });
      return { id, node, sent: sendEvents(node, id, () => running) };
    }),
  );

  const issue = () => files.authority.issue({ ...CORE_NAMES, keyType: 'rsa' });
  await t.test('links are turned to another folder', async () => {
    const next = issue();
    version(2, next);
    await allShow(core, files, next);
  });
  const late = await Consumer.connect(proxy_port, files);
  await t.test('the key first, the certificate later', async () => {
    const next = issue();
    const data = join(mount, 'v2');
    writeFileSync(join(data, 'tls.key'), next.key);
    // Looked at meanwhile, found not to fit, and waited for.
    await core.line('certificate files are changing');
    writeFileSync(join(data, 'tls.crt'), next.cert);
    await allShow(core, files, next);
    assert.ok(!core.lines.all.some(({ msg }) => msg.startsWith('the new certificate cannot be used')));
  });
  await t.test('in place, and SIGHUP', async () => {
    const next = issue();
    writeFileSync(join(mount, 'v2', 'tls.crt'), next.cert);
    writeFileSync(join(mount, 'v2', 'tls.key'), next.key);
    core.signal('SIGHUP');
    await allShow(core, files, next);
  });
  await t.test(
    'many times, while clients connect all the time: each gets a certificate that is right',
    async () => {
      let connecting = true;
      let connected = 0;
      const clients = Object.values(portsOf(core)).map(async (port) => {
        while (connecting) {
          await shownBy(port, files);
          connected++;
        }
      });
      let last = files.issued;
      for (let round = 3; round < 8; round++) {
        last = files.authority.issue(CORE_NAMES);
        version(round, last);
        core.signal('SIGHUP');
        await allShow(core, files, last);
      }
      connecting = false;
      await Promise.all(clients);
      assert.ok(connected > 15, `${connected} connected`);
    },
  );

  await t.test('nobody was dropped and nothing is lost', async () => {
    for (let ask = 1; ask <= 2; ask++) {
      kept.write('GET /health HTTP/1.1\r\nhost: core\r\n\r\n');
      await poll('an answer on the connection from before', () => (answers >= ask ? true : undefined));
    }
    running = false;
    for (const { id, node, sent } of nodes) {
      const count = await sent;
      assert.ok(count > 0);
      assert.equal(node.isClosed, false);
      await poll(`all events of node ${id}`, () =>
        early.counts.get(String(id)) === count ? true : undefined,
      );
      await node.end();
    }
    assert.deepEqual([early.gaps, early.closed, late.closed], [[], undefined, undefined]);
    const metrics = await getSecure(backend_port, '/metrics', files);
    const reloads = Number(
      /^honeybee_tls_certificate_reloads_total\{result="ok"\} (\d+)$/m.exec(metrics)![1],
    );
    assert.ok(reloads >= 8, `${reloads} reloads`);
    assert.match(metrics, /^honeybee_tls_certificate_reloads_total\{result="failed"\} 0$/m);
  });

  await t.test('another process still cannot have the WebSocket port', async () => {
    const second = CoreProcess.launch(t, { settings: { ...settings, 'proxy.port': proxy_port } });
    assert.deepEqual(await second.exit(), { code: 69, signal: null });
    assert.match(second.stderr, /proxy\.port/);
  });

  kept.destroy();
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  assert.deepEqual([early.closed, late.closed], ['1001', '1001']);
});

test('what cannot be used is not used, is said, and stops nothing', async (t) => {
  const files = new TlsFiles(t);
  const core = await CoreProcess.start(t, { settings: files.settings });
  const cannot = 'the new certificate cannot be used, the old one stays';

  writeFileSync(files.keyFile, 'not a key');
  core.signal('SIGHUP');
  const line = await core.line(cannot, { setting: 'tls.key_file' });
  assert.match(String(line.reason), /holds no private key/);
  // Nobody asked this time: it is said when it has lasted.
  files.write('cert.pem', files.authority.issue(CORE_NAMES).cert);
  files.write('key.pem', files.issued.key);
  const later = await core.line(cannot, {
    setting: 'tls.key_file',
    reason: `tls.key_file = "${files.keyFile}" holds a key that does not fit the certificate in tls.cert_file`,
  });
  assert.equal(later.level, 50);
  await allShow(core, files, files.issued);
  const metrics = await getSecure(core.ports.backend_port, '/metrics', files);
  assert.match(metrics, /^honeybee_tls_certificate_reloads_total\{result="failed"\} 2$/m);

  const next = files.authority.issue(CORE_NAMES);
  files.write('cert.pem', next.cert);
  files.write('key.pem', next.key);
  await allShow(core, files, next);
  core.signal('SIGHUP');
  await core.line('certificate is the same as before');
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
});

test('TLS 1.2 is still spoken on 9002 and 9003, and what is no TLS is closed there', async (t) => {
  const files = new TlsFiles(t);
  const core = await CoreProcess.start(t, { settings: files.settings });
  const { backend_port, proxy_port } = core.ports;
  for (const port of [backend_port, proxy_port]) {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      servername: 'localhost',
      ...files.client,
    });
    await within(
      'TLS 1.2',
      new Promise((resolve, reject) => {
        socket.once('secureConnect', resolve);
        socket.once('error', reject);
      }),
    );
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    socket.destroy();
    const old = connectTls({
      port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
      ciphers: 'DEFAULT@SECLEVEL=0',
      ...files.client,
    });
    await within(
      'TLS 1.1 is refused',
      new Promise((resolve, reject) => {
        old.once('error', resolve);
        old.once('secureConnect', () => reject(new Error('TLS 1.1 was accepted')));
      }),
    );
    const plain = connectNet({ port, host: '127.0.0.1' });
    plain.on('error', () => {});
    plain.write('GET /health HTTP/1.1\r\nhost: core\r\n\r\n');
    let text = '';
    plain.on('data', (data) => {
      text += data.toString('latin1');
    });
    await within('plain HTTP is closed', new Promise((resolve) => plain.once('close', resolve)));
    assert.doesNotMatch(text, /"status":"ok"/);
  }
  assert.match(await getSecure(backend_port, '/health', files), /"status":"ok"/);
  assert.match(await getSecure(proxy_port, '/health', files), /"status":"ok"/);
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
});

test('a session is resumed on any shard, and not once the certificate is another one', async (t) => {
  const files = new TlsFiles(t);
  const core = await CoreProcess.start(t, { settings: { ...files.settings, 'ingest.shards': 2 } });
  const { node_port } = core.ports;
  const sessions: Buffer[] = [];
  const isReused = ({ socket }: NodeClient) => (socket as TLSSocket).isSessionReused();

  const first = await NodeClient.connectTls(node_port, files.client);
  first.socket.on('session', (session: Buffer) => sessions.push(session));
  await first.register({ id: 1n, name: 'first' });
  await poll('two tickets', () => (sessions.length >= 2 ? true : undefined));
  // The first one is still there, so this one is on the other shard.
  const second = await NodeClient.connectTls(node_port, { ...files.client, session: sessions[0]! });
  assert.equal(isReused(second), true);
  await second.register({ id: 2n, name: 'second' });

  const next = files.authority.issue(CORE_NAMES);
  files.write('cert.pem', next.cert);
  files.write('key.pem', next.key);
  core.signal('SIGHUP');
  await allShow(core, files, next);
  const third = await NodeClient.connectTls(node_port, { ...files.client, session: sessions[1]! });
  assert.equal(isReused(third), false);
  await third.register({ id: 3n, name: 'third' });
});
