/**
 * Named consumers: each goes on where it has acknowledged, over reconnects, restarts and crashes; one connection at a
 * time; nobody uses another's name; and they are kept, listed and removed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';
import { ask, get, post } from './rest-client.js';
import { StreamClient, type StreamForm } from './stream-client.js';

const KIB = 1024;

function positionIn(content: Buffer, seq: number): number {
  let at = 0;
  for (let left = seq - 1; left > 0; left--) at = content.indexOf(0x0a, at) + 1;
  return at;
}

async function kept(port: number, token?: string) {
  const { json } = await get(port, '/api/v1/consumers', token === undefined ? {} : { token });
  return json.consumers as { name: string; next_seq: number; connected: boolean; created_by: string }[];
}

async function send(node: NodeClient, from: number, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, n) => `${numberedEvent(1n, from + n, 'x'.repeat(150))}\n`);
  await node.send(lines.join(''));
}

const named = (port: number, form: StreamForm, query = {}) =>
  StreamClient.open(port, form, { query: { consumer: 'siem', ...query } });

test('a name goes on where it has acknowledged: over reconnects, a stop and a crash', async (t) => {
  const settings = { 'storage.segment_bytes': 64 * KIB };
  const first = await CoreProcess.start(t, { settings });
  let core = first;
  /** What was taken for good: whatever comes again is not in it twice. */
  const taken: Buffer[] = [];
  let ackedSeq = 1;
  for (let life = 0; life < 4; life++) {
    const { node_port, proxy_port, backend_port } = core.ports;
    const consumer = await named(
      proxy_port,
      life % 2 === 0 ? 'batch' : 'events',
      life === 0 ? { from: 1 } : {},
    );
    const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
    await send(node, life * 300, 300);
    await consumer.seen('the last event', (line) => line.includes(`"n":${life * 300 + 299},`));
    assert.equal(consumer.positions[0], ackedSeq, 'it goes on behind what was acknowledged');
    // Half of what has come.
    await poll('it is told where it is', () => (consumer.position > ackedSeq + 200 ? true : undefined));
    const upTo = ackedSeq + Math.floor((consumer.position - ackedSeq) / 2);
    consumer.ack(upTo);
    taken.push(consumer.content.subarray(0, positionIn(consumer.content, upTo - ackedSeq + 1)));
    ackedSeq = upTo;
    await poll('Core has it', async () => {
      const [cursor] = await kept(backend_port);
      return cursor?.next_seq === upTo || undefined;
    });
    if (life === 1) assert.equal((await core.stop()).code, 0);
    else {
      if (life === 0) {
        // Written together with others, a moment later; a crash before that would cost a repetition, no more.
        consumer.ack(upTo);
        await new Promise((resolve) => setTimeout(resolve, 2 * LIMITS.cursorSaveMs));
      }
      if (life === 2) {
        await consumer.end();
        const again = await named(proxy_port, 'events');
        await again.at(upTo);
        assert.equal(again.positions[0], upTo, 'in the same life, too');
        await new Promise((resolve) => setTimeout(resolve, 2 * LIMITS.cursorSaveMs));
      }
      await core.crash();
    }
    core = await CoreProcess.start(t, { folder: first.folder, settings });
  }
  const last = await named(core.ports.proxy_port, 'batch');
  const { text } = await get(core.ports.backend_port, '/metrics');
  await last.at(Number(/^honeybee_log_next_sequence (\S+)$/m.exec(text)![1]));
  assert.ok(last.positions[0]! <= ackedSeq);
  taken.push(last.content.subarray(positionIn(last.content, ackedSeq - last.positions[0]! + 1)));
  assert.equal((await core.stop()).code, 0);
  assert.ok(Buffer.concat(taken).equals(readLog(core.dataDir).content));
});

test('what may be acknowledged: what was sent, forwards, by whoever has a name', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port, backend_port } = core.ports;
  const consumer = await named(proxy_port, 'events');
  const nameless = await StreamClient.open(proxy_port, 'batch', { query: { from: 1 } });
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  await send(node, 0, 10);
  await consumer.at(12);
  for (const nextSeq of ['13', '0', '-1', '1.5', '"5"', 'null', '1e300'])
    consumer.socket.send(`{"version":2,"message":{"StreamAck":{"next_seq":${nextSeq}}}}`);
  consumer.socket.send('{"version":2,"message":{"StreamAck":{}}}');
  nameless.ack(2);
  await poll(
    'all are refused',
    () => (consumer.answers.length === 8 && nameless.answers.length === 1) || undefined,
  );
  for (const answer of [...consumer.answers, ...nameless.answers])
    assert.match(answer, /"BackendResponse":\{"Failure":"INVALID_MESSAGE_FORMAT: StreamAck/);
  assert.match(consumer.answers[0]!, /beyond what was sent, 12/);
  assert.match(nameless.answers[0]!, /named consumers/);
  consumer.ack(8);
  consumer.ack(5);
  consumer.ack(9);
  await poll('the furthest counts', async () =>
    (await kept(backend_port))[0]?.next_seq === 9 ? true : undefined,
  );
  assert.equal(consumer.answers.length, 8, 'going back is ignored');
  assert.equal((await core.stop()).code, 0);
});

