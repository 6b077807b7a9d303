/**
 * Waiting in tests: always for something, never for time to pass, and never without an end. What did not happen in
 * time is said in the error.
 */
import { setTimeout as pause } from 'node:timers/promises';

/** Long for a loaded machine, short for a person; a test that runs into it has failed. */
export const PATIENCE_MS = 30_000;

/** `promise`, or an error that names `what` once the time is over. `details` may add what is known by then. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  timeoutMs = PATIENCE_MS,
  details: () => string = () => '',
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not within ${timeoutMs} ms: ${what}\n${details()}`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until the answer is something else than undefined: for what nobody announces. */
export async function poll<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
  timeoutMs = PATIENCE_MS,
  details: () => string = () => '',
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}\n${details()}`);
    await pause(10);
  }
}

/** Waiters for a growing list: each resolves with the first element, past or future, that it was looking for. */
export class Watched<T> {
  readonly all: T[] = [];
  readonly #waiting = new Set<{ test: (element: T) => boolean; done: (element: T) => void }>();

  push(element: T): void {
    this.all.push(element);
    for (const waiter of this.#waiting) {
      if (!waiter.test(element)) continue;
      this.#waiting.delete(waiter);
      waiter.done(element);
    }
  }

  /** The first element from `from` on that passes the test. */
  first(test: (element: T) => boolean, from = 0): Promise<T> {
    for (let at = from; at < this.all.length; at++) {
      const element = this.all[at] as T;
      if (test(element)) return Promise.resolve(element);
    }
    return new Promise((done) => {
      this.#waiting.add({ test, done });
    });
  }
}
