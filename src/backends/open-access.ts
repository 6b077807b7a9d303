/**
 * Access while no token can be made: open on loopback, closed anywhere else.
 *
 * Owned by main.
 */
import { type Principal, ROLES } from '../access/principal.js';
import { hostAllowed } from '../access/web.js';
import { isLoopback } from '../config/rules.js';
import type { AccessVerdict, AskedFrom, BackendAccess } from './access.js';

const EVERYBODY: Principal = {
  kind: 'anonymous',
  tokenId: null,
  name: 'anonymous',
  roles: new Set(ROLES),
  scope: { nodes: null, eventTypes: null },
  expiresMs: null,
};

export function openAccess(hosts: Readonly<Record<AskedFrom['listener'], string>>): BackendAccess {
  return {
    check(token, { listener, host }): AccessVerdict {
      if (token !== undefined) return { refusal: 'invalid' };
      if (!isLoopback(hosts[listener])) return { refusal: 'missing' };
      return hostAllowed(host, hosts[listener], []) ? { principal: EVERYBODY } : { refusal: 'host' };
    },
    onChange: () => () => {},
  };
}
