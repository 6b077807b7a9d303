/**
 * Whoever asks where nobody is asked who they are: loopback, and no token was ever made.
 *
 * Owned by main: a constant.
 */
import { type Principal, ROLES } from './principal.js';

export const OPEN_ACCESS: Principal = {
  kind: 'anonymous',
  tokenId: null,
  name: 'anonymous',
  roles: new Set(ROLES),
  scope: { nodes: null, eventTypes: null },
  expiresMs: null,
};
