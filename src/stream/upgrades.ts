/**
 * What an upgrade request says: the token, the subprotocol that is answered, the address. Runs in the aggregator; pure.
 *
 * A token comes as `authorization: Bearer TOKEN`, or, from browsers, which cannot set headers, as a subprotocol that is
 * offered beside the real one: `honeybee.v2, honeybee.token.TOKEN`. The answer never repeats it.
 */
import type { HttpRequest } from 'uWebSockets.js';

const PROTOCOL = 'honeybee.v2';
const TOKEN_PROTOCOL = 'honeybee.token.';

/** The header goes before the subprotocol; another scheme than Bearer is a token that cannot be right. */
export function shownToken(request: HttpRequest): string | undefined {
  const header = request.getHeader('authorization');
  if (header !== '') return /^bearer +(\S+)$/i.exec(header)?.[1] ?? '';
  const offered = offers(request).find((protocol) => protocol.startsWith(TOKEN_PROTOCOL));
  return offered?.slice(TOKEN_PROTOCOL.length);
}

/** The subprotocol to answer with; empty where none was offered that can be named. */
export function chosenProtocol(request: HttpRequest): string {
  const named = offers(request).filter((protocol) => !protocol.startsWith(TOKEN_PROTOCOL));
  return named.includes(PROTOCOL) ? PROTOCOL : (named[0] ?? '');
}

function offers(request: HttpRequest): string[] {
  const header = request.getHeader('sec-websocket-protocol');
  return header === '' ? [] : header.split(',').map((protocol) => protocol.trim());
}

/** An IP address out of its bytes. */
export function addressText(address: ArrayBuffer): string {
  const bytes = new Uint8Array(address);
  const mapped =
    bytes.length === 16 && bytes.subarray(0, 12).every((byte, at) => byte === (at < 10 ? 0 : 0xff));
  if (bytes.length === 4 || mapped) return bytes.subarray(-4).join('.');
  const groups: string[] = [];
  for (let at = 0; at + 1 < bytes.length; at += 2)
    groups.push(((bytes[at]! << 8) | bytes[at + 1]!).toString(16));
  // The URL parser writes an address in its short form.
  return groups.length === 8 ? new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1) : '';
}
