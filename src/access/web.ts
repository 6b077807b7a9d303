/**
 * What a browser says about the page that makes it ask: the Host and the Origin header. Both guard against pages of
 * strangers that reach a Core near the browser: Host against names that were bound anew to its address (DNS rebinding),
 * Origin against pages that simply send requests to it.
 *
 * Main thread; pure.
 */
import { isIP } from 'node:net';

/** The name in a Host header without port and brackets, in lower case; undefined where it cannot be one. */
function hostName(hostHeader: string): string | undefined {
  const match = /^(\[[0-9a-f:.%]+\]|[^:[\]/@?#\\\s]+)(:\d{1,5})?$/i.exec(hostHeader);
  return match?.[1]
    ?.toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
}

/**
 * True for an address, `localhost`, the host that Core was told to listen on, and the hosts of allowed origins: names
 * that no stranger can have bound to this address. A client without a Host header is no browser.
 */
export function hostAllowed(
  hostHeader: string | undefined,
  configuredHost: string,
  allowedOrigins: readonly string[],
): boolean {
  if (hostHeader === undefined) return true;
  const name = hostName(hostHeader);
  if (name === undefined) return false;
  if (isIP(name) !== 0 || name === 'localhost' || name === configuredHost.toLowerCase()) return true;
  return allowedOrigins.some((origin) => new URL(origin).hostname.toLowerCase() === name);
}

/** True for the page that came from where it asks, and for origins that are allowed. No Origin is no browser. */
export function originAllowed(
  origin: string | undefined,
  hostHeader: string | undefined,
  allowedOrigins: readonly string[],
): boolean {
  if (origin === undefined || allowedOrigins.includes(origin)) return true;
  if (hostHeader === undefined || !URL.canParse(origin)) return false;
  const page = new URL(origin);
  if (page.protocol !== 'http:' && page.protocol !== 'https:') return false;
  // Read by the same scheme, so that its default port may be left out on either side.
  const asked = `${page.protocol}//${hostHeader}`;
  return hostName(hostHeader) !== undefined && URL.canParse(asked) && new URL(asked).host === page.host;
}
