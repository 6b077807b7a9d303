/**
 * Who may do what: the one place where a token, an address and a listener become a {@link Principal} or a refusal. REST,
 * WebSocket and raw backends all ask here. Main thread.
 *
 *   a token was shown                     that token's principal, or refused: a wrong token is never taken for none
 *   no token, `auth.allow_anonymous`      anonymous with read, stream and command; never admin
 *   no token, none was ever made, and
 *   the listener is on loopback           anonymous with all roles: open, as in the original
 *   no token otherwise                    refused
 *
 * Whoever is anonymous may still be a page of a stranger in somebody's browser: Host and Origin are checked (web.ts).
 */
import type { Config } from '../config/config.js';
import { backendHost, isLoopback } from '../config/rules.js';
import { originsOf } from '../config/values.js';
import { LIMITS } from '../limits.js';
import type { StateStore } from '../state/store.js';
import { FailureTable } from './failures.js';
import type { Principal } from './principal.js';
import { ANONYMOUS, ANONYMOUS_OPEN } from './principals.js';
import { type TokenRecord, type TokenState, tokenState } from './token-record.js';
import { type NewToken, Tokens } from './tokens.js';
import { hostAllowed, originAllowed } from './web.js';

/** The ports that ask, each with a host of its own. */
export type Listener = 'rest' | 'proxy';

export interface AccessContext {
  readonly listener: Listener;
  /** IP address of whoever asks, without the port. */
  readonly address: string;
  /** The headers of that name, where there are any. */
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}

/**
 * `missing`: a token is needed. `invalid`: it is wrong or revoked. `expired`: it was right once. `locked`: too many
 * wrong ones came from this address. `host`, `origin`: access is open, but not to pages of strangers.
 */
export type Refusal = 'missing' | 'invalid' | 'expired' | 'locked' | 'host' | 'origin';

export type Verdict =
  | { readonly principal: Principal; readonly refusal?: undefined }
  | { readonly principal?: undefined; readonly refusal: Refusal; readonly retryAfterMs?: number };

/** What ends connections that are held open. */
export type AccessChange =
  | { readonly kind: 'revoked' | 'expired'; readonly tokenId: string }
  /** The first token was made: whoever was let in because access was open may not stay. */
  | { readonly kind: 'no-longer-open' };

/** What REST and others ask; {@link Access} is the real one. */
export interface Gatekeeper {
  /** `token` is what stood behind `Bearer`, undefined where there was nothing. */
  check(token: string | undefined, context: AccessContext): Verdict;
}

export interface AccessHooks {
  /** An address is no longer listened to. */
  onLocked?(address: string): void;
}

const SWEEP_MS = 1000;

export class Access implements Gatekeeper {
  readonly #tokens: Tokens;
  readonly #failures = new FailureTable();
  readonly #hosts: Readonly<Record<Listener, string>>;
  readonly #allowedOrigins: readonly string[];
  readonly #allowAnonymous: boolean;
  readonly #now: () => number;
  readonly #hooks: AccessHooks;
  readonly #subscribers = new Set<(change: AccessChange) => void>();
  /** Tokens that are active, to notice when one expires. */
  readonly #active = new Map<string, number | null>();
  readonly #sweep: NodeJS.Timeout;
  #usesSavedMs: number;

  static async open(
    config: Pick<Config, 'server' | 'proxy' | 'auth'>,
    state: StateStore,
    hooks: AccessHooks = {},
    now: () => number = Date.now,
  ): Promise<Access> {
    return new Access(config, await Tokens.load(state), hooks, now);
  }

  private constructor(
    { server, proxy, auth }: Pick<Config, 'server' | 'proxy' | 'auth'>,
    tokens: Tokens,
    hooks: AccessHooks,
    now: () => number,
  ) {
    this.#tokens = tokens;
    this.#hooks = hooks;
    this.#now = now;
    this.#hosts = { rest: backendHost(server), proxy: proxy.host };
    this.#allowedOrigins = originsOf(auth.allowed_origins);
    this.#allowAnonymous = auth.allow_anonymous;
    this.#usesSavedMs = now();
    for (const token of tokens.list())
      if (tokenState(token, now()) === 'active') this.#active.set(token.id, token.expiresMs);
    this.#sweep = setInterval(() => this.sweep(), SWEEP_MS);
    this.#sweep.unref();
  }

