/** Numbered events of a session: duplicates, gaps, refusals, takeover by another connection; the account is true throughout. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LEDGER, LEDGER_STRIDE } from '../src/memory/ledger-table.js';
import { ackEvent, ackRegistration, loggedSeqs } from './ack-node.js';
import { NODE_ID } from './frame-table.js';
import { MODES, skipped } from './scanner-run.js';
import { type TestNode, TestShard } from './shard-run.js';

const ID = BigInt(NODE_ID);
const line = (seq: number) => `${ackEvent(ID, seq, 'n')}\n`;
const bad = (seq: number) => `${ackEvent(ID, seq, 'n').replace('"cowrie"', '5')}\n`;

function registered(shard: TestShard, row?: number): TestNode {
  const node = shard.open();
  if (row !== undefined) node.row = row;
  node.send(`${ackRegistration({ id: ID, name: 'bee' })}\n`);
  node.accept();
  return node;
}

for (const mode of MODES) {
  describe(`numbered events of a session, ${mode}`, { skip: skipped(mode) }, () => {
    it('each is taken once, whatever is sent again, left out or refused', () => {
      const shard = new TestShard(mode);
      const node = registered(shard);
      node.send([1, 2, 3, 2, 3, 4, 7, 6, 7, 8].map(line).join(''));
      node.send(bad(9) + bad(9) + line(10) + bad(50) + line(11));
      assert.deepEqual(loggedSeqs(shard.drain().records, 'n'), [1, 2, 3, 4, 7, 8, 10, 11]);
      assert.deepEqual(
        [node.count('duplicates'), node.count('missing'), node.count('refused'), node.count('taken_seq')],
        [5, 2, 2, 11],
      );
      assert.deepEqual([node.count('events'), node.count('frames')], [8, 16]);
      assert.ok(node.isBalanced);
    });

    it('an event that a broken connection tore is taken when it comes again, wherever it was torn', () => {
      const torn = line(12);
      for (let cut = 0; cut < torn.length; cut++) {
        const shard = new TestShard(mode);
        const first = registered(shard);
        for (let seq = 1; seq < 12; seq++) first.send(line(seq));
        first.send(torn.slice(0, cut));
        first.end();
        const second = registered(shard, first.row);
        second.send([12, 13].map(line).join(''));
        const seqs = loggedSeqs(shard.drain().records, 'n');
        assert.deepEqual(seqs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], `cut at ${cut}`);
        assert.ok(second.isBalanced);
        shard.acks.end();
      }
    });

    it('the next connection goes on where the last one was, and is told what is durable', () => {
      const shard = new TestShard(mode);
      const first = registered(shard);
      first.send([1, 2, 3, 4].map(line).join(''));
      shard.ledger[first.row * LEDGER_STRIDE + LEDGER.durable_seq] = 2;
      first.end();
      const second = registered(shard, first.row);
      const { RegistrationAck: ack } = second.answers()[0]!;
      assert.deepEqual([ack!.features, ack!.last_seq], [['event_ack'], 2]);
      second.send([3, 4, 5].map(line).join(''));
      assert.deepEqual(loggedSeqs(shard.drain().records, 'n'), [1, 2, 3, 4, 5]);
      assert.equal(second.count('duplicates'), 2);
      assert.ok(second.isBalanced);
      shard.ledger[first.row * LEDGER_STRIDE + LEDGER.durable_seq] = 5;
      second.session.acknowledge();
      second.session.acknowledge();
      assert.deepEqual(second.answers(), [{ EventAck: { node_id: Number(NODE_ID), seq: 5 } }]);
      shard.acks.end();
    });
  });
}
