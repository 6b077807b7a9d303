/**
 * Wrong tokens by address: after so many in a minute an address is not listened to for a minute.
 *
 * Main thread. Nobody can guess a token; this keeps guessing from costing anything, and makes it be seen. Bounded: the
 * address that was heard of longest ago is forgotten first.
 */

import { addressKey } from '../addresses.js';
import { LIMITS } from '../limits.js';

const WINDOW_MS = 60_000;

interface Row {
  count: number;
  /** While it counts: the end of its minute; while it is locked: the end of the lock. */
  untilMs: number;
}

export class FailureTable {
  /** In the order of the last failure. */
  readonly #rows = new Map<string, Row>();

  /** Milliseconds until the address is listened to again; 0 when it is now. */
  lockedMs(address: string, nowMs: number): number {
    const row = this.#rows.get(addressKey(address));
    if (row === undefined || row.count < LIMITS.accessFailuresPerMinute) return 0;
    return Math.max(0, row.untilMs - nowMs);
  }

  /** True when this one locks the address. */
  failed(address: string, nowMs: number): boolean {
    const key = addressKey(address);
    let row = this.#rows.get(key);
    this.#rows.delete(key);
    if (row === undefined || row.untilMs <= nowMs) row = { count: 0, untilMs: nowMs + WINDOW_MS };
    this.#rows.set(key, row);
    row.count += 1;
    if (this.#rows.size > LIMITS.accessFailureAddresses)
      this.#rows.delete(this.#rows.keys().next().value as string);
    if (row.count !== LIMITS.accessFailuresPerMinute) return false;
    row.untilMs = nowMs + WINDOW_MS;
    return true;
  }
}
