/**
 * Lines in the log about what strangers do: so many in a second, the rest is counted and told with the next one.
 * Owned by main.
 */
import type { Logger } from 'pino';
import { LIMITS } from '../limits.js';

const SECOND_MS = 1000;

export class BoundedLog {
  readonly #logger: Logger;
  readonly #monotonic: () => number;
  #secondMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #heldBack = 0;

  constructor(logger: Logger, monotonic: () => number = () => performance.now()) {
    this.#logger = logger;
    this.#monotonic = monotonic;
  }

  warn(fields: Readonly<Record<string, unknown>>, message: string): void {
    const nowMs = this.#monotonic();
    if (nowMs - this.#secondMs >= SECOND_MS) {
      this.#secondMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= LIMITS.refusedRegistrationLines) {
      this.#heldBack++;
      return;
    }
    this.#lines++;
    const heldBack = this.#heldBack === 0 ? {} : { linesHeldBack: this.#heldBack };
    this.#heldBack = 0;
    this.#logger.warn({ ...fields, ...heldBack }, message);
  }
}
