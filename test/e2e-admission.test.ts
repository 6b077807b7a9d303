/**
 * The node port of a whole Core under those who take more than their share: floods, silent strangers, connections
 * that vanish while they wait, floods of bad frames, and a shutdown in the middle of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { messageName, numberedEvent, registration, statusUpdate } from './node-frames.js';
import { get, post } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const FLOOD = '127.0.0.9';

interface AdmissionAnswer {
  readonly waiting: number;
  readonly most_waiting: number;
  readonly admitted: number;
  readonly turned_away: Readonly<Record<string, number>>;
}

async function admission(core: CoreProcess): Promise<AdmissionAnswer> {
  return (await get(core.ports.backend_port, '/api/v1/stats')).json.admission;
}

function connectMany(core: CoreProcess, count: number, from?: string): Promise<NodeClient[]> {
  return Promise.all(
    Array.from({ length: count }, () => NodeClient.connect(core.ports.node_port, true, from)),
  );
}

/** Without a deadline: some never are. */
function acknowledged(client: NodeClient): Promise<unknown> {
  return client.answers.first((line) => messageName(line) === 'RegistrationAck');
}

/** A node from an address of its own; resolves with the milliseconds it took to get in. */
async function getsIn(core: CoreProcess, from: string, id: bigint): Promise<number> {
  const startMs = performance.now();
  const node = await NodeClient.connect(core.ports.node_port, true, from);
  await node.register({ id, name: `from ${from}` });
  return performance.now() - startMs;
}

test('a flood from one address does not keep another one out', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'admission.accepts_per_second': 40 } });
  const flood = await connectMany(core, 400, FLOOD);
  await poll('the flood waits', async () => ((await admission(core)).waiting > 300 ? true : undefined));
  for (const [at, from] of ['127.0.0.2', '127.0.0.3', '127.0.0.4'].entries())
    assert.ok((await getsIn(core, from, BigInt(at + 1))) < 2_000, from);
  const { waiting, turned_away } = await admission(core);
  assert.ok(waiting > 150, `${waiting} of the flood still wait`);
  assert.deepEqual(
    Object.values(turned_away),
    Object.values(turned_away).map(() => 0),
  );
  const scrape = await get(core.ports.backend_port, '/metrics');
  assert.match(scrape.text, /^honeybee_connections_waiting \d\d\d$/m);
  assert.match(scrape.text, /^honeybee_connections_turned_away_total\{reason="per_address"\} 0$/m);
  for (const client of flood) client.reset();
  assert.equal((await core.stop()).code, 0);
});

test('an address has no more connections than it may, and gets another one when one has gone', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'admission.connections_per_address': 3 } });
  const { node_port } = core.ports;
  const nodes: NodeClient[] = [];
  for (let at = 0; at < 3; at++)
    nodes.push(await NodeClient.register(node_port, { id: BigInt(at + 1), name: `node ${at}` }));
  const fourth = await NodeClient.connect(node_port);
  await fourth.gone();
  const line = await core.line('connections turned away');
  assert.match(String(line.reason), /connections_per_address/);
  await getsIn(core, '127.0.0.2', 10n);
  assert.equal((await admission(core)).turned_away.per_address, 1);
  await nodes[1]!.end();
  const next = await NodeClient.register(node_port, { id: 11n, name: 'next' });
  const again = await NodeClient.connect(node_port);
  await again.gone();
  assert.equal((await admission(core)).turned_away.per_address, 2);
  assert.ok(!next.isClosed && !nodes[0]!.isClosed && !nodes[2]!.isClosed);
  assert.equal((await core.stop()).code, 0);
});

test('who waits keeps its order and its bytes, and who vanishes while waiting does no harm', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'admission.accepts_per_second': 25 } });
  const { node_port, backend_port } = core.ports;
  const clients: NodeClient[] = [];
  const order: number[] = [];
  for (let at = 0; at < 40; at++) {
    const client = await NodeClient.connect(node_port);
    const identity = { id: BigInt(at + 1), name: `node ${at}` };
    void client.send(`${registration(identity)}\n${numberedEvent(identity.id, at)}\n`);
    void acknowledged(client).then(() => order.push(at));
    clients.push(client);
  }
  await poll('they wait', async () => ((await admission(core)).waiting > 20 ? true : undefined));
  // Three ways to be gone: a reset, a goodbye, and a goodbye after everything was sent.
  const [reset, left] = [clients[33]!, clients[36]!];
  reset.reset();
  left.socket.end();
  const staying = clients.filter((client) => client !== reset && client !== left);
  await Promise.all(staying.map((client) => client.answer('RegistrationAck')));
  await left.gone();
  const accepted = order.filter((at) => at !== 33 && at !== 36);
  assert.deepEqual(
    accepted,
    accepted.toSorted((a, b) => a - b),
    'in the order they came',
  );
  await poll('nothing of those that left is open', async () => {
    const { totals } = (await get(backend_port, '/api/v1/stats')).json;
    return totals.connections_open === staying.length ? true : undefined;
  });
  const { waiting, admitted } = await admission(core);
  assert.deepEqual([waiting, admitted], [0, clients.length]);
  assert.equal((await core.stop()).code, 0);
  const events = readLog(core.dataDir).lines.filter((line) => line.includes('"PotEvent"'));
  // The reset may have overtaken what was sent before it; nothing else is missing.
  assert.ok(events.length >= clients.length - 1, `${events.length} events`);
});

