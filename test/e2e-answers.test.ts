/**
 * What bad input gets, over a real socket: the right code, an answer or none, a dead letter with the bytes, and no
 * harm to the frames before and behind it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { type DeadLetter, readDeadLetters } from './event-log.js';
import { NodeClient } from './node-client.js';
import { frame, numberedEvent, potEvent, potStatus, registration, statusUpdate } from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const MAX_FRAME_BYTES = 4096;

/** Every way to be wrong that PROTOCOL.md names, for a node that has registered `id`. */
function badFrames(id: bigint): [what: string, bytes: Buffer | string, code: string, reason: RegExp][] {
  const event = potEvent(id, '{}');
  return [
    ['no JSON', 'hello', 'MESSAGE_PARSE_FAILED', /not JSON/],
    ['half an object', event.slice(0, -3), 'MESSAGE_PARSE_FAILED', /not JSON/],
    ['two objects with junk between', `${event}x${event}`, 'MESSAGE_PARSE_FAILED', /./],
    ['not UTF-8', Buffer.from(potEvent(id, '{"x":"\u00ff"}'), 'latin1'), 'MESSAGE_PARSE_FAILED', /UTF-8/],
    ['a NUL', event.replace('login', 'lo\0gin'), 'MESSAGE_PARSE_FAILED', /./],
    ['an array', `[${event}]`, 'INVALID_MESSAGE_FORMAT', /./],
    ['no envelope', '{"version":2}', 'INVALID_MESSAGE_FORMAT', /message/],
    ['an unknown message', frame('Nonsense', '{}'), 'INVALID_MESSAGE_FORMAT', /./],
    ['no version', '{"message":"NodeDrop"}', 'INVALID_MESSAGE_FORMAT', /version/],
    ['version 1', event.replace('"version":2', '"version":1'), 'PROTOCOL_VERSION_MISMATCH', /1/],
    ['a field missing', event.replace('"pot_id":"cowrie-1",', ''), 'INVALID_MESSAGE_FORMAT', /pot_id/],
    ['a field of another type', event.replace('"cowrie-1"', '7'), 'INVALID_MESSAGE_FORMAT', /pot_id/],
    ['data that is no object', potEvent(id, '[]'), 'INVALID_MESSAGE_FORMAT', /data/],
    ['no time', event.replace('2026-11-20T12', '2026-13-40T12'), 'INVALID_MESSAGE_FORMAT', /timestamp/],
    ['an unknown status', statusUpdate(id, 'Happy'), 'INVALID_MESSAGE_FORMAT', /status/],
    ['an unknown pot status', potStatus(id, 'p', 't', 'Happy'), 'INVALID_MESSAGE_FORMAT', /status/],
    ['an unknown node event', frame('NodeEvent', '"Slept"'), 'INVALID_MESSAGE_FORMAT', /NodeEvent/],
    ['an id out of range', potEvent(2n ** 64n, '{}'), 'INVALID_NODE_ID', /node_id/],
    ["another node's event", potEvent(id + 1n, '{}'), 'INVALID_NODE_ID', /node_id/],
    ["another node's status", statusUpdate(id + 1n, 'Running'), 'INVALID_NODE_ID', /node_id/],
    ["another node's honeypot", potStatus(id + 1n, 'p', 't', 'Running'), 'INVALID_NODE_ID', /node_id/],
    ['another registration', registration({ id: id + 1n, name: 'x' }), 'NODE_ALREADY_REGISTERED', /./],
    ['too large', potEvent(id, `"${'x'.repeat(MAX_FRAME_BYTES)}"`), 'INVALID_MESSAGE_FORMAT', /4096/],
  ];
}

