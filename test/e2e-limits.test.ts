/**
 * Frames and nodes at the edges of what is allowed, in a whole Core: the largest frames that the settings permit,
 * records that are longer than the frame they are made of, deep nesting, and more pots than are remembered.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { frame, potEvent, potStatus } from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const MIB = 1024 * 1024;

/** A frame made exactly so long by what stands between `before` and `after`. */
function stretched(before: string, after: string, lengthBytes: number): string {
  const text = before + 'x'.repeat(lengthBytes - Buffer.byteLength(before + after)) + after;
  assert.equal(Buffer.byteLength(text), lengthBytes);
  return text;
}

for (const [what, maxFrameBytes, ringBytes] of [
  ['the smallest ring that is allowed', MIB / 2 - 4096, MIB],
  ['frames of 5 MiB', 5 * MIB, 16 * MIB],
] as const) {
  test(`largest frames with ${what}, and records that are longer than their frames`, async (t) => {
    const core = await CoreProcess.start(t, {
      settings: { 'ingest.max_frame_bytes': maxFrameBytes, 'ingest.ring_bytes': ringBytes },
    });
    const { node_port, proxy_port, backend_port } = core.ports;
    const streams = await Promise.all([
      StreamClient.connect(proxy_port, 'events'),
      StreamClient.connect(proxy_port, 'batch'),
    ]);
    const id = 2n ** 64n - 1n;
    const node = await NodeClient.register(node_port, { id, name: 'large' });
    const potType = '\u{1f41d}"'.repeat(85);
    const bare = `{"version":2,"message":{"PotEvent":{"node_id":${id},"pot_id":"p",`;
    const documented = '"event_type":"e","timestamp":"2026-11-20T12:00:00Z","data":{"x":"';
    const [start, end] = potEvent(id, '{"x":"|"}').split('|');
    const largest = stretched(start!, end!, maxFrameBytes);
    const withoutType = stretched(bare + documented, '"}}}}', maxFrameBytes);
    const compiled = stretched(
      `${bare}"event":"e","timestamp":1,"message":"`,
      '","metadata":{"message":"m"}}}}',
      maxFrameBytes,
    );
    const legacy = stretched(
      `{"version":2,"message":{"PotStatusUpdate":{"node_id":${id},"pot_id":"p","pot_type":"t","status":"","message":"`,
      '"}}}',
      maxFrameBytes,
    );
    const frames = [largest, withoutType, compiled, legacy, largest];
    await node.send(`${potStatus(id, 'p', potType, 'Running')}\n`);
    for (const text of frames) await node.send(`${text}\n`);
    for (const stream of streams) await stream.messages('PotEvent', frames.length);
    await node.end();
    const { totals, shards } = (await get(backend_port, '/api/v1/stats')).json;
    assert.deepEqual([totals.events, totals.refused], [frames.length, 0]);
    assert.ok(shards.every(({ deaths }: { deaths: number }) => deaths === 0));
    assert.equal((await core.stop()).code, 0);
    const log = readLog(core.dataDir);
    const records = log.lines.slice(2, -1);
    assert.equal(records[0], largest);
    assert.equal(records[4], largest);
    const events = records.map((line) => JSON.parse(line).message.PotEvent);
    assert.deepEqual([events[1].pot_type, events[1].data.x.length > maxFrameBytes / 2], [potType, true]);
    assert.equal(events[2].data.message, 'm');
    assert.equal(events[2].data.event_message.length > maxFrameBytes / 2, true);
    assert.equal(events[3].data.message.length > maxFrameBytes / 2, true);
    await Promise.all(streams.map((stream) => stream.gone()));
    for (const stream of streams) assert.ok(stream.content.equals(log.content), stream.form);
  });
}

test('nesting up to 512 levels passes, more is refused', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port, backend_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'events');
  const node = await NodeClient.register(node_port, { id: 1n, name: 'deep' });
  // The envelope, the message and its body are three levels, `data` is the fourth.
  const deep = (levels: number) => potEvent(1n, `{"x":${'['.repeat(levels - 4)}${']'.repeat(levels - 4)}}`);
  const bomb = frame('PotEvent', '['.repeat(500_000));
  await node.send(`${deep(512)}\n${deep(513)}\n${bomb}\n${deep(5)}\n`);
  await stream.messages('PotEvent', 2);
  await node.end();
  const { errors } = (await get(backend_port, '/api/v1/stats')).json;
  assert.equal(errors.INVALID_MESSAGE_FORMAT + errors.MESSAGE_PARSE_FAILED, 2);
  assert.equal((await core.stop()).code, 0);
  assert.deepEqual(readLog(core.dataDir).lines.slice(1, -1), [deep(512), deep(5)]);
});

test('more pots than a node may have are not remembered, but their events pass', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port, backend_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const node = await NodeClient.register(node_port, { id: 1n, name: 'many' });
  const pots = Array.from({ length: 1_100 }, (_, at) => `pot-${at}`);
  await node.send(pots.map((pot) => `${potStatus(1n, pot, 'cowrie', 'Running')}\n`).join(''));
  await node.send(pots.map((pot) => `${potEvent(1n, '{}', pot)}\n`).join(''));
  await stream.messages('PotEvent', pots.length);
  const row = await poll('REST knows all it will', async () => {
    const { json } = await get(backend_port, '/api/v1/nodes/1');
    return json.pots + json.pots_not_kept === pots.length ? json : undefined;
  });
  assert.deepEqual([row.pots, row.pots_not_kept, row.honeypots.length], [1024, 76, 1024]);
  await node.end();
  assert.equal((await core.stop()).code, 0);
  assert.equal(readLog(core.dataDir).lines.length, 2 + 2 * pots.length);
});
