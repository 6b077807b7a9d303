/**
 * The messages of one backend that wait for their turn: one at a time, each answered before the next is looked at, at
 * the backend's pace. Whoever carries the conversation bounds how many may wait.
 *
 * Owned by main.
 */
import type { Conversation, Reply } from './conversation.js';
import { Pace } from './pace.js';

export class Turns {
  readonly #conversation: Conversation;
  /** Sends the answer and does what follows from it. May be waited for: then nothing more is answered meanwhile. */
  readonly #answer: (reply: Reply) => void | Promise<void>;
  readonly #onIdle: () => void;
  readonly #pace = new Pace(performance.now());
  readonly #waiting: string[] = [];
  #busy = false;
  #over = false;

  constructor(
    conversation: Conversation,
    answer: (reply: Reply) => void | Promise<void>,
    onIdle: () => void = () => {},
  ) {
    this.#conversation = conversation;
    this.#answer = answer;
    this.#onIdle = onIdle;
  }

  /** Nothing waits and nothing is being done. */
  get idle(): boolean {
    return !this.#busy;
  }

  push(text: string): void {
    if (this.#over) return;
    this.#waiting.push(text);
    if (!this.#busy) void this.#work();
  }

  /** What waits is forgotten; what is being done is not answered any more. */
  end(): void {
    this.#over = true;
    this.#waiting.length = 0;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const delayMs = this.#pace.delayMs(performance.now());
      if (delayMs > 0) {
        await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
        continue;
      }
      const reply = await this.#conversation.receive(this.#waiting.shift()!);
      if (this.#over) break;
      this.#pace.charge(reply.text.length);
      await this.#answer(reply);
    }
    this.#busy = false;
    if (!this.#over) this.#onIdle();
  }
}
