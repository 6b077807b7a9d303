/**
 * The time for which unknown names may enrol themselves in `required`: opened by an administrator, closed by the
 * clock. It survives a restart.
 *
 * Owned by main. Kept in section `meta`.
 */
import { LIMITS } from '../limits.js';
import type { StateStore } from '../state/store.js';

export const WINDOW_KEY = 'enrolment-window';

export class EnrolmentWindow {
  readonly #store: StateStore;
  readonly #now: () => number;
  #untilMs: number;

  /** `kept`: the text that was found in the store. */
  constructor(store: StateStore, now: () => number, kept: string | undefined) {
    this.#store = store;
    this.#now = now;
    const untilMs = Number(kept ?? 0);
    this.#untilMs = Number.isSafeInteger(untilMs) ? untilMs : 0;
  }

  /** When it closes, in ms since 1970; null where it is closed. */
  get openUntilMs(): number | null {
    const leftMs = this.#untilMs - this.#now();
    // Longer than any window: the clock was set back. Closed, then.
    return leftMs > 0 && leftMs <= LIMITS.enrolmentWindowMs ? this.#untilMs : null;
  }

  /** Resolves when it is durable. `durationMs` is at most LIMITS.enrolmentWindowMs. */
  async open(durationMs: number): Promise<void> {
    if (!(durationMs > 0 && durationMs <= LIMITS.enrolmentWindowMs))
      throw new Error('a window of enrolment is longer than it may be');
    await this.#set(this.#now() + Math.ceil(durationMs));
  }

  async close(): Promise<void> {
    await this.#set(0);
  }

  async #set(untilMs: number): Promise<void> {
    const written = this.#store.write([{ section: 'meta', key: WINDOW_KEY, value: String(untilMs) }]);
    this.#untilMs = untilMs;
    await written;
  }
}
