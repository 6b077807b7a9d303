/**
 * Does a text stand in the `data` of an event? In a key or in a value, with the escapes of JSON resolved; of a number,
 * `true`, `false` and `null` in the digits and letters they are written with. Never across two of them. Any thread.
 */
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from '../protocol/ascii.js';

export class DataText {
  readonly #text: string;
  readonly #bytes: Buffer;

  constructor(text: string) {
    this.#text = text;
    this.#bytes = Buffer.from(text, 'utf8');
  }

  /** `start`: of the object `data` in a record that ends at `end`. A record that damage has made none (where no index covers it
   *  with a checksum) holds nothing, and harms nothing. */
  isIn(bytes: Uint8Array, start: number, end: number): boolean {
    let depth = 0;
    for (let at = start; at < end; at++) {
      switch (bytes[at]) {
        case QUOTE: {
          const from = at + 1;
          let escaped = false;
          for (at = from; at < end && bytes[at] !== QUOTE; at++)
            if (bytes[at] === BACKSLASH) {
              escaped = true;
              at++;
            }
          if (at >= end) return false;
          if (escaped ? this.#unescaped(bytes, from - 1, at + 1) : this.#plain(bytes, from, at)) return true;
          break;
        }
        case OPEN_BRACE:
        case OPEN_BRACKET:
          depth++;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (--depth === 0) return false;
          break;
        case COMMA:
        case COLON:
        case 0x20:
        case 0x09:
        case 0x0a:
        case 0x0d:
          break;
        default: {
          const from = at;
          while (at < end && !endsScalar(bytes[at]!)) at++;
          if (this.#plain(bytes, from, at)) return true;
          at--;
        }
      }
    }
    return false;
  }

  #plain(bytes: Uint8Array, start: number, end: number): boolean {
    const wanted = this.#bytes;
    const first = wanted[0];
    const last = end - wanted.length;
    for (let at = start; at <= last; at++) {
      if (bytes[at] !== first) continue;
      let same = 1;
      while (same < wanted.length && bytes[at + same] === wanted[same]) same++;
      if (same === wanted.length) return true;
    }
    return false;
  }

  #unescaped(bytes: Uint8Array, start: number, end: number): boolean {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    try {
      return (JSON.parse(text) as string).includes(this.#text);
    } catch {
      return false;
    }
  }
}

function endsScalar(c: number): boolean {
  return (
    c === COMMA ||
    c === CLOSE_BRACE ||
    c === CLOSE_BRACKET ||
    c === 0x20 ||
    c === 0x09 ||
    c === 0x0a ||
    c === 0x0d
  );
}
