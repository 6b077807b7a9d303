/**
 * A chunk of a feed, record by record: where each stands in the bytes, its number, when it was received.
 *
 * Owned by main, in answers of REST: millions of records may pass, so nothing is made per record but what is written.
 */
import type { FromReader } from '../replay/messages.js';

export type Chunk = Extract<FromReader, { readonly type: 'chunk' }>;

const NEWLINE = 0x0a;

export class RecordChunk {
  readonly bytes: Buffer;
  readonly count: number;
  readonly #seqs: Float64Array;
  readonly #timesMs: Float64Array;
  /** Of each record, the offset of its newline. */
  readonly #ends: Uint32Array;

  /** Of a feed that was asked for numbers. */
  constructor({ lines, records, seqs, timesMs }: Chunk) {
    if (seqs === undefined || timesMs === undefined) throw new Error('a chunk without numbers');
    this.bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
    this.count = records;
    this.#seqs = seqs;
    this.#timesMs = timesMs;
    this.#ends = new Uint32Array(records);
    for (let at = 0, start = 0; at < records; at++) {
      const end = this.bytes.indexOf(NEWLINE, start);
      if (end < 0) throw new Error('a chunk with fewer lines than records');
      this.#ends[at] = end;
      start = end + 1;
    }
  }

  seq(at: number): number {
    return this.#seqs[at]!;
  }

  timeMs(at: number): number {
    return this.#timesMs[at]!;
  }

  start(at: number): number {
    return at === 0 ? 0 : this.#ends[at - 1]! + 1;
  }

  /** Its newline is not part of it. */
  end(at: number): number {
    return this.#ends[at]!;
  }
}
