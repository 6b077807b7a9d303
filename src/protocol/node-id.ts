/**
 * Node ids are unsigned 64-bit integers; nodes draw them from the whole range, so no JavaScript number can hold
 * them. On the wire and in the data plane an id is its decimal digits, in the control plane a bigint.
 */

const MAX_DIGITS = '18446744073709551615';
const ZERO = 0x30;

/** True when bytes[start, end), a JSON number, is an id: 1 to 2^64-1, digits only. */
export function isNodeId(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length > MAX_DIGITS.length) return false;
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - ZERO;
    if (digit < 0 || digit > 9) return false;
  }
  if (length < MAX_DIGITS.length) return !(length === 1 && bytes[start] === ZERO);
  for (let i = 0; i < length; i++) {
    const difference = bytes[start + i]! - MAX_DIGITS.charCodeAt(i);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

/** The id in a text of digits as a bigint, or undefined where the text is none. For REST and the command line. */
export function parseNodeId(text: string): bigint | undefined {
  if (!/^[1-9][0-9]{0,19}$/.test(text)) return undefined;
  const id = BigInt(text);
  return id <= 0xffff_ffff_ffff_ffffn ? id : undefined;
}
