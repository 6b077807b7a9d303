/** Names in the order of their UTF-16 units, for lists that are read page by page. Owned by main. */
export class SortedNames {
  readonly #names: string[];

  constructor(names: Iterable<string>) {
    // Without a comparer, because localeCompare has names that differ compare as equal.
    this.#names = [...names].sort();
  }

  add(name: string): void {
    const at = this.#firstFrom(name);
    if (this.#names[at] !== name) this.#names.splice(at, 0, name);
  }

  remove(name: string): void {
    const at = this.#firstFrom(name);
    if (this.#names[at] === name) this.#names.splice(at, 1);
  }

  /** At most `limit` names behind `after`; from the first one where that is undefined. */
  page(limit: number, after: string | undefined): string[] {
    if (after === undefined) return this.#names.slice(0, limit);
    const at = this.#firstFrom(after);
    const from = this.#names[at] === after ? at + 1 : at;
    return this.#names.slice(from, from + limit);
  }

  #firstFrom(name: string): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#names[middle]! < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
