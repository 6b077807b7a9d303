/**
 * Requests that carry an idempotency key: who asks again with the same key for the same thing gets the first answer again,
 * whether that was made a moment or a restart ago. A key lives as long as what it made.
 *
 * Owned by main. Keys are kept as hashes, together with whose they are: one principal cannot see another's.
 */
import { createHash } from 'node:crypto';
import type { Principal } from '../access/principal.js';
import { CommandError } from './errors.js';
import type { IdempotencyMark } from './record.js';

export interface Known {
  readonly body: string;
  readonly id: string;
  /** Resolves when what it made is durable; rejects when it was not made after all. */
  readonly made: Promise<unknown> | null;
}

/** `request` is everything that makes two requests the same, as JSON. */
export function idempotencyMark(principal: Principal, key: string, request: unknown): IdempotencyMark {
  return { key: hash(`${principalKey(principal)}\n${key}`), body: hash(JSON.stringify(request)) };
}

/** Whose something is: the token, not its name. */
export function principalKey({ kind, tokenId }: Pick<Principal, 'kind' | 'tokenId'>): string {
  return tokenId === null ? kind : `token ${tokenId}`;
}

export class IdempotencyKeys {
  readonly #known = new Map<string, Known>();

  /** What the key has made, or is making; undefined for a new key. Throws where it was used for another request. */
  find(mark: IdempotencyMark | null): Known | undefined {
    const known = mark === null ? undefined : this.#known.get(mark.key);
    if (known !== undefined && known.body !== mark!.body)
      throw new CommandError('IDEMPOTENCY_CONFLICT', 'this idempotency key was used for another request');
    return known;
  }

  /** Remembers a key from now on; forgets it again where `made` fails. */
  add(mark: IdempotencyMark | null, id: string, made: Promise<unknown> | null): void {
    if (mark === null) return;
    this.#known.set(mark.key, { body: mark.body, id, made });
    made?.catch(() => this.#known.delete(mark.key));
  }

  forget(key: string | null): void {
    if (key !== null) this.#known.delete(key);
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
