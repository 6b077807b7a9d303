/**
 * From the digits of a node id in a buffer to the node's number, without making a string: a hash table with open
 * addressing over the digits themselves.
 */
const DIGIT_0 = 48;
const DIGITS_MAX = 20;

export class NodeIndex {
  readonly #digits: Buffer;
  readonly #length: Uint8Array;
  /** Node number + 1; 0 is an empty place. */
  readonly #table: Uint32Array;
  readonly #mask: number;

  constructor(nodeIds: readonly string[]) {
    this.#digits = Buffer.alloc(nodeIds.length * DIGITS_MAX);
    this.#length = new Uint8Array(nodeIds.length);
    const places = 2 ** Math.ceil(Math.log2(nodeIds.length * 4 + 4));
    this.#table = new Uint32Array(places);
    this.#mask = places - 1;
    nodeIds.forEach((nodeId, node) => {
      this.#length[node] = this.#digits.write(nodeId, node * DIGITS_MAX, 'latin1');
      let place = hash(this.#digits, node * DIGITS_MAX, nodeId.length) & this.#mask;
      while (this.#table[place] !== 0) place = (place + 1) & this.#mask;
      this.#table[place] = node + 1;
    });
  }

  /** The node whose digits stand at `start`, or -1. */
  find(buffer: Buffer, start: number, end: number): number {
    const limit = Math.min(end, start + DIGITS_MAX);
    let stop = start;
    while (stop < limit && isDigit(buffer[stop]!)) stop++;
    const length = stop - start;
    // Without a byte behind them the digits may go on in the next read.
    if (length <= 0 || stop >= end || isDigit(buffer[stop]!)) return -1;
    let place = hash(buffer, start, length) & this.#mask;
    for (;;) {
      const entry = this.#table[place]!;
      if (entry === 0) return -1;
      if (this.#is(entry - 1, buffer, start, length)) return entry - 1;
      place = (place + 1) & this.#mask;
    }
  }

  #is(node: number, buffer: Buffer, start: number, length: number): boolean {
    if (this.#length[node] !== length) return false;
    const digits = node * DIGITS_MAX;
    for (let at = 0; at < length; at++) {
      if (this.#digits[digits + at] !== buffer[start + at]) return false;
    }
    return true;
  }
}

function isDigit(byte: number): boolean {
  return byte >= DIGIT_0 && byte < DIGIT_0 + 10;
}

function hash(buffer: Buffer, start: number, length: number): number {
  let value = 0x811c9dc5;
  for (let at = start; at < start + length; at++) value = Math.imul(value ^ buffer[at]!, 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
