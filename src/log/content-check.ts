/**
 * Goes over the content of a segment from its first byte to its last, in pieces of any size: its SHA-256, and the checksum of
 * each batch of its index, in one pass and in little memory. Any thread; it reads nothing itself. What exactly is wrong with
 * a segment that has faults, verify.ts tells.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Addon } from '../native/addon.js';
import type { IndexEntry } from './format.js';
import type { WholeIndex } from './whole-index.js';

export class ContentCheck {
  bytes = 0;
  /** Of batches whose bytes are not those that were written. */
  damagedRecords = 0;
  readonly #hash = createHash('sha256');
  readonly #crc32: (bytes: Uint8Array, crc: number) => number;
  readonly #entries: Generator<IndexEntry, void>;
  #entry: IndexEntry | undefined;
  #crc = 0;

  constructor(index: WholeIndex, addon: Addon | undefined) {
    this.#entries = index.entries();
    this.#crc32 = addon?.crc32 === undefined ? crc32 : addon.crc32;
    this.#next();
  }

  /** The next bytes of the content. What is behind the last index entry counts for the hash alone. */
  take(piece: Uint8Array): void {
    this.#hash.update(piece);
    for (let at = 0; at < piece.length && this.#entry !== undefined; ) {
      const leftBytes = this.#entry.offsetBytes + this.#entry.lengthBytes - this.bytes - at;
      const part = piece.subarray(at, at + leftBytes);
      this.#crc = this.#crc32(part, this.#crc);
      at += part.length;
      if (part.length < leftBytes) break;
      if (this.#crc !== this.#entry.crc) this.damagedRecords += this.#entry.recordCount;
      this.#next();
    }
    this.bytes += piece.length;
  }

  /** The SHA-256, hexadecimal. To be called once, at the end: a batch that is not there by then is damaged. */
  finish(): string {
    for (; this.#entry !== undefined; this.#next()) this.damagedRecords += this.#entry.recordCount;
    return this.#hash.digest('hex');
  }

  #next(): void {
    const { value } = this.#entries.next();
    this.#entry = value ?? undefined;
    this.#crc = 0;
  }
}
