/**
 * Backends that were let in without a token and have to send one at once: how many there may be. On the WebSocket and
 * raw together, because both take places from those that have one.
 *
 * Owned by main. Bounded in all and per address, so that no single address takes all the places.
 */
import { isIPv6 } from 'node:net';
import { LIMITS } from '../limits.js';

export class Strangers {
  readonly #perAddress = new Map<string, number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** False where there is no place. */
  enter(address: string): boolean {
    const key = keyOf(address);
    const here = this.#perAddress.get(key) ?? 0;
    if (this.#count >= LIMITS.strangers || here >= LIMITS.strangersPerAddress) return false;
    this.#perAddress.set(key, here + 1);
    this.#count++;
    return true;
  }

  /** For each that has entered exactly once. */
  leave(address: string): void {
    const key = keyOf(address);
    const here = this.#perAddress.get(key);
    if (here === undefined) throw new Error('a stranger left who had not entered');
    if (here === 1) this.#perAddress.delete(key);
    else this.#perAddress.set(key, here - 1);
    this.#count--;
  }
}

/** IPv6 by its network of 64 bits: whoever has one address of it has them all. */
function keyOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  const [head = '', tail = ''] = address.toLowerCase().split('%', 1)[0]!.split('::');
  const before = head.split(':').filter((group) => group !== '');
  const behind = tail.split(':').filter((group) => group !== '');
  const zeros = address.includes('::') ? Math.max(0, 8 - before.length - behind.length) : 0;
  return [...before, ...new Array<string>(zeros).fill('0'), ...behind].slice(0, 4).join(':');
}
