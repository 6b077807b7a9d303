/**
 * Two thousand nodes lose their connections in the same moment and come back at once, twice, while others send: nobody
 * is left outside, no event is lost, doubled or out of order, and the stream always tells who is connected.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll, within } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { numberedEvent, registration } from './node-frames.js';
import { assertContiguous, sessionsByNode } from './node-history.js';
import { get } from './rest-client.js';

const NODES = 2_000;
const ROUNDS = 3;
const FLOW_EVENTS = 20;
const FLOW_MS = 2;

const idOf = (node: number) => 10_000_000_000_000_000_000n + BigInt(node);

/** Resolves when the node was accepted. It sends an event behind its registration, before the answer is there. */
function comeIn(port: number, node: number, round: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      localAddress: `127.0.1.${1 + (node % 200)}`,
    });
    socket.on('connect', () => {
      const identity = { id: idOf(node), name: `storm ${node}` };
      socket.write(`${registration(identity)}\n${numberedEvent(identity.id, round)}\n`);
    });
    socket.on('error', () => {});
    socket.on('close', () => reject(new Error(`node ${node} was closed in round ${round}`)));
    socket.once('data', (data) => {
      if (data.includes('"accepted":true')) resolve(socket);
      else reject(new Error(data.toString()));
    });
  });
}

test('a storm of reconnecting nodes costs nobody an event', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const flow = await NodeClient.register(node_port, { id: 1n, name: 'flow' });
  let sent = 0;
  const sending = setInterval(() => {
    let text = '';
    for (let i = 0; i < FLOW_EVENTS; i++) text += `${numberedEvent(1n, sent++)}\n`;
    void flow.send(text);
  }, FLOW_MS);
  t.after(() => clearInterval(sending));
  let sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let round = 0; round < ROUNDS; round++) {
    const gone = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    // Every third one vanishes with a reset, the others say goodbye as TCP does.
    for (const [node, socket] of sockets.entries()) {
      if (node % 3 === 0) socket.resetAndDestroy();
      else socket.destroy();
    }
    await Promise.all(gone);
    sockets = await within(
      `all nodes are in, round ${round}`,
      Promise.all(Array.from({ length: NODES }, (_, node) => comeIn(node_port, node, round))),
    );
  }
  clearInterval(sending);
  assert.equal(
    (await get(backend_port, '/api/v1/stats')).json.nodes.connected,
    NODES + 1,
    'everybody is connected',
  );
  for (const socket of sockets) socket.end();
  await flow.end();
  await poll('all have left', async () => {
    const { totals } = (await get(backend_port, '/api/v1/stats')).json;
    return totals.connections_open === 0 ? true : undefined;
  });
  assert.equal((await core.stop()).code, 0);
  const byNode = sessionsByNode(readLog(core.dataDir).lines);
  assert.equal(byNode.size, NODES + 1);
  assert.equal(assertContiguous(byNode.get('1')![0]!.events, 0, 'flow'), sent);
  for (let node = 0; node < NODES; node++) {
    const sessions = byNode.get(String(idOf(node)))!;
    assert.deepEqual(
      sessions.map(({ events }) => events),
      Array.from({ length: ROUNDS }, (_, round) => [round]),
      `node ${node}`,
    );
  }
});
