/** The principals that are not made of a token. Any thread: constants only. */
import { type Principal, ROLES, type Role } from './principal.js';
import { NO_LIMIT } from './scope.js';

function withRoles(kind: 'local' | 'anonymous', roles: readonly Role[]): Principal {
  return Object.freeze({
    kind,
    tokenId: null,
    name: kind,
    roles: new Set(roles),
    scope: NO_LIMIT,
    expiresMs: null,
  });
}

/** Whoever opened the control socket in the data directory. */
export const LOCAL = withRoles('local', ROLES);
/** With `auth.allow_anonymous`: never admin, which would be to hand Core over. */
export const ANONYMOUS = withRoles('anonymous', ['read', 'stream', 'command']);
/** On loopback, as long as no token was ever made. */
export const ANONYMOUS_OPEN = withRoles('anonymous', ROLES);
/** Whoever asks for what needs no token, or was refused. */
export const STRANGER = withRoles('anonymous', []);
