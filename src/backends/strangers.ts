/**
 * Backends that were let in without a token and have to send one at once: how many there may be. On the WebSocket and
 * raw together, because both take places from those that have one.
 *
 * Owned by main. Bounded in all and per address, so that no single address takes all the places.
 */
import { addressKey } from '../addresses.js';
import { LIMITS } from '../limits.js';

export class Strangers {
  readonly #perAddress = new Map<string, number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** False where there is no place. */
  enter(address: string): boolean {
    const key = addressKey(address);
    const here = this.#perAddress.get(key) ?? 0;
    if (this.#count >= LIMITS.strangers || here >= LIMITS.strangersPerAddress) return false;
    this.#perAddress.set(key, here + 1);
    this.#count++;
    return true;
  }

  /** For each that has entered exactly once. */
  leave(address: string): void {
    const key = addressKey(address);
    const here = this.#perAddress.get(key);
    if (here === undefined) throw new Error('a stranger left who had not entered');
    if (here === 1) this.#perAddress.delete(key);
    else this.#perAddress.set(key, here - 1);
    this.#count--;
  }
}
