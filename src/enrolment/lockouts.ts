/**
 * Who has failed too often: five failures within a minute lock a name or an address out for a minute, and twice as
 * long each further time, up to an hour; two quiet hours later all is forgotten.
 *
 * Owned by main. Times are of a clock that is never set back. The table is bounded: what failed longest ago gives way.
 */
import { LIMITS } from '../limits.js';

const FAILURES = 5;
const WITHIN_MS = 60_000;
const FIRST_LOCK_MS = 60_000;
const LONGEST_LOCK_MS = 3_600_000;
const QUIET_MS = 2 * 3_600_000;

interface Entry {
  /** Times of the last failures, at most {@link FAILURES}. */
  readonly failuresMs: number[];
  lockedUntilMs: number;
  /** How often it was locked out. */
  locks: number;
  lastMs: number;
}

export class Lockouts {
  readonly #entries = new Map<string, Entry>();
  readonly #entriesMax: number;

  constructor(entriesMax: number = LIMITS.lockoutEntries) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#entries.size;
  }

  isLocked(key: string, nowMs: number): boolean {
    const entry = this.#entries.get(key);
    return entry !== undefined && nowMs < entry.lockedUntilMs;
  }

  /** One more failure; answers for how long that locks it out, in ms, or undefined where it does not. */
  failed(key: string, nowMs: number): number | undefined {
    const entry = this.#touch(key, nowMs);
    entry.failuresMs.push(nowMs);
    if (entry.failuresMs.length < FAILURES) return undefined;
    const [firstMs] = entry.failuresMs.splice(0, entry.failuresMs.length - FAILURES + 1);
    if (nowMs - firstMs! > WITHIN_MS) return undefined;
    const lockMs = Math.min(LONGEST_LOCK_MS, FIRST_LOCK_MS * 2 ** entry.locks);
    entry.locks++;
    entry.lockedUntilMs = nowMs + lockMs;
    entry.failuresMs.length = 0;
    return lockMs;
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  /** The entry, now the newest of the table. */
  #touch(key: string, nowMs: number): Entry {
    let entry = this.#entries.get(key);
    this.#entries.delete(key);
    if (entry === undefined || nowMs - Math.max(entry.lastMs, entry.lockedUntilMs) > QUIET_MS)
      entry = { failuresMs: [], lockedUntilMs: 0, locks: 0, lastMs: nowMs };
    entry.lastMs = nowMs;
    this.#entries.set(key, entry);
    if (this.#entries.size > this.#entriesMax) this.#entries.delete(this.#entries.keys().next().value!);
    return entry;
  }
}
