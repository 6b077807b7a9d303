/**
 * Cuts a byte stream into lines, however its reads are cut, and hands them to a verifier. Used for batches from the
 * stream and for the log's segments.
 */
import type { Verifier } from './verifier.js';

const NEWLINE = 10;
/** First room for a line that two reads share; grows with the longest one. */
const CARRY_BYTES = 64 * 1024;

export class LineFeeder {
  readonly #verifier: Verifier;
  /** The start of a line whose end has not come. */
  #carry = Buffer.allocUnsafe(CARRY_BYTES);
  #carried = 0;

  constructor(verifier: Verifier) {
    this.#verifier = verifier;
  }

  /** True where a line may begin. */
  get atBoundary(): boolean {
    return this.#carried === 0;
  }

  feed(buffer: Buffer, start: number, end: number): void {
    let at = start;
    if (this.#carried > 0) {
      const newline = indexOfNewline(buffer, at, end);
      const stop = newline < 0 ? end : newline;
      this.#keep(buffer, at, stop);
      if (newline < 0) return;
      this.#verifier.record(this.#carry, 0, this.#carried);
      this.#carried = 0;
      at = newline + 1;
    }
    while (at < end) {
      at = this.#verifier.match(buffer, at, end);
      if (at >= end) return;
      const newline = indexOfNewline(buffer, at, end);
      if (newline < 0) {
        this.#keep(buffer, at, end);
        return;
      }
      this.#verifier.record(buffer, at, newline);
      at = newline + 1;
    }
  }

  #keep(buffer: Buffer, start: number, end: number): void {
    const needed = this.#carried + (end - start);
    if (needed > this.#carry.length) {
      const larger = Buffer.allocUnsafe(needed * 2);
      this.#carry.copy(larger, 0, 0, this.#carried);
      this.#carry = larger;
    }
    buffer.copy(this.#carry, this.#carried, start, end);
    this.#carried = needed;
  }
}

function indexOfNewline(buffer: Buffer, start: number, end: number): number {
  const at = buffer.indexOf(NEWLINE, start);
  return at < end ? at : -1;
}