test('the newest connection takes over; where it starts is what the one before has acknowledged', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port, backend_port } = core.ports;
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  await send(node, 0, 100);
  let consumer = await named(proxy_port, 'batch', { from: 'earliest' });
  for (let round = 0; round < 10; round++) {
    await consumer.at(102);
    const upTo = 5 + round * 8;
    consumer.ack(upTo);
    // At once: main may not have heard of the acknowledgement when it judges.
    const next = await named(proxy_port, round % 2 === 0 ? 'events' : 'batch');
    const { code, reason } = await consumer.gone();
    assert.equal(code, 4001, reason);
    await next.at(102);
    assert.ok(next.positions[0] === upTo || next.positions[0]! < upTo);
    consumer = next;
  }
  await poll('one connection', async () => {
    const { json } = await get(backend_port, '/api/v1/stats');
    return json.aggregator.consumers.open === 1 || undefined;
  });
  // From elsewhere on purpose: back to the start.
  const back = await named(proxy_port, 'events', { from: 1 });
  await back.at(102);
  assert.equal(back.lines.length, 101);
  await poll('the cursor is there', async () =>
    (await kept(backend_port))[0]?.next_seq === 1 ? true : undefined,
  );
  assert.equal((await core.stop()).code, 0);
});

test('a removed consumer is closed, and forgotten over a restart; a new name starts at the end', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port, backend_port } = core.ports;
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  await send(node, 0, 10);
  const watching = await StreamClient.open(proxy_port, 'batch', { query: { from: 1 } });
  await watching.at(12);
  const consumer = await named(proxy_port, 'batch');
  const other = await StreamClient.open(proxy_port, 'batch', { query: { consumer: 'a-1.b_2', from: 3 } });
  await consumer.at(12);
  assert.equal(consumer.lines.length, 0);
  await poll('both are listed', async () => ((await kept(backend_port)).length === 2 ? true : undefined));
  const [first, second] = await kept(backend_port);
  assert.deepEqual([first!.name, first!.next_seq, first!.connected], ['a-1.b_2', 3, true]);
  assert.deepEqual([second!.name, second!.next_seq], ['siem', 12]);
  assert.equal((await ask(backend_port, 'DELETE', '/api/v1/consumers/siem')).status, 204);
  assert.equal((await consumer.gone()).code, 4404);
  assert.equal((await ask(backend_port, 'DELETE', '/api/v1/consumers/siem')).status, 404);
  // A name is durable at once, not only with its next acknowledgement.
  await other.end();
  await poll('it has gone', async () =>
    (await kept(backend_port))[0]?.connected === false ? true : undefined,
  );
  await core.crash();
  const again = await CoreProcess.start(t, { folder: core.folder });
  assert.deepEqual(
    (await kept(again.ports.backend_port)).map(({ name }) => name),
    ['a-1.b_2'],
  );
  const audit = await get(again.ports.backend_port, '/api/v1/audit?limit=100');
  const actions = audit.json.entries.map(
    ({ action, target }: { action: string; target: string }) => `${action} ${target}`,
  );
  assert.ok(
    actions.includes('consumer.create siem') && actions.includes('consumer.remove siem'),
    actions.join(),
  );
  assert.equal((await again.stop()).code, 0);
});

test("nobody uses another token's name; administrators may; a token without the stream has none", async (t) => {
  const core = await CoreProcess.start(t);
  const { proxy_port, backend_port } = core.ports;
  const make = async (body: object, token?: string) =>
    (await post(backend_port, '/api/v1/tokens', { body, ...(token !== undefined && { token }) })).json
      .token as string;
  const admin = await make({ name: 'admin', roles: ['admin'] });
  const owner = await make({ name: 'owner', roles: ['stream'] }, admin);
  const other = await make({ name: 'other', roles: ['stream'], event_types: ['x.*'] }, admin);
  const reader = await make({ name: 'reader', roles: ['read'] }, admin);
  const open = (token: string, query = {}) =>
    StreamClient.open(proxy_port, 'batch', { token, query: { consumer: 'siem', ...query } });
  const mine = await open(owner, { from: 1 });
  await mine.at(1);
  await assert.rejects(open(other), /403/);
  await assert.rejects(open(other, { from: 1 }), /403/);
  await assert.rejects(open(reader), /403/);
  await assert.rejects(
    StreamClient.open(proxy_port, 'batch', { token: reader, query: { consumer: 'new' } }),
    /403/,
  );
  assert.equal(mine.socket.readyState, mine.socket.OPEN, 'it has not been disturbed');
  // What cannot be served takes the name from nobody, with the token at once or later.
  await assert.rejects(open(owner, { from: 99_999 }), /400/);
  const lost = await StreamClient.open(proxy_port, 'batch', { query: { consumer: 'siem', from: 99_999 } });
  lost.socket.send(`{"version":2,"message":{"Authenticate":{"token":"${owner}"}}}`);
  assert.equal((await lost.gone()).code, 4400);
  assert.equal(mine.socket.readyState, mine.socket.OPEN, 'nor has it been by these');
  const asAdmin = await open(admin);
  assert.equal((await mine.gone()).code, 4001);
  await asAdmin.at(1);
  assert.deepEqual(
    (await kept(backend_port, admin)).map(({ created_by }) => created_by),
    ['owner'],
  );
  // Who comes without a token and shows it later has the name from then on.
  const late = await StreamClient.open(proxy_port, 'batch', { query: { consumer: 'siem' } });
  late.socket.send(`{"version":2,"message":{"Authenticate":{"token":"${owner}"}}}`);
  assert.equal((await asAdmin.gone()).code, 4001);
  await late.at(1);
  const thief = await StreamClient.open(proxy_port, 'batch', { query: { consumer: 'siem' } });
  thief.socket.send(`{"version":2,"message":{"Authenticate":{"token":"${other}"}}}`);
  assert.equal((await thief.gone()).code, 4403);
  assert.equal(thief.positions.length, 0);
  assert.equal(late.socket.readyState, late.socket.OPEN);
  assert.equal((await core.stop()).code, 0);
});
