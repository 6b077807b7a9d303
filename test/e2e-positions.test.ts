/**
 * Consumers that say where to start: at every position, over rolls, restarts, crashes, deaths of the reader and deleted
 * segments. What they were sent is the log from there on, byte for byte, or they were told what is missing.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseSegmentName } from '../src/log/format.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { seeded } from './framer-run.js';
import { startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { numberedEvent, statusUpdate } from './node-frames.js';
import { get, post } from './rest-client.js';
import { StreamClient, type StreamForm } from './stream-client.js';
import { TlsFiles } from './tls-files.js';

const KIB = 1024;
const FORMS: readonly StreamForm[] = ['events', 'batch'];

/** The log of a Core that runs: what stands in its files now. */
function logNow(dataDir: string): Buffer {
  const folder = join(dataDir, 'log');
  const names = readdirSync(folder).filter((name) => parseSegmentName(name) !== undefined);
  return Buffer.concat(names.sort().map((name) => readFileSync(join(folder, name))));
}

/** The lines of a log from this number on. */
function linesFrom(content: Buffer, seq: number): Buffer {
  let at = 0;
  for (let left = seq - 1; left > 0; left--) at = content.indexOf(0x0a, at) + 1;
  return content.subarray(at);
}

async function nextSeq(port: number): Promise<number> {
  const { text } = await get(port, '/metrics');
  return Number(/^honeybee_log_next_sequence (\S+)$/m.exec(text)![1]);
}

/** A Core with so many events in its log, in several segments. */
async function filledCore(t: Parameters<typeof CoreProcess.start>[0], events: number, settings = {}) {
  const core = await CoreProcess.start(t, {
    settings: { 'storage.segment_bytes': 64 * KIB, 'server.debug': true, ...settings },
  });
  const watching = await StreamClient.connect(core.ports.proxy_port, 'batch');
  const node = await NodeClient.register(core.ports.node_port, { id: 7n, name: 'filler' });
  for (let at = 0; at < events; at += 25) {
    const block = Array.from(
      { length: 25 },
      (_, n) => `${numberedEvent(7n, at + n, 'x'.repeat((at * 37 + n) % 300))}\n`,
    );
    await node.send(block.join(''));
    await watching.messages('PotEvent', at + 25);
  }
  await node.end();
  await watching.messages('NodeDisconnected');
  await watching.end();
  return core;
}

test('from every position, in both forms: the log from there on, and where it ends', async (t) => {
  const core = await filledCore(t, 1_000);
  const { proxy_port, backend_port } = core.ports;
  const end = await nextSeq(backend_port);
  const content = logNow(core.dataDir);
  assert.ok(
    readdirSync(join(core.dataDir, 'log')).filter((name) => name.endsWith('.ndjson')).length > 3,
    'several segments',
  );
  for (let from = 1; from <= end; from += from < 40 || from > end - 40 ? 1 : 17) {
    const form = FORMS[from % 2]!;
    const consumer = await StreamClient.open(proxy_port, form, { query: { from } });
    await consumer.at(end);
    assert.equal(consumer.positions[0], from, 'told where it starts');
    assert.ok(consumer.content.equals(linesFrom(content, from)), `from ${from}`);
    assert.equal(consumer.misshapen, 0);
    await consumer.end();
  }
  const earliest = await StreamClient.open(proxy_port, 'batch', { query: { from: 'earliest' } });
  await earliest.at(end);
  assert.ok(earliest.content.equals(content));
  const longAgo = await StreamClient.open(proxy_port, 'events', { query: { from: '2020-01-01T00:00:00Z' } });
  await longAgo.at(end);
  assert.ok(longAgo.content.equals(content));
  const latest = await StreamClient.open(proxy_port, 'batch', { query: { from: 'latest' } });
  await latest.at(end);
  assert.deepEqual(latest.positions, [end]);
  await poll('all are live', async () => (await inLog(backend_port)) === 0 || undefined);
  const node = await NodeClient.register(core.ports.node_port, { id: 8n, name: 'late' });
  await node.send(`${statusUpdate(8n, 'Running')}\n`);
  for (const consumer of [earliest, longAgo, latest]) await consumer.messages('NodeStatusUpdate');
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  const whole = readLog(core.dataDir).content;
  for (const consumer of [earliest, longAgo]) {
    assert.equal((await consumer.gone()).code, 1001);
    assert.ok(consumer.content.equals(whole));
    assert.equal(consumer.position, readLog(core.dataDir).lines.length + 1);
  }
  assert.ok(latest.content.equals(linesFrom(whole, end)));
});

