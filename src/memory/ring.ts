/**
 * The ring between a shard and the aggregator: bytes of records in one shared buffer, descriptors that say what they
 * are in another. One producer, one consumer, no locks. Nothing outside of this folder uses Atomics.
 *
 *              tail (consumer)                      head (producer)
 *                 v                                   v
 *   data   ......[ run | run |  (skipped) ]  ->  [ run |.........      offsets modulo `bytes`, a power of two
 *   desc   ......[  d  |  d  |     d      |   d  ]................      one descriptor a run
 *
 *   0 <= headPosition - tailPosition <= bytes          both count bytes ever passed, modulo 2^32
 *   0 <= headDescriptor - tailDescriptor <= slots
 *
 * A run is contiguous. Where it does not fit before the end of the buffer, the rest of the buffer is skipped; the
 * descriptor's `release` counts what was skipped with it.
 *
 * Order. The producer writes bytes, then the descriptor, then publishes with a store to HEAD; the consumer loads HEAD
 * before it reads either, so it never sees half a run. The consumer is done with the bytes before it stores TAIL;
 * the producer loads TAIL before it writes over them. Both stores are sequentially consistent, which the wake-up
 * needs: the producer publishes and then looks whether the consumer sleeps, the consumer says that it sleeps and then
 * looks whether anything was published; one of the two sees the other.
 */
import { LIMITS } from '../limits.js';
import { NO_ROW } from './ledger-table.js';

/** What a run is. */
export const RUN = {
  /** Lines of the stream: `count` records, each ended by a newline. */
  records: 1,
  /** One line for the dead-letter log. */
  deadLetter: 2,
  /** One record: the notice that the node of the descriptor's row is there, under the descriptor's id. `seq` 1: it numbers
   *  its events. */
  registered: 3,
} as const;

/** What two threads share; may be posted. */
export interface RingMemory {
  readonly control: SharedArrayBuffer;
  readonly descriptors: SharedArrayBuffer;
  readonly data: SharedArrayBuffer;
}

const HEAD = 0;
const HEAD_POSITION = 1;
/** On another cache line than the producer's words. */
const TAIL = 16;
const TAIL_POSITION = 17;
const CONSUMER_SLEEPS = 32;
const PRODUCER_WAITS = 48;
const STOPPED = 49;
const CONTROL_WORDS = 64;

/** Words of a descriptor: kind, offset, length, count, release, events, time in ms (two words), node's seq (two words, float64),
 *  ledger row, node's id (two words, the lower half first; only in a `registered`), one unused. */
const WORDS = 14;
const EVENTS = 5;
const TIME = 6;
const SEQ = 8;
const ROW = 10;
const NODE_LOW = 11;
const NODE_HIGH = 12;

export function createRingMemory(dataBytes: number): RingMemory {
  if (dataBytes < 4096 || (dataBytes & (dataBytes - 1)) !== 0)
    throw new RangeError(`a ring of ${dataBytes} bytes is not a power of two`);
  return {
    control: new SharedArrayBuffer(CONTROL_WORDS * 4),
    descriptors: new SharedArrayBuffer(LIMITS.ringDescriptors * WORDS * 4),
    data: new SharedArrayBuffer(dataBytes),
  };
}

/** Both ends: views, and the invariants. */
class RingEnd {
  readonly data: Uint8Array;
  protected readonly control: Int32Array;
  protected readonly words: Int32Array;
  protected readonly floats: Float64Array;
  protected readonly bytes: number;

  constructor(memory: RingMemory) {
    this.control = new Int32Array(memory.control);
    this.words = new Int32Array(memory.descriptors);
    this.floats = new Float64Array(memory.descriptors);
    this.data = new Uint8Array(memory.data);
    this.bytes = memory.data.byteLength;
  }

  /** Throws where the ring's inequality does not hold: memory was damaged, nothing may go on. */
  invariants(): void {
    const waiting = (Atomics.load(this.control, HEAD) - Atomics.load(this.control, TAIL)) | 0;
    const held = (Atomics.load(this.control, HEAD_POSITION) - Atomics.load(this.control, TAIL_POSITION)) | 0;
    if (waiting < 0 || waiting > LIMITS.ringDescriptors || held < 0 || held > this.bytes) {
      throw new Error(`ring: broken invariant: ${waiting} descriptors, ${held} of ${this.bytes} bytes`);
    }
  }

