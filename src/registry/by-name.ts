/**
 * Records in their order under each name. A name without records costs nothing.
 *
 * Owned by main. A record is in one of these at a time, at `nameLink`.
 */
import type { Entry } from './entry.js';
import { LinkedOrder } from './order.js';

export class ByName {
  readonly #orders = new Map<string, LinkedOrder<Entry>>();

  append(entry: Entry): void {
    let order = this.#orders.get(entry.name);
    if (order === undefined) {
      order = new LinkedOrder();
      this.#orders.set(entry.name, order);
    }
    entry.nameLink = order.append(entry);
  }

  remove(entry: Entry): void {
    const order = this.#orders.get(entry.name);
    if (entry.nameLink === null || order === undefined)
      throw new Error('a record left the ones of its name without being one of them');
    order.remove(entry.nameLink);
    if (order.first === undefined) this.#orders.delete(entry.name);
    entry.nameLink = null;
  }

  first(name: string): Entry | undefined {
    return this.#orders.get(name)?.first;
  }

  last(name: string): Entry | undefined {
    return this.#orders.get(name)?.last;
  }

  of(name: string): Entry[] {
    return [...(this.#orders.get(name) ?? [])];
  }

  [Symbol.iterator](): IterableIterator<[string, LinkedOrder<Entry>]> {
    return this.#orders.entries();
  }
}
