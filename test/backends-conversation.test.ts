/**
 * The backend conversation on both transports, byte for byte from the transcripts, however it comes in pieces; and what
 * it does to nodes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BackendFailure } from '../src/backends/failure.js';
import { BackendStage } from './backend-stage.js';
import {
  CONVERSATION,
  type Exchange,
  GET_NODES,
  GOODBYE_ANSWER,
  GOODBYES,
  LARGEST,
  NODES_ANSWER,
  ODD,
  REGISTERED,
  REGISTRATION,
  REGISTRATIONS,
  TRANSCRIPT_NODES,
  UNREGISTERED,
  withoutId,
} from './backend-transcripts.js';
import { seeded } from './framer-run.js';
import { RawClient } from './raw-client.js';
import { TalkClient } from './talk-client.js';

interface Talker {
  ask(text: string): Promise<string>;
  gone(): Promise<unknown>;
}

const TRANSPORTS: Readonly<Record<string, (stage: BackendStage) => Promise<Talker>>> = {
  raw: (stage) => RawClient.connect(stage.rawPort),
  WebSocket: (stage) => TalkClient.connect(stage.proxyPort),
};

function command(text: string): string {
  return `{"version":2,"message":{"BackendCommand":${text}}}`;
}

for (const [transport, connect] of Object.entries(TRANSPORTS)) {
  test(`${transport}: every message gets its answer, to the byte`, async (t) => {
    const stage = await BackendStage.start(t);
    for (const node of TRANSCRIPT_NODES) stage.connect(node);
    const talker = await connect(stage);
    const check = async ({ say, answer }: Exchange) =>
      assert.equal(withoutId(await talker.ask(say)), answer, say);
    for (const exchange of [...UNREGISTERED, ...CONVERSATION]) await check(exchange);
    await check({ say: GOODBYES[0]!, answer: GOODBYE_ANSWER });
    await talker.gone();
    for (const goodbye of GOODBYES) {
      const other = await connect(stage);
      assert.equal(await other.ask(goodbye), GOODBYE_ANSWER);
      await other.gone();
    }
    for (const registration of REGISTRATIONS) {
      const other = await connect(stage);
      assert.equal(withoutId(await other.ask(registration)), REGISTERED, registration);
      assert.equal(await other.ask(GET_NODES), NODES_ANSWER);
    }
  });

  test(`${transport}: commands and removals reach Core with whoever gave them, and what comes of them is told`, async (t) => {
    const stage = await BackendStage.start(t);
    for (const node of TRANSCRIPT_NODES) stage.connect(node);
    const talker = await connect(stage);
    await talker.ask(REGISTRATION);
    const restart = command(`{"NodeCommand":{"node_id":${ODD},"command":"Restart"}}`);
    const answerOf = async (say: string) =>
      /"(?:message|Failure)":("(?:[^"\\]|\\.)*")/.exec((await talker.ask(say)).slice(40))?.[1];
    assert.equal(await answerOf(restart), `"Command sent to node ${ODD}"`);
    stage.commandOutcome = 'queued';
    assert.equal(await answerOf(restart), `"Command queued for node ${ODD}"`);
    stage.commandOutcome = new BackendFailure('INVALID_COMMAND', 'command.InstallPot.pot_id is missing');
    assert.equal(
      await answerOf(restart),
      `"Failed to send command to node ${ODD}: INVALID_COMMAND: command.InstallPot.pot_id is missing"`,
    );
    const broadcast = command('{"BroadcastCommand":{"command":{"UpdateConfig":null}}}');
    assert.equal(await answerOf(broadcast), '"INVALID_COMMAND: command.InstallPot.pot_id is missing"');
    stage.commandOutcome = 'sent';
    assert.equal(await answerOf(broadcast), '"Command broadcast to all nodes"');
    stage.commandOutcome = new Error('secret detail');
    assert.equal(await answerOf(restart), '"INTERNAL_ERROR: Core failed to do this; its log says why"');
    assert.ok(stage.logLines.some((line) => line.includes('secret detail')));
    assert.deepEqual(
      stage.commands.map(({ id, command }) => [id, command]),
      [
        [ODD, 'Restart'],
        [ODD, 'Restart'],
        [ODD, 'Restart'],
        ['all', { UpdateConfig: null }],
        ['all', { UpdateConfig: null }],
        [ODD, 'Restart'],
      ],
    );
    assert.match(stage.commands[0]!.actor.from, /^127\.0\.0\.1/);
    assert.equal(stage.commands[0]!.actor.principal.name, 'anonymous');
    stage.disconnect(1);
    assert.equal(
      await answerOf(command(`{"RemoveNode":{"node_id":${LARGEST}}}`)),
      `"Node ${LARGEST} removed"`,
    );
    assert.deepEqual([stage.removed[0]![0], stage.registry.byId(LARGEST)], [LARGEST, undefined]);
  });
}

test('raw: the conversation is the same in any pieces, with any separator', async (t) => {
  const stage = await BackendStage.start(t);
  for (const node of TRANSCRIPT_NODES) stage.connect(node);
  const random = seeded(20261121);
  const wanted = [REGISTERED, NODES_ANSWER, NODES_ANSWER, GOODBYE_ANSWER, ''].join('\n');
  const messages = [REGISTRATION, GET_NODES, command('{"GetNodes":{}}'), GOODBYES[1]!];
  const pretty = messages.map((message) => JSON.stringify(JSON.parse(message), null, 2));
  const texts = [
    messages.join(''),
    messages.map((message) => `${message}\n`).join(''),
    messages.map((message) => `${message}\r\n`).join(''),
    `\n \r\n${messages.map((message) => `  ${message}\t\n\n`).join('')}`,
    `${messages[0]}\n${messages.slice(1).join('')}\n`,
    pretty.map((message) => `${message}\r\n`).join(''),
    pretty.join(''),
  ];
  for (const text of texts) {
    const cuts = [...Array.from(text, (_, at) => [at]), ...Array.from({ length: 20 }, () => [] as number[])];
    // Every single cut would take long for each text; all bytes of the first message, and a sample of the others.
    for (const cut of cuts.filter(([at]) => at === undefined || at < 12 || random() < 0.06)) {
      const at =
        cut.length > 0
          ? cut
          : Array.from({ length: 4 }, () => Math.floor(random() * text.length)).sort((a, b) => a - b);
      const client = await RawClient.connect(stage.rawPort);
      let from = 0;
      for (const to of [...at, text.length]) {
        client.send(text.slice(from, to));
        from = to;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.gone();
      assert.equal(withoutId(client.text), wanted, JSON.stringify([text.slice(0, 40), at]));
    }
  }
});

test('raw: a last message without newline counts when the peer closes its side', async (t) => {
  const stage = await BackendStage.start(t);
  const client = await RawClient.connect(stage.rawPort);
  client.send(`${REGISTRATION}\n`);
  await client.next();
  client.socket.end(command('"GetNodeCount"'));
  assert.match(await client.next(), /"count":0/);
  await client.gone();
});

test('raw: a torn message costs itself, one that is too large is refused, and the conversation goes on', async (t) => {
  const stage = await BackendStage.start(t);
  const client = await RawClient.connect(stage.rawPort);
  await client.ask(REGISTRATION);
  assert.match(await client.ask('{"version":2,"message":{"Back'), /MESSAGE_PARSE_FAILED/);
  assert.match(
    await client.ask(`{"version":2,"message":"${'x'.repeat(70_000)}"}`),
    /larger than 65536 bytes/,
  );
  assert.match(await client.ask('[1,2'), /MESSAGE_PARSE_FAILED/);
  assert.match(await client.ask(command('"GetNodeCount"')), /"count":0/);
  const endless = await RawClient.connect(stage.rawPort);
  endless.send(`{"version":2,"message":"${'x'.repeat(70_000)}`);
  assert.match(await endless.next(), /larger than 65536 bytes/);
  await endless.gone();
});

test('WebSocket: binary and oversized messages cost nobody but the sender; batches stay lines', async (t) => {
  const stage = await BackendStage.start(t);
  const talker = await TalkClient.connect(stage.proxyPort, {}, [], '/ws?batch=1');
  talker.socket.send(Buffer.from([0xff, 0x00]));
  assert.match(await talker.next(), /MESSAGE_PARSE_FAILED.*\}\n$/s);
  assert.match(await talker.ask(REGISTRATION), /Registration successful.*\}\n$/s);
  const shouting = await TalkClient.connect(stage.proxyPort);
  shouting.send('x'.repeat(70_000));
  await shouting.gone();
  assert.match(await talker.ask(command('"GetNodeCount"')), /"count":0/);
});

test('answers keep their order and none is missing, however fast the questions come', async (t) => {
  const stage = await BackendStage.start(t);
  stage.connect({ id: 5n, name: 'five' });
  const questions = Array.from({ length: 60 }, (_, at) => command(`{"GetNode":{"node_id":${at + 1}}}`));
  const wanted = questions.map((_, at) => (at === 4 ? 'Node 5 retrieved' : `Node ${at + 1} not found`));
  const raw = await RawClient.connect(stage.rawPort);
  raw.send([REGISTRATION, ...questions, ''].join('\n'));
  await raw.next();
  for (const text of wanted) assert.ok((await raw.next()).includes(`"${text}"`), text);
  const talker = await TalkClient.connect(stage.proxyPort);
  for (const text of [REGISTRATION, ...questions]) talker.send(text);
  await talker.next();
  for (const text of wanted) assert.ok((await talker.next()).includes(`"${text}"`), text);
});

test('whoever floods is held back or let go; others are served meanwhile', async (t) => {
  const stage = await BackendStage.start(t);
  const flooding = await TalkClient.connect(stage.proxyPort);
  for (let at = 0; at < 1000; at++) flooding.send(REGISTRATION);
  const { code } = await flooding.gone();
  assert.equal(code, 1008);
  const raw = await RawClient.connect(stage.rawPort);
  await raw.ask(REGISTRATION);
  raw.socket.pause();
  const startMs = performance.now();
  raw.send(`${command('"GetNodeCount"')}\n`.repeat(700));
  const other = await TalkClient.connect(stage.proxyPort);
  assert.match(await other.ask(REGISTRATION), /Registration successful/);
  raw.socket.resume();
  for (let at = 0; at < 700; at++) assert.match(await raw.next(), /"count":0/);
  // The first 500 are free, the rest comes at 500 a second.
  assert.ok(performance.now() - startMs > 300, `${performance.now() - startMs} ms`);
});
