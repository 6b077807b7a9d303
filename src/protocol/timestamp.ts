/**
 * Time on the wire.
 *
 *   yyyy-mm-dd ("T" | " ") hh:mm:ss [ "." 1 to 9 digits ] [ "Z" | ("+" | "-") hh [":"] mm ]
 *
 * A missing zone means UTC. The day must exist; second 60 is a leap second.
 */

const DASH = 0x2d;
const COLON = 0x3a;
const DOT = 0x2e;

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Two digits as a number; above 99 where they are none. */
function two(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - 0x30;
  const ones = bytes[at + 1]! - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : 100;
}

/** True when bytes[start, end) is a timestamp of the protocol. */
export function isTimestamp(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 19) return false;
  const century = two(bytes, start);
  const yearOfCentury = two(bytes, start + 2);
  const month = two(bytes, start + 5);
  const day = two(bytes, start + 8);
  if (century > 99 || yearOfCentury > 99 || month < 1 || month > 12 || day < 1) return false;
  if (bytes[start + 4] !== DASH || bytes[start + 7] !== DASH) return false;
  const year = century * 100 + yearOfCentury;
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (day > DAYS[month - 1]! + (month === 2 && leap ? 1 : 0)) return false;
  const separator = bytes[start + 10];
  if (separator !== 0x54 && separator !== 0x20) return false;
  if (bytes[start + 13] !== COLON || bytes[start + 16] !== COLON) return false;
  if (two(bytes, start + 11) > 23 || two(bytes, start + 14) > 59 || two(bytes, start + 17) > 60) return false;
  return isFractionAndZone(bytes, start + 19, end);
}

function isFractionAndZone(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (at < end && bytes[at] === DOT) {
    at++;
    const fraction = at;
    while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at++;
    if (at === fraction || at - fraction > 9) return false;
  }
  if (at === end) return true;
  const sign = bytes[at];
  if (sign === 0x5a) return at + 1 === end;
  if (sign !== 0x2b && sign !== DASH) return false;
  const minutes = bytes[at + 3] === COLON ? at + 4 : at + 3;
  return minutes + 2 === end && two(bytes, at + 1) <= 23 && two(bytes, minutes) <= 59;
}

/** Unix seconds of the compiled form, as their JSON text, in ISO 8601; undefined where they name no time before
 *  the year 10000. A fraction keeps its digits, up to nine. */
export function unixSecondsToIso(text: string): string | undefined {
  const match = /^(\d{1,12})(?:\.(\d+))?$/.exec(text);
  if (match === null) return undefined;
  const seconds = Number(match[1]);
  if (seconds > 253_402_300_799) return undefined;
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return match[2] === undefined ? `${whole}Z` : `${whole}.${match[2].slice(0, 9)}Z`;
}
