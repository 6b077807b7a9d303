/**
 * Who a node is over its connections: taking over, sharing and changing ids and names, and the order of what
 * consumers see of it. Two shards, because a node that comes back is often served by another one than before.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readDeadLetters, readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import {
  isNotice,
  type NodeIdentity,
  numberedEvent,
  potStatus,
  registration,
  statusUpdate,
} from './node-frames.js';
import { assertContiguous, sessionsByNode } from './node-history.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const TWO_SHARDS = { settings: { 'ingest.shards': 2 } };

test('who a node is', async (t) => {
  const core = await CoreProcess.start(t, TWO_SHARDS);
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const nodes = async () => (await get(backend_port, '/api/v1/nodes')).json.nodes;
  const left = (id: bigint, count = 1) =>
    stream.seen(`${id} leaves`, (line) => isNotice(line, 'NodeDisconnected', id), count);

  await t.test('same id and name: the new one takes over, and what the old one had sent counts', async () => {
    const identity = { id: 10n, name: 'takes over' };
    const TIMES = 25;
    let number = 0;
    let old: NodeClient | undefined;
    for (let time = 0; time < TIMES; time++) {
      const young = await NodeClient.register(node_port, identity);
      if (old !== undefined) await old.gone();
      const events = Array.from({ length: 20 }, () => `${numberedEvent(10n, number++)}\n`);
      await young.send(events.join(''));
      old = young;
    }
    await old!.end();
    await left(10n, TIMES);
    const sessions = sessionsByNode(stream.lines).get('10')!;
    const reasons = sessions.map(({ reason }) => reason);
    assert.deepEqual(reasons.slice(0, -1), Array(TIMES - 1).fill('taken over by a new connection'));
    assert.equal(reasons.at(-1), 'node closed the connection');
    const next = sessions.reduce((first, { events }) => assertContiguous(events, first, 'the node'), 0);
    assert.equal(next, number);
  });

  await t.test(
    'same id, other name, the first one alive: NODE_ALREADY_REGISTERED, then Core closes',
    async () => {
      const first = await NodeClient.register(node_port, { id: 20n, name: 'first' });
      const second = await NodeClient.connect(node_port);
      await second.send(`${registration({ id: 20n, name: 'second' })}\n`);
      const ack = JSON.parse(await second.answer('RegistrationAck')).message.RegistrationAck;
      assert.equal(ack.accepted, false);
      assert.match(ack.message, /NODE_ALREADY_REGISTERED/);
      await second.gone();
      await first.send(`${numberedEvent(20n, 0)}\n`);
      await first.end();
      await left(20n);
      assert.deepEqual(sessionsByNode(stream.lines).get('20'), [
        { events: [0], reason: 'node closed the connection' },
      ]);
      // The first one has gone, so the id is free.
      const third = await NodeClient.register(node_port, { id: 20n, name: 'third' });
      await third.end();
      await left(20n, 2);
    },
  );

  await t.test('two connected nodes may share a name', async () => {
    const both = await Promise.all(
      [30n, 31n].map((id) => NodeClient.register(node_port, { id, name: 'twins' })),
    );
    const rows = (await nodes()).filter(({ node_name }: { node_name: string }) => node_name === 'twins');
    assert.deepEqual(
      rows.map(({ id, connected }: { id: string; connected: boolean }) => [id, connected]).sort(),
      [
        ['30', true],
        ['31', true],
      ],
    );
    for (const node of both) await node.end();
    await left(30n);
    await left(31n);
  });

  await t.test('a node that comes back under a new id takes over the record of its name', async () => {
    const before = await NodeClient.register(node_port, { id: 40n, name: 'renumbered' });
    await before.send(`${potStatus(40n, 'p', 'cowrie', 'Running')}\n${numberedEvent(40n, 0)}\n`);
    await before.end();
    await left(40n);
    await poll('it is known to have gone', async () =>
      (await get(backend_port, '/api/v1/nodes/40')).json.connected === false ? true : undefined,
    );
    const after = await NodeClient.register(node_port, { id: 41n, name: 'renumbered' });
    assert.equal((await get(backend_port, '/api/v1/nodes/40')).status, 404);
    const row = (await get(backend_port, '/api/v1/nodes/41')).json;
    assert.deepEqual([row.registrations, row.events, row.connected], [2, 1, true]);
    assert.deepEqual(
      row.honeypots.map(({ pot_id, pot_type }: Record<string, string>) => [pot_id, pot_type]),
      [['p', 'cowrie']],
    );
    await after.end();
    await left(41n);
  });

  await t.test('a registration repeated on its connection is acknowledged and changes nothing', async () => {
    const identity = { id: 50n, name: 'twice' };
    const node = await NodeClient.register(node_port, identity);
    await node.send(`${statusUpdate(50n, 'Running')}\n${numberedEvent(50n, 0)}\n`);
    assert.match(await node.register(identity), /"accepted":true/);
    await node.send(`${numberedEvent(50n, 1)}\n`);
    await node.end();
    await left(50n);
    assert.deepEqual(sessionsByNode(stream.lines).get('50'), [
      { events: [0, 1], reason: 'node closed the connection' },
    ]);
  });

  await t.test('the last-seen time and the totals of a node that has gone are kept', async () => {
    const { json } = await get(backend_port, '/api/v1/nodes/50');
    assert.deepEqual([json.connected, json.status, json.frames, json.events], [false, 'Unknown', 5, 2]);
    assert.ok(Math.abs(Date.parse(json.last_seen) - Date.now()) < 60_000);
  });

  const refused = (await get(backend_port, '/api/v1/stats')).json.totals.refused;
  assert.equal((await core.stop()).code, 0);
  await t.test('a registration that was refused is a dead letter like every refused frame', () => {
    const letters = readDeadLetters(core.dataDir);
    assert.equal(letters.length, refused);
    assert.deepEqual(
      letters.map(({ code, nodeId, node_name, frame }) => [code, nodeId, node_name, frame.toString()]),
      [['NODE_ALREADY_REGISTERED', '20', 'second', registration({ id: 20n, name: 'second' })]],
    );
  });
});

test('records of a node stay in order while it hops from connection to connection', async (t) => {
  const core = await CoreProcess.start(t, TWO_SHARDS);
  const { node_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const HOPS = 30;
  const EVENTS = 200;
  // Other nodes keep the shards' loads uneven, so that hops lead from shard to shard.
  const others = await Promise.all(
    [1n, 2n, 3n].map((id) => NodeClient.register(node_port, { id, name: `other ${id}` })),
  );
  const shards = new Set<unknown>();
  await Promise.all(
    [100n, 101n, 102n, 103n].map(async (id, at) => {
      const identity: NodeIdentity = { id, name: `hopper ${id}` };
      let next = 0;
      let before: NodeClient | undefined;
      for (let hop = 0; hop < HOPS; hop++) {
        const node = await NodeClient.connect(node_port);
        const events = Array.from({ length: EVENTS }, () => numberedEvent(id, next++));
        // Everything in one write: what stands behind the registration waits for the old connection's last record.
        const sent = node.send([registration(identity), ...events, ''].join('\n'));
        await node.answer('RegistrationAck');
        await sent;
        // The next connection comes while this one still stands, or right after it was closed.
        if (before !== undefined) await before.gone();
        before = node;
        if ((hop + at) % 2 === 0) {
          node.socket.end();
        }
        await stream.seen(
          `${next} events of ${id}`,
          (line) => line.includes(`"PotEvent":{"node_id":${id},`),
          next,
        );
      }
      await before!.end();
    }),
  );
  for (const line of core.lines.all.filter(({ msg }) => msg === 'node registered')) shards.add(line.shard);
  assert.equal(shards.size, 2, 'both shards had a part in it');
  for (const node of others) await node.end();
  assert.equal((await core.stop()).code, 0);
  const sessions = sessionsByNode(readLog(core.dataDir).lines);
  for (const id of [100, 101, 102, 103]) {
    const own = sessions.get(String(id))!;
    assert.equal(own.length, HOPS);
    const next = own.reduce((first, { events }) => assertContiguous(events, first, `node ${id}`), 0);
    assert.equal(next, HOPS * EVENTS);
  }
});

test('many connections claim to be the same node at once: one of them is it in the end', async (t) => {
  const core = await CoreProcess.start(t, TWO_SHARDS);
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'batch');
  const identity = { id: 7n, name: 'hydra' };
  const heads = await Promise.all(Array.from({ length: 40 }, () => NodeClient.connect(node_port)));
  await Promise.all(heads.map((node) => node.send(`${registration(identity)}\n${numberedEvent(7n, 0)}\n`)));
  await Promise.all(heads.map((node) => node.answer('RegistrationAck')));
  const alive = await poll('one connection is left', () => {
    const left = heads.filter((node) => !node.isClosed);
    return left.length === 1 ? left[0] : undefined;
  });
  const { json } = await get(backend_port, '/api/v1/nodes');
  assert.deepEqual(
    json.nodes.map(({ id, connected }: Record<string, unknown>) => [id, connected]),
    [['7', true]],
  );
  assert.equal(json.nodes[0].remote, `127.0.0.1:${alive.port}`, 'and REST names it');
  await alive.end();
  const accepted = heads.filter(({ answers }) => answers.all[0]!.includes('"accepted":true')).length;
  await stream.messages('NodeDisconnected', accepted);
  assert.equal((await core.stop()).code, 0);
  const sessions = sessionsByNode(readLog(core.dataDir).lines).get('7')!;
  assert.equal(sessions.length, accepted, 'a session for each that was accepted');
  for (const { events } of sessions) assert.deepEqual(events, [0]);
});
