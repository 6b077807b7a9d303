/**
 * The producing thread of ring.test.ts: publishes runs of random sizes, each carrying its number, its length and a
 * checksum of itself, and blocks on the ring whenever it is full.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { type RingMemory, RingProducer, RUN } from '../src/memory/ring.js';
import { seeded } from './framer-run.js';

export interface ProducerStart {
  readonly memory: RingMemory;
  readonly seed: number;
  readonly runs: number;
  readonly longestBytes: number;
  /** Number, length and checksum, in front of what they are of. */
  readonly headerBytes: number;
  /** Longer than the test may take: a wake-up that is lost is seen as a test that hangs. */
  readonly waitMs: number;
}

export interface ProducerEnd {
  readonly waits: number;
  readonly wakes: number;
}

const { memory, seed, runs, longestBytes, headerBytes, waitMs } = workerData as ProducerStart;
const random = seeded(seed);
let wakes = 0;
let waits = 0;
const producer = new RingProducer(memory, () => {
  wakes++;
  parentPort!.postMessage('wake');
});
const run = Buffer.alloc(longestBytes);

for (let number = 0; number < runs; number++) {
  const size = random();
  const length = headerBytes + Math.floor(size * size * size * (longestBytes - headerBytes));
  run.fill(number & 0xff, headerBytes, length);
  run[headerBytes + Math.floor(random() * (length - headerBytes))] = Math.floor(random() * 256);
  run.writeUInt32LE(number, 0);
  run.writeUInt32LE(length, 4);
  run.writeUInt32LE(crc32(run.subarray(headerBytes, length)), 8);
  while (!producer.reserve(length)) {
    waits++;
    if (!producer.wait(waitMs)) throw new Error('stopped');
  }
  producer.data.set(run.subarray(0, length), producer.offset);
  producer.publish(RUN.records, length, number % 1000, number);
}
parentPort!.postMessage({ waits, wakes } satisfies ProducerEnd);
