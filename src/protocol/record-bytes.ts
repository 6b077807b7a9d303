/**
 * How records of the log look in bytes, for those who tell them apart without reading them: the ledger's recount, filters, the
 * history of names. Any thread.
 */
import { BACKSLASH, QUOTE } from './ascii.js';

/** How most nodes write an event, up to its first field. */
export const POT_EVENT_START: Uint8Array = Buffer.from('{"version":2,"message":{"PotEvent":{');
/** Core's own notices (outbound.ts), up to the digits of the id. No frame of a node can begin so: its message would have a
 *  name nobody knows. */
export const NODE_REGISTERED_START: Uint8Array = Buffer.from(
  '{"version":2,"message":{"NodeRegistered":{"node_id":',
);
export const NODE_DISCONNECTED_START: Uint8Array = Buffer.from(
  '{"version":2,"message":{"NodeDisconnected":{"node_id":',
);

/** Does [start, end) begin with these bytes? */
export function startsWith(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  return end - start >= wanted.length && isEqual(bytes, start, start + wanted.length, wanted);
}

/** From the back: most records are alike in front. */
export function isEqual(bytes: Uint8Array, start: number, end: number, wanted: Uint8Array): boolean {
  if (end - start !== wanted.length) return false;
  for (let i = wanted.length - 1; i >= 0; i--) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}

/** The closing quote of a string without escapes that begins behind its quote at `start`; -1 where it has one, or no end. */
export function plainStringEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const c = bytes[at];
    if (c === QUOTE) return at;
    if (c === BACKSLASH) return -1;
  }
  return -1;
}
