/**
 * How fast one backend is served: a bucket of tokens that fills steadily. An answer costs one and more the longer it
 * is, so that whoever asks for long lists again and again cannot keep main from its work. Nobody is refused: what is
 * too fast waits, and how much may wait is bounded where it does.
 *
 * Owned by main. The clock is passed in.
 */
import { LIMITS } from '../limits.js';

export class Pace {
  #tokens: number = LIMITS.backendTokensPerSecond;
  #filledMs: number;

  constructor(nowMs: number) {
    this.#filledMs = nowMs;
  }

  /** Milliseconds until the next message may be dealt with; 0 for now. */
  delayMs(nowMs: number): number {
    const perSecond = LIMITS.backendTokensPerSecond;
    this.#tokens = Math.min(perSecond, this.#tokens + ((nowMs - this.#filledMs) * perSecond) / 1000);
    this.#filledMs = nowMs;
    return this.#tokens > 0 ? 0 : Math.ceil((-this.#tokens * 1000) / perSecond) + 1;
  }

  charge(answerLength: number): void {
    this.#tokens -= 1 + answerLength / LIMITS.backendTokenBytes;
  }
}
