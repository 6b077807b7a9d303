/**
 * A bounded queue in which addresses take turns, and each address keeps its order:
 *
 *   10.0.0.1  | a1 a2 a3 a4 a5        take() gives  a1 b1 c1 a2 b2 a3 a4 ...
 *   10.0.0.2  | b1 b2
 *   10.0.0.3  | c1
 *
 * When it is full the address that has the most waiting gives up its newest: a flood costs only itself, from however
 * many addresses it comes. Every step takes constant time. Owned by main; no clock, no I/O.
 */

interface Lane<T> {
  readonly address: string;
  readonly items: T[];
  /** Items before this one have been taken. */
  head: number;
}

export class FairQueue<T> {
  readonly #capacity: number;
  /** In the order of their turns. */
  readonly #lanes = new Map<string, Lane<T>>();
  /** Lanes by how many wait in them, to find a longest one. */
  readonly #byLength: Set<Lane<T>>[] = [];
  #longest = 0;
  #size = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /** What had to give way: another address's newest, or the item itself; undefined while there is room. */
  push(address: string, item: T): T | undefined {
    const lane = this.#lanes.get(address) ?? { address, items: [], head: 0 };
    let gaveWay: T | undefined;
    if (this.#size >= this.#capacity) {
      if (lengthOf(lane) + 1 >= this.#longest) return item;
      gaveWay = this.#dropNewest();
    }
    if (lengthOf(lane) === 0) this.#lanes.set(address, lane);
    lane.items.push(item);
    this.#size++;
    this.#moved(lane, lengthOf(lane) - 1);
    return gaveWay;
  }

  /** The next one; its address goes to the end of the row. */
  take(): T | undefined {
    const lane = this.#lanes.values().next().value;
    if (lane === undefined) return undefined;
    const item = lane.items[lane.head]!;
    lane.head++;
    this.#shrunk(lane);
    this.#lanes.delete(lane.address);
    if (lengthOf(lane) > 0) this.#lanes.set(lane.address, lane);
    // Gives the taken ones free now and then, at a cost that is constant on average.
    if (lane.head > 64 && lane.head * 2 > lane.items.length) {
      lane.items.splice(0, lane.head);
      lane.head = 0;
    }
    return item;
  }

  /** Throws when counts and orders do not agree. Walks everything: for tests. */
  assertInvariants(): void {
    let size = 0;
    let longest = 0;
    for (const lane of this.#lanes.values()) {
      const length = lengthOf(lane);
      if (length < 1) throw new Error('a lane without anybody in it');
      if (this.#byLength[length]?.has(lane) !== true) throw new Error('a lane is not found by its length');
      size += length;
      longest = Math.max(longest, length);
    }
    const found = this.#byLength.reduce((sum, lanes) => sum + (lanes?.size ?? 0), 0);
    if (found !== this.#lanes.size) throw new Error('a length of a lane that is gone');
    if (size !== this.#size || size > this.#capacity) throw new Error('the size is wrong or not bounded');
    if (longest !== this.#longest) throw new Error('the longest lane is not known');
  }

  #dropNewest(): T {
    const lane = this.#byLength[this.#longest]!.values().next().value!;
    const item = lane.items.pop()!;
    this.#shrunk(lane);
    if (lengthOf(lane) === 0) this.#lanes.delete(lane.address);
    return item;
  }

  #shrunk(lane: Lane<T>): void {
    this.#size--;
    this.#moved(lane, lengthOf(lane) + 1);
  }

  /** A lane has one more or one less than before. */
  #moved(lane: Lane<T>, lengthBefore: number): void {
    const length = lengthOf(lane);
    this.#byLength[lengthBefore]?.delete(lane);
    if (length > 0) {
      this.#byLength[length] ??= new Set();
      this.#byLength[length].add(lane);
    }
    if (length > this.#longest) this.#longest = length;
    else if (lengthBefore === this.#longest && this.#byLength[lengthBefore]?.size === 0)
      this.#longest = length;
  }
}

function lengthOf<T>(lane: Lane<T>): number {
  return lane.items.length - lane.head;
}
