/**
 * A seeded pseudo-random source (the sfc32 construction): the same seed gives the same events on every machine.
 *
 * Used while the bytes of a run are made, never while the clock runs. Not for secrets.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  constructor(seed: number, stream = 0) {
    this.#a = seed | 0;
    this.#b = Math.imul(stream, 0x9e3779b1) | 0;
    this.#c = 0x2545f491;
    this.#counter = 1;
    // The state starts out nearly all zero for small seeds: stir until every bit depends on both inputs.
    for (let round = 0; round < 16; round++) this.u32();
  }

  /** 0 .. 2^32 - 1 */
  u32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** 0 .. 2^64 - 1 */
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** 0 <= result < bound; the bias of the multiplication is far below what a load test could show. */
  below(bound: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * bound);
  }

  /** Both ends included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.u32().toString(16).padStart(8, '0');
    return text.slice(0, digits);
  }
}