async function inLog(port: number): Promise<number> {
  const { text } = await get(port, '/metrics');
  return Number(/^honeybee_consumers_in_log (\S+)$/m.exec(text)![1]);
}

interface Follower {
  readonly form: StreamForm;
  readonly query: Readonly<Record<string, number>>;
  position: number;
  readonly content: Buffer[];
  /** The connection it has now. */
  consumer: StreamClient | undefined;
}

test('consumers that come and go under load, each time from where they were: no gap, no duplicate', async (t) => {
  const seed = Math.floor(Math.random() * 1e9);
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const core = await CoreProcess.start(t, {
    settings: {
      'storage.segment_bytes': 256 * KIB,
      'stream.consumer_buffer_bytes': 2 * KIB * KIB,
      'server.debug': true,
    },
  });
  const { node_port, proxy_port, backend_port } = core.ports;
  const keeping = await StreamClient.connect(proxy_port, 'batch');
  const followers: Follower[] = FORMS.flatMap((form) => [
    { form, query: {}, position: 1, content: [], consumer: undefined },
    { form, query: { durable: 1 }, position: 1, content: [], consumer: undefined },
  ]);
  // Nodes that outran this process would only make the test long. Who has done with a round goes nowhere, and holds nobody back:
  // the others may be that far ahead already, and wait for more.
  const watchers = followers.map((follower) => ({
    get lines() {
      return { length: follower.consumer?.position ?? Number.POSITIVE_INFINITY } as string[];
    },
  }));
  const nodes = await startLoad(t, node_port, 3, { watchers: [keeping, ...watchers] });
  const follow = async (follower: Follower, untilSeq?: number) => {
    const { form, query } = follower;
    const consumer = await StreamClient.open(proxy_port, form, {
      query: { ...query, from: follower.position },
    });
    follower.consumer = consumer;
    if (untilSeq !== undefined) await consumer.at(untilSeq);
    else {
      await consumer.at(follower.position + 1 + Math.floor(random() * 4_000));
      if (random() < 0.15) await post(backend_port, '/debug/reader/kill');
      if (random() < 0.5) {
        consumer.pause();
        // The others go on, and this one falls behind, as far as the nodes are let go: by the slowest of all.
        const slowest = Math.min(...watchers.map(({ lines }) => lines.length));
        const target = Math.min(keeping.lines.length + 2_000, slowest + 15_000);
        await keeping.seen(`${target} records`, () => true, target);
        consumer.resume();
      }
      if (random() < 0.5) consumer.vanish();
    }
    await consumer.end();
    assert.deepEqual([consumer.misshapen, consumer.gaps.length], [0, 0]);
    // What came behind the last position is thrown away: it comes again.
    const records = consumer.position - follower.position;
    const lines = linesFrom(consumer.content, records + 1);
    follower.content.push(consumer.content.subarray(0, consumer.content.length - lines.length));
    follower.position = consumer.position;
    follower.consumer = undefined;
  };
  for (let round = 0; round < 4; round++) await Promise.all(followers.map((follower) => follow(follower)));
  await Promise.all(nodes.map((node) => node.stop()));
  await keeping.messages('NodeDisconnected', nodes.length);
  const end = await nextSeq(backend_port);
  await Promise.all(followers.map((follower) => follow(follower, end)));
  assert.equal((await core.stop()).code, 0);
  await keeping.gone();
  const { content, lines } = readLog(core.dataDir);
  assert.ok(keeping.content.equals(content), 'the one that stayed');
  for (const follower of followers) {
    assert.equal(follower.position, lines.length + 1);
    assert.ok(
      Buffer.concat(follower.content).equals(content),
      JSON.stringify([follower.form, follower.query]),
    );
  }
});