test('strangers who say nothing, or go on for ever, keep nobody out and are closed in time', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'ingest.registration_timeout_seconds': 1, 'ingest.shards': 1 },
  });
  const { backend_port } = core.ports;
  const silent = await connectMany(core, 150, FLOOD);
  const [slow, half] = await connectMany(core, 2, FLOOD);
  const text = registration({ id: 1n, name: 'slow' });
  await half!.send(text.slice(0, text.length / 2));
  let sent = 0;
  const drip = setInterval(() => void slow!.send(text[sent++ % text.length]!), 50);
  t.after(() => clearInterval(drip));
  assert.ok((await getsIn(core, '127.0.0.2', 2n)) < 2_500);
  const registered = await NodeClient.connect(core.ports.node_port, true, '127.0.0.3');
  await registered.register({ id: 3n, name: 'quiet, but registered' });
  await Promise.all([...silent, slow!, half!].map((client) => client.gone(8_000)));
  assert.ok(!registered.isClosed);
  const { totals } = (await get(backend_port, '/api/v1/stats')).json;
  assert.equal(totals.registration_timeouts, 152);
  assert.equal((await core.stop()).code, 0);
});

test('a node that sends too many bad frames is disconnected, others are not, and it may come back', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'admission.max_errors_per_minute': 10 } });
  const { node_port, proxy_port, backend_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'events');
  const bad = await NodeClient.register(node_port, { id: 1n, name: 'bad' });
  const good = await NodeClient.register(node_port, { id: 2n, name: 'good' });
  await bad.send('{"version":2}\n'.repeat(10));
  await good.send('{"version":2}\n'.repeat(10));
  await bad.send(`${numberedEvent(1n, 0)}\n`);
  await stream.messages('PotEvent', 1);
  await bad.send('{"version":2}\n');
  await bad.gone();
  assert.match(bad.answers.all.at(-1)!, /"Error".*more than 10 refused frames in a minute/);
  await stream.messages('NodeDisconnected', 1);
  assert.match(stream.lines.at(-1)!, /"node_name":"bad","status":"Unknown","reason":"too many errors"/);
  await core.line('node disconnected', { node: 'bad', reason: 'too many errors' });
  const again = await NodeClient.register(node_port, { id: 1n, name: 'bad' });
  assert.ok(!good.isClosed && !again.isClosed);
  const { totals } = (await get(backend_port, '/api/v1/stats')).json;
  assert.deepEqual([totals.closed_for_errors, totals.refused], [1, 21]);
  assert.equal((await core.stop()).code, 0);
});

test('a shutdown closes who waits, in order, and is not held up', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'admission.accepts_per_second': 10 } });
  const node = await NodeClient.register(core.ports.node_port, { id: 1n, name: 'bee' });
  const clients = await connectMany(core, 300, FLOOD);
  for (const client of clients) void client.send(`${registration({ id: 5n, name: 'late' })}\n`);
  await poll('they wait', async () => ((await admission(core)).waiting > 50 ? true : undefined));
  await node.send(`${numberedEvent(1n, 0)}\n${statusUpdate(1n, 'Running')}\n`);
  const startMs = performance.now();
  const exit = await core.stop();
  assert.equal(exit.code, 0, core.story());
  const line = await core.line('waiting connections closed');
  assert.ok(Number(line.connections) > 50);
  assert.ok(performance.now() - startMs < 5_000);
  await within('all are closed', Promise.all(clients.map((client) => client.closed)));
  assert.equal(readLog(core.dataDir).lines.filter((line) => line.includes('"PotEvent"')).length, 1);
});

test('who waits outlives the death of a shard', async (t) => {
  const core = await CoreProcess.start(t, {
    settings: { 'admission.accepts_per_second': 100, 'server.debug': true, 'ingest.shards': 1 },
  });
  const { node_port, backend_port } = core.ports;
  const clients = await connectMany(core, 60);
  await post(backend_port, '/debug/shards/0/kill');
  await core.line('shard died');
  // Those that the shard had are gone with it; all others get in.
  const outcomes = await Promise.all(
    clients.map(async (client, at) => {
      void client.send(`${registration({ id: BigInt(at + 1), name: `node ${at}` })}\n`);
      return Promise.race([acknowledged(client).then(() => 'in'), client.closed.then(() => 'gone')]);
    }),
  );
  assert.ok(outcomes.includes('in'), outcomes.join());
  assert.equal(outcomes.lastIndexOf('gone') < outcomes.indexOf('in'), true, 'only the first ones are gone');
  await NodeClient.register(node_port, { id: 1000n, name: 'after' });
  assert.deepEqual((await admission(core)).waiting, 0);
  assert.equal((await core.stop()).code, 0);
});