  check(token: string | undefined, context: AccessContext): Verdict {
    if (token === undefined) return this.#anonymous(context);
    const nowMs = this.#now();
    const lockedMs = this.#failures.lockedMs(context.address, nowMs);
    if (lockedMs > 0) return { refusal: 'locked', retryAfterMs: lockedMs };
    const found = this.#tokens.check(token, nowMs);
    switch (found.kind) {
      case 'good':
        return { principal: found.principal };
      case 'expired':
        return { refusal: 'expired' };
      case 'revoked':
        return { refusal: 'invalid' };
      case 'wrong':
        if (this.#failures.failed(context.address, nowMs)) this.#hooks.onLocked?.(context.address);
        return { refusal: 'invalid' };
    }
  }

  /** True where nobody is asked for a token because none was ever made. */
  isOpen(listener: Listener): boolean {
    return !this.#allowAnonymous && !this.#tokens.anyMade && isLoopback(this.#hosts[listener]);
  }

  #anonymous({ listener, host, origin }: AccessContext): Verdict {
    const principal = this.#allowAnonymous ? ANONYMOUS : this.isOpen(listener) ? ANONYMOUS_OPEN : undefined;
    if (principal === undefined) return { refusal: 'missing' };
    if (!hostAllowed(host, this.#hosts[listener], this.#allowedOrigins)) return { refusal: 'host' };
    if (!originAllowed(origin, host, this.#allowedOrigins)) return { refusal: 'origin' };
    return { principal };
  }

  tokens(): TokenRecord[] {
    return this.#tokens.list();
  }

  token(id: string): TokenRecord | undefined {
    return this.#tokens.get(id);
  }

  stateOf(token: TokenRecord): TokenState {
    return tokenState(token, this.#now());
  }

  /** Throws {@link TokenTableFull}, {@link TokenNotSaved}. */
  async createToken(wanted: NewToken): Promise<{ readonly record: TokenRecord; readonly text: string }> {
    const wasOpen = !this.#tokens.anyMade && !this.#allowAnonymous;
    const made = await this.#tokens.create(wanted, this.#now());
    this.#active.set(made.record.id, made.record.expiresMs);
    if (wasOpen) this.#tell({ kind: 'no-longer-open' });
    return made;
  }

  /** In force at once, resolves when durable; throws {@link TokenNotSaved}. False where it was revoked before. */
  async revokeToken(id: string): Promise<boolean> {
    const done = this.#tokens.revoke(id, this.#now());
    if (this.#active.delete(id)) this.#tell({ kind: 'revoked', tokenId: id });
    return done;
  }

  /** Told after the change is in force; the function it returns ends it. */
  onChange(subscriber: (change: AccessChange) => void): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Once a second: tells of tokens that have expired, and now and then saves when tokens were used. */
  sweep(): void {
    const nowMs = this.#now();
    for (const [id, expiresMs] of this.#active) {
      if (expiresMs === null || expiresMs > nowMs) continue;
      this.#active.delete(id);
      this.#tell({ kind: 'expired', tokenId: id });
    }
    if (nowMs - this.#usesSavedMs < LIMITS.tokenUseSaveMs) return;
    this.#usesSavedMs = nowMs;
    this.#tokens.saveUses();
  }

  /** Before the state is closed. */
  close(): void {
    clearInterval(this.#sweep);
    this.#tokens.saveUses();
  }

  /** For the start: what tokens there are. */
  summary(): {
    readonly active: number;
    readonly expired: number;
    readonly revoked: number;
    readonly damaged: number;
  } {
    const counts = { active: 0, expired: 0, revoked: 0 };
    for (const state of this.#tokens.states(this.#now())) counts[state] += 1;
    return { ...counts, damaged: this.#tokens.damaged };
  }

  #tell(change: AccessChange): void {
    for (const subscriber of this.#subscribers) subscriber(change);
  }
}
