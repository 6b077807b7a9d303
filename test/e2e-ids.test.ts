/**
 * Node ids are unsigned 64-bit integers and most real ones are above 2^53. Wherever an id comes out of Core it has the
 * digits that went in: everything here is compared as text, because `JSON.parse` would hide the damage.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { frame, messageName, nodeIdOf, potEvent, potStatus, statusUpdate } from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const IDS = [1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

test('the ids 1, around 2^53, 2^63 and 2^64-1 come out of Core with the digits that went in', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port, proxy_port } = core.ports;
  const events = await StreamClient.connect(proxy_port, 'events');
  const batches = await StreamClient.connect(proxy_port, 'batch', '/ws');
  const sent = new Map<bigint, string[]>();
  const nodes = await Promise.all(
    IDS.map(async (id) => {
      const node = await NodeClient.connect(node_port);
      const ack = await node.register({ id, name: `node ${id}` });
      assert.equal(
        ack,
        `{"version":2,"message":{"RegistrationAck":{"node_id":${id},"accepted":true,"message":"Registration successful"}}}`,
      );
      const frames = [
        statusUpdate(id, 'Running'),
        potStatus(id, `pot-${id}`, 'cowrie', 'Running'),
        // Numbers inside `data` belong to the honeypot: they are not touched either.
        potEvent(id, `{"session":${id},"big":123456789012345678901234567890,"small":1e-400}`, `pot-${id}`),
      ];
      sent.set(id, frames);
      await node.send(frames.map((text) => `${text}\n`).join(''));
      return node;
    }),
  );
  await events.messages('PotEvent', IDS.length);
  await batches.messages('PotEvent', IDS.length);

  await t.test('REST: the list, one node, the honeypots', async () => {
    const list = (await get(backend_port, '/api/v1/nodes')).text;
    // The stream does not go through the thread that answers here.
    const honeypots = await poll('all honeypots are known', async () => {
      const { text, json } = await get(backend_port, '/api/v1/honeypots');
      return json.honeypots.length === IDS.length ? text : undefined;
    });
    for (const id of IDS) {
      const row = `"node_id":${id},"id":"${id}","node_name":"node ${id}"`;
      assert.ok(list.includes(row), `${row} in ${list}`);
      assert.ok(honeypots.includes(`${row},"pot_id":"pot-${id}"`), `${row} in ${honeypots}`);
      const one = await get(backend_port, `/api/v1/nodes/${id}`);
      assert.equal(one.status, 200);
      assert.ok(one.text.includes(row), one.text);
      assert.ok(one.text.includes(`"pot_id":"pot-${id}","pot_type":"cowrie","status":"Running"`), one.text);
    }
    assert.equal(list.match(/"node_id":/g)!.length, IDS.length, 'no two ids became one');
    const absent = await get(backend_port, `/api/v1/nodes/${2n ** 53n + 2n}`);
    assert.equal(absent.status, 404, 'an id that only rounds to a known one is unknown');
    assert.equal((await get(backend_port, `/api/v1/nodes/${2n ** 64n}`)).status, 400);
  });

  await t.test(
    'an event that bears the id which a JavaScript number would confuse with its own is refused',
    async () => {
      const node = nodes[IDS.indexOf(2n ** 53n)]!;
      await node.send(`${potEvent(2n ** 53n + 1n, '{}')}\n`);
      assert.match(await node.answer('Error'), /"code":"INVALID_NODE_ID"/);
    },
  );

  await t.test('ids out of range are refused with INVALID_NODE_ID and never registered', async () => {
    for (const id of ['0', '-1', '1.0', '1e3', '18446744073709551616', '99999999999999999999999999']) {
      const node = await NodeClient.connect(node_port);
      await node.send(
        `${frame('NodeRegistration', `{"node_id":${id},"node_name":"x","address":"a","port":1,"node_type":"Full"}`)}\n`,
      );
      assert.match(await node.answer('Error'), /"code":"INVALID_NODE_ID"/, id);
      node.reset();
    }
    assert.equal((await get(backend_port, '/api/v1/nodes')).json.nodes.length, IDS.length);
  });

  for (const node of nodes) await node.end();
  await events.messages('NodeDisconnected', IDS.length);
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  await Promise.all([events.gone(), batches.gone()]);
  const log = readLog(core.dataDir);

  await t.test('the WebSocket in both forms, and the log file', () => {
    assert.ok(events.content.equals(log.content), 'per event: the content of the log');
    assert.ok(batches.content.equals(log.content), 'batches: the content of the log');
    for (const [id, frames] of sent) {
      const own = log.lines.filter((line) => nodeIdOf(line) === String(id));
      assert.deepEqual(own.slice(1, -1), frames);
      assert.equal(messageName(own[0]!), 'NodeRegistered');
      assert.equal(messageName(own.at(-1)!), 'NodeDisconnected');
    }
  });

  await t.test("Core's own log carries ids as text, which readers of JSON cannot round", () => {
    const registered = core.lines.all.filter(({ msg }) => msg === 'node registered');
    assert.deepEqual(registered.map(({ node_id }) => node_id).sort(), IDS.map(String).sort());
  });
});
