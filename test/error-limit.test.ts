/**
 * The limit of refused frames a minute: what counts, when a minute is over, and what becomes of the connection.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ErrorRate } from '../src/shard/error-rate.js';
import { event, NODE_ID } from './frame-table.js';
import { MODES, skipped } from './scanner-run.js';
import { TestShard } from './shard-run.js';

const MINUTE_MS = 60_000;
const START_MS = 1_700_000_000_000;
const BAD = '{"version":2}\n';

describe('errors of the last minute', () => {
  it('are counted exactly within a window, and by their share while the window before is left behind', () => {
    const rate = new ErrorRate();
    for (let i = 1; i <= 100; i++) assert.equal(rate.count(START_MS + i), i);
    const first = START_MS + 1;
    assert.equal(rate.count(first + MINUTE_MS - 1), 101);
    assert.equal(rate.count(first + MINUTE_MS), 102, 'the window before is still whole');
    assert.equal(rate.count(first + MINUTE_MS * 1.5), 2 + 101 / 2);
    assert.equal(rate.count(first + MINUTE_MS * 2), 1 + 2, 'and then it is gone');
    assert.equal(rate.count(first + MINUTE_MS * 4), 1, 'a quiet minute forgets everything');
  });

  it('survive a clock that is set back or forward', () => {
    const rate = new ErrorRate();
    for (let i = 0; i < 10; i++) rate.count(START_MS);
    assert.equal(rate.count(START_MS - 3_600_000), 11);
    assert.equal(rate.count(START_MS - 3_600_000 + 1), 12);
    assert.equal(rate.count(START_MS + 3_600_000), 1);
  });

  it('are never more than came in two minutes, never less than came in the window, and right when they come evenly', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 300 }), (pauses) => {
        const rate = new ErrorRate();
        const times: number[] = [];
        let nowMs = START_MS;
        for (const pauseMs of pauses) {
          nowMs += pauseMs;
          times.push(nowMs);
          const count = rate.count(nowMs);
          assert.ok(count <= times.filter((time) => time > nowMs - 2 * MINUTE_MS).length);
          assert.ok(count >= 1);
        }
      }),
      { seed: 7 },
    );
    const even = new ErrorRate();
    let last = 0;
    for (let i = 0; i < 5000; i++) last = even.count(START_MS + i * 100);
    assert.ok(Math.abs(last - 600) <= 1, `${last} of 600 a minute`);
  });
});

for (const mode of MODES) {
  describe(`too many refused frames, ${mode}`, { skip: skipped(mode) }, () => {
    const closedFor = (shard: TestShard) => shard.counter('closed_for_errors');

    it('end the connection with the first one above the limit, and it is told why', (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: START_MS });
      const shard = new TestShard(mode, { maxErrorsPerMinute: 5 });
      const node = shard.registered();
      node.send(BAD.repeat(5));
      assert.equal(node.closed(), undefined, 'exactly at the limit');
      node.send(`${event()}\n`);
      assert.deepEqual([shard.drain().records.length, closedFor(shard)], [1, 0]);
      t.mock.timers.setTime(START_MS + 10);
      node.answers();
      node.send(`${BAD}${event()}\n${BAD}`);
      assert.deepEqual([node.closed()?.reason, node.closed()?.status], ['too many errors', 'Unknown']);
      const [answer] = node.answers();
      assert.match(String(answer!.Error!.message), /more than 5 refused frames in a minute/);
      const { records, letters } = shard.drain();
      assert.equal(records.length, 1);
      assert.match(records[0]!, /NodeDisconnected.*"reason":"too many errors"/);
      assert.equal(letters.length, 1, 'what came behind it was not read');
      assert.equal(closedFor(shard), 1);
    });

    it('are those of a minute: who makes fewer is never closed', (t) => {
      t.mock.timers.enable({ apis: ['Date'], now: START_MS });
      const shard = new TestShard(mode, { maxErrorsPerMinute: 5 });
      const node = shard.registered();
      for (let i = 0; i < 50; i++) {
        t.mock.timers.setTime(START_MS + i * 15_000);
        node.send(BAD);
      }
      assert.equal(node.closed(), undefined);
      for (let i = 0; i < 3; i++) node.send(BAD);
      assert.equal(node.closed()?.reason, 'too many errors');
    });

    it('are not looked at when the limit is 0, and count for their own connection', () => {
      const shard = new TestShard(mode, { maxErrorsPerMinute: 0 });
      const node = shard.registered();
      node.send(BAD.repeat(20_000));
      assert.equal(node.closed(), undefined);
      const limited = new TestShard(mode, { maxErrorsPerMinute: 3 });
      const [bad, good] = [limited.registered('1'), limited.registered('2')];
      bad.send(BAD.repeat(4));
      good.send(BAD.repeat(3));
      assert.deepEqual([bad.closed()?.reason, good.closed()], ['too many errors', undefined]);
    });

    it('say nothing to the node where answers are off, and count every kind of refusal', () => {
      const shard = new TestShard(mode, { maxErrorsPerMinute: 2, errorReplies: false });
      const node = shard.registered();
      node.send('nonsense\n');
      node.send(`${event('{}', '77')}\n`);
      assert.equal(node.closed(), undefined);
      node.send(`${event('{}', NODE_ID).replace('"version":2', '"version":3')}\n`);
      assert.equal(node.closed()?.reason, 'too many errors');
      assert.deepEqual(node.answers(), []);
    });
  });
}
