/**
 * What backends ask about tokens, and are told: the part of the access folder's doorkeeper that they use.
 *
 * Owned by main: types, and what follows from them.
 */
import type { AccessChange, AccessContext, Verdict } from '../access/access.js';
import type { Principal } from '../access/principal.js';

export type {
  AccessChange,
  AccessContext as AskedFrom,
  Refusal,
  Verdict as AccessVerdict,
} from '../access/access.js';

export interface BackendAccess {
  check(token: string | undefined, from: AccessContext): Verdict;
  /** Told after the change is in force; the function it returns ends it. */
  onChange(subscriber: (change: AccessChange) => void): () => void;
}

/** Does the change end what this principal was granted? Says why, for the goodbye. */
export function endedBy(change: AccessChange, principal: Principal): string | undefined {
  switch (change.kind) {
    case 'revoked':
    case 'expired':
      return principal.tokenId === change.tokenId ? `the token is ${change.kind}` : undefined;
    case 'no-longer-open':
      return principal.kind === 'anonymous' ? 'a token is needed by now' : undefined;
  }
}
