/**
 * A doubly linked order: append at the end, take out anywhere, look at both ends, each in constant time.
 *
 * Why not a Map in insertion order: taking the first key out again and again leaves holes in front that every look
 * at the first key walks over. A registry at its bound does exactly that for each new node.
 */

export interface Link<T> {
  readonly value: T;
  before: Link<T> | null;
  after: Link<T> | null;
}

export class LinkedOrder<T> {
  #first: Link<T> | null = null;
  #last: Link<T> | null = null;

  get first(): T | undefined {
    return this.#first?.value;
  }

  get last(): T | undefined {
    return this.#last?.value;
  }

  append(value: T): Link<T> {
    const link: Link<T> = { value, before: this.#last, after: null };
    if (this.#last === null) this.#first = link;
    else this.#last.after = link;
    this.#last = link;
    return link;
  }

  /** The link must be in this order; the caller forgets it afterwards. */
  remove(link: Link<T>): void {
    if (link.before === null) this.#first = link.after;
    else link.before.after = link.after;
    if (link.after === null) this.#last = link.before;
    else link.after.before = link.before;
    link.before = null;
    link.after = null;
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let link = this.#first; link !== null; link = link.after) yield link.value;
  }
}
