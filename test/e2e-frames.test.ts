/**
 * A thousand nodes at once, of every framing habit, good frames and bad, torn at random places: the log holds exactly
 * the good records, in order per node; the consumers saw exactly the log; every bad frame is accounted for.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { LIMITS } from '../src/limits.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { type DeadLetter, readDeadLetters, readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { messageName, nodeIdOf } from './node-frames.js';
import { type NodePlan, PlanMaker } from './node-plans.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

/** Another one may be tried: HONEYBEE_TEST_SEED=7 npm test -- e2e-frames */
const SEED = Number(process.env.HONEYBEE_TEST_SEED ?? 20_261_120);
const MAX_FRAME_BYTES = 128 * 1024;
const FRAMES_PER_NODE = 16;

/** A process needs a descriptor for each connection; where fewer are allowed, fewer nodes have to do. */
function nodeCount(): number {
  const limits = readFileSync('/proc/self/limits', 'latin1');
  const allowed = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 1024);
  return allowed >= 2_000 ? 1_000 : 200;
}

/** All nodes write in turns drawn from the seed, each its next piece. */
async function play(
  plans: readonly NodePlan[],
  clients: readonly NodeClient[],
  random: Random,
): Promise<void> {
  const next = new Int32Array(plans.length);
  let waiting = plans.map((_, at) => at);
  const acknowledged = plans.map(() => false);
  let writes = 0;
  while (waiting.length > 0) {
    const pick = random.below(waiting.length);
    const at = waiting[pick]!;
    const plan = plans[at]!;
    const client = clients[at]!;
    const piece = next[at]!;
    if (plan.waitsAt === piece && !acknowledged[at]) {
      await client.answer('RegistrationAck');
      acknowledged[at] = true;
    }
    if (piece < plan.pieces.length) {
      void client.send(plan.pieces[piece]!);
      next[at]!++;
    } else {
      if (!plan.saysGoodbye) client.socket.end();
      waiting[pick] = waiting.at(-1)!;
      waiting = waiting.slice(0, -1);
    }
    // Now and then everything written so far goes out.
    if (++writes % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

function countBy<T>(list: readonly T[], key: (element: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const element of list) counts[key(element)] = (counts[key(element)] ?? 0) + 1;
  return counts;
}

test('a thousand nodes of all habits, with good, torn, malformed and oversized frames', async (t) => {
  const count = nodeCount();
  t.diagnostic(`${count} nodes, seed ${SEED}`);
  const core = await CoreProcess.start(t, {
    settings: { 'ingest.max_frame_bytes': MAX_FRAME_BYTES, 'ingest.shards': 2 },
  });
  const { node_port, backend_port, proxy_port } = core.ports;
  const random = new Random(SEED);
  const plans = Array.from({ length: count }, (_, at) =>
    PlanMaker.make(random, at, MAX_FRAME_BYTES, FRAMES_PER_NODE),
  );
  const events = await StreamClient.connect(proxy_port, 'events');
  const batches = await StreamClient.connect(proxy_port, 'batch');
  const clients: NodeClient[] = [];
  for (let at = 0; at < count; at += 100) {
    const some = Array.from({ length: Math.min(100, count - at) }, () => NodeClient.connect(node_port));
    clients.push(...(await Promise.all(some)));
  }
  const remotes = clients.map(({ port }) => `127.0.0.1:${port}`);
  await play(plans, clients, random);
  await Promise.all(clients.map((client) => client.gone(60_000)));
  await batches.messages('NodeDisconnected', count);
  await events.messages('NodeDisconnected', count);
  const rows = await poll('REST knows that all have gone', async () => {
    const { nodes } = (await get(backend_port, '/api/v1/nodes')).json;
    return nodes.length === count && nodes.every((row: { connected: boolean }) => !row.connected)
      ? new Map<string, Record<string, number>>(nodes.map((row: { id: string }) => [row.id, row]))
      : undefined;
  });
  const stats = (await get(backend_port, '/api/v1/stats')).json;
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  await Promise.all([events.gone(), batches.gone()]);
  const log = readLog(core.dataDir);
  const letters = readDeadLetters(core.dataDir);
  const refusals = plans.flatMap(({ refused }) => refused);

  await t.test('the log holds exactly the good records, in order per node, to the byte', () => {
    const byNode = new Map<string, string[]>();
    for (const line of log.lines) {
      const name = messageName(line);
      if (name === 'NodeRegistered' || name === 'NodeDisconnected') continue;
      const id = nodeIdOf(line)!;
      byNode.set(id, [...(byNode.get(id) ?? []), line]);
    }
    for (const { identity, records } of plans) {
      assert.deepEqual(byNode.get(String(identity.id)) ?? [], records, identity.name);
      byNode.delete(String(identity.id));
    }
    assert.deepEqual([...byNode.keys()], [], 'and nothing of anybody else');
    const notices = countBy(log.lines, messageName);
    assert.deepEqual([notices.NodeRegistered, notices.NodeDisconnected], [count, count]);
  });

  await t.test('both consumers saw exactly the log', () => {
    assert.ok(events.content.equals(log.content), 'a message per record');
    assert.ok(batches.content.equals(log.content), 'batches');
    assert.equal(events.messageCount, log.lines.length);
    assert.ok(batches.messageCount < log.lines.length / 2, 'batches hold several records');
    for (const { misshapen, binaryCount } of [events, batches])
      assert.deepEqual([misshapen, binaryCount], [0, 0]);
  });

  await t.test(
    'every bad frame is a dead letter with its code, its node and its bytes, and nothing else is',
    () => {
      const byRemote = new Map<string, DeadLetter[]>();
      for (const letter of letters)
        byRemote.set(letter.remote, [...(byRemote.get(letter.remote) ?? []), letter]);
      for (const [at, { identity, refused }] of plans.entries()) {
        const own = byRemote.get(remotes[at]!) ?? [];
        assert.deepEqual(
          // Where a line ends with CR LF, the CR counts as one of its bytes.
          own.map(({ code, nodeId, frame }) => [code, nodeId, frame.toString('latin1').replace(/\r$/, '')]),
          refused.map(({ code, registered, bytes }) => [
            code,
            registered ? String(identity.id) : null,
            bytes.subarray(0, LIMITS.deadLetterFrameBytes).toString('latin1'),
          ]),
          identity.name,
        );
        for (const [n, { size, frame }] of own.entries()) {
          const { length } = refused[n]!.bytes;
          // The end of a frame that is too large may not have come before it was refused.
          if (length > MAX_FRAME_BYTES) assert.ok(size > MAX_FRAME_BYTES);
          else assert.equal(size - (frame.at(-1) === 0x0d ? 1 : 0), length);
        }
      }
      assert.equal(letters.length, refusals.length);
    },
  );

  await t.test('REST counts the same, by code, by node and in total', () => {
    const counted = Object.entries(stats.errors).filter(([, value]) => value !== 0);
    assert.deepEqual(
      Object.fromEntries(counted),
      countBy(refusals, ({ code }) => code),
    );
    assert.equal(stats.dead_letters.frames, letters.length);
    let frames = 0;
    for (const { identity, records, refused, events: eventCount, silentFrames, pieces, isCutOff } of plans) {
      const row = rows.get(String(identity.id))!;
      const expected = records.length + refused.length + silentFrames;
      frames += expected;
      assert.deepEqual(
        [row.frames, row.records, row.events, row.refused],
        [expected, records.length, eventCount, refused.length],
        identity.name,
      );
      const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
      if (!isCutOff) assert.equal(row.bytes_in, bytes, identity.name);
    }
    assert.equal(stats.totals.frames, frames, 'received = recorded + refused + answered');
    assert.equal(stats.totals.records, log.lines.length);
    assert.equal(stats.aggregator.next_seq, log.lines.length + 1);
    assert.equal(stats.aggregator.bytes_logged, log.content.length);
  });

  await t.test('every kind of badness was there', () => {
    const codes = Object.keys(countBy(refusals, ({ code }) => code)).sort();
    assert.deepEqual(codes, [
      'INVALID_MESSAGE_FORMAT',
      'INVALID_NODE_ID',
      'MESSAGE_PARSE_FAILED',
      'NODE_NOT_FOUND',
      'PROTOCOL_VERSION_MISMATCH',
    ]);
    assert.ok(refusals.some(({ bytes }) => bytes.length > MAX_FRAME_BYTES));
    assert.ok(plans.some(({ isCutOff }) => isCutOff));
    assert.ok(plans.some(({ records }) => records.some((line) => line.length > 66_000)));
    assert.deepEqual(core.otherOutput, [], 'standard output holds log lines only');
    assert.equal(core.stderr, '');
  });
});
