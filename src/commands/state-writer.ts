/**
 * Writes to the state without waiting, and loses nothing when the state takes no more: what was refused is remembered,
 * the last value of each key, and written before anything that came later.
 *
 *   write --> [refused: key -> last value] --> state          what was written together stays together
 *
 * Owned by main. What is remembered is bounded by the number of keys: those of the commands and rollouts there are.
 */
import { StateBacklogFull, type StateChange, type StateStore } from '../state/store.js';

/** Changes that are tried again in one write; more would never fit the backlog of the state. */
const CHANGES_AT_ONCE = 16_384;

export class StateWriter {
  readonly #store: StateStore;
  readonly #refused = new Map<string, StateChange>();

  constructor(store: StateStore) {
    this.#store = store;
  }

  /** Resolves when the changes are durable; undefined where the state takes no more, and nothing was taken. */
  tryWrite(changes: readonly StateChange[]): Promise<void> | undefined {
    return this.#refused.size > 0 ? undefined : this.#attempt(changes);
  }

  /** Writes now or later. Resolves when durable, where it is written now. */
  write(changes: readonly StateChange[]): Promise<void> | undefined {
    const durable = this.tryWrite(changes);
    if (durable === undefined)
      for (const change of changes) this.#refused.set(`${change.section}/${change.key}`, change);
    return durable;
  }

  /** Tries again what was refused; to be called now and then. */
  retry(): void {
    while (this.#refused.size > 0) {
      const again = [...this.#refused].slice(0, CHANGES_AT_ONCE);
      if (this.#attempt(again.map(([, change]) => change)) === undefined) return;
      for (const [key] of again) this.#refused.delete(key);
    }
  }

  #attempt(changes: readonly StateChange[]): Promise<void> | undefined {
    try {
      return this.#store.write(changes);
    } catch (error) {
      if (error instanceof StateBacklogFull) return undefined;
      throw error;
    }
  }
}
