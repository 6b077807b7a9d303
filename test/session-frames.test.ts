/**
 * Frames of registered connections on their way through a shard, in both modes: whatever reads they come in, they
 * come out of the ring byte for byte and in order, or are kept with the code they deserve.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { parseFilter } from '../src/query/parse-filter.js';
import { RecordFilter } from '../src/query/record-filter.js';
import { RingStopped } from '../src/shard/output.js';
import { judge } from './frame-oracle.js';
import {
  BAD_FRAMES,
  EDGE_IDS,
  event,
  frame,
  GOOD_FRAMES,
  NODE_ID,
  owned,
  registration,
} from './frame-table.js';
import { randomCuts, seeded } from './framer-run.js';
import { SEED } from './frames.js';
import { MODES, skipped } from './scanner-run.js';
import { codes, HABITS, type TestNode, TestShard, untyped } from './shard-run.js';

const status = (name: string) => frame('NodeStatusUpdate', `{"node_id":${NODE_ID},"status":"${name}"}`);
for (const mode of MODES) {
  describe(`frames of a registered node, ${mode}`, { skip: skipped(mode) }, () => {
    // In the order of the table; goodbyes would end it. Status and registrations are told apart below.
    const stream = [...GOOD_FRAMES, ...BAD_FRAMES].filter(
      ({ verdict, bytes }) => verdict !== 'nodeDrop' && !bytes.includes(10) && bytes.length < 3_000,
    );
    const good = stream.filter(
      ({ verdict }) =>
        verdict !== 'nodeRegistration' && GOOD_FRAMES.some((known) => known.verdict === verdict),
    );
    const refusals = stream
      .map(({ bytes, verdict }) => {
        const found = judge(bytes);
        if (found.kind === 'refused') return found.code;
        const stranger = verdict === 'nodeRegistration' && !bytes.includes('"bee"');
        return stranger ? 'NODE_ALREADY_REGISTERED' : undefined;
      })
      .filter((code) => code !== undefined);
    const bytes = Buffer.concat(stream.flatMap((one) => [one.bytes, Buffer.from('\n')]));

    function check(node: TestNode, shard: TestShard): void {
      const { records, letters } = shard.drain();
      assert.deepEqual(codes(letters), refusals);
      assert.equal(records.length, good.length);
      for (const [i, { name, verdict, bytes: sent }] of good.entries()) {
        const text = sent.toString().trim();
        const record = records[i]!;
        const typed = verdict !== 'potEvent' || text.includes('pot_type');
        if (verdict.endsWith('PotEvent') || !typed) {
          const found = judge(Buffer.from(record));
          assert.ok(
            found.kind === 'potEvent' && found.complete && found.nodeId === NODE_ID,
            `${name}: ${record}`,
          );
        } else if (verdict === 'nodeEvent' && !text.includes(NODE_ID)) {
          assert.equal(record, `{"node_id":${NODE_ID},${text.slice(1)}`, name);
        } else {
          assert.equal(record, text, name);
        }
      }
      assert.deepEqual(
        [node.count('frames'), node.count('records'), node.count('refused')],
        [stream.length + 1, good.length, refusals.length],
      );
    }
    it('come out byte for byte, or are kept with the code they deserve; nothing is silently gone', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      node.send(bytes);
      check(node, shard);
      assert.equal(shard.counter('frames'), node.count('frames'));
      for (const code of new Set(refusals))
        assert.equal(shard.counter(`refused_${code}`), refusals.filter((one) => one === code).length);
    });

    it('do so read one byte at a time, and cut anywhere', () => {
      const random = seeded(SEED);
      const cuttings = [Array.from({ length: bytes.length - 1 }, (_, i) => i + 1)];
      for (let run = 0; run < 40; run++) cuttings.push(randomCuts(random, bytes.length));
      const shard = new TestShard(mode);
      for (const cuts of cuttings) {
        const node = shard.registered();
        node.send(bytes, cuts);
        check(node, shard);
      }
    });

    it('do so at every split point of a short stream, in every habit', () => {
      const frames = [event(), untyped('p'), status('Running'), '{"version":3}', event('{"é":"\\n"}')];
      const shard = new TestShard(mode);
      for (const separator of Object.values(HABITS)) {
        const all = Buffer.from([registration(), ...frames, ''].join(separator));
        for (let cut = 1; cut < all.length; cut++) {
          const node = shard.open();
          node.send(all, [cut]);
          node.accept();
          const { records, letters } = shard.drain();
          const typed = frames[1]!.replace('{"node_id"', '{"pot_type":"unknown","node_id"');
          assert.deepEqual(records.slice(1), [frames[0], typed, frames[2], frames[4]], `cut at ${cut}`);
          assert.deepEqual(codes(letters), ['PROTOCOL_VERSION_MISMATCH']);
        }
      }
    });

    it('leave on one line when they came over several, with every other byte as it was', () => {
      const shard = new TestShard(mode);
      const node = shard.registered(NODE_ID, '');
      const spread =
        '{\r\n  "version": 2,\n\t"message": {"PotEvent":\n{"node_id":9007199254740993,"pot_id":"p","pot_type":"t",\r\r\n"event_type":"e","timestamp":"2026-11-20T00:00:00Z","data":{"n":1.50}}}\n}';
      node.send(`${spread}\n${spread.replace('"pot_type":"t",', '')}\n`);
      const { records } = shard.drain();
      assert.equal(records[0], spread.replace(/\r?\n/g, ''));
      assert.equal(
        records[1],
        spread
          .replace('"pot_type":"t",', '')
          .replace(/\r?\n/g, '')
          .replace('{"node_id"', '{"pot_type":"unknown","node_id"'),
      );
    });

    it('that are NodeEvents leave with the id of their connection in front, whatever they look like', () => {
      for (const id of EDGE_IDS) {
        const shard = new TestShard(mode);
        const node = shard.registered(id, '');
        const spread = '{\r\n  "message": {"NodeEvent":\n"Started"},\n\t"version": 2 }';
        const plain = frame('NodeEvent', '{"type":"Alarm","message":"\u{1f41d}","node_id":5}');
        const own = `{"version":2,"message":{"NodeEvent":{"Error":null}}\n,"node_id":${id}}`;
        node.send(`${spread} ${plain}${own}`);
        const { records, letters } = shard.drain();
        assert.deepEqual(letters, []);
        assert.deepEqual(records, [
          `{"node_id":${id},${spread.replace(/\r?\n/g, '').slice(1)}`,
          `{"node_id":${id},${plain.slice(1)}`,
          own.replace('\n', ''),
        ]);
        assert.deepEqual(
          records.map((record) => BigInt(/"node_id":(\d+)/.exec(record.replace('"node_id":5', ''))![1]!)),
          [BigInt(id), BigInt(id), BigInt(id)],
        );
        node.send(own.replace(id, '4'));
        node.send(`{"node_id":4,"version":2,"message":"NodeDrop"}`);
        assert.deepEqual(codes(shard.drain().letters), ['INVALID_NODE_ID', 'INVALID_NODE_ID']);
        assert.equal(node.session.state, 'registered');
      }
    });

    it('as long as may be are longer with an id, and are read like any other', () => {
      const shard = new TestShard(mode, { maxFrameBytes: LIMITS.frameBytesMax, ringBytes: 64 << 20 });
      const node = shard.registered(EDGE_IDS[5], '\n');
      const text = frame('NodeEvent', '{"type":"Alarm","message":""}');
      const longest = text.replace('""', `"${'x'.repeat(LIMITS.frameBytesMax - text.length)}"`);
      node.send(`${longest}\n`);
      const { records, letters } = shard.drain();
      assert.deepEqual([records.length, letters.length], [1, 0]);
      const record = Buffer.from(records[0]!);
      assert.ok(record.length > LIMITS.frameBytesMax);
      const filter = parseFilter((name) => (name === 'node' ? [EDGE_IDS[5]] : []), 0, false);
      const byNode = new RecordFilter(filter, undefined);
      assert.ok(byNode.matches(record, 0, record.length, () => undefined));
    });

    it('may stand several on one line', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      const a = event('{"a":"}{"}');
      const b = frame('NodeEvent', '"Started"');
      node.send(`${a}${b}\n ${a} \t{"version":3,"message":"NodeDrop"}${b}\r\n${a}x${b}\n${a}\n`);
      const { records, letters } = shard.drain();
      const own = owned(NODE_ID, 'NodeEvent', '"Started"');
      assert.deepEqual(records, [a, own, a, own, a]);
      assert.deepEqual(codes(letters), ['PROTOCOL_VERSION_MISMATCH', 'MESSAGE_PARSE_FAILED']);
    });

    it('of another node are refused, whatever they are', () => {
      const shard = new TestShard(mode);
      const node = shard.registered();
      const foreign = GOOD_FRAMES.filter(
        ({ bytes: one }) => one.includes(`"node_id":${NODE_ID}`) && !one.includes(10),
      )
        .filter(({ verdict }) => verdict !== 'nodeRegistration')
        .flatMap(({ bytes: one }) =>
          ['9007199254740992', '9007199254740994', '90071992547409930', '1'].map((id) =>
            one.toString().replaceAll(NODE_ID, id),
          ),
        );
      node.send(`${foreign.join('\n')}\n`);
      const { records, letters } = shard.drain();
      assert.deepEqual(records, []);
      assert.deepEqual(new Set(codes(letters)), new Set(['INVALID_NODE_ID']));
      assert.equal(letters.length, foreign.length);
      assert.equal(node.session.state, 'registered');
    });

    it('carry ids of 64 bits, digit for digit, into every record', () => {
      for (const id of EDGE_IDS) {
        const shard = new TestShard(mode);
        const node = shard.open();
        node.send(`${registration(id)}\n`);
        node.accept();
        assert.match(node.transport.written[0]!, new RegExp(`"node_id":${id},`));
        const forms = GOOD_FRAMES.filter(({ bytes: one }) => !one.includes(10))
          .map(({ bytes: one }) => one.toString())
          .filter((text) => text.includes(NODE_ID) && !/NodeRegistration|NodeDrop/.test(text));
        node.send(`${forms.map((text) => text.replaceAll(NODE_ID, id)).join('\n')}\n`);
        node.end();
        const { records, letters } = shard.drain();
        assert.deepEqual(letters, []);
        assert.equal(records.length, forms.length + 2);
        for (const record of records)
          assert.match(record, new RegExp(`"node(_|\\\\u005f)id" ?: ?${id}[,} ]`));
      }
    });

    it('too large cost themselves alone in lines, and end the connection where nothing else ends them', () => {
      const maxFrameBytes = 2_000;
      const large = event(`{"s":"${'x'.repeat(maxFrameBytes)}"}`);
      for (const cuts of [[], [100, 1_900], [50, 2_100]]) {
        const shard = new TestShard(mode, { maxFrameBytes });
        const node = shard.registered();
        node.send(`${event()}\n${large}\n${event('{"n":2}')}\n`, cuts);
        const { records, letters } = shard.drain();
        assert.deepEqual(records, [event(), event('{"n":2}')]);
        assert.deepEqual(codes(letters), ['INVALID_MESSAGE_FORMAT']);
        assert.match(letters[0]!.reason, /2000/);

        const other = shard.registered(NODE_ID, '');
        other.send(`${event()}${large}${event()}`, cuts);
        assert.equal(other.closed()?.reason, 'frame too large');
        assert.deepEqual(codes(shard.drain().letters), ['INVALID_MESSAGE_FORMAT']);
      }
    });

    it('as large as may be come through, also longer than they came in', () => {
      const maxFrameBytes = 1 << 20;
      const shard = new TestShard(mode, { maxFrameBytes, ringBytes: 4 << 20 });
      const node = shard.registered(NODE_ID, '\n', [['p', 'é"\n'.repeat(80)]]);
      const sized = (text: string) =>
        text.replace('"data":{}', `"data":{"s":"${'x'.repeat(maxFrameBytes - text.length - 6)}"}`);
      const first = sized(event('{}'));
      const second = sized(untyped('p'));
      assert.equal(first.length, maxFrameBytes);
      node.send(`${`${first}\n`.repeat(5)}${second}\n${second}\n${first}`);
      node.end();
      const { records, letters } = shard.drain();
      assert.deepEqual(letters, []);
      assert.deepEqual(
        records.map((record) => record.length),
        [
          ...Array(5).fill(first.length),
          ...Array(2).fill(records[5]!.length),
          first.length,
          records[8]!.length,
        ],
      );
      assert.equal(JSON.parse(records[6]!).message.PotEvent.pot_type, 'é"\n'.repeat(80));
    });

    it('that are plain events leave a read as one run', () => {
      const shard = new TestShard(mode);
      for (const separator of ['\n', '\r\n']) {
        const node = shard.registered(NODE_ID, separator);
        const before = shard.output.ring.published;
        node.send(`${event()}${separator}`.repeat(50));
        assert.equal(shard.output.ring.published - before, 1);
        assert.equal(shard.drain().records.length, 50);
      }
    });

    it('wait for room in the ring, and come out in order through a ring far too small', () => {
      const shard = new TestShard(mode, { ringBytes: 16 << 10, maxFrameBytes: 4 << 10 });
      const node = shard.registered();
      const frames = Array.from({ length: 3_000 }, (_, i) =>
        event(`{"n":${i},"s":"${'x'.repeat((i * 37) % 900)}"}`),
      );
      node.send(`${frames.join('\n')}\n`, [1_000, 400_000]);
      const { records } = shard.drain();
      assert.deepEqual(records, frames);
      assert.ok(shard.counter('ring_full_waits') > 10);
    });

    it('are counted as far as they were passed on when the ring is stopped', () => {
      const shard = new TestShard(mode, { ringBytes: 16 << 10, maxFrameBytes: 4 << 10 });
      const node = shard.registered();
      shard.observer.stop();
      assert.throws(() => node.send(`${event()}\n`.repeat(1_000)), RingStopped);
      const { records } = shard.drain();
      assert.ok(records.length > 0 && records.length < 1_000);
      assert.equal(node.count('records'), records.length);
    });

    it('stay those of their own connection when many connections share the shard', () => {
      const shard = new TestShard(mode);
      const random = seeded(SEED + 7);
      for (let run = 0; run < 20; run++) {
        const nodes = EDGE_IDS.map((id, i) => shard.registered(id, i % 3 === 0 ? '' : '\n'));
        const streams = EDGE_IDS.map((id, i) => {
          const frames = Array.from({ length: 30 }, (_, n) =>
            n % 5 === 4
              ? untyped(`${n}`).replace(NODE_ID, id)
              : event(`{"n":${n},"s":"${'x'.repeat(n * 7)}"}`, id),
          );
          return { bytes: Buffer.from(frames.join(i % 3 === 0 ? '' : '\n')), sent: 0, frames };
        });
        while (streams.some(({ bytes, sent }) => sent < bytes.length)) {
          const i = Math.floor(random() * streams.length);
          const stream = streams[i]!;
          const end = Math.min(stream.bytes.length, stream.sent + 1 + Math.floor(random() * 900));
          if (end > stream.sent) nodes[i]!.send(stream.bytes.subarray(stream.sent, end));
          stream.sent = end;
        }
        for (const node of nodes) node.end();
        const { records, letters } = shard.drain();
        assert.deepEqual(letters, []);
        for (const [i, id] of EDGE_IDS.entries()) {
          const own = records.filter((record) => record.includes(`"node_id":${id},`)).slice(0, -1);
          const sent = streams[i]!.frames.map((text) =>
            text.includes('pot_type') ? text : text.replace('{"node_id"', '{"pot_type":"unknown","node_id"'),
          );
          assert.deepEqual(own, sent);
        }
      }
    });
  });
}
