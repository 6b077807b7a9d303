/**
 * What is kept of a token, and how it is written into the state: one JSON object under the token's id.
 *
 * Main thread; pure.
 */
import { type Principal, ROLES, type Role, type Scope, withImplied } from './principal.js';

export interface TokenRecord {
  readonly id: string;
  readonly name: string;
  /** As given; {@link withImplied} tells what comes with them. */
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly createdMs: number;
  /** Name of whoever made it. */
  readonly createdBy: string;
  readonly expiresMs: number | null;
  readonly revokedMs: number | null;
  readonly lastUsedMs: number | null;
  /** SHA-256 of the secret. */
  readonly hash: Buffer;
}

export type TokenState = 'active' | 'expired' | 'revoked';

export function tokenState(token: TokenRecord, nowMs: number): TokenState {
  if (token.revokedMs !== null) return 'revoked';
  return token.expiresMs !== null && token.expiresMs <= nowMs ? 'expired' : 'active';
}

export function principalOf(token: TokenRecord): Principal {
  return Object.freeze({
    kind: 'token',
    tokenId: token.id,
    name: token.name,
    roles: withImplied(token.roles),
    scope: token.scope,
    expiresMs: token.expiresMs,
  });
}

export function writeToken(token: TokenRecord): string {
  return JSON.stringify({
    v: 1,
    name: token.name,
    roles: token.roles,
    nodes: token.scope.nodes,
    event_types: token.scope.eventTypes,
    created: token.createdMs,
    created_by: token.createdBy,
    expires: token.expiresMs,
    revoked: token.revokedMs,
    last_used: token.lastUsedMs,
    sha256: token.hash.toString('hex'),
  });
}

/** Undefined where the value is damaged, or was written by a later version: such a token lets nobody in. */
export function readToken(id: string, value: string): TokenRecord | undefined {
  let found: Record<string, unknown>;
  try {
    found = Object(JSON.parse(value)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  const { v, name, roles, nodes, event_types, created, created_by, expires, revoked, last_used, sha256 } =
    found;
  if (v !== 1 || typeof name !== 'string' || typeof created_by !== 'string') return undefined;
  if (!isTime(created) || !isTimeOrNull(expires) || !isTimeOrNull(revoked) || !isTimeOrNull(last_used))
    return undefined;
  if (!isList(roles, isRole) || roles.length === 0) return undefined;
  if (nodes !== null && typeof nodes !== 'string') return undefined;
  if (event_types !== null && !isList(event_types, isText)) return undefined;
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return undefined;
  return {
    id,
    name,
    roles,
    scope: { nodes, eventTypes: event_types },
    createdMs: created,
    createdBy: created_by,
    expiresMs: expires,
    revokedMs: revoked,
    lastUsedMs: last_used,
    hash: Buffer.from(sha256, 'hex'),
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isRole(value: unknown): value is Role {
  return (ROLES as readonly unknown[]).includes(value);
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isTimeOrNull(value: unknown): value is number | null {
  return value === null || isTime(value);
}

function isList<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}
