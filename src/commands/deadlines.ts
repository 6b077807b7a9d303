/**
 * When something is due, for any number of things, with one timer for all of them: a binary heap in which every thing
 * knows its place, so that a deadline that is moved or taken away leaves nothing behind.
 *
 *   at(parent) <= at(child)         place(thing) is where it stands
 *
 * Owned by main. No clock: time is passed in.
 */
export class Deadlines<T> {
  readonly #things: T[] = [];
  readonly #atMs: number[] = [];
  readonly #places = new Map<T, number>();

  get size(): number {
    return this.#things.length;
  }

  /** A thing has one deadline; the last one set counts. */
  set(thing: T, atMs: number): void {
    let place = this.#places.get(thing);
    if (place === undefined) {
      place = this.#things.length;
      this.#things.push(thing);
      this.#atMs.push(atMs);
      this.#places.set(thing, place);
    } else {
      this.#atMs[place] = atMs;
    }
    this.#settle(place);
  }

  delete(thing: T): void {
    const place = this.#places.get(thing);
    if (place === undefined) return;
    this.#places.delete(thing);
    const last = this.#things.length - 1;
    const lastThing = this.#things.pop()!;
    const lastAtMs = this.#atMs.pop()!;
    if (place === last) return;
    this.#put(place, lastThing, lastAtMs);
    this.#settle(place);
  }

  /** Takes out the thing that is due longest, if any is due. */
  takeDue(nowMs: number): T | undefined {
    const first = this.#things[0];
    if (first === undefined || this.#atMs[0]! > nowMs) return undefined;
    this.delete(first);
    return first;
  }

  #settle(start: number): void {
    let place = start;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#atMs[parent]! <= this.#atMs[place]!) break;
      this.#swap(place, parent);
      place = parent;
    }
    for (;;) {
      let least = place;
      for (const child of [2 * place + 1, 2 * place + 2])
        if (child < this.#things.length && this.#atMs[child]! < this.#atMs[least]!) least = child;
      if (least === place) return;
      this.#swap(place, least);
      place = least;
    }
  }

  #swap(a: number, b: number): void {
    const [thing, atMs] = [this.#things[a]!, this.#atMs[a]!];
    this.#put(a, this.#things[b]!, this.#atMs[b]!);
    this.#put(b, thing, atMs);
  }

  #put(place: number, thing: T, atMs: number): void {
    this.#things[place] = thing;
    this.#atMs[place] = atMs;
    this.#places.set(thing, place);
  }
}
