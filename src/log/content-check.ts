/**
 * Goes over the content of a segment from its first byte to its last, in pieces of any size: its SHA-256, and the
 * checksum of each batch of its index. Any thread; it reads nothing itself, so that plain and compressed segments, and
 * keeper and command line, are checked by the same code.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Addon } from '../native/addon.js';
import type { IndexEntry } from './format.js';
import type { WholeIndex } from './whole-index.js';

/** A batch whose bytes are not those that were written. */
export interface DamagedBatch {
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly reason: 'checksum' | 'lines' | 'cut off';
}

/** Damaged batches that are remembered one by one; the rest is counted. */
const DAMAGE_KEPT = 1000;
const NEWLINE = 0x0a;

export class ContentCheck {
  bytes = 0;
  damagedRecords = 0;
  damagedBatches = 0;
  /** The first of them. */
  readonly damage: DamagedBatch[] = [];
  readonly #hash = createHash('sha256');
  readonly #crc32: (bytes: Uint8Array, crc: number) => number;
  readonly #countLines: boolean;
  readonly #entries: Generator<IndexEntry, void>;
  #entry: IndexEntry | undefined;
  #crc = 0;
  #lines = 0;
  #lastByte = NEWLINE;

  /** `countLines`: a batch must also have as many lines as its index entry says, which takes its time. */
  constructor(index: WholeIndex, addon: Addon | undefined, countLines: boolean) {
    this.#entries = index.entries();
    this.#crc32 = addon?.crc32 === undefined ? crc32 : addon.crc32;
    this.#countLines = countLines;
    this.#next();
  }

  /** The next bytes of the content. What is behind the last index entry counts for the hash alone. */
  take(piece: Uint8Array): void {
    this.#hash.update(piece);
    for (let at = 0; at < piece.length && this.#entry !== undefined; ) {
      const leftBytes = this.#entry.offsetBytes + this.#entry.lengthBytes - this.bytes - at;
      const part = piece.subarray(at, at + leftBytes);
      this.#crc = this.#crc32(part, this.#crc);
      if (this.#countLines) this.#lines += linesIn(part);
      this.#lastByte = part.at(-1) ?? this.#lastByte;
      at += part.length;
      if (part.length === leftBytes) this.#judge(this.#entry);
    }
    this.bytes += piece.length;
  }

  /** The SHA-256, hexadecimal. To be called once, at the end: a batch that is not there by then is damaged. */
  finish(): string {
    for (let entry = this.#entry; entry !== undefined; entry = this.#entry) {
      this.#damaged(entry, 'cut off');
      this.#next();
    }
    return this.#hash.digest('hex');
  }

  #judge(entry: IndexEntry): void {
    if (this.#crc !== entry.crc) this.#damaged(entry, 'checksum');
    else if (this.#countLines && (this.#lines !== entry.recordCount || this.#lastByte !== NEWLINE))
      this.#damaged(entry, 'lines');
    this.#next();
  }

  #next(): void {
    const { value } = this.#entries.next();
    this.#entry = value ?? undefined;
    this.#crc = 0;
    this.#lines = 0;
  }

  #damaged(entry: IndexEntry, reason: DamagedBatch['reason']): void {
    const { baseSeq, offsetBytes, lengthBytes, recordCount } = entry;
    this.damagedBatches++;
    this.damagedRecords += recordCount;
    if (this.damage.length < DAMAGE_KEPT)
      this.damage.push({
        firstSeq: baseSeq,
        nextSeq: baseSeq + recordCount,
        offsetBytes,
        lengthBytes,
        reason,
      });
  }
}

function linesIn(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
