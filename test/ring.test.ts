/**
 * The ring, both ends in one thread: against a plain queue under a seeded schedule, with its invariants after every
 * step; at its limits; and its waits, one by one.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { createRingMemory, RingConsumer, RingObserver, RingProducer, RUN } from '../src/memory/ring.js';
import { seeded } from './framer-run.js';
import { SEED } from './frames.js';

const BYTES = 4096;
const NEVER_MS = 60_000;

interface Run {
  readonly kind: number;
  readonly count: number;
  readonly timeMs: number;
  readonly bytes: Buffer;
}

/** A ring with both its ends, and the queue it must be like. */
class Pair {
  readonly memory;
  readonly producer: RingProducer;
  readonly consumer: RingConsumer;
  readonly observer: RingObserver;
  wakes = 0;
  /** Published and not yet taken; taken and not yet released. */
  readonly queue: Run[] = [];
  readonly taken: Run[] = [];
  published = 0;

  constructor(bytes = BYTES) {
    this.memory = createRingMemory(bytes);
    this.producer = new RingProducer(this.memory, () => this.wakes++);
    this.consumer = new RingConsumer(this.memory);
    this.observer = new RingObserver(this.memory);
  }

  /** Publishes a run that says which it is; false where there is no room. */
  publish(length: number, reserved = length): boolean {
    if (!this.producer.reserve(reserved)) return false;
    assert.ok(this.producer.space >= reserved);
    assert.ok(this.producer.offset + this.producer.space <= this.producer.data.length);
    const number = this.published++;
    const bytes = Buffer.alloc(length, number % 251);
    const run = {
      kind: number % 3 === 0 ? RUN.deadLetter : RUN.records,
      count: number % 7,
      timeMs: 1.5e12 + number,
      bytes,
    };
    this.producer.data.set(bytes, this.producer.offset);
    this.producer.publish(run.kind, length, run.count, run.timeMs);
    this.queue.push(run);
    return true;
  }

  take(): boolean {
    const { consumer } = this;
    const found = consumer.peek();
    assert.equal(found, this.queue.length > 0);
    if (!found) return false;
    const run = this.queue.shift()!;
    this.#same(run);
    consumer.take();
    this.taken.push(run);
    return true;
  }

  untake(): void {
    this.consumer.untake();
    this.queue.unshift(...this.taken.splice(0));
  }

  release(): void {
    this.consumer.release();
    this.taken.length = 0;
  }

  check(): void {
    this.producer.invariants();
    this.consumer.invariants();
    this.observer.invariants();
    assert.equal(this.observer.published, this.producer.published);
    assert.equal(this.observer.length, this.queue.length + this.taken.length);
    assert.equal(this.observer.passed(this.producer.published), this.queue.length + this.taken.length === 0);
    // What was taken stays readable until it is released.
    const { consumer } = this;
    if (this.queue.length > 0) {
      assert.ok(consumer.peek());
      this.#same(this.queue[0]!);
    } else {
      assert.equal(consumer.peek(), false);
    }
  }

  #same({ kind, count, timeMs, bytes }: Run): void {
    const { consumer } = this;
    assert.deepEqual(
      [consumer.kind, consumer.count, consumer.timeMs, consumer.runLength],
      [kind, count, timeMs, bytes.length],
    );
    const found = consumer.data.subarray(consumer.offset, consumer.offset + consumer.runLength);
    assert.equal(Buffer.compare(found, bytes), 0);
  }
}

