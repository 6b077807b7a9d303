/**
 * Which web pages may open a WebSocket: a browser sends the page's origin along, and opens WebSockets to anywhere
 * without asking. Whoever sends no Origin is no browser.
 *
 * Owned by main; pure.
 */
import { originAllowed } from '../access/web.js';

export interface PageRule {
  /** `auth.allowed_origins`. */
  readonly allowedOrigins: readonly string[];
  /** Of the REST server: pages it serves may open WebSockets on the same host, though it is another origin. */
  readonly restPort: number;
}

/** `host`: the Host header, empty where there is none; likewise `origin`. */
export function pageAllowed(origin: string, host: string, rule: PageRule): boolean {
  if (origin === '') return true;
  if (originAllowed(origin, host === '' ? undefined : host, rule.allowedOrigins)) return true;
  const ownPage = host.replace(/:\d{1,5}$/, '');
  return originAllowed(origin, `${ownPage}:${rule.restPort}`, []) && ownPage !== '';
}
