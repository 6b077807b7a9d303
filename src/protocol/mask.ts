/**
 * Takes one-time codes out of frames that are kept or shown although they are no good: dead letters.
 *
 * Pure. Works on any bytes, JSON or not: behind everything that may be the name `totp_code`, in any spelling that JSON
 * has for it, the value is overwritten with asterisks, so that lengths and places stay. Nothing else is touched.
 */

const NAMES = ['totp_code', 'totp_key'];
const SPARE = 0x2a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NEAR_BYTES = 32;

/** A letter may stand as its escape; case does not matter to people who type. */
const NAME = new RegExp(NAMES.map((name) => [...name].map(anySpelling).join('')).join('|'), 'gi');
/** Without one of these none of the names is there; looked for first, because most frames have neither. */
const HINT = /totp_|\\u/i;
/** What may stand between a name and its value, where people or broken nodes wrote it. */
const BETWEEN = /["'\\\s]*[:=]?[=>\s]*/y;
const BARE = /[^,}\]\s]*/y;

function anySpelling(character: string): string {
  const hex = (text: string) => text.charCodeAt(0).toString(16).padStart(4, '0');
  const upper = character.toUpperCase();
  return `(?:${character}|\\\\u${hex(character)}|\\\\u${hex(upper)})`;
}

/** The same bytes where there is nothing to hide, else a copy. */
export function maskCodes(bytes: Uint8Array): Uint8Array {
  // Latin-1: a character is a byte, whatever the encoding really is.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  if (!HINT.test(text)) return bytes;
  let masked: Buffer | undefined;
  let hiddenTo = 0;
  for (const name of text.matchAll(NAME)) {
    // In a value that is hidden already: to look at it again and again would make a long frame expensive.
    if (name.index < hiddenTo) continue;
    BETWEEN.lastIndex = name.index + name[0].length;
    const start = BETWEEN.lastIndex + BETWEEN.exec(text)![0].length;
    masked ??= Buffer.from(bytes);
    const end = hideValue(masked, text, start);
    const nothing = /^["']*$/.test(text.slice(start, end));
    hiddenTo = nothing ? hideDigits(masked, end) : end;
  }
  return masked ?? bytes;
}

/** Something else stands where the value should: what looks like a code right behind it goes. */
function hideDigits(bytes: Buffer, start: number): number {
  const end = Math.min(bytes.length, start + NEAR_BYTES);
  for (let at = start; at < end; at++) if (bytes[at]! >= 0x30 && bytes[at]! <= 0x39) bytes[at] = SPARE;
  return end;
}

/** Answers where the value ends. */
function hideValue(bytes: Buffer, text: string, start: number): number {
  const first = text[start];
  if (first === '"' || first === "'") return hideString(bytes, start);
  if (first === '{' || first === '[') return hideContainer(bytes, start);
  BARE.lastIndex = start;
  const end = start + BARE.exec(text)![0].length;
  bytes.fill(SPARE, start, end);
  return end;
}

/** Up to the quote that closes it, or to the end. */
function hideString(bytes: Buffer, start: number): number {
  const quote = bytes[start];
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== quote) {
    const escaped = bytes[at] === BACKSLASH;
    bytes[at++] = SPARE;
    if (escaped && at < bytes.length) bytes[at++] = SPARE;
  }
  return at + 1;
}

/** No code is a container; whatever is in it goes, up to where it closes. */
function hideContainer(bytes: Buffer, start: number): number {
  let depth = 0;
  let at = start;
  while (at < bytes.length) {
    const c = bytes[at]!;
    if (c === QUOTE) {
      at = hideString(bytes, at);
      continue;
    }
    if (c === 0x7b || c === 0x5b) depth++;
    else if (c === 0x7d || c === 0x5d) depth--;
    else if (c > 0x20) bytes[at] = SPARE;
    at++;
    if (depth === 0) return at;
  }
  return at;
}
