/**
 * Writes to the state without waiting, and loses nothing when the state takes no more: what was refused is remembered,
 * the last value of each key, and written when there is room again.
 *
 * Owned by main. What is remembered is bounded by the number of keys: those of the commands and rollouts there are.
 */
import { StateBacklogFull, type StateChange, type StateStore } from '../state/store.js';

export class StateWriter {
  readonly #store: StateStore;
  readonly #refused = new Map<string, StateChange>();

  constructor(store: StateStore) {
    this.#store = store;
  }

  /** Resolves when the changes are durable; undefined where the state takes no more, and nothing was taken. */
  tryWrite(changes: readonly StateChange[]): Promise<void> | undefined {
    try {
      const durable = this.#store.write(changes);
      // Older values of these keys must not be written over them.
      if (this.#refused.size > 0) for (const change of changes) this.#refused.delete(keyOf(change));
      return durable;
    } catch (error) {
      if (error instanceof StateBacklogFull) return undefined;
      throw error;
    }
  }

  /** Writes now or later. Resolves when durable, where it is written now. */
  write(changes: readonly StateChange[]): Promise<void> | undefined {
    const durable = this.tryWrite(changes);
    if (durable === undefined) for (const change of changes) this.#refused.set(keyOf(change), change);
    return durable;
  }

  /** Tries again what was refused. */
  retry(): void {
    if (this.#refused.size === 0) return;
    for (const change of [...this.#refused.values()]) if (this.tryWrite([change]) === undefined) return;
  }
}

function keyOf({ section, key }: StateChange): string {
  return `${section}/${key}`;
}
