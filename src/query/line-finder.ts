/**
 * The lines of a stretch that have to be read, for a filter: where it has a needle those that may hold it, else all. Any thread.
 */
import type { Addon } from '../native/addon.js';
import { createLineSearch, type LineSearch } from './line-search.js';
import type { Needle } from './needle.js';

const NEWLINE = 0x0a;

export class LineFinder {
  /** Start and end, without the newline, of each line found. */
  found = new Int32Array(512);
  count = 0;
  readonly #search: LineSearch | undefined;

  constructor(needle: Needle | undefined, notices: boolean, addon: Addon | undefined) {
    this.#search = needle === undefined ? undefined : createLineSearch(needle, notices, addon);
  }

  /** Of the whole lines in bytes[start, end). */
  find(bytes: Uint8Array, start: number, end: number): void {
    this.count = 0;
    if (this.#search === undefined) return this.#all(bytes, start, end);
    for (let at = start; at < end; ) {
      const rest = this.found.subarray(this.count * 2);
      this.count += this.#search.find(bytes, at, end, rest);
      if (this.count * 2 < this.found.length) return;
      at = this.found[this.count * 2 - 1]! + 1;
      this.#grow();
    }
  }

  #all(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const stop = bytes.indexOf(NEWLINE, at);
      if (this.count * 2 === this.found.length) this.#grow();
      this.found[this.count * 2] = at;
      this.found[this.count * 2 + 1] = stop;
      this.count++;
      at = stop + 1;
    }
  }

  #grow(): void {
    const grown = new Int32Array(this.found.length * 2);
    grown.set(this.found);
    this.found = grown;
  }
}
