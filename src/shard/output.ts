/**
 * What a shard passes on: records and dead letters, into its ring. The one producer of that ring.
 *
 * A full ring holds the whole shard: it waits here, reads nothing, and TCP holds the nodes back. It waits in
 * slices, so that a stopping process is noticed.
 */
import type { ErrorCode } from '../errors.js';
import { LIMITS } from '../limits.js';
import { SHARD } from '../memory/counters.js';
import { NO_ROW } from '../memory/ledger-table.js';
import { RingProducer, RUN } from '../memory/ring.js';
import type { Addon } from '../native/addon.js';
import type { ShardStart } from './messages.js';

/** Thrown through the shard when its ring was stopped while it waited: the process is ending, half a frame must not
 *  be counted as passed on. */
export class RingStopped extends Error {
  constructor() {
    super('the ring was stopped');
    this.name = 'RingStopped';
  }
}

export interface RefusedFrame {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly nodeId: string | undefined;
  readonly nodeName: string | undefined;
  /** Of an event whose number counts as taken, because it is kept: that number, else 0, */
  readonly seq: number;
  /** and the number of its node's record. */
  readonly serial: number;
  readonly remote: string;
  /** The whole frame; the first LIMITS.deadLetterFrameBytes of it are kept. */
  readonly bytes: Uint8Array;
  /** Size of the frame where more came than `bytes` holds. */
  readonly sizeBytes: number;
  /** One-time codes in `bytes` were overwritten. */
  readonly masked: boolean;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

export class ShardOutput {
  readonly ring: RingProducer;
  readonly #counters: Float64Array;
  readonly #addon: Addon | undefined;
  /** When the shard got the bytes it is dealing with, ms since 1970. */
  nowMs = Date.now();
  /** Time spent waiting on the ring since the start: nodes were not silent then, they were not heard. */
  stalledMs = 0;

  constructor(start: ShardStart, addon: Addon | undefined) {
    const wake = start.aggregatorPort;
    this.ring = new RingProducer(start.ring, () => wake.postMessage(0));
    this.#counters = start.counters;
    this.#addon = addon;
  }

  /** Waits for `bytes` contiguous free bytes in the ring. */
  reserve(bytes: number): void {
    if (this.ring.reserve(bytes)) return;
    const startMs = performance.now();
    this.#counters[SHARD.ring_full_waits]!++;
    do {
      if (!this.ring.wait(LIMITS.ringWaitSliceMs)) throw new RingStopped();
    } while (!this.ring.reserve(bytes));
    const waitedMs = performance.now() - startMs;
    this.stalledMs += waitedMs;
    this.#counters[SHARD.ring_full_ms]! += waitedMs;
  }

  /** Publishes what was written to the reserved place: whole lines, of the node with this row of the ledger; `events` of
   *  them are events, numbered up to `seq` (0: not). */
  publishRun(lengthBytes: number, records: number, row: number, events: number, seq: number): void {
    this.ring.publish(RUN.records, lengthBytes, records, this.nowMs, row, events, seq);
    this.#counters[SHARD.records]! += records;
  }

  /** Passes on one record, a notice of Core's own; `text` is one line with its newline. */
  notice(text: string): void {
    this.publishRun(this.#writeText(text), 1, NO_ROW, 0, 0);
  }

  /** The notice that a node is there. */
  registered(text: string, nodeId: bigint, row: number, numbered: boolean): void {
    const length = this.#writeText(text);
    this.ring.publishRegistered(length, nodeId, this.nowMs, row, numbered);
    this.#counters[SHARD.records]!++;
  }

  /** Passes on one record of the node with this row; `text` is one line with its newline. */
  record(text: string, row: number, isEvent: boolean, seq: number): void {
    this.publishRun(this.#writeText(text), 1, row, isEvent ? 1 : 0, seq);
  }

  /** Passes on the frame in bytes[start, end) as it is, on one line: newlines between its tokens are left out. */
  frame(bytes: Uint8Array, start: number, end: number, row: number, isEvent: boolean, seq: number): void {
    this.publishRun(this.#writeFrame(bytes, start, end), 1, row, isEvent ? 1 : 0, seq);
  }

  /** Its length. */
  #writeText(text: string): number {
    const bytes = Buffer.from(text, 'utf8');
    this.#write(bytes, 0, bytes.length);
    return bytes.length;
  }

  /** Its length with the newline. */
  #writeFrame(bytes: Uint8Array, start: number, end: number): number {
    this.reserve(end - start + 1);
    const { data, offset } = this.ring;
    let length = 0;
    if (spansLines(bytes, start, end)) {
      // A good frame has no raw newline inside a string, so every one of them is white space.
      for (let at = start; at < end; at++) {
        const c = bytes[at]!;
        if (c !== NEWLINE && !(c === RETURN && bytes[at + 1] === NEWLINE)) data[offset + length++] = c;
      }
    } else {
      this.#copy(offset, bytes, start, end - start);
      length = end - start;
    }
    data[offset + length++] = NEWLINE;
    return length;
  }

  /** Keeps a refused frame of the node with this row: a line of dead-letters/line.ts, without its number. */
  deadLetter(refused: RefusedFrame, row: number): void {
    const kept = refused.bytes.subarray(0, LIMITS.deadLetterFrameBytes);
    const { seq, serial } = refused;
    const line = Buffer.from(
      `{"time":"${new Date(this.nowMs).toISOString()}","code":"${refused.code}","reason":${JSON.stringify(refused.reason)},` +
        `"node_id":${refused.nodeId ?? 'null'},"node_name":${JSON.stringify(refused.nodeName ?? null)},` +
        (seq > 0 ? `"node_serial":${serial},"seq":${seq},` : '') +
        `"remote":${JSON.stringify(refused.remote)},"size":${refused.sizeBytes},` +
        `"truncated":${refused.sizeBytes > kept.length},"masked":${refused.masked},` +
        `"bytes":"${Buffer.from(kept.buffer, kept.byteOffset, kept.byteLength).toString('base64')}"}\n`,
      'utf8',
    );
    this.#write(line, 0, line.length);
    this.ring.publish(RUN.deadLetter, line.length, 1, this.nowMs, row, 0, seq);
  }

  #write(bytes: Uint8Array, start: number, length: number): void {
    this.reserve(length);
    this.#copy(this.ring.offset, bytes, start, length);
  }

  #copy(offset: number, bytes: Uint8Array, start: number, length: number): void {
    if (this.#addon !== undefined) this.#addon.copy(this.ring.data, offset, bytes, start, length);
    else this.ring.data.set(bytes.subarray(start, start + length), offset);
  }
}

function spansLines(bytes: Uint8Array, start: number, end: number): boolean {
  const at = bytes.indexOf(NEWLINE, start);
  return at >= 0 && at < end;
}