test('over crashes and restarts of Core: numbers go on, and so does whoever kept its position', async (t) => {
  const first = await CoreProcess.start(t, { settings: { 'storage.segment_bytes': 64 * KIB } });
  let core = first;
  let position = 1;
  const contents: Buffer[] = [];
  for (let life = 0; life < 4; life++) {
    const { node_port, proxy_port } = core.ports;
    const consumer = await StreamClient.open(proxy_port, FORMS[life % 2]!, { query: { from: position } });
    const node = await NodeClient.register(node_port, { id: 7n, name: 'n' });
    const block = Array.from(
      { length: 500 },
      (_, n) => `${numberedEvent(7n, life * 500 + n, 'x'.repeat(200))}\n`,
    );
    await node.send(block.join(''));
    await consumer.seen('the last event', (line) => line.includes(`"n":${life * 500 + 499},`));
    if (life % 2 === 0) await core.crash();
    else assert.equal((await core.stop()).code, 0);
    await consumer.gone();
    const rest = linesFrom(consumer.content, consumer.position - position + 1);
    contents.push(consumer.content.subarray(0, consumer.content.length - rest.length));
    position = consumer.position;
    core = await CoreProcess.start(t, {
      folder: first.folder,
      settings: { 'storage.segment_bytes': 64 * KIB },
    });
  }
  const last = await StreamClient.open(core.ports.proxy_port, 'batch', { query: { from: position } });
  await last.at(await nextSeq(core.ports.backend_port));
  contents.push(last.content);
  assert.equal((await core.stop()).code, 0);
  assert.ok(Buffer.concat(contents).equals(readLog(core.dataDir).content));
});

test('what was deleted is named: from there the stream goes on, and nobody waits for it', async (t) => {
  const core = await filledCore(t, 1_000);
  const { proxy_port, backend_port } = core.ports;
  const folder = join(core.dataDir, 'log');
  const content = logNow(core.dataDir);
  const segments = readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
  const oldest = parseSegmentName(segments[2]!)!;
  for (const name of segments.slice(0, 2)) {
    rmSync(join(folder, name));
    rmSync(join(folder, name.replace('.ndjson', '.idx')));
  }
  const end = await nextSeq(backend_port);
  for (const form of FORMS) {
    const consumer = await StreamClient.open(proxy_port, form, { query: { from: 5 } });
    await consumer.at(end);
    assert.deepEqual(consumer.gaps, [
      { first_seq: 5, next_seq: oldest, records: oldest - 5, reason: 'retention' },
    ]);
    assert.ok(consumer.content.equals(linesFrom(content, oldest)));
    const earliest = await StreamClient.open(proxy_port, form, { query: { from: 'earliest' } });
    await earliest.at(end);
    assert.deepEqual([earliest.positions[0], earliest.gaps.length], [oldest, 0]);
  }
  assert.equal((await core.stop()).code, 0);
});

test('a filter lets through its part, live and from the log; where it is, is told also where nothing matches', async (t) => {
  const core = await filledCore(t, 500);
  const { node_port, proxy_port, backend_port } = core.ports;
  const whole = await StreamClient.open(proxy_port, 'batch', { query: { from: 1 } });
  const byText = await StreamClient.open(proxy_port, 'events', {
    query: { from: 'earliest', text: 'needle' },
  });
  const byNode = await StreamClient.open(proxy_port, 'batch', {
    query: { from: 1, node: 'late*', durable: 1 },
  });
  const live = await StreamClient.open(proxy_port, 'events', { query: { event_type: 'login_*' } });
  const nothing = await StreamClient.open(proxy_port, 'events', { query: { from: 1, event_type: 'never' } });
  const end = await nextSeq(backend_port);
  for (const consumer of [byText, byNode, nothing]) await consumer.at(end);
  const node = await NodeClient.register(node_port, { id: 8n, name: 'late' });
  for (let at = 0; at < 50; at++)
    await node.send(`${numberedEvent(8n, at, at % 10 === 3 ? 'a needle' : 'hay')}\n`);
  await node.end();
  await whole.messages('NodeDisconnected', 2);
  const last = await nextSeq(backend_port);
  for (const consumer of [byText, byNode, nothing]) await consumer.at(last);
  await live.messages('PotEvent', 50);
  assert.deepEqual([nothing.lines.length, byText.lines.length], [0, 5]);
  assert.deepEqual(
    byText.lines,
    whole.lines.filter((line) => line.includes('needle')),
  );
  assert.deepEqual(byNode.lines, whole.lines.slice(end - 1), 'everything of the node, notices too');
  assert.deepEqual(
    live.lines,
    whole.lines.slice(end - 1).filter((line) => line.includes('PotEvent')),
  );
  assert.equal(live.positions.length, 0, 'who has not said where to start is not told where it is');
  assert.equal((await core.stop()).code, 0);
});

