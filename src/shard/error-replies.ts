/**
 * How often a connection is told (and the log told) that its frames are refused: at most once in
 * LIMITS.errorReplyIntervalMs; the rest is counted and named in the next answer.
 */
import { LIMITS } from '../limits.js';

export class ErrorReplies {
  #lastMs = Number.NEGATIVE_INFINITY;
  #heldBack = 0;

  /** A frame was refused now. How many answers were held back since the last one, or undefined: hold this one back. */
  next(nowMs: number): number | undefined {
    if (nowMs - this.#lastMs < LIMITS.errorReplyIntervalMs) {
      this.#heldBack++;
      return undefined;
    }
    const heldBack = this.#heldBack;
    this.#heldBack = 0;
    this.#lastMs = nowMs;
    return heldBack;
  }
}