describe('a ring', () => {
  it('is a queue under every schedule: nothing lost, doubled, reordered or overwritten', (t) => {
    const random = seeded(SEED);
    let full = 0;
    let wraps = 0;
    for (let schedule = 0; schedule < 40; schedule++) {
      const pair = new Pair();
      // Some schedules fill the ring, some keep it nearly empty; some runs are tiny, some half a ring.
      const hunger = 0.2 + random() * 0.6;
      const longest = [40, 300, BYTES / 2][schedule % 3]!;
      for (let step = 0; step < 700; step++) {
        const choice = random();
        if (choice > hunger) {
          const length = Math.floor(random() * (longest + 1));
          const before = pair.producer.offset;
          if (!pair.publish(length, Math.min(BYTES / 2, length + Math.floor(random() * 50)))) full++;
          else if (pair.producer.offset < before) wraps++;
        } else if (choice < hunger * 0.6) {
          pair.take();
        } else if (choice < hunger * 0.9) {
          pair.release();
        } else {
          pair.untake();
        }
        pair.check();
      }
      while (pair.take()) pair.check();
      pair.release();
      pair.check();
    }
    t.diagnostic(`seed ${SEED}: full ${full} times, round ${wraps} times`);
    assert.ok(full > 300 && wraps > 300);
  });

  it('that is empty has room for half of it, wherever it stands', () => {
    for (let at = 0; at < BYTES; at += 37) {
      const pair = new Pair();
      for (let left = at; left > 0; left -= 2048) {
        assert.ok(pair.publish(Math.min(left, 2048)));
        pair.take();
        pair.release();
      }
      assert.ok(pair.publish(BYTES / 2), `at ${at}`);
      pair.check();
    }
  });

  it('holds exactly as many bytes as it has, and not one more', () => {
    const pair = new Pair();
    for (let i = 0; i < 4; i++) assert.ok(pair.publish(BYTES / 4));
    pair.check();
    assert.equal(pair.publish(1), false);
    assert.equal(pair.producer.space, 0);
    pair.take();
    assert.equal(pair.publish(1), false, 'taken is not released');
    pair.release();
    assert.equal(pair.publish(BYTES / 4 + 1), false);
    assert.ok(pair.publish(BYTES / 4));
    pair.check();
  });

  it('gives the room of a skipped end back with the run behind it', () => {
    const pair = new Pair();
    assert.ok(pair.publish(1500) && pair.publish(1500));
    pair.take();
    pair.release();
    assert.equal(pair.publish(1501), false, 'nor at the front');
    assert.ok(pair.publish(1200)); // does not fit behind, so it goes to the front
    assert.equal(pair.consumer.offset + pair.consumer.runLength <= BYTES, true);
    pair.check();
    assert.equal(pair.publish(301), false, 'the end that was skipped is not free yet');
    assert.ok(pair.publish(300));
    pair.take();
    pair.take();
    pair.release();
    assert.ok(pair.publish(1500 + BYTES - 3000 - 1096), 'the end is free again');
    while (pair.take());
    pair.release();
    pair.check();
  });

  it('is full when its descriptors are, however small the runs', () => {
    const pair = new Pair(1 << 16);
    for (let i = 0; i < LIMITS.ringDescriptors; i++) assert.ok(pair.publish(1), `run ${i}`);
    assert.equal(pair.publish(1), false);
    assert.equal(pair.producer.reserve(0), false);
    pair.take();
    pair.release();
    assert.ok(pair.publish(1));
    assert.equal(pair.publish(1), false);
    while (pair.take());
    pair.release();
    pair.check();
  });

  it('counts on when its 32-bit counters run over', () => {
    const memory = createRingMemory(BYTES);
    const control = new Int32Array(memory.control);
    // Shortly before both counters become negative, and once more before they are zero again.
    for (const start of [0x7fff_f000, -BYTES]) {
      for (const word of [0, 1, 16, 17]) control[word] = start;
      let wakes = 0;
      const producer = new RingProducer(memory, () => wakes++);
      const consumer = new RingConsumer(memory);
      for (let i = 0; i < 3 * BYTES; i++) {
        assert.ok(producer.reserve(11));
        producer.data.fill(i & 0xff, producer.offset, producer.offset + 11);
        producer.publish(RUN.records, 11, i, i);
        producer.invariants();
        if (i % 3 < 2) continue;
        for (let n = i - 2; n <= i; n++) {
          assert.ok(consumer.peek());
          assert.deepEqual([consumer.count, consumer.data[consumer.offset + 10]], [n, n & 0xff]);
          consumer.take();
        }
        assert.equal(consumer.peek(), false);
        consumer.release();
        consumer.invariants();
      }
    }
  });

  it('refuses what can never work', () => {
    assert.throws(() => createRingMemory(5000), RangeError);
    assert.throws(() => createRingMemory(2048), RangeError);
    const { producer } = new Pair();
    assert.throws(() => producer.reserve(BYTES / 2 + 1), RangeError);
    assert.throws(() => producer.publish(RUN.records, 1, 1, 0), RangeError, 'nothing was reserved');
    assert.ok(producer.reserve(10));
    assert.throws(() => producer.publish(RUN.records, producer.space + 1, 1, 0), RangeError);
    producer.publish(RUN.records, 10, 1, 0);
    assert.throws(() => producer.publish(RUN.records, 1, 1, 0), RangeError, 'published already');
  });

  it('of which an end sees that its memory was damaged says so', () => {
    for (const [word, value] of [
      [0, -1],
      [0, LIMITS.ringDescriptors + 1],
      [1, -1],
      [1, BYTES + 1],
    ] as const) {
      const { memory, observer } = new Pair();
      new Int32Array(memory.control)[word] = value;
      assert.throws(() => observer.invariants(), /broken invariant/);
    }
  });
});

describe('waiting on a ring', () => {
  it('the consumer does not sleep over what was published before it said so', () => {
    const pair = new Pair();
    pair.publish(10);
    assert.equal(pair.consumer.sleep(), false);
    assert.equal(pair.wakes, 0);
    pair.take();
    assert.ok(pair.consumer.sleep(), 'taken is dealt with');
    pair.publish(10);
    assert.equal(pair.wakes, 1);
    pair.publish(10);
    assert.equal(pair.wakes, 1, 'woken once, not for every run');
    assert.equal(pair.consumer.sleep(), false);
    pair.publish(10);
    assert.equal(pair.wakes, 1, 'a consumer that stayed awake is not woken');
  });

  it('the producer does not sleep over a release that came before it waited', () => {
    const pair = new Pair();
    for (let i = 0; i < 4; i++) pair.publish(BYTES / 4);
    assert.equal(pair.producer.reserve(10), false);
    pair.take();
    pair.release();
    const startMs = performance.now();
    assert.ok(pair.producer.wait(NEVER_MS));
    assert.ok(performance.now() - startMs < NEVER_MS / 2);
    assert.ok(pair.producer.reserve(10));
  });

  it('a wait in vain ends when its time is over; a stopped ring is waited on no more', () => {
    const pair = new Pair();
    for (let i = 0; i < 4; i++) pair.publish(BYTES / 4);
    assert.equal(pair.producer.reserve(10), false);
    assert.ok(pair.producer.wait(1));
    pair.observer.stop();
    assert.equal(pair.producer.wait(NEVER_MS), false);
    assert.equal(pair.producer.wait(NEVER_MS), false);
  });
});
