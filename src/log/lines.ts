/**
 * Counting lines in bytes of the log, in the addon where there is one. Any thread.
 */
import type { Addon } from '../native/addon.js';

const NEWLINE = 0x0a;

export interface Lines {
  /** Newlines in bytes[start, end). */
  count(bytes: Uint8Array, start: number, end: number): number;
  /** The offset behind the `lines`-th newline of bytes[start, end); `end` where there are fewer. */
  skip(bytes: Uint8Array, start: number, end: number, lines: number): number;
}

export function linesOf(addon: Addon | undefined): Lines {
  return addon === undefined ? PORTABLE : { count: addon.countLines, skip: addon.skipLines };
}

const PORTABLE: Lines = {
  count(bytes, start, end) {
    let count = 0;
    const part = bytes.subarray(start, end);
    for (let at = part.indexOf(NEWLINE); at >= 0; at = part.indexOf(NEWLINE, at + 1)) count++;
    return count;
  },
  skip(bytes, start, end, lines) {
    if (lines === 0) return start;
    const part = bytes.subarray(start, end);
    let left = lines;
    for (let at = part.indexOf(NEWLINE); at >= 0; at = part.indexOf(NEWLINE, at + 1))
      if (--left === 0) return start + at + 1;
    return end;
  },
};
