/**
 * How far the streams of named consumers are, as this thread knows it: main is told, but may not have heard of it when it
 * judges the next connection of a name. Runs in the aggregator; knows no sockets.
 *
 *   enter(), as it asks --> move(), as its stream begins and with each acknowledgement --> leave(), when it has gone
 *
 * Kept while anybody has the name or asks for it. Whoever asks later is judged by a main that was told everything before.
 */
interface Position {
  readonly name: string;
  /** 0: nothing was said of it. */
  seq: number;
  consumers: number;
}

export class NamePositions {
  readonly #byName = new Map<string, Position>();
  readonly #byConsumer = new Map<number, Position>();

  enter(consumer: number, name: string): void {
    const position = this.#byName.get(name) ?? { name, seq: 0, consumers: 0 };
    position.consumers++;
    this.#byName.set(name, position);
    this.#byConsumer.set(consumer, position);
  }

  /** The stream of its name is there now: where it begins anew, or what is acknowledged. */
  move(consumer: number, seq: number): void {
    const position = this.#byConsumer.get(consumer);
    if (position !== undefined) position.seq = seq;
  }

  /** What whoever has its name, or had it since it asked, has said; undefined: nothing. */
  of(consumer: number): number | undefined {
    return this.#byConsumer.get(consumer)?.seq || undefined;
  }

  leave(consumer: number): void {
    const position = this.#byConsumer.get(consumer);
    if (position === undefined) return;
    this.#byConsumer.delete(consumer);
    if (--position.consumers === 0) this.#byName.delete(position.name);
  }
}