  /** Runs that were published and not yet released. */
  get length(): number {
    return (Atomics.load(this.control, HEAD) - Atomics.load(this.control, TAIL)) | 0;
  }
}

export class RingProducer extends RingEnd {
  /** Where the next run may be written: set by reserve(). */
  offset = 0;
  /** How much of it is contiguous and free: set by reserve(). */
  space = 0;
  readonly #wake: () => void;
  #head: number;
  #position: number;
  #skipped = 0;
  /** TAIL as reserve() saw it: a release after that ends wait() at once. */
  #seenTail = 0;

  /** `wake` is called when the consumer sleeps and something was published. */
  constructor(memory: RingMemory, wake: () => void) {
    super(memory);
    this.#wake = wake;
    this.#head = Atomics.load(this.control, HEAD);
    this.#position = Atomics.load(this.control, HEAD_POSITION);
  }

  /** Looks for `bytes` contiguous free bytes. True: write at data[offset, offset + space), then publish(). */
  reserve(bytes: number): boolean {
    if (bytes > this.bytes / 2) throw new RangeError(`a run of ${bytes} bytes in a ring of ${this.bytes}`);
    this.space = 0;
    this.#skipped = 0;
    this.#seenTail = Atomics.load(this.control, TAIL);
    if (((this.#head - this.#seenTail) | 0) >= LIMITS.ringDescriptors) return false;
    const free = this.bytes - ((this.#position - Atomics.load(this.control, TAIL_POSITION)) | 0);
    const offset = this.#position & (this.bytes - 1);
    const toEnd = this.bytes - offset;
    if (Math.min(toEnd, free) >= bytes) {
      this.offset = offset;
      this.space = Math.min(toEnd, free);
      return true;
    }
    if (free - toEnd < bytes) return false;
    this.#skipped = toEnd;
    this.offset = 0;
    this.space = free - toEnd;
    return true;
  }

  /** Publishes the first `length` bytes of what reserve() gave: `count` records, `events` of them events, of the node with
   *  this row in the ledger (NO_ROW: of nobody), whose numbers go up to `seq` (0: they have none). */
  publish(
    kind: number,
    length: number,
    count: number,
    timeMs: number,
    row: number = NO_ROW,
    events = 0,
    seq = 0,
  ): void {
    if (length > this.space) throw new RangeError(`ring: ${length} bytes published, ${this.space} reserved`);
    const slot = (this.#head & (LIMITS.ringDescriptors - 1)) * WORDS;
    const release = length + this.#skipped;
    this.words[slot] = kind;
    this.words[slot + 1] = this.offset;
    this.words[slot + 2] = length;
    this.words[slot + 3] = count;
    this.words[slot + 4] = release;
    this.words[slot + EVENTS] = events;
    this.words[slot + ROW] = row;
    this.floats[(slot + TIME) >> 1] = timeMs;
    this.floats[(slot + SEQ) >> 1] = seq;
    this.#head = (this.#head + 1) | 0;
    this.#position = (this.#position + release) | 0;
    this.space = 0;
    Atomics.store(this.control, HEAD_POSITION, this.#position);
    Atomics.store(this.control, HEAD, this.#head);
    if (
      Atomics.load(this.control, CONSUMER_SLEEPS) === 1 &&
      Atomics.exchange(this.control, CONSUMER_SLEEPS, 0) === 1
    )
      this.#wake();
  }

  /** Publishes the notice that the node of a row is there, under this id. */
  publishRegistered(length: number, nodeId: bigint, timeMs: number, row: number, numbered: boolean): void {
    const slot = (this.#head & (LIMITS.ringDescriptors - 1)) * WORDS;
    this.words[slot + NODE_LOW] = Number(BigInt.asIntN(32, nodeId));
    this.words[slot + NODE_HIGH] = Number(BigInt.asIntN(32, nodeId >> 32n));
    this.publish(RUN.registered, length, 1, timeMs, row, 0, numbered ? 1 : 0);
  }

  /** After a reserve() in vain: blocks until the consumer has released something since, or `timeoutMs` is over.
   *  False: the ring was stopped. */
  wait(timeoutMs: number): boolean {
    // Announce first; Atomics.wait itself compares again, so a release between the two is not slept over.
    Atomics.store(this.control, PRODUCER_WAITS, 1);
    if (Atomics.load(this.control, STOPPED) === 0)
      Atomics.wait(this.control, TAIL, this.#seenTail, timeoutMs);
    Atomics.store(this.control, PRODUCER_WAITS, 0);
    return Atomics.load(this.control, STOPPED) === 0;
  }

  /** Descriptors ever published, modulo 2^32: a place in the ring's order. */
  get published(): number {
    return this.#head;
  }
}

export class RingConsumer extends RingEnd {
  /** The run at the front: set by peek() and next(). */
  kind = 0;
  offset = 0;
  count = 0;
  timeMs = 0;
  runLength = 0;
  events = 0;
  row: number = NO_ROW;
  seq = 0;
  #tail: number;
  #position: number;
  #cursor: number;
  #cursorRelease = 0;

  constructor(memory: RingMemory) {
    super(memory);
    this.#tail = Atomics.load(this.control, TAIL);
    this.#position = Atomics.load(this.control, TAIL_POSITION);
    this.#cursor = this.#tail;
  }

  /** Looks at the next run that was not taken yet; false where there is none. */
  peek(): boolean {
    if (Atomics.load(this.control, HEAD) === this.#cursor) return false;
    const slot = (this.#cursor & (LIMITS.ringDescriptors - 1)) * WORDS;
    this.kind = this.words[slot]!;
    this.offset = this.words[slot + 1]!;
    this.runLength = this.words[slot + 2]!;
    this.count = this.words[slot + 3]!;
    this.timeMs = this.floats[(slot + TIME) >> 1]!;
    this.events = this.words[slot + EVENTS]!;
    this.row = this.words[slot + ROW]!;
    this.seq = this.floats[(slot + SEQ) >> 1]!;
    return true;
  }

  /** Of the `registered` that peek() showed: the id of its node. */
  get nodeId(): bigint {
    const slot = (this.#cursor & (LIMITS.ringDescriptors - 1)) * WORDS;
    const high = this.words[slot + NODE_HIGH]!;
    return (BigInt(high >>> 0) << 32n) | BigInt(this.words[slot + NODE_LOW]! >>> 0);
  }

  /** Takes the run that peek() showed. Its bytes stay valid until release(). */
  take(): void {
    const slot = (this.#cursor & (LIMITS.ringDescriptors - 1)) * WORDS;
    this.#cursorRelease = (this.#cursorRelease + this.words[slot + 4]!) | 0;
    this.#cursor = (this.#cursor + 1) | 0;
  }

  /** Puts back the runs taken since the last release(): peek() shows the first of them again. */
  untake(): void {
    this.#cursor = this.#tail;
    this.#cursorRelease = 0;
  }

  /** Descriptors published so far, modulo 2^32, and those taken: places in the ring's order. */
  get published(): number {
    return Atomics.load(this.control, HEAD);
  }

  get taken(): number {
    return this.#cursor;
  }

  /** Gives the room of all runs taken back to the producer. */
  release(): void {
    if (this.#cursor === this.#tail) return;
    this.#tail = this.#cursor;
    this.#position = (this.#position + this.#cursorRelease) | 0;
    this.#cursorRelease = 0;
    Atomics.store(this.control, TAIL_POSITION, this.#position);
    Atomics.store(this.control, TAIL, this.#tail);
    if (Atomics.load(this.control, PRODUCER_WAITS) === 1) Atomics.notify(this.control, TAIL);
  }

  /** Says that the consumer is about to sleep. False: something was published meanwhile, do not. */
  sleep(): boolean {
    Atomics.store(this.control, CONSUMER_SLEEPS, 1);
    if (Atomics.load(this.control, HEAD) === this.#cursor) return true;
    Atomics.store(this.control, CONSUMER_SLEEPS, 0);
    return false;
  }
}

/** What main may ask of a ring, and do to it, without being one of its ends. */
export class RingObserver extends RingEnd {
  /** Ends the waits of a producer for good: its wait() answers false from now on. */
  stop(): void {
    Atomics.store(this.control, STOPPED, 1);
    Atomics.notify(this.control, TAIL);
  }

  /** Descriptors ever published, modulo 2^32: a place in the ring's order. */
  get published(): number {
    return Atomics.load(this.control, HEAD);
  }

  /** Has the consumer released the run with this `published` number, and all before it? */
  passed(published: number): boolean {
    return ((Atomics.load(this.control, TAIL) - published) | 0) >= 0;
  }
}