test('what cannot be understood is refused, and says which parameter it is', async (t) => {
  const core = await CoreProcess.start(t);
  const { proxy_port } = core.ports;
  const headers = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': Buffer.from('sixteen bytes...').toString('base64'),
  };
  const refused: readonly [string, string][] = [
    ['from=0', 'from'],
    ['from=-1', 'from'],
    ['from=99999', 'from'],
    ['from=99999999999999999999', 'from'],
    ['from=yesterday', 'from'],
    ['from=2020-13-45', 'from'],
    ['from=2999-01-01T00:00:00Z', 'from'],
    ['from=1&from=2', 'from'],
    ['durable=yes', 'durable'],
    ['consumer=', 'consumer'],
    ['consumer=a/b', 'consumer'],
    [`consumer=${'x'.repeat(65)}`, 'consumer'],
    ['consumer=%00', 'consumer'],
  ];
  for (const [query, parameter] of refused) {
    const answer = await get(proxy_port, `/?${query}`, { headers });
    assert.equal(answer.status, 400, query);
    assert.equal(answer.json.parameter, parameter, query);
    assert.ok(answer.json.error.startsWith(parameter), answer.text);
  }
  assert.equal((await get(proxy_port, '/?from=99999', { headers })).json.next_seq, 1);
  const filters: readonly [string, string][] = [
    ['since=tomorrow', 'since'],
    ['node=', 'node'],
    [`text=${'x'.repeat(300)}`, 'text'],
    ['text=a&text=b', 'text'],
    [`event_type=${'a,'.repeat(100)}a`, 'event_type'],
  ];
  for (const [query, parameter] of filters) {
    const answer = await get(proxy_port, `/?${query}`, { headers });
    assert.deepEqual([answer.status, answer.json.parameter], [400, parameter], query);
  }
  const consumer = await StreamClient.open(proxy_port, 'batch', { query: { unknown: 'x', from: 1 } });
  await consumer.at(1);
  assert.equal((await core.stop()).code, 0);
  assert.equal((await consumer.gone()).code, 1001);
});

test('over TLS: behind, in the log, and live again', async (t) => {
  const tls = new TlsFiles(t);
  const core = await CoreProcess.start(t, {
    settings: {
      ...tls.settings,
      'tls.backend': false,
      'tls.plain_text': true,
      'storage.segment_bytes': 512 * KIB,
      'stream.consumer_buffer_bytes': 2 * KIB * KIB,
    },
  });
  const { node_port, proxy_port, backend_port } = core.ports;
  const ca = tls.authority.cert;
  const keeping = await StreamClient.open(proxy_port, 'batch', { ca });
  const slow = await Promise.all(
    FORMS.map((form) => StreamClient.open(proxy_port, form, { ca, query: { from: 1 } })),
  );
  for (const consumer of slow) consumer.pause();
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  let sent = 0;
  const write = async () => {
    const block = Array.from({ length: 200 }, () => `${numberedEvent(1n, sent++, 'x'.repeat(2_000))}\n`);
    await node.send(block.join(''));
    await keeping.messages('PotEvent', sent);
  };
  await poll('they are behind', async () => {
    await write();
    return (await inLog(backend_port)) === 2 || undefined;
  });
  for (const consumer of slow) consumer.resume();
  await write();
  await Promise.all(slow.map((consumer) => consumer.messages('PotEvent', sent)));
  await poll('they are live again', async () => (await inLog(backend_port)) === 0 || undefined);
  await write();
  await node.end();
  await keeping.messages('NodeDisconnected');
  assert.equal((await core.stop()).code, 0);
  const { content, lines } = readLog(core.dataDir);
  for (const consumer of [keeping, ...slow]) {
    assert.equal((await consumer.gone()).code, 1001);
    assert.ok(consumer.content.equals(content));
  }
  for (const consumer of slow) assert.equal(consumer.position, lines.length + 1);
});
