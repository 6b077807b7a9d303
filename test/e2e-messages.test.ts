/**
 * Every message a node may send, in every spelling that nodes in the field use, over a real socket: what of it comes
 * out on the stream, and with which bytes.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import {
  frame,
  messageName,
  nodeEventOf,
  potEvent,
  potStatus,
  registration,
  statusUpdate,
} from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

/** One Core for all of a test's parts, which come one after the other, so that the stream is theirs in turns. */
class Bench {
  readonly core: CoreProcess;
  readonly stream: StreamClient;
  #lastId = 1000n;

  static async start(t: TestContext): Promise<Bench> {
    const core = await CoreProcess.start(t);
    return new Bench(core, await StreamClient.connect(core.ports.proxy_port, 'events'));
  }

  private constructor(core: CoreProcess, stream: StreamClient) {
    this.core = core;
    this.stream = stream;
  }

  get nodePort(): number {
    return this.core.ports.node_port;
  }

  nextId(): bigint {
    return ++this.#lastId;
  }

  /** What the stream shows from a node's registration to its end while `work` is done; the two notices left out. */
  async records(id: bigint, work: (node: NodeClient) => Promise<void>): Promise<string[]> {
    const node = await NodeClient.register(this.nodePort, { id, name: `node ${id}` });
    await work(node);
    if (!node.isClosed) await node.end();
    return this.between(id);
  }

  /** What the stream shows between the two notices of a node that leaves, or has left. */
  async between(id: bigint): Promise<string[]> {
    const isEnd = (line: string) => line.includes(`{"NodeDisconnected":{"node_id":${id},`);
    await this.stream.seen(`the end of ${id}`, isEnd);
    const { lines } = this.stream;
    const start = lines.findIndex((line) => line.includes(`{"NodeRegistered":{"node_id":${id},`));
    return lines.slice(start + 1, lines.findIndex(isEnd));
  }

  /** The records that these frames of one node become. */
  recordsOf(frames: (id: bigint) => string[]): Promise<string[]> {
    const id = this.nextId();
    return this.records(id, (node) =>
      node.send(
        frames(id)
          .map((text) => `${text}\n`)
          .join(''),
      ),
    );
  }

  /** Asserts that the frames become records with the bytes they came in. */
  async passAsTheyCame(frames: (id: bigint) => string[]): Promise<void> {
    let sent: string[] = [];
    const records = await this.recordsOf((id) => {
      sent = frames(id);
      return sent;
    });
    assert.deepEqual(records, sent);
  }
}

