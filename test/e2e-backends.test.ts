/**
 * Backends of a running Core with real nodes: the command-line client's conversation on 9002 beside REST, the same on
 * 9003, ids above 2^53, nodes that are removed, and the end of Core.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GET_NODES, LARGEST, ODD, REGISTERED, REGISTRATION, withoutId } from './backend-transcripts.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { frame, isNotice, numberedEvent } from './node-frames.js';
import { RawClient } from './raw-client.js';
import { get } from './rest-client.js';
import { TalkClient } from './talk-client.js';

const command = (text: string) => `{"version":2,"message":{"BackendCommand":${text}}}`;
const SUBSCRIBE = command('"SubscribeEvents"');

test('backends on both ports see nodes with every digit of their ids, and remove them', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port, proxy_port } = core.ports;
  const [first, second] = [
    await NodeClient.register(node_port, { id: LARGEST, name: 'first' }),
    await NodeClient.register(node_port, { id: ODD, name: 'second' }),
  ];
  const raw = await RawClient.connect(backend_port);
  const talker = await TalkClient.connect(proxy_port);
  for (const backend of [raw, talker]) {
    assert.equal(withoutId(await backend.ask(REGISTRATION)), REGISTERED);
    assert.ok((await backend.ask(GET_NODES)).includes(`"data":{"nodes":[${ODD},${LARGEST}]}`));
    assert.ok((await backend.ask(command('"GetActiveConnections"'))).includes('"count":2'));
  }
  await raw.ask(SUBSCRIBE);
  // A connected node is disconnected first; the answer comes when it has gone.
  const removal = raw.ask(command(`{"RemoveNode":{"node_id":${LARGEST}}}`));
  await first.gone();
  const lines = [await removal, await raw.next()];
  assert.ok(lines.some((line) => line.includes(`"message":"Node ${LARGEST} removed","data":null`)));
  const notice = lines.find((line) => isNotice(line, 'NodeDisconnected', LARGEST));
  assert.ok(notice?.includes('"reason":"removed from the registry"'), lines.join('\n'));
  assert.equal(JSON.parse((await get(backend_port, '/api/v1/nodes')).text).nodes.length, 1);
  await second.end();
  await poll('the other one is gone', async () =>
    (await talker.ask(command('"GetActiveConnections"'))).includes('"count":0') ? true : undefined,
  );
  assert.ok((await raw.ask(command(`{"RemoveNode":{"node_id":${ODD}}}`))).length > 0);
  await poll('nobody is known', async () =>
    (await talker.ask(command('"GetNodeCount"'))).includes('"count":0') ? true : undefined,
  );
  // A node that was removed may come again.
  await NodeClient.register(node_port, { id: LARGEST, name: 'first' });
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  await raw.gone();
  assert.equal((await talker.gone()).code, 1001);
});

test('a raw subscriber gets the log, byte for byte, until Core stops', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port } = core.ports;
  const raw = await RawClient.connect(backend_port);
  await raw.ask(REGISTRATION);
  await raw.ask(SUBSCRIBE);
  const node = await NodeClient.register(node_port, { id: ODD, name: 'n' });
  await node.send(`${frame('NodeEvent', '{"type":"Started","message":"up"}')}\n`);
  for (let at = 0; at < 20_000; at += 500) {
    const block = Array.from({ length: 500 }, (_, i) => `${numberedEvent(ODD, at + i)}\n`);
    await node.send(block.join(''));
  }
  await poll('all were read', async () =>
    JSON.parse((await get(backend_port, '/api/v1/stats')).text).totals?.events === 20_000 ||
    raw.lines.all.length >= 20_004
      ? true
      : undefined,
  );
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  await raw.gone();
  const received = raw.lines.all.slice(2, -1).map((line) => `${line}\n`);
  assert.equal(received.join(''), readLog(core.dataDir).content.toString('utf8'));
  assert.match(raw.lines.all.at(-1)!, /"Failure":"UNAVAILABLE: Core is stopping"/);
});

test('a command of a backend reaches its node, and can be followed over REST', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  // Answers alone: the notice of the node's registration may come after the node has its answer.
  const talker = await TalkClient.connect(proxy_port, {}, [], '/?records=events');
  await talker.ask(REGISTRATION);
  const answer = await talker.ask(command('{"NodeCommand":{"node_id":1,"command":"Restart"}}'));
  assert.match(answer, /"Success"/);
  assert.match(await node.answer('NodeCommand'), /"command":\{"Restart":\{\}\}/);
  const { commands } = (await get(core.ports.backend_port, '/api/v1/commands')).json;
  assert.deepEqual([commands.length, commands[0].node.node_name], [1, 'n']);
  const refused = await talker.ask(command('{"NodeCommand":{"node_id":1,"command":{"InstallPot":{}}}}'));
  assert.match(refused, /"Failure":"Failed to send command to node 1: INVALID_COMMAND: /);
  assert.match(await talker.ask(command('{"BroadcastCommand":{"command":"UpdateConfig"}}')), /"Success"/);
  assert.equal((await core.stop()).code, 0);
});

test('opening and closing many WebSockets: each stays open until it is closed', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, proxy_port } = core.ports;
  const node = await NodeClient.register(node_port, { id: 1n, name: 'n' });
  for (let round = 0; round < 15; round++) {
    const talkers = await Promise.all(Array.from({ length: 8 }, () => TalkClient.connect(proxy_port)));
    await node.send(`${numberedEvent(1n, round)}\n`);
    for (const talker of talkers) {
      await talker.seen(`event ${round}`, (line) => line === numberedEvent(1n, round));
      talker.socket.close();
      assert.equal((await talker.gone()).code, 1005);
    }
  }
  assert.equal((await core.stop()).code, 0);
  assert.equal(core.stderr, '', 'the WebSocket library has nothing to warn of');
});
