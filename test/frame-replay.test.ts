/**
 * Frames that are tried again, in a shard: what a session refuses is refused with the same words, what it passes on becomes the
 * same record, byte for byte. In both modes.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEDGER, LEDGER_STRIDE } from '../src/memory/ledger-table.js';
import { replayFrame } from '../src/shard/frame-replay.js';
import type { ReplayVerdict } from '../src/shard/messages.js';
import { BAD_FRAMES, event, frame, GOOD_FRAMES, NODE_ID, owned, registration } from './frame-table.js';
import { MODES, skipped } from './scanner-run.js';
import { TestShard, untyped } from './shard-run.js';

const NODE = { id: NODE_ID, row: 1, numbered: false, potTypes: [['typed', 'dionaea']] as const };

function replay(
  shard: TestShard,
  bytes: string | Uint8Array,
  options: { node?: null; dryRun?: boolean } = {},
): ReplayVerdict {
  const { node = NODE, dryRun = false } = options;
  return replayFrame(shard.context, { frame: Buffer.from(bytes), node, dryRun });
}

/** The time at which it came stands in what a legacy event becomes. */
const timeless = (record: string) => record.replace(/(?<="legacy","timestamp":)"[^"]*"/, 'T');

for (const mode of MODES) {
  describe(`a frame that is tried again, ${mode}`, { skip: skipped(mode) }, () => {
    it('fares as it does over a connection, whatever it is', () => {
      let refused = 0;
      let accepted = 0;
      for (const { name, bytes } of [...GOOD_FRAMES, ...BAD_FRAMES]) {
        const shard = new TestShard(mode);
        const node = shard.registered();
        node.send(`${event()}\n`);
        shard.drain();
        node.send(Buffer.concat([bytes, Buffer.from('\n')]));
        const live = shard.drain();
        if (node.closed() !== undefined) continue; // NodeDrop
        if (live.letters.length === 1 && live.records.length === 0) {
          const [letter] = live.letters;
          if (letter!.reason.includes('registered another node')) continue;
          const verdict = replay(shard, Buffer.from(letter!.bytes, 'base64'));
          assert.deepEqual(verdict, { kind: 'refused', code: letter!.code, reason: letter!.reason }, name);
          const after = shard.drain();
          assert.deepEqual([after.records, after.letters], [[], []], `${name} leaves something`);
          refused++;
        } else if (live.letters.length === 0 && live.records.length === 1) {
          const verdict = replay(shard, bytes);
          assert.equal(verdict.kind, 'accepted', name);
          const after = shard.drain();
          assert.deepEqual(after.records.map(timeless), live.records.map(timeless), name);
          assert.deepEqual(after.letters, []);
          accepted++;
        }
      }
      assert.ok(refused > 40 && accepted > 15, `${refused} refused, ${accepted} accepted`);
    });

    it('is counted as one more frame, accepted or refused; a dry run is not, and leaves nothing', () => {
      const shard = new TestShard(mode);
      const counts = () =>
        ['frames', 'records', 'events', 'replayed', 'replayed_accepted', 'refused_INVALID_NODE_ID'].map(
          (field) => shard.counter(field as 'frames'),
        );
      const foreign = event('{}', '7');
      assert.equal(replay(shard, event(), { dryRun: true }).kind, 'accepted');
      assert.equal(replay(shard, foreign, { dryRun: true }).kind, 'refused');
      assert.deepEqual(counts(), [0, 0, 0, 0, 0, 0]);
      assert.deepEqual(shard.drain().records, []);
      assert.deepEqual(replay(shard, event()), { kind: 'accepted', records: ['PotEvent'], events: 1 });
      assert.deepEqual(counts(), [1, 1, 1, 1, 1, 0]);
      assert.equal(replay(shard, foreign).kind, 'refused');
      assert.deepEqual(counts(), [2, 1, 1, 2, 1, 1]);
    });

    it('of several objects is passed on whole, or not at all', () => {
      const shard = new TestShard(mode);
      const status = frame('NodeStatusUpdate', `{"node_id":${NODE_ID},"status":"Running"}`);
      const started = frame('NodeEvent', '"Started"');
      const verdict = replay(shard, `${event()}\r\n${status} ${started}\n`);
      assert.deepEqual(verdict, {
        kind: 'accepted',
        records: ['PotEvent', 'NodeStatusUpdate', 'NodeEvent'],
        events: 1,
      });
      assert.deepEqual(
        shard.drain().records.map((line) => line.trimEnd()),
        [event(), status, `{"node_id":${NODE_ID},${started.slice(1)}`],
      );
      for (const bad of [
        `${event()}\n${event('{}', '7')}`,
        `${event()}${registration()}`,
        `${event()}\nnonsense`,
      ]) {
        assert.notEqual(replay(shard, bad).kind, 'accepted', bad);
        assert.deepEqual(shard.drain().records, [], bad);
      }
    });

    it('gets the type of its pot, makes no record of what makes none, and says whose it is where nobody knows', () => {
      const shard = new TestShard(mode);
      replay(shard, untyped('typed'));
      replay(shard, untyped('other'));
      const records = shard.drain().records;
      assert.match(records[0]!, /"pot_type":"dionaea"/);
      assert.match(records[1]!, /"pot_type":"unknown"/);
      for (const none of [registration(), frame('NodeDrop', '{}'), '{"version":2,"message":"NodeDrop"}'])
        assert.equal(replay(shard, none).kind, 'never', none);
      for (const named of [event(), owned(NODE_ID, 'NodeEvent', '"Started"')])
        assert.deepEqual(replay(shard, named, { node: null }), { kind: 'names', nodeId: NODE_ID });
      const foreign = replay(shard, owned('7', 'NodeEvent', '"Started"'));
      assert.equal(foreign.kind === 'refused' && foreign.code, 'INVALID_NODE_ID');
      const nobody = replay(shard, frame('NodeEvent', '"Started"'), { node: null });
      assert.deepEqual(
        [nobody.kind, nobody.kind === 'refused' && nobody.code],
        ['refused', 'NODE_NOT_FOUND'],
      );
      const bad = replay(shard, 'nonsense', { node: null });
      assert.equal(bad.kind === 'refused' && bad.code, 'MESSAGE_PARSE_FAILED');
      assert.deepEqual(shard.drain(), { records: [], letters: [] });
    });

    it('is refused where its number is one that its node has not reached: a recount would take it for reached', () => {
      const shard = new TestShard(mode);
      shard.ledger[NODE.row * LEDGER_STRIDE + LEDGER.taken_seq] = 10;
      const numbered = (seq: number, on = true) =>
        replayFrame(shard.context, {
          frame: Buffer.from(event().replace('"pot_id"', `"seq":${seq},"pot_id"`)),
          node: { ...NODE, numbered: on },
          dryRun: false,
        });
      const verdict = numbered(11);
      assert.match(verdict.kind === 'refused' ? verdict.reason : verdict.kind, /^PotEvent\.seq is above 10,/);
      assert.deepEqual(shard.drain(), { records: [], letters: [] });
      assert.equal(numbered(10).kind, 'accepted');
      assert.equal(numbered(11, false).kind, 'accepted');
      assert.equal(shard.drain().records.length, 2);
    });

    it('is refused where it is longer than a node may send', () => {
      const shard = new TestShard(mode, { maxFrameBytes: 1024 });
      const long = event(`{"x":"${'y'.repeat(2000)}"}`);
      const verdict = replay(shard, long);
      assert.equal(verdict.kind === 'refused' && verdict.reason, 'the frame is larger than 1024 bytes');
    });
  });
}
