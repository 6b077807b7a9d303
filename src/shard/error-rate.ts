/**
 * How many frames of a connection were refused within the last minute: two counters, so that an error costs no memory.
 *
 *   | window before: `before` errors | this window: `now` errors ...
 *                     ^------------ the last minute ------------^
 *
 * What is left of the window before within the minute counts with its share, as if its errors had come evenly. So
 * the answer is exact for errors that come evenly or all within one window, and never more than one window late.
 */
const WINDOW_MS = 60_000;

export class ErrorRate {
  /** Windows follow the connection's own first error, not the wall clock's minutes. */
  #startMs = Number.NEGATIVE_INFINITY;
  #now = 0;
  #before = 0;

  /** A frame was refused now (ms since 1970). Errors of the last minute, this one included; may be a fraction. */
  count(nowMs: number): number {
    let elapsedMs = nowMs - this.#startMs;
    if (elapsedMs >= 2 * WINDOW_MS) {
      this.#startMs = nowMs;
      this.#before = 0;
      this.#now = 0;
      elapsedMs = 0;
    } else if (elapsedMs >= WINDOW_MS) {
      this.#startMs += WINDOW_MS;
      this.#before = this.#now;
      this.#now = 0;
      elapsedMs -= WINDOW_MS;
    } else if (elapsedMs < 0) {
      // The clock was set back: what was counted stays counted, the window begins anew.
      this.#startMs = nowMs;
      elapsedMs = 0;
    }
    this.#now++;
    return this.#now + this.#before * (1 - elapsedMs / WINDOW_MS);
  }
}
