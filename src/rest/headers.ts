/**
 * Headers that stand on every answer, errors included.
 *
 * Owned by main: constants and one function. Texts in answers were chosen by strangers (names, honeypots' messages), so
 * a browser must never take one for a page, run it, or show it inside another site.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

export const COMMON_HEADERS = {
  'x-content-type-options': 'nosniff',
  // Old the moment it is made, and not for everybody's eyes.
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
} as const;

/** Two years, as browsers' preload lists ask for. Subdomains are somebody else's decision. */
const HSTS = { 'strict-transport-security': 'max-age=63072000' } as const;
const NOTHING = {} as const;

/** Only over TLS: on plain HTTP browsers ignore it, and nobody promises that TLS will be there tomorrow. */
export function transportHeaders(socket: Socket | TLSSocket): Readonly<Record<string, string>> {
  return 'encrypted' in socket && socket.encrypted ? HSTS : NOTHING;
}
