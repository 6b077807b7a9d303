/**
 * Who asks, and what they may: the words that REST, WebSocket, raw backends and the audit trail share.
 *
 * Owned by main (the aggregator is told verdicts): types and constants only.
 */

export const ROLES = ['read', 'stream', 'command', 'admin'] as const;
/**
 * `read`: nodes, honeypots, statistics, commands and their state. `stream`: events, live and kept. `command`: what
 * `read` may, and telling nodes what to do. `admin`: everything.
 */
export type Role = (typeof ROLES)[number];

/** What a route or message asks for. `any`: a role, whichever it is. `public` needs no token anywhere. */
export type Permission = Role | 'any' | 'public';

/** What a token sees; null is no limit. */
export interface Scope {
  /** Pattern of node names, `*` for any run of characters: `eu-*`. */
  readonly nodes: string | null;
  /** Event types, each may end in `*`. Concerns events only. */
  readonly eventTypes: readonly string[] | null;
}

export interface Principal {
  /** `local`: through the control socket in the data directory, which only its owner can open. `anonymous`: nobody
   *  asked for a token (open access on loopback, or `auth.allow_anonymous`). */
  readonly kind: 'token' | 'local' | 'anonymous';
  /** Id of the token; never the token. */
  readonly tokenId: string | null;
  /** For the audit trail: name of the token, `local` or `anonymous`. */
  readonly name: string;
  readonly roles: ReadonlySet<Role>;
  readonly scope: Scope;
  /** When the token ends, ms since 1970; null for never. */
  readonly expiresMs: number | null;
}

/** Somebody doing something: for the audit trail and for what is kept with a command. */
export interface Actor {
  readonly principal: Principal;
  /** Address it came from: `ip:port`, or `local`. */
  readonly from: string;
  /** Of the REST request, where there is one. */
  readonly requestId?: string;
}

/** True when what is asked for is allowed to whoever asks; scopes are another question. */
export function permits(principal: Principal, permission: Permission): boolean {
  switch (permission) {
    case 'public':
      return true;
    case 'any':
      return principal.roles.size > 0;
    default:
      return principal.roles.has(permission);
  }
}

/** The roles that come with those that were given. */
export function withImplied(given: readonly Role[]): ReadonlySet<Role> {
  const roles = new Set<Role>(given.includes('admin') ? ROLES : given);
  if (roles.has('command')) roles.add('read');
  return roles;
}
