/** Records of a node come behind those of its last connections, over shards, ids and dead shards. On real rings. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LastRecords } from '../src/gate/last-records.js';
import { createRingMemory, RingConsumer, RingObserver, RingProducer, RUN } from '../src/memory/ring.js';

function ring() {
  const memory = createRingMemory(4096);
  const producer = new RingProducer(memory, () => {});
  const consumer = new RingConsumer(memory);
  return {
    observer: new RingObserver(memory),
    put(): number {
      assert.ok(producer.reserve(10));
      producer.publish(RUN.records, 10, 1, 0);
      return producer.published;
    },
    readAll(): void {
      while (consumer.peek()) consumer.take();
      consumer.release();
    },
  };
}

describe('the last records of a node that has left', () => {
  it('are read before it goes on in another slot, under its id or under another one', () => {
    const records = new LastRecords();
    const first = ring();
    records.left(7n, 'a', 0, first.observer, first.put());
    for (const id of [7n, 8n]) {
      assert.ok(records.haveBeenRead(id, 'a', 0), 'behind its own');
      assert.ok(!records.haveBeenRead(id, 'a', 1), `as ${id} in another ring`);
    }
    assert.ok(!records.haveBeenRead(7n, 'b', 0), 'the id stands for another name from then on');
    assert.ok(records.haveBeenRead(9n, 'b', 1), 'another node');
    first.readAll();
    for (const id of [7n, 8n]) assert.ok(records.haveBeenRead(id, 'a', 1));
    assert.ok(records.haveBeenRead(7n, 'b', 0));
  });

  it('are all waited for where several rings have some of a name', () => {
    const records = new LastRecords();
    const rings = [ring(), ring()];
    rings.forEach((one, slot) => {
      records.left(BigInt(slot + 1), 'a', slot, one.observer, one.put());
    });
    for (const slot of [0, 1, 2]) assert.ok(!records.haveBeenRead(5n, 'a', slot));
    rings[0]!.readAll();
    records.sweep();
    assert.deepEqual(
      [0, 1, 2].map((slot) => records.haveBeenRead(5n, 'a', slot)),
      [false, true, false],
    );
    rings[1]!.readAll();
    records.sweep();
    assert.ok(records.haveBeenRead(5n, 'a', 0));
  });

  it('are waited for where a dead shard owes the notice that it has gone', () => {
    const records = new LastRecords();
    records.owe(7n, 'a', 0);
    for (const id of [7n, 8n]) for (const slot of [0, 1]) assert.ok(!records.haveBeenRead(id, 'a', slot));
    assert.ok(!records.haveBeenRead(7n, 'b', 1));
    const next = ring();
    next.put();
    records.noticesGiven(0, next.observer);
    for (const id of [7n, 8n]) {
      assert.ok(records.haveBeenRead(id, 'a', 0));
      assert.ok(!records.haveBeenRead(id, 'a', 1));
    }
    next.readAll();
    for (const id of [7n, 8n]) assert.ok(records.haveBeenRead(id, 'a', 1));
  });
});
