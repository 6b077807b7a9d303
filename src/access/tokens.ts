/**
 * The API tokens: all of them in memory, each change durable before anybody is told of it. Main thread.
 *
 *   made --> active --(its time is over)--> expired
 *                  \--(revoked)----------> revoked       stays in the list until room is needed
 *
 * Only hashes are kept. When a token was last used is known in memory and saved now and then.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../limits.js';
import { StateBacklogFull, type StateChange, type StateStore } from '../state/store.js';
import type { Principal, Role, Scope } from './principal.js';
import {
  principalOf,
  readToken,
  type TokenRecord,
  type TokenState,
  tokenState,
  writeToken,
} from './token-record.js';
import { hashOf, newSecret, newTokenId, parseToken, sameHash, tokenText } from './token-text.js';

export interface NewToken {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly expiresMs: number | null;
  /** Name of whoever makes it. */
  readonly createdBy: string;
}

/** Why a change was not made: no room for another token, or the state does not reach the disk. */
export class TokenTableFull extends Error {}
export class TokenNotSaved extends Error {}

export type TokenCheck =
  | { readonly kind: 'good'; readonly principal: Principal }
  | { readonly kind: 'expired' | 'revoked' | 'wrong' };

interface Held {
  record: TokenRecord;
  readonly principal: Principal;
}

export class Tokens {
  readonly #state: StateStore;
  readonly #held = new Map<string, Held>();
  /** Ids whose last use is not saved yet. */
  readonly #used = new Set<string>();
  /** In force, but whoever asked for it was told that it is not saved, or is waiting for that. */
  readonly #unsavedRevocations = new Set<string>();
  /** Records that cannot be read: they let nobody in, and they say that tokens were made. */
  readonly damaged: number;

  static async load(state: StateStore): Promise<Tokens> {
    const records: TokenRecord[] = [];
    let damaged = 0;
    for await (const [id, value] of state.read('token')) {
      const record = readToken(id, value);
      if (record === undefined) damaged += 1;
      else records.push(record);
    }
    return new Tokens(state, records, damaged);
  }

  private constructor(state: StateStore, records: readonly TokenRecord[], damaged: number) {
    this.#state = state;
    this.damaged = damaged;
    for (const record of records) this.#hold(record);
  }

  /** A token that was revoked or has expired was made, too. */
  get anyMade(): boolean {
    return this.#held.size + this.damaged > 0;
  }

  /** The newest first. */
  list(): TokenRecord[] {
    return [...this.#held.values()].map(({ record }) => record).sort((a, b) => b.createdMs - a.createdMs);
  }

  get(id: string): TokenRecord | undefined {
    return this.#held.get(id)?.record;
  }

  states(nowMs: number): TokenState[] {
    return [...this.#held.values()].map(({ record }) => tokenState(record, nowMs));
  }

  /** The same work for an unknown id as for a known one. */
  check(text: string, nowMs: number): TokenCheck {
    const parts = parseToken(text);
    if (parts === undefined) return { kind: 'wrong' };
    const held = this.#held.get(parts.id);
    if (!sameHash(held?.record.hash, hashOf(parts.secret)) || held === undefined) return { kind: 'wrong' };
    const state = tokenState(held.record, nowMs);
    if (state !== 'active') return { kind: state };
    held.record = { ...held.record, lastUsedMs: nowMs };
    this.#used.add(parts.id);
    return { kind: 'good', principal: held.principal };
  }

  /** Resolves when the token is durable; its text is nowhere but in the answer. */
  async create(
    wanted: NewToken,
    nowMs: number,
  ): Promise<{ readonly record: TokenRecord; readonly text: string }> {
    const changes: StateChange[] = [];
    if (this.#held.size >= LIMITS.apiTokens) changes.push({ section: 'token', key: this.#forgetDead(nowMs) });
    let id = newTokenId();
    while (this.#held.has(id)) id = newTokenId();
    const secret = newSecret();
    const record: TokenRecord = {
      id,
      ...wanted,
      createdMs: nowMs,
      revokedMs: null,
      lastUsedMs: null,
      hash: hashOf(secret),
    };
    // Held from here on, so that two made at once cannot both take the last place; its text is not known to anybody.
    this.#hold(record);
    changes.push({ section: 'token', key: id, value: writeToken(record) });
    try {
      await this.#save(changes);
    } catch (error) {
      // Nobody will ever have its secret: it must not come back at the next start.
      this.#held.delete(id);
      this.#saveLater([{ section: 'token', key: id }]);
      throw error;
    }
    return { record, text: tokenText({ id, secret }) };
  }

  /** In force at once; resolves when it is durable. False where that was so before. */
  async revoke(id: string, nowMs: number): Promise<boolean> {
    const held = this.#held.get(id);
    if (held === undefined) throw new Error(`no token ${id}`);
    if (held.record.revokedMs === null) held.record = { ...held.record, revokedMs: nowMs };
    else if (!this.#unsavedRevocations.has(id)) return false;
    this.#unsavedRevocations.add(id);
    await this.#save([this.#put(held.record)]);
    return this.#unsavedRevocations.delete(id);
  }

  /** Saves when tokens were last used; without waiting. */
  saveUses(): void {
    const changes = [...this.#used].flatMap((id) => {
      const held = this.#held.get(id);
      return held === undefined ? [] : [this.#put(held.record)];
    });
    this.#used.clear();
    if (changes.length > 0) this.#saveLater(changes);
  }

  #hold(record: TokenRecord): void {
    this.#held.set(record.id, { record, principal: principalOf(record) });
  }

  /** Makes room: the id of the token that has been of no use for longest. */
  #forgetDead(nowMs: number): string {
    const dead = [...this.#held.values()].filter(({ record }) => tokenState(record, nowMs) !== 'active');
    const endOf = ({ record }: Held) => record.revokedMs ?? record.expiresMs ?? 0;
    const [oldest] = dead.sort((a, b) => endOf(a) - endOf(b));
    if (oldest === undefined) throw new TokenTableFull();
    this.#held.delete(oldest.record.id);
    this.#used.delete(oldest.record.id);
    return oldest.record.id;
  }

  #put(record: TokenRecord): StateChange {
    return { section: 'token', key: record.id, value: writeToken(record) };
  }

  async #save(changes: readonly StateChange[]): Promise<void> {
    const abort = new AbortController();
    const late = pause(LIMITS.stateAnswerTimeoutMs, 'late', { signal: abort.signal, ref: false });
    late.catch(() => {});
    try {
      if ((await Promise.race([this.#state.write(changes), late])) === 'late') throw new TokenNotSaved();
    } catch (error) {
      throw error instanceof StateBacklogFull ? new TokenNotSaved() : error;
    } finally {
      abort.abort();
    }
  }

  #saveLater(changes: readonly StateChange[]): void {
    try {
      this.#state.write(changes).catch(() => {});
    } catch (error) {
      if (!(error instanceof StateBacklogFull)) throw error;
    }
  }
}