test('the messages of a node, in all their spellings', async (t) => {
  const bench = await Bench.start(t);

  await t.test(
    'NodeStatusUpdate: a changed status is a record, a heartbeat that repeats it is none',
    async () => {
      const order = [
        'Deploying',
        'Running',
        'Running',
        'Stopped',
        'Failed',
        'Unknown',
        'Unknown',
        'Connected',
      ];
      const records = await bench.recordsOf((id) => order.map((status) => statusUpdate(id, status)));
      const statuses = records.map((line) => /"status":"(\w+)"/.exec(line)![1]);
      assert.deepEqual(statuses, ['Deploying', 'Running', 'Stopped', 'Failed', 'Unknown', 'Connected']);
    },
  );

  await t.test('PotStatusUpdate: every status, with a message, with null, and without', async () => {
    await bench.passAsTheyCame((id) => [
      potStatus(id, 'p1', 'cowrie', 'Installing', 'pulling image'),
      frame(
        'PotStatusUpdate',
        `{"node_id":${id},"pot_id":"p1","pot_type":"cowrie","status":"Running","message":null}`,
      ),
      potStatus(id, 'p1', 'cowrie', 'Stopped'),
      potStatus(id, 'p2', 'dionaea', 'Failed', 'it said "no" \u{1f41d}'),
    ]);
  });

  await t.test(
    'PotEvent: key order, white space, unknown fields, escapes and big numbers are not touched',
    async () => {
      await bench.passAsTheyCame((id) =>
        [
          potEvent(id, '{}'),
          potEvent(id, '{"a":[1,2,{"b":null}],"n":12345678901234567890123,"f":1.10,"e":1E+2}'),
          potEvent(id, '{"text":"\\u0000\\ud83d\\udc1d \\\\ \\" / caf\u00e9 \u{1f41d}"}'),
          ` { "message" : {"PotEvent":{ "data":{}, "timestamp":"2026-01-02 03:04:05", "event_type":"e","extra":[true],` +
            ` "pot_type":"t","pot_id":"p" , "node_id":${id} }  } ,"trace":"x", "version" : 2 }`.trim(),
        ].map((text) => text.trim()),
      );
    },
  );

  await t.test('PotEvent: timestamps with T or a blank, with or without fraction and zone', async () => {
    const times = [
      '2026-11-20T12:00:00Z',
      '2026-11-20 12:00:00',
      '2026-11-20T12:00:00.1',
      '2026-11-20T12:00:00.123456789Z',
      '2026-11-20T12:00:00+02:00',
      '2026-11-20T12:00:00.5-0330',
      '2024-02-29T23:59:59Z',
    ];
    await bench.passAsTheyCame((id) =>
      times.map((time) => potEvent(id, '{}').replace('2026-11-20T12:00:00.123456Z', time)),
    );
  });

  await t.test(
    "PotEvent without pot_type gets that pot's last one, else `unknown`; nothing else changes",
    async () => {
      const bare = (id: bigint, pot: string) =>
        frame(
          'PotEvent',
          `{"node_id":${id},"pot_id":"${pot}","event_type":"e","timestamp":"2026-11-20T12:00:00Z","data":{"pot":"${pot}"}}`,
        );
      const records = await bench.recordsOf((id) => [
        bare(id, 'a'),
        potStatus(id, 'a', 'cowrie', 'Running'),
        bare(id, 'a'),
        bare(id, 'b'),
        potStatus(id, 'a', 'heralding "2"', 'Running'),
        bare(id, 'a'),
      ]);
      const events = records
        .filter((line) => messageName(line) === 'PotEvent')
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        events.map(({ message }) => [message.PotEvent.pot_type, message.PotEvent.data.pot]),
        [
          ['unknown', 'a'],
          ['cowrie', 'a'],
          ['unknown', 'b'],
          ['heralding "2"', 'a'],
        ],
      );
    },
  );

  await t.test('the compiled form of an event leaves in the documented form', async () => {
    const id = bench.nextId();
    const body = (more: string) =>
      `{"node_id":${id},"pot_id":"p","pot_type":"cowrie","event":"login","timestamp":1763640000${more}}`;
    const records = await bench.records(id, (node) =>
      node.send(
        [
          body(',"message":"root/123456","metadata":{"ip":"192.0.2.1","big":"18446744073709551615"}'),
          body(''),
          body(',"metadata":{"message":"inner"},"message":"outer"'),
          body('').replace(',"pot_type":"cowrie"', ''),
        ]
          .map((text) => `${frame('PotEvent', text)}\n`)
          .join(''),
      ),
    );
    const documented = (type: string, data: string) =>
      frame(
        'PotEvent',
        `{"node_id":${id},"pot_id":"p","pot_type":"${type}","event_type":"login","timestamp":"2025-11-20T12:00:00.000Z","data":${data}}`,
      ).replaceAll('.000Z', '');
    assert.deepEqual(
      records.map((line) => line.replace(/(T12:00:00)[.0-9]*Z/, '$1')),
      [
        documented('cowrie', '{"message":"root/123456","ip":"192.0.2.1","big":"18446744073709551615"}'),
        documented('cowrie', '{}'),
        documented('cowrie', '{"event_message":"outer","message":"inner"}'),
        documented('unknown', '{}'),
      ],
    );
  });

  await t.test('a PotStatusUpdate without status is an event in disguise, and is counted apart', async () => {
    const before = (await get(bench.core.ports.backend_port, '/api/v1/stats')).json.totals;
    const id = bench.nextId();
    const [record] = await bench.records(id, (node) =>
      node.send(`${potStatus(id, 'p', 'cowrie', '', 'login attempt [root/1234]')}\n`),
    );
    const { PotEvent } = JSON.parse(record!).message;
    assert.equal(PotEvent.event_type, 'legacy');
    assert.equal(PotEvent.pot_type, 'cowrie');
    assert.deepEqual(PotEvent.data, { message: 'login attempt [root/1234]' });
    const after = (await get(bench.core.ports.backend_port, '/api/v1/stats')).json.totals;
    assert.equal(after.events_legacy - before.events_legacy, 1);
    assert.equal(after.events - before.events, 1);
  });

  await t.test(
    'NodeEvent: an object with a type, a bare name, a name with a body; with whose it is',
    async () => {
      const bodies = [
        '{"type":"Error","message":"disk \\"full\\" \u{1f41d}"}',
        '{"type":"Started"}',
        '"Started"',
        '"Stopped"',
        '{"Error":{"message":"x"}}',
        '{"Alarm":{"description":"y"}}',
      ];
      let node = 0n;
      const records = await bench.recordsOf((id) => {
        node = id;
        return bodies.map((body) => frame('NodeEvent', body));
      });
      assert.deepEqual(
        records,
        bodies.map((body) => nodeEventOf(node, body)),
      );
      await bench.passAsTheyCame((id) => [
        ...bodies.map((body) => nodeEventOf(id, body)),
        `{"version":2,"message":{"NodeEvent":"Started"}, "trace":7, "node\\u005fid" : ${id}}`,
      ]);
    },
  );

  for (const drop of [
    frame('NodeDrop', '{}'),
    frame('NodeDrop', 'null'),
    '{"version":2,"message":"NodeDrop"}',
  ]) {
    await t.test(`${drop} ends the session as Stopped`, async () => {
      const id = bench.nextId();
      await bench.records(id, async (node) => {
        await node.send(`${drop}\n`);
        await node.gone();
      });
      const notice = JSON.parse(bench.stream.lines.at(-1)!).message.NodeDisconnected;
      assert.deepEqual([notice.status, notice.reason], ['Stopped', 'node said goodbye']);
      const row = await poll('the node is disconnected', async () => {
        const { json } = await get(bench.core.ports.backend_port, `/api/v1/nodes/${id}`);
        return json.connected ? undefined : json;
      });
      assert.equal(row.status, 'Stopped');
    });
  }

  await t.test('a node that closes reads Unknown, one that vanishes is a lost connection', async () => {
    const ends: [string, (node: NodeClient) => unknown][] = [
      ['node closed the connection', (node) => node.end()],
      ['connection lost', (node) => node.reset()],
    ];
    for (const [reason, end] of ends) {
      const id = bench.nextId();
      const node = await NodeClient.register(bench.nodePort, { id, name: `node ${id}` });
      await end(node);
      const notice = await bench.stream.record(`the end of ${id}`, (line) =>
        line.includes(`{"NodeDisconnected":{"node_id":${id},`),
      );
      assert.ok(notice.includes(`"status":"Unknown","reason":"${reason}"`), notice);
    }
  });

  await t.test('Core announces a node with all it said about itself', async () => {
    const id = bench.nextId();
    const node = await NodeClient.connect(bench.nodePort);
    await node.send(
      `${frame('NodeRegistration', `{"node_type":"Agent","port":65535,"address":"h\\u00f6st","node_name":"n\\"\u{1f41d}","node_id":${id},"totp_code":"123456","x":1}`)}\n`,
    );
    await node.answer('RegistrationAck');
    await node.end();
    const line = await bench.stream.record('it', (text) =>
      text.includes(`"NodeRegistered":{"node_id":${id},`),
    );
    const notice = JSON.parse(line).message.NodeRegistered;
    assert.deepEqual(
      [notice.node_name, notice.address, notice.port, notice.node_type, notice.remote],
      ['n"\u{1f41d}', 'h\u00f6st', 65535, 'Agent', `127.0.0.1:${node.port}`],
    );
    assert.ok(Math.abs(Date.parse(notice.timestamp) - Date.now()) < 60_000);
  });

  await bench.stream.end();
  assert.deepEqual(await bench.core.stop(), { code: 0, signal: null });
  assert.ok(readLog(bench.core.dataDir).content.equals(bench.stream.content), 'the stream was the log');
  assert.equal(bench.stream.misshapen + bench.stream.binaryCount, 0);
});

