/**
 * What backends ask about tokens, and are told: the part of the access folder's doorkeeper that they use.
 *
 * Owned by main: types, and what follows from them.
 */
import type { Principal } from '../access/principal.js';

export interface AskedFrom {
  readonly listener: 'rest' | 'proxy';
  /** IP address, without the port. */
  readonly address: string;
  /** The headers of that name; undefined where there is none. */
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

/**
 * `missing`: a token is needed. `invalid`: it is wrong or revoked. `expired`: it was right once. `locked`: too many
 * wrong ones came from this address. `host`, `origin`: access is open, but not to pages of strangers.
 */
export type Refusal = 'missing' | 'invalid' | 'expired' | 'locked' | 'host' | 'origin';

export type AccessVerdict =
  | { readonly principal: Principal; readonly refusal?: undefined }
  | { readonly principal?: undefined; readonly refusal: Refusal };

/** Something that was granted may have to end. */
export type AccessChange =
  | { readonly kind: 'revoked' | 'expired'; readonly tokenId: string }
  /** The first token was made: whoever was let in because access was open may not stay. */
  | { readonly kind: 'no-longer-open' };

export interface BackendAccess {
  check(token: string | undefined, from: AskedFrom): AccessVerdict;
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
