/**
 * A connection's life in a shard, in both modes: who may speak, what becomes of each frame, what is answered. The
 * ring, the framer and the scanner are the real ones.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { event, frame, NODE_ID, registration } from './frame-table.js';
import { MODES, skipped } from './scanner-run.js';
import { codes, HABITS, TestShard, untyped } from './shard-run.js';

const status = (name: string) => frame('NodeStatusUpdate', `{"node_id":${NODE_ID},"status":"${name}"}`);
const potStatus = (potId: string, potType: string, more = '"status":"Running"') =>
  frame('PotStatusUpdate', `{"node_id":${NODE_ID},"pot_id":"${potId}","pot_type":"${potType}",${more}}`);
function nameOf(record: string): string {
  return Object.keys(JSON.parse(record).message)[0]!;
}

function potTypes(records: readonly string[]): string[] {
  return records
    .map((record) => JSON.parse(record).message.PotEvent?.pot_type)
    .filter((type) => type !== undefined);
}

for (const mode of MODES) {
  describe(`registration, ${mode}`, { skip: skipped(mode) }, () => {
    for (const [habit, separator] of Object.entries(HABITS)) {
      it(`${habit}: is asked of main, and what is sent behind it counts as after it`, () => {
        const shard = new TestShard(mode);
        const node = shard.open();
        const frames = [event(), event('{"n":2}'), status('Running')];
        node.send([registration(), ...frames, ''].join(separator));
        assert.deepEqual(shard.posts, [
          {
            type: 'register',
            session: 0,
            registration: {
              nodeId: NODE_ID,
              nodeName: 'bee',
              address: '10.0.0.1',
              port: 8080,
              nodeType: 'Full',
            },
            totpCode: null,
            certificateNames: undefined,
            isNumbered: false,
          },
        ]);
        assert.ok(node.transport.paused, 'read from while main decides');
        assert.deepEqual(shard.drain(), { records: [], letters: [] });
        assert.deepEqual(node.answers(), []);
        node.accept();
        assert.deepEqual(node.answers(), [
          { RegistrationAck: { node_id: Number(NODE_ID), accepted: true, message: 'welcome' } },
        ]);
        assert.ok(!node.transport.paused);
        const { records, letters } = shard.drain();
        assert.equal(nameOf(records[0]!), 'NodeRegistered');
        assert.deepEqual(records.slice(1), frames);
        assert.deepEqual(letters, []);
        assert.deepEqual(
          [node.count('frames'), node.count('records'), node.count('events'), node.count('refused')],
          [4, 3, 2, 0],
        );
      });
    }

    it('on one line with other objects holds those behind it until the verdict, in their order', () => {
      const shard = new TestShard(mode);
      const node = shard.open();
      // A refused frame on a line of its own puts the connection into lines.
      node.send(`{}\n${registration()}${event('{"n":1}')} ${event('{"n":2}')}\n${event('{"n":3}')}\n`);
      assert.deepEqual(shard.drain().records, []);
      node.accept();
      const { records, letters } = shard.drain();
      assert.deepEqual(records.slice(1), [event('{"n":1}'), event('{"n":2}'), event('{"n":3}')]);
      assert.deepEqual(letters, []);
    });

    it('that nobody decides any more leaves what was sent behind it in the dead letters', () => {
      const shard = new TestShard(mode);
      const node = shard.open();
      node.send(`${registration()}\n${event()}\n`);
      node.session.drain();
      const { records, letters } = shard.drain();
      assert.deepEqual(records, []);
      assert.deepEqual(codes(letters), ['NODE_NOT_FOUND']);
      assert.equal(Buffer.from(letters[0]!.bytes, 'base64').toString().trim(), event());
    });

    it('that main refuses is answered, kept, and ends the connection; nothing behind it counts', () => {
      const shard = new TestShard(mode);
      const node = shard.open();
      node.send(`${registration()}\n${event()}\n`);
      node.session.refused('NODE_ALREADY_REGISTERED', 'the id is in use');
      const [{ RegistrationAck: ack } = {}] = node.answers();
      assert.equal(ack?.accepted, false);
      assert.match(String(ack?.message), /NODE_ALREADY_REGISTERED.*in use/);
      assert.equal(node.closed()?.reason, 'registration refused');
      const { records, letters } = shard.drain();
      assert.deepEqual(records, []);
      assert.deepEqual(codes(letters), ['NODE_ALREADY_REGISTERED', 'NODE_NOT_FOUND']);
      assert.equal(Buffer.from(letters[0]!.bytes, 'base64').toString(), registration());
      assert.equal(Buffer.from(letters[1]!.bytes, 'base64').toString().trim(), event());
      node.session.accepted({ message: 'too late', potTypes: [], row: 1, serial: 1 });
      assert.deepEqual(shard.drain().records, []);
    });

    it('of another version is refused with both versions named, and the connection closed', () => {
      for (const version of ['1', '3', '2.5', '-2', '1e999']) {
        const shard = new TestShard(mode);
        const node = shard.open();
        node.send(`${registration(NODE_ID, 'bee', version)}\n${registration()}\n`);
        const answers = node.answers();
        assert.equal(answers[0]!.RegistrationAck!.accepted, false);
        assert.match(
          String(answers[0]!.RegistrationAck!.message),
          new RegExp(`PROTOCOL_VERSION_MISMATCH.*${version}.* 2`),
        );
        assert.equal(node.closed()?.reason, 'registration refused');
        assert.deepEqual(codes(shard.drain().letters), ['PROTOCOL_VERSION_MISMATCH']);
        assert.equal(shard.posts.length, 1, 'main was asked');
      }
    });

    it('repeated by a registered node is acknowledged; under another name or id it is refused', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      node.send(
        `${registration()}\n${registration(NODE_ID, 'wasp')}\n${registration('7')}\n${registration(NODE_ID, 'bee', '1')}\n`,
      );
      const [first, second] = node.answers();
      assert.equal(first!.RegistrationAck!.accepted, true);
      assert.equal(second!.Error!.code, 'NODE_ALREADY_REGISTERED');
      assert.deepEqual(codes(shard.drain().letters), [
        ...['NODE_ALREADY_REGISTERED', 'NODE_ALREADY_REGISTERED', 'PROTOCOL_VERSION_MISMATCH'],
      ]);
      assert.equal(node.session.state, 'registered');
    });

    it('comes first: all else is NODE_NOT_FOUND until then, and not for ever', () => {
      const shard = new TestShard(mode);
      const node = shard.open();
      const early = [
        event(),
        status('Running'),
        frame('NodeEvent', '"Started"'),
        '{"version":2,"message":"NodeDrop"}',
      ];
      node.send(`${early.join('\n')}\n${registration()}\n`);
      assert.deepEqual(
        codes(shard.drain().letters),
        early.map(() => 'NODE_NOT_FOUND'),
      );
      assert.equal(node.answers()[0]!.Error!.code, 'NODE_NOT_FOUND');
      node.accept();
      node.send(`${event()}\n`);
      assert.equal(shard.drain().records.length, 2);

      const stranger = shard.open();
      stranger.send(`${event()}\n`.repeat(2 * LIMITS.refusedBeforeRegistration));
      assert.equal(stranger.closed()?.reason, 'not a node');
      const { records, letters } = shard.drain();
      assert.deepEqual([records.length, letters.length], [0, LIMITS.refusedBeforeRegistration]);
    });

    it('is not waited for from HTTP, SSH and TLS clients', () => {
      const hellos = [
        'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
        'SSH-2.0-OpenSSH_9\r\n',
        'POST /x HTTP/1.1\r\n\r\n{"a":1}',
      ];
      for (const hello of [
        ...hellos.map((text) => Buffer.from(text)),
        Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1]),
      ]) {
        const shard = new TestShard(mode);
        const node = shard.open();
        node.send(hello);
        assert.equal(node.closed()?.reason, 'not a node', hello.toString('latin1'));
        assert.deepEqual(codes(shard.drain().letters), ['MESSAGE_PARSE_FAILED']);
      }
    });

    it('that main decides when the node has left still counts, with what was sent behind it', () => {
      const shard = new TestShard(mode);
      const node = shard.open();
      node.send(`${registration()}\n${event()}\n${event('{"last":1}')}`);
      node.end();
      assert.equal(node.closed(), undefined);
      node.accept();
      assert.deepEqual(shard.drain().records.map(nameOf), [
        'NodeRegistered',
        'PotEvent',
        'PotEvent',
        'NodeDisconnected',
      ]);
      assert.deepEqual(
        [node.closed()?.reason, node.closed()?.status],
        ['node closed the connection', 'Unknown'],
      );
    });
  });

  describe(`what frames mean, ${mode}`, { skip: skipped(mode) }, () => {
    it('an event without pot_type gets that of its pot: as last reported, as main remembers, or unknown', () => {
      const shard = new TestShard(mode);
      const node = shard.registered(NODE_ID, '\n', [['old', 'conpot']]);
      const compiled = frame('PotEvent', `{"node_id":${NODE_ID},"pot_id":"a","event":"e","timestamp":1}`);
      node.send(
        [
          ...[untyped('a'), untyped('old'), potStatus('a', 'cowrie'), untyped('a'), compiled, untyped('b')],
          ...[
            potStatus('a', 'dio\\"\\ud800naea'),
            untyped('a'),
            untyped('\\u0061'),
            event('{}', NODE_ID, 'a'),
            '',
          ],
        ].join('\n'),
      );
      const { records } = shard.drain();
      const odd = 'dio"\ud800naea';
      assert.deepEqual(potTypes(records), [
        'unknown',
        'conpot',
        'cowrie',
        'cowrie',
        'unknown',
        odd,
        odd,
        'cowrie',
      ]);
      assert.deepEqual(
        shard.posts.filter(({ type }) => type === 'pot'),
        ['cowrie', odd].map((potType) => ({
          type: 'pot',
          session: 0,
          potId: 'a',
          potType,
          status: 'Running',
          message: null,
        })),
      );
    });

    it('the types of so many pots are remembered and no more, and none that is too long', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      const pots = Array.from({ length: LIMITS.potsPerNode + 1 }, (_, i) => `pot-${i}`);
      const long = 'x'.repeat(LIMITS.potFieldLength + 1);
      node.send(`${potStatus('l', long)}\n${potStatus(long, 't')}\n${untyped('l')}\n${untyped(long)}\n`);
      node.send(pots.map((pot) => `${potStatus(pot, 'ssh')}\n`).join(''));
      node.send(
        `${untyped(pots[0]!)}\n${untyped(pots.at(-1)!)}\n${potStatus(pots[0]!, 'new')}\n${untyped(pots[0]!)}\n`,
      );
      assert.deepEqual(potTypes(shard.drain().records), ['unknown', 'unknown', 'ssh', 'unknown', 'new']);
    });

    it('compiled and legacy events leave as documented ones, and are counted apart', (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 10, 20) });
      const shard = new TestShard(mode);
      const node = shard.registered();
      const compiled = `{"node_id":${NODE_ID},"pot_id":"p","pot_type":"t","event":"login","timestamp":1700000000.5,"message":"m","metadata":{"ip":"192.0.2.7"}}`;
      node.send(
        `${frame('PotEvent', compiled)}\n${potStatus('q', 'u', '"status":"","message":"what was left"')}\n${potStatus('q', 'u', '"status":""')}\n`,
      );
      const documented = (potId: string, potType: string, type: string, time: string, data: string) =>
        `{"version":2,"message":{"PotEvent":{"node_id":${NODE_ID},"pot_id":"${potId}","pot_type":"${potType}","event_type":"${type}","timestamp":"${time}","data":${data}}}}`;
      assert.deepEqual(shard.drain().records, [
        documented('p', 't', 'login', '2023-11-14T22:13:20.5Z', '{"message":"m","ip":"192.0.2.7"}'),
        documented('q', 'u', 'legacy', '2026-11-20T00:00:00.000Z', '{"message":"what was left"}'),
        documented('q', 'u', 'legacy', '2026-11-20T00:00:00.000Z', '{"message":null}'),
      ]);
      assert.deepEqual(
        [shard.counter('events'), shard.counter('events_compiled'), shard.counter('events_legacy')],
        [3, 1, 2],
      );
      assert.equal(shard.counter('pot_status_updates'), 0);
    });

    it('a status is passed on when it changes, and only then', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      const sent = [
        'Connected',
        'Running',
        'Running',
        'Running',
        'Failed',
        'Running',
        'Running',
        'Connected',
      ];
      node.send(sent.map((name) => `${status(name)}\n`).join(''));
      const changes = ['Running', 'Failed', 'Running', 'Connected'];
      assert.deepEqual(shard.drain().records, changes.map(status));
      assert.deepEqual(
        shard.posts.filter(({ type }) => type === 'status'),
        changes.map((name) => ({ type: 'status', session: 0, status: name })),
      );
      assert.equal(shard.counter('status_updates'), sent.length);
      // Main or the shard may have found it silent meanwhile: then the same status is news again.
      node.session.status = 'Unknown';
      node.send(`${status('Connected')}\n`);
      assert.equal(shard.drain().records.length, 1);
    });

    for (const goodbye of [
      '{"NodeDrop":{}}',
      '{"NodeDrop":null}',
      '"NodeDrop"',
      '{ "NodeDrop" : { "why" : 1 } }',
    ]) {
      it(`${goodbye} ends the connection, and the node counts as stopped`, () => {
        for (const separator of Object.values(HABITS)) {
          const shard = new TestShard(mode);
          const node = shard.registered(NODE_ID, separator);
          node.send([event(), `{"version":2,"message":${goodbye}}`, event(), ''].join(separator));
          assert.deepEqual([node.closed()?.reason, node.closed()?.status], ['node said goodbye', 'Stopped']);
          const { records } = shard.drain();
          assert.deepEqual(records.map(nameOf), ['PotEvent', 'NodeDisconnected']);
          assert.match(records[1]!, new RegExp(`"node_id":${NODE_ID},"node_name":"bee","status":"Stopped"`));
          assert.equal(node.closed()?.published, shard.output.ring.published);
          node.end('connection lost');
          assert.deepEqual(shard.drain().records, []);
        }
      });
    }

    it('a connection that ends in a frame gives that frame, and the node counts as unknown', () => {
      for (const [separator, ends] of [
        ['\n', true],
        ['', false],
      ] as const) {
        const shard = new TestShard(mode);
        const node = shard.registered(NODE_ID, separator);
        node.send(`${event()}${separator}${ends ? event('{"last":1}') : event().slice(0, -1)}`);
        node.end('connection lost');
        const { records, letters } = shard.drain();
        assert.deepEqual(records.map(nameOf), [
          'PotEvent',
          ...(ends ? ['PotEvent'] : []),
          'NodeDisconnected',
        ]);
        assert.deepEqual(codes(letters), ends ? [] : ['MESSAGE_PARSE_FAILED']);
        assert.match(records.at(-1)!, /"status":"Unknown","reason":"connection lost"/);
      }
    });

    it('what main closes is said in the stream; what never registered is not', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      node.session.close('taken over by a new connection');
      node.session.close('silent for too long');
      assert.match(
        shard.drain().records.join(),
        /NodeDisconnected.*"reason":"taken over by a new connection"/,
      );
      const stranger = shard.open();
      stranger.session.close('did not register in time');
      assert.deepEqual(shard.drain().records, []);
      assert.equal(stranger.closed()?.reason, 'did not register in time');
    });
  });

  describe(`answers to refused frames, ${mode}`, { skip: skipped(mode) }, () => {
    it('come at most once a second, with the count of what was held back', (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
      const shard = new TestShard(mode);
      const node = shard.registered();
      const bad = '{"version":2}\n';
      node.send(bad.repeat(3));
      node.send(bad);
      assert.deepEqual(
        node.answers().map(({ Error: error }) => error),
        [{ code: 'INVALID_MESSAGE_FORMAT', message: 'message is missing' }],
      );
      t.mock.timers.setTime(1_000_000 + LIMITS.errorReplyIntervalMs - 1);
      node.send(bad);
      assert.deepEqual(node.answers(), []);
      t.mock.timers.setTime(1_000_000 + LIMITS.errorReplyIntervalMs);
      node.send(`\n${bad}${bad}`);
      const [only, ...none] = node.answers();
      assert.deepEqual(none, []);
      assert.match(String(only!.Error!.message), /message is missing.*4 more/);
      t.mock.timers.setTime(1_000_000 + 5 * LIMITS.errorReplyIntervalMs);
      node.send('{"version":2,\n');
      assert.match(String(node.answers()[0]!.Error!.message), /1 more/);
      assert.equal(shard.drain().letters.length, 8);
      assert.deepEqual([shard.counter('error_replies'), shard.counter('error_replies_held_back')], [3, 5]);
    });

    it("are each connection's own", () => {
      const shard = new TestShard(mode);
      for (const node of [shard.registered('1'), shard.registered('2')]) {
        node.send('nonsense\n');
        assert.equal(node.answers()[0]!.Error!.code, 'MESSAGE_PARSE_FAILED');
      }
    });

    it('can be turned off; the frames are kept all the same', () => {
      const shard = new TestShard(mode, { errorReplies: false });
      const node = shard.registered();
      node.send('nonsense\n\n[]\n');
      assert.deepEqual(node.answers(), []);
      assert.deepEqual(codes(shard.drain().letters), ['MESSAGE_PARSE_FAILED', 'INVALID_MESSAGE_FORMAT']);
    });

    it('keep the first bytes of the frame, its size, and whose it was', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      const bad = Buffer.concat([Buffer.from('\u0000"\\'), Buffer.alloc(10_000, 0xff)]);
      node.send(Buffer.concat([Buffer.from('{}\n'), bad, Buffer.from('\n')]));
      const [small, large] = shard.drain().letters;
      assert.deepEqual([small!.size, Buffer.from(small!.bytes, 'base64').toString()], [2, '{}']);
      assert.equal(large!.size, bad.length);
      assert.ok(Buffer.from(large!.bytes, 'base64').equals(bad.subarray(0, LIMITS.deadLetterFrameBytes)));
      assert.deepEqual([large!.node_name, large!.remote], ['bee', '192.0.2.1:40000']);
      assert.ok(!Number.isNaN(Date.parse(large!.time)));
    });

    it('that a node does not read end its connection', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      node.transport.backlogBytes = LIMITS.nodeWriteBufferBytes + 1;
      node.send(`nonsense\n${event()}\n`);
      assert.equal(node.closed()?.reason, 'does not read its answers');
      assert.deepEqual(shard.drain().records.map(nameOf), ['NodeDisconnected']);
    });
  });
}