test('the framing habits of nodes', async (t) => {
  const bench = await Bench.start(t);
  const stream = bench.stream;

  await t.test(
    'objects without any separator are handled at once, each answered before the next is sent',
    async () => {
      const id = bench.nextId();
      const node = await NodeClient.register(bench.nodePort, { id, name: 'objects' }, '');
      for (let n = 0; n < 3; n++) {
        await node.send(potEvent(id, `{"n":${n}}`));
        await stream.seen(
          `event ${n}`,
          (line) => line.includes(`"node_id":${id},`) && line.includes(`{"n":${n}}`),
        );
      }
      await node.send(potEvent(id, '{"n":3}') + potEvent(id, '{"n":4}') + potEvent(id, '{"brace":"}{"}'));
      await stream.seen('the last', (line) => line.includes(`"node_id":${id},`) && line.includes('"}{"'));
      await node.end();
    },
  );

  await t.test('CR LF, blank lines and blanks around frames are no part of them', async () => {
    const id = bench.nextId();
    const records = await bench.records(id, (node) =>
      node.send(`\r\n\n  ${potEvent(id, '{"n":1}')}\r\n \t\r\n\n${potEvent(id, '{"n":2}')}  \r\n`),
    );
    assert.deepEqual(
      records.map((line) => line.trim()),
      [potEvent(id, '{"n":1}'), potEvent(id, '{"n":2}')],
    );
  });

  await t.test(
    'frames printed over several lines become one line each, nothing else of them changes',
    async () => {
      const id = bench.nextId();
      const pretty = (text: string) => JSON.stringify(JSON.parse(text), null, 2);
      const node = await NodeClient.connect(bench.nodePort);
      await node.send(pretty(registration({ id, name: 'pretty' })));
      await node.answer('RegistrationAck');
      const event = pretty(potEvent(id, '{"text":"a\\nb","list":[1,2]}'));
      await node.send(`\n${event}\n${event.replaceAll('\n', '\r\n')}${event}\n`);
      await node.end();
      assert.deepEqual(await bench.between(id), Array(3).fill(event.replaceAll('\n', '')));
    },
  );

  await t.test(
    'a last frame without newline counts when the node closes; half of one is refused',
    async () => {
      const id = bench.nextId();
      const records = await bench.records(id, (node) =>
        node.send(`${potEvent(id, '{"n":1}')}\n${potEvent(id, '{"n":2}')}`),
      );
      assert.deepEqual(records, [potEvent(id, '{"n":1}'), potEvent(id, '{"n":2}')]);
      const other = bench.nextId();
      assert.deepEqual(
        await bench.records(other, (node) =>
          node.send(`${potEvent(other, '{"n":1}')}\n${potEvent(other, '{"n":2}').slice(0, -5)}`),
        ),
        [potEvent(other, '{"n":1}')],
      );
      assert.equal(
        (await get(bench.core.ports.backend_port, '/api/v1/stats')).json.errors.MESSAGE_PARSE_FAILED,
        1,
      );
    },
  );

  await t.test('frames behind a registration, in the same segment, count as after it', async () => {
    for (const separator of ['\n', '', '\r\n']) {
      const id = bench.nextId();
      const node = await NodeClient.connect(bench.nodePort);
      const frames = [statusUpdate(id, 'Running'), potEvent(id, '{"n":1}'), potEvent(id, '{"n":2}')];
      await node.send([registration({ id, name: `node ${id}` }), ...frames, ''].join(separator));
      await node.answer('RegistrationAck');
      await node.end();
      assert.deepEqual(await bench.between(id), frames, JSON.stringify(separator));
      assert.equal(node.answers.all.length, 1, 'one answer: the acknowledgement');
    }
  });

  await t.test(
    'registration, events and goodbye in one write, and the node is gone before it is answered',
    async () => {
      const id = bench.nextId();
      const node = await NodeClient.connect(bench.nodePort);
      node.socket.end(
        [
          registration({ id, name: `node ${id}` }),
          potEvent(id, '{"n":1}'),
          frame('NodeDrop', 'null'),
          '',
        ].join('\n'),
      );
      await node.gone();
      assert.deepEqual(await bench.between(id), [potEvent(id, '{"n":1}')]);
    },
  );
});
