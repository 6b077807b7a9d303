/**
 * What the bench's threads tell each other while the clock runs, in shared memory. Each number has one writer:
 *
 *   load i      bytes handed to the sockets so far
 *   consumer i  bytes and events received and verified so far
 *
 * The load holds back when too much is on its way (written, but not verified by the slowest consumer). That bounds
 * what kernel buffers and Core hold, and lets a run end at once. It sleeps on `wake`, which consumers touch per read.
 */
const PER_CONSUMER = 2;

export interface GaugeMemory {
  readonly values: Float64Array;
  readonly wake: Int32Array;
  readonly loads: number;
  readonly consumers: number;
}

export function createGauges(consumers: number, loads = 1): GaugeMemory {
  return {
    values: new Float64Array(new SharedArrayBuffer((loads + consumers * PER_CONSUMER) * 8)),
    wake: new Int32Array(new SharedArrayBuffer(4)),
    loads,
    consumers,
  };
}

export class Gauges {
  readonly #values: Float64Array;
  readonly #wake: Int32Array;
  readonly #loads: number;
  readonly #consumers: number;

  constructor(memory: GaugeMemory) {
    this.#values = memory.values;
    this.#wake = memory.wake;
    this.#loads = memory.loads;
    this.#consumers = memory.consumers;
  }

  setWritten(bytes: number, load = 0): void {
    this.#values[load] = bytes;
  }

  setVerified(consumer: number, bytes: number, events: number): void {
    this.#values[this.#loads + consumer * PER_CONSUMER] = bytes;
    this.#values[this.#loads + consumer * PER_CONSUMER + 1] = events;
    Atomics.add(this.#wake, 0, 1);
    Atomics.notify(this.#wake, 0);
  }

  get writtenBytes(): number {
    let sum = 0;
    for (let load = 0; load < this.#loads; load++) sum += this.#values[load]!;
    return sum;
  }

  /** Of the slowest consumer. */
  get verifiedBytes(): number {
    return this.#slowest(0);
  }

  /** Of the slowest consumer. */
  get verifiedEvents(): number {
    return this.#slowest(1);
  }

  /** Bytes on their way; 0 when nobody consumes, because then nothing tells. */
  get inFlightBytes(): number {
    return this.#consumers === 0 ? 0 : this.writtenBytes - this.verifiedBytes;
  }

  /** Blocks this thread until a consumer moved, at most `limitMs`. */
  waitForConsumer(limitMs: number, limitBytes: number): void {
    const seen = Atomics.load(this.#wake, 0);
    // Read again after loading the word: a consumer that moved in between has changed it, and wait returns at once.
    if (this.inFlightBytes > limitBytes) Atomics.wait(this.#wake, 0, seen, limitMs);
  }

  #slowest(field: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let consumer = 0; consumer < this.#consumers; consumer++) {
      const value = this.#values[this.#loads + consumer * PER_CONSUMER + field]!;
      if (value < least) least = value;
    }
    return least === Number.POSITIVE_INFINITY ? 0 : least;
  }
}
