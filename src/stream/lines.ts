/**
 * Whole lines that lie one behind the other, for whoever sends them. Where each ends is looked for once, and only when
 * somebody sends them one by one. Runs in the aggregator, which uses the same one for every batch.
 */
import type { Addon } from '../native/addon.js';

const NEWLINE = 0x0a;

export class Lines {
  bytes: Uint8Array = new Uint8Array(0);
  /** How many there are. */
  count = 0;
  readonly #addon: Addon | undefined;
  /** Grows to the most lines there ever were, which the sizes of batches and chunks bound. */
  #ends = new Int32Array(8192);
  /** How many were found; -1 where nobody has looked yet. */
  #found = -1;

  constructor(addon: Addon | undefined) {
    this.#addon = addon;
  }

  set(bytes: Uint8Array, count: number): this {
    this.bytes = bytes;
    this.count = count;
    this.#found = -1;
    return this;
  }

  /** There are as many lines as was said, and nothing behind the last one. */
  get areWhole(): boolean {
    if (this.#found < 0) this.#find();
    return (
      this.#found === this.count && (this.count === 0 || this.#ends[this.count - 1] === this.bytes.length)
    );
  }

  /** Behind the newline of each line; the first `count` of them count. */
  get ends(): Int32Array {
    if (!this.areWhole) throw new Error(`there are ${this.#found} lines, not ${this.count}`);
    return this.#ends;
  }

  /** A copy: the bytes may lie in a ring, and are written over as soon as the batch has been dealt with. */
  copy(): Uint8Array<ArrayBuffer> {
    const { bytes } = this;
    const copy = new Uint8Array(bytes.length);
    if (this.#addon !== undefined) this.#addon.copy(copy, 0, bytes, 0, bytes.length);
    else copy.set(bytes);
    return copy;
  }

  #find(): void {
    const { bytes, count } = this;
    if (this.#ends.length < count) this.#ends = new Int32Array(2 ** Math.ceil(Math.log2(count)));
    const ends = this.#ends;
    this.#found = 0;
    if (this.#addon !== undefined) this.#found = this.#addon.lineEnds(bytes, 0, bytes.length, ends);
    else
      for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1))
        ends[this.#found++] = at + 1;
  }
}