test('every bad frame gets its code and a dead letter, and costs only itself', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.max_frame_bytes': MAX_FRAME_BYTES } });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'events');
  const expected = new Map<string, ReturnType<typeof badFrames>[number]>();
  let id = 500n;
  for (const bad of badFrames(id)) {
    // A node of its own for each, so that each is answered: one answer a second is all a connection gets.
    id += 10n;
    const [what, bytes, code, reason] = badFrames(id).find(([name]) => name === bad[0])!;
    const node = await NodeClient.register(node_port, { id, name: what });
    expected.set(what, [what, bytes, code, reason]);
    await node.send(`${numberedEvent(id, 1)}\n`);
    await node.send(Buffer.concat([Buffer.from(bytes), Buffer.from('\n')]));
    await node.send(`${numberedEvent(id, 2)}\n`);
    await t.test(`${what}: ${code}`, async () => {
      const error = JSON.parse(await node.answer('Error')).message.Error;
      assert.equal(error.code, code);
      assert.match(error.message, reason);
      await stream.seen('the frames around it', (line) => line.includes(`"PotEvent":{"node_id":${id},`), 2);
      // Counted is what was passed on, a moment after it was: the stream may be faster.
      const row = await poll('all is counted', async () => {
        const { json } = await get(backend_port, `/api/v1/nodes/${id}`);
        return json.frames >= 4 ? json : undefined;
      });
      assert.deepEqual(
        [row.connected, row.frames, row.records, row.events, row.refused],
        [true, 4, 2, 2, 1],
        'the registration, two events, one refused; still connected',
      );
    });
    await node.end();
  }
  const { errors, totals, dead_letters } = (await get(backend_port, '/api/v1/stats')).json;
  await core.stop();
  const letters = readDeadLetters(core.dataDir);

  await t.test('dead letters hold the node, the reason and the bytes', () => {
    assert.equal(letters.length, expected.size);
    for (const letter of letters) {
      const [, bytes, code, reason] = expected.get(letter.node_name!)!;
      const whole = Buffer.from(bytes);
      assert.equal(letter.code, code);
      assert.match(letter.reason, reason);
      assert.equal(letter.size, whole.length);
      assert.ok(letter.frame.equals(whole.subarray(0, LIMITS.deadLetterFrameBytes)), letter.node_name!);
      assert.match(letter.remote, /^127\.0\.0\.1:\d+$/);
      assert.ok(Math.abs(Date.parse(letter.time) - Date.now()) < 120_000);
    }
  });

  await t.test('REST counts the same', () => {
    const byCode: Record<string, number> = {};
    for (const { code } of letters) byCode[code] = (byCode[code] ?? 0) + 1;
    const counted = Object.entries(errors).filter(([, count]) => count !== 0);
    assert.deepEqual(Object.fromEntries(counted), byCode);
    assert.equal(totals.refused, letters.length);
    assert.equal(dead_letters.frames, letters.length);
  });
});

test('before a registration', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;

  await t.test('any other frame is NODE_NOT_FOUND, and the node may register still', async () => {
    const node = await NodeClient.connect(node_port);
    await node.send(`${potEvent(7n, '{}')}\n`);
    assert.match(await node.answer('Error'), /"code":"NODE_NOT_FOUND"/);
    await node.register({ id: 7n, name: 'late' });
    await node.end();
  });

  await t.test(
    'a registration of another version is refused with both versions named, then Core closes',
    async () => {
      const node = await NodeClient.connect(node_port);
      await node.send(`${registration({ id: 8n, name: 'old' }).replace('"version":2', '"version":1')}\n`);
      const ack = await node.answer('RegistrationAck');
      assert.match(ack, /"accepted":false/);
      const { message } = JSON.parse(ack).message.RegistrationAck;
      assert.match(message, /PROTOCOL_VERSION_MISMATCH.*\b1\b/);
      assert.match(message, /\b2\b/);
      await node.gone();
    },
  );

  await t.test('a registration that lacks something is told what', async () => {
    const whole = registration({ id: 9n, name: 'n' });
    const wrong: [string, RegExp][] = [
      [whole.replace('"node_name":"n",', ''), /node_name/],
      [whole.replace('"n"', '""'), /node_name/],
      [whole.replace('"n"', `"${'n'.repeat(256)}"`), /node_name/],
      [whole.replace('7000', '65536'), /port/],
      [whole.replace('7000', '"7000"'), /port/],
      [whole.replace('"Full"', '"Half"'), /node_type/],
      [whole.replace('"address":"192.0.2.7",', ''), /address/],
    ];
    for (const [text, field] of wrong) {
      const node = await NodeClient.connect(node_port);
      await node.send(`${text}\n`);
      const error = JSON.parse(await node.answer('Error')).message.Error;
      assert.equal(error.code, 'INVALID_MESSAGE_FORMAT');
      assert.match(error.message, field);
      node.reset();
    }
  });

  await t.test('eight refused frames are enough: that is no node', async () => {
    const node = await NodeClient.connect(node_port);
    await node.send('{"version":2}\n'.repeat(20));
    await node.gone();
    const { errors } = (await get(backend_port, '/api/v1/stats')).json;
    // One frame in the part above was NODE_NOT_FOUND; seven there lacked something.
    assert.deepEqual([errors.INVALID_MESSAGE_FORMAT, errors.NODE_NOT_FOUND], [7 + 8, 1]);
  });

  await core.stop();
  const letters = readDeadLetters(core.dataDir);
  assert.equal(letters.length, 1 + 1 + 7 + 8, 'each of them is a dead letter');
  assert.ok(letters.every(({ nodeId, node_name }) => nodeId === null && node_name === null));
});

