/**
 * Ids of commands and rollouts: a prefix, the time in ms (10 characters) and chance (16), in Crockford's base 32, so that
 * the order of the texts is the order in which they were given out. Two of the same ms differ in that the second is the
 * first plus one.
 *
 * Owned by main.
 */
import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const TIME_CHARACTERS = 10;
const CHANCE_CHARACTERS = 16;
const ID = /^(cmd|rol)_[0-9a-hjkmnp-tv-z]{26}$/;

export type IdPrefix = 'cmd' | 'rol';

export function isId(prefix: IdPrefix, text: string): boolean {
  return ID.test(text) && text.startsWith(prefix);
}

export class IdSource {
  readonly #random: (bytes: number) => Uint8Array;
  #lastMs = 0;
  #time = '';
  /** Five bits each. */
  #chance: number[] = [];

  /** `random` gives that many bytes of chance; a test gives its own. */
  constructor(random: (bytes: number) => Uint8Array = randomBytes) {
    this.#random = random;
  }

  /** An id that is in use: all that are given out from now on come behind it, also where the clock was set back. */
  seen(id: string): void {
    let ms = 0;
    for (const character of id.slice(4, 4 + TIME_CHARACTERS)) ms = ms * 32 + ALPHABET.indexOf(character);
    if (ms >= this.#lastMs) this.#draw(ms + 1);
  }

  next(prefix: IdPrefix, nowMs: number): string {
    if (nowMs > this.#lastMs) this.#draw(nowMs);
    else this.#count();
    let chance = '';
    for (const bits of this.#chance) chance += ALPHABET[bits];
    return `${prefix}_${this.#time}${chance}`;
  }

  #draw(ms: number): void {
    this.#lastMs = ms;
    this.#time = '';
    for (let rest = ms, at = 0; at < TIME_CHARACTERS; at++, rest = Math.floor(rest / 32))
      this.#time = `${ALPHABET[rest % 32]}${this.#time}`;
    this.#chance = [...this.#random(CHANCE_CHARACTERS)].map((byte) => byte & 31);
  }

  #count(): void {
    for (let at = CHANCE_CHARACTERS - 1; at >= 0; at--) {
      if (this.#chance[at] !== 31) {
        this.#chance[at]! += 1;
        return;
      }
      this.#chance[at] = 0;
    }
    this.#draw(this.#lastMs + 1);
  }
}
