/**
 * The ring between two threads: a torn read would show in a checksum, a lost wake-up in a test that hangs.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { createRingMemory, RingConsumer } from '../src/memory/ring.js';
import { seeded } from './framer-run.js';
import { SEED } from './frames.js';
import type { ProducerEnd, ProducerStart } from './ring-producer.js';

const NEVER_MS = 60_000;
const HEADER_BYTES = 12;

describe('a ring between two threads', () => {
  const LONGEST_BYTES = 3_000;

  /** Moves runs from a producing thread to this one, which is woken by messages, and checks every byte. */
  async function move(
    runs: number,
    ringBytes: number,
    seed: number,
  ): Promise<{ end: ProducerEnd; sleeps: number; attempts: number }> {
    const memory = createRingMemory(ringBytes);
    const consumer = new RingConsumer(memory);
    const start: ProducerStart = {
      memory,
      seed,
      runs,
      longestBytes: LONGEST_BYTES,
      headerBytes: HEADER_BYTES,
      waitMs: NEVER_MS,
    };
    const worker = new Worker(new URL('ring-producer.js', import.meta.url), { workerData: start });
    const random = seeded(seed + 1);
    let expected = 0;
    let sleeps = 0;
    let attempts = 0;
    let end: ProducerEnd | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const drain = () => {
          // Batches of random size, sometimes looked at and put back, as the aggregator does when the disk is full.
          for (let round = 0; round < 200; round++) {
            let batch = 1 + Math.floor(random() * 8);
            const first = expected;
            while (batch-- > 0 && consumer.peek()) {
              checkRun(consumer, expected++);
              consumer.take();
            }
            if (random() < 0.1) {
              consumer.untake();
              expected = first;
            } else {
              consumer.release();
            }
            consumer.invariants();
          }
          if (expected === runs && end !== undefined) return resolve();
          if (consumer.sleep()) sleeps++;
          else setImmediate(drain);
          attempts++;
        };
        worker.on('message', (message: 'wake' | ProducerEnd) => {
          try {
            if (message !== 'wake') end = message;
            drain();
          } catch (error) {
            reject(error);
          }
        });
        worker.on('error', reject);
        drain();
      });
    } finally {
      await worker.terminate();
    }
    assert.equal(consumer.length, 0);
    return { end: end!, sleeps, attempts };
  }

  function checkRun(consumer: RingConsumer, number: number): void {
    const { data, offset, runLength } = consumer;
    const run = Buffer.from(data.buffer, offset, runLength);
    if (
      run.readUInt32LE(0) !== number ||
      run.readUInt32LE(4) !== runLength ||
      run.readUInt32LE(8) !== crc32(run.subarray(HEADER_BYTES)) ||
      consumer.count !== number % 1000 ||
      consumer.timeMs !== number
    )
      assert.fail(`run ${number}: torn, lost or out of order: ${run.subarray(0, 32).toString('hex')}`);
  }

  it('moves 200,000 runs through a full ring: every byte, in order, and nobody sleeps for ever', {
    timeout: 30_000,
  }, async (t) => {
    const { end, sleeps } = await move(200_000, 32 * 1024, SEED);
    t.diagnostic(`seed ${SEED}: the producer waited ${end.waits} times, the consumer slept ${sleeps} times`);
    assert.ok(end.waits > 100, 'the ring was never full');
  });

  it('moves runs through a ring that is mostly empty, where both sleep all the time', {
    timeout: 30_000,
  }, async (t) => {
    const { end, sleeps, attempts } = await move(20_000, 8 * 1024, SEED + 2);
    t.diagnostic(
      `the producer waited ${end.waits} times, the consumer slept ${sleeps} times, woken ${end.wakes} times`,
    );
    // It is woken where it said that it sleeps, or was about to.
    assert.ok(end.wakes <= attempts);
  });
});
