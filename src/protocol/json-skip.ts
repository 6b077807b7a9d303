/**
 * The grammar of JSON over bytes, and nothing else: where a string, a number, a literal or an object ends. Used
 * wherever a frame is looked at in JavaScript. Every function takes bytes[start, end) and answers the offset behind
 * the value, or -1 where the bytes are none; white space and encoding are the caller's.
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
} from './ascii.js';

/** 0 for a byte that may stand in a string as it is and ends nothing. */
const STRING_STOP = new Uint8Array(256);
STRING_STOP.fill(1, 0, 0x20);
STRING_STOP[QUOTE] = 1;
STRING_STOP[BACKSLASH] = 1;

export function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const c = bytes[at]!;
    if (c > 0x20 || (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09)) break;
    at++;
  }
  return at;
}

/** The string whose opening quote stands at `start`. */
export function stringEnd(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start] !== QUOTE) return -1;
  let at = start + 1;
  while (at < end) {
    const c = bytes[at]!;
    if (STRING_STOP[c] === 0) {
      at++;
    } else if (c === QUOTE) {
      return at + 1;
    } else if (c === BACKSLASH) {
      at = escapeEnd(bytes, at, end);
      if (at < 0) return -1;
    } else {
      return -1;
    }
  }
  return -1;
}

/** The escape whose backslash stands at `start`. */
function escapeEnd(bytes: Uint8Array, start: number, end: number): number {
  if (start + 1 >= end) return -1;
  switch (bytes[start + 1]) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return start + 2;
    case 0x75:
      if (start + 6 > end) return -1;
      for (let i = 2; i < 6; i++) if (!isHexadecimal(bytes[start + i]!)) return -1;
      return start + 6;
    default:
      return -1;
  }
}

function isHexadecimal(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || ((c | 0x20) >= 0x61 && (c | 0x20) <= 0x66);
}

function digitsEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const c = bytes[at]!;
    if (c < 0x30 || c > 0x39) break;
    at++;
  }
  return at;
}

function numberEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  if (at < end && bytes[at] === 0x2d) at++;
  const whole = at;
  at = digitsEnd(bytes, at, end);
  if (at === whole || (bytes[whole] === 0x30 && at > whole + 1)) return -1;
  if (at < end && bytes[at] === 0x2e) {
    const fraction = at + 1;
    at = digitsEnd(bytes, fraction, end);
    if (at === fraction) return -1;
  }
  if (at < end && (bytes[at]! | 0x20) === 0x65) {
    at++;
    if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++;
    const exponent = at;
    at = digitsEnd(bytes, exponent, end);
    if (at === exponent) return -1;
  }
  return at;
}

const LITERALS = ['true', 'false', 'null'].map((text) => new TextEncoder().encode(text));

function literalEnd(bytes: Uint8Array, start: number, end: number): number {
  next: for (const literal of LITERALS) {
    if (end - start < literal.length) continue;
    for (let i = 0; i < literal.length; i++) if (bytes[start + i] !== literal[i]) continue next;
    return start + literal.length;
  }
  return -1;
}

/** A value that is no container. */
export function scalarEnd(bytes: Uint8Array, start: number, end: number): number {
  const c = bytes[start]!;
  if (c === QUOTE) return stringEnd(bytes, start, end);
  if (c <= 0x39) return numberEnd(bytes, start, end);
  return literalEnd(bytes, start, end);
}

/** A bit per level: is it an object? objectEnd() is not re-entered. */
const LEVELS = new Int32Array(32);

/** The object at `start`, with everything in it, nested at most `maxDepth` (up to 1023) levels deep. */
export function objectEnd(bytes: Uint8Array, start: number, end: number, maxDepth: number): number {
  if (bytes[start] !== OPEN_BRACE) return -1;
  let depth = 0;
  let inObject = true;
  let at = start;
  for (;;) {
    // A value starts at `at`: all of it is passed, or its opening brace.
    let c = bytes[at]!;
    let opened = false;
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      if (depth === maxDepth) return -1;
      depth++;
      inObject = c === OPEN_BRACE;
      if (inObject) LEVELS[depth >> 5]! |= 1 << (depth & 31);
      else LEVELS[depth >> 5]! &= ~(1 << (depth & 31));
      at++;
      opened = true;
    } else {
      at = scalarEnd(bytes, at, end);
      if (at < 0) return -1;
    }
    for (;;) {
      c = bytes[at]!;
      if (c <= 0x20) {
        at = skipSpace(bytes, at, end);
        c = bytes[at]!;
      }
      if (at >= end) return -1;
      if (c === (inObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        at++;
        depth--;
        if (depth === 0) return at;
        inObject = (LEVELS[depth >> 5]! & (1 << (depth & 31))) !== 0;
        opened = false;
        continue;
      }
      if (!opened) {
        if (c !== COMMA) return -1;
        at++;
      }
      break;
    }
    // The next member or element.
    if (bytes[at]! <= 0x20) at = skipSpace(bytes, at, end);
    if (inObject) {
      at = stringEnd(bytes, at, end);
      if (at < 0) return -1;
      if (bytes[at]! <= 0x20) at = skipSpace(bytes, at, end);
      if (at >= end || bytes[at] !== COLON) return -1;
      at++;
      if (bytes[at]! <= 0x20) at = skipSpace(bytes, at, end);
    }
    if (at >= end) return -1;
  }
}
