/**
 * Finds the lines of a chunk that may hold a needle: those that do, and those with an escape that could hide it (needle.ts). In
 * the addon where there is one. Both find the same lines. Any thread.
 */
import type { Addon } from '../native/addon.js';
import type { Needle } from './needle.js';

const NEWLINE = 0x0a;
/** Core's notices about nodes begin so. */
const NODE_NOTICE = Buffer.from('{"version":2,"message":{"Node');

export interface LineSearch {
  /**
   * Candidates in the whole lines of bytes[start, end): `found` gets start and end (without the newline) of each, as many as it
   * has room for. How many; where there may be more it is full, and the search goes on behind the last one.
   */
  find(bytes: Uint8Array, start: number, end: number, found: Int32Array): number;
}

/** `notices`: lines that may say that a node came or went are candidates, too. Without a needle only these. */
export function createLineSearch(needle: Needle, notices: boolean, addon: Addon | undefined): LineSearch {
  if (addon === undefined) return new PortableSearch(needle, notices);
  const { bytes, units, wide } = needle;
  const flags = (wide ? 1 : 0) | (notices ? 2 : 0);
  return {
    find: (lines, start, end, found) => addon.findLines(lines, start, end, bytes, units, flags, found),
  };
}

const HEX = /^[0-9a-fA-F]{4}$/;
const ESCAPE = Buffer.from('\\u');

class PortableSearch implements LineSearch {
  readonly #needle: Needle;
  readonly #notices: boolean;

  constructor(needle: Needle, notices: boolean) {
    this.#needle = needle;
    this.#notices = notices;
  }

  find(bytes: Uint8Array, start: number, end: number, found: Int32Array): number {
    const lines = Buffer.from(bytes.buffer, bytes.byteOffset, end);
    const room = found.length >> 1;
    let count = 0;
    let needleAt = -1;
    let escapeAt = -1;
    for (let at = start; at < end && count < room; ) {
      if (needleAt < at) needleAt = from(lines.indexOf(this.#needle.bytes, at), end);
      if (escapeAt < at) escapeAt = this.#nextEscape(lines, at, end);
      const hit = this.#notices
        ? this.#nextNotice(lines, at, Math.min(needleAt, escapeAt), end)
        : Math.min(needleAt, escapeAt);
      if (hit >= end) break;
      const lineStart = lines.lastIndexOf(NEWLINE, hit) + 1;
      const lineEnd = from(lines.indexOf(NEWLINE, hit), end);
      found[count * 2] = Math.max(lineStart, at);
      found[count * 2 + 1] = lineEnd;
      count++;
      at = lineEnd + 1;
    }
    return count;
  }

  /** The next escape that could stand for a character of the needle. */
  #nextEscape(lines: Buffer, start: number, end: number): number {
    for (let at = lines.indexOf(ESCAPE, start); at >= 0; at = lines.indexOf(ESCAPE, at + 2)) {
      const digits = lines.toString('latin1', at + 2, at + 6);
      // No escape after all (the end of two backslashes and a u): the line is read in vain.
      if (!HEX.test(digits)) return at;
      const unit = Number.parseInt(digits, 16);
      if (unit < 256 ? this.#needle.units[unit] === 1 : this.#needle.wide) return at;
    }
    return end;
  }

  /** The first line from `start` on that is a notice, if it comes before the line of `hit`. */
  #nextNotice(lines: Buffer, start: number, hit: number, end: number): number {
    for (let at = start; at < end && at <= hit; at = from(lines.indexOf(NEWLINE, at), end) + 1)
      if (lines.compare(NODE_NOTICE, 0, NODE_NOTICE.length, at, Math.min(end, at + NODE_NOTICE.length)) === 0)
        return at;
    return hit;
  }
}

function from(found: number, otherwise: number): number {
  return found < 0 || found > otherwise ? otherwise : found;
}