test('answers to bad frames are held to one a second, and say how many were held back', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const node = await NodeClient.register(node_port, { id: 1n, name: 'noisy' });
  let sent = 0;
  const answers = () => node.answers.all.filter((line) => line.includes('"Error"'));
  // Bad frames until the third answer: two seconds of them.
  await poll('three answers', async () => {
    await node.send('nonsense\n');
    sent++;
    return answers().length >= 3 ? true : undefined;
  });
  await node.end();
  const { totals, errors } = await poll('all are counted', async () => {
    const { json } = await get(backend_port, '/api/v1/stats');
    return json.totals.refused === sent ? json : undefined;
  });
  const heldBack = answers().map((line) => Number(/and (\d+) more errors/.exec(line)?.[1] ?? 0));
  assert.equal(heldBack[0], 0, 'the first one is answered at once');
  assert.ok(heldBack[1]! > 0 && heldBack[2]! > 0);
  assert.equal(errors.MESSAGE_PARSE_FAILED, sent);
  assert.equal(totals.error_replies, answers().length);
  assert.equal(totals.error_replies_held_back, sent - answers().length);
  const behindLast = sent - answers().length - heldBack.reduce((sum, count) => sum + count);
  assert.ok(behindLast >= 0, 'no error is reported as held back twice');
  await core.stop();
  assert.equal(readDeadLetters(core.dataDir).length, sent, 'every one of them is a dead letter');
});

test('with error_replies = false a bad frame gets no answer, but is kept all the same', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.error_replies': false } });
  const node = await NodeClient.register(core.ports.node_port, { id: 1n, name: 'n' });
  const stream = await StreamClient.connect(core.ports.proxy_port, 'events');
  await node.send(`nonsense\n${numberedEvent(1n, 1)}\n`);
  await stream.messages('PotEvent');
  await node.end();
  assert.equal(node.answers.all.length, 1, 'the acknowledgement only');
  await core.stop();
  assert.equal(readDeadLetters(core.dataDir).length, 1);
});

test('a frame above the limit', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'ingest.max_frame_bytes': MAX_FRAME_BYTES } });
  const { node_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'events');
  const large = (id: bigint, bytes: number) => potEvent(id, `{"x":"${'x'.repeat(bytes)}"}`);

  await t.test('in line mode Core skips to the next newline, however long that takes', async () => {
    const node = await NodeClient.register(node_port, { id: 1n, name: 'lines' });
    const text = large(1n, 3_000_000);
    await node.sendPieces([text.slice(0, 5000), text.slice(5000, 1_500_000), text.slice(1_500_000)]);
    await node.send(`\n${numberedEvent(1n, 1)}\n`);
    await stream.seen('the next event', (line) => line.includes('"PotEvent":{"node_id":1,'));
    await node.end();
  });

  await t.test('a frame of exactly the limit passes, one byte more does not', async () => {
    const node = await NodeClient.register(node_port, { id: 2n, name: 'exact' });
    const fixed = large(2n, 0).length;
    await node.send(`${large(2n, MAX_FRAME_BYTES - fixed)}\n${large(2n, MAX_FRAME_BYTES - fixed + 1)}\n`);
    assert.match(await node.answer('Error'), /4096/);
    await node.end();
    await stream.seen('its end', (line) => line.includes('"NodeDisconnected":{"node_id":2,'));
    assert.equal(stream.lines.filter((line) => line.includes('"PotEvent":{"node_id":2,')).length, 1);
  });

  await t.test(
    'a node without newlines is told, and its connection closed: the end cannot be found',
    async () => {
      const node = await NodeClient.register(node_port, { id: 3n, name: 'objects' }, '');
      await node.send(large(3n, 3_000_000));
      assert.match(await node.answer('Error'), /4096/);
      await node.gone();
      const notice = await stream.record('its end', (line) =>
        line.includes('"NodeDisconnected":{"node_id":3,'),
      );
      assert.match(notice, /"reason":"frame too large"/);
    },
  );

  await core.stop();
  const letters = readDeadLetters(core.dataDir);
  assert.deepEqual(
    letters.map(({ node_name, code }: DeadLetter) => [node_name, code]),
    ['lines', 'exact', 'objects'].map((name) => [name, 'INVALID_MESSAGE_FORMAT']),
    'one dead letter each, not one for every piece',
  );
  for (const { frame: kept, size, truncated } of letters) {
    assert.ok(size > MAX_FRAME_BYTES);
    assert.deepEqual([kept.length, truncated], [Math.min(size, 64 * 1024), size > 64 * 1024]);
  }
});

test('a node that never reads its answers is closed before they fill the memory', async (t) => {
  const core = await CoreProcess.start(t);
  const stream = await StreamClient.connect(core.ports.proxy_port, 'events');
  const node = await NodeClient.connect(core.ports.node_port, false);
  // Each repeated registration is acknowledged again.
  const block = `${registration({ id: 1n, name: 'deaf' })}\n`.repeat(5000);
  let isOver = false;
  const over = stream.messages('NodeDisconnected').then(() => {
    isOver = true;
  });
  while (!isOver && !node.isClosed) await Promise.race([node.send(block), node.closed, over]);
  await over;
  assert.match(stream.lines.at(-1)!, /"reason":"does not read its answers"/);
  node.reset();
  assert.equal((await core.stop()).code, 0);
});
