/**
 * Main's side of the bench's worker threads: starts one, waits for a message of a type, and turns its death or its
 * `failed` message into an error for whoever waits.
 */
import { Worker } from 'node:worker_threads';

interface Message {
  readonly type: string;
}

export class BenchThread<Incoming extends Message, Outgoing> {
  readonly #worker: Worker;
  readonly #name: string;
  readonly #arrived: Incoming[] = [];
  #waiting:
    | { type: string; resolve: (message: Incoming) => void; reject: (error: Error) => void }
    | undefined;
  #failure: Error | undefined;

  constructor(name: string, file: URL, data: unknown) {
    this.#name = name;
    this.#worker = new Worker(file, { workerData: data, name });
    this.#worker.on('message', (message: Incoming & { message?: string }) => {
      if (message.type === 'failed') this.#fail(new Error(`${name}: ${message.message}`));
      else this.#deliver(message);
    });
    this.#worker.on('error', (error) => this.#fail(new Error(`${name}: ${error.message}`, { cause: error })));
    this.#worker.on('exit', () => this.#fail(new Error(`${name} ended early`)));
  }

  send(message: Outgoing): void {
    this.#worker.postMessage(message);
  }

  /** The next message of this type; one that came before is not lost. */
  receive<Type extends Incoming['type']>(
    type: Type,
    timeoutMs: number,
  ): Promise<Extract<Incoming, { type: Type }>> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(
        () => this.#fail(new Error(`${this.#name}: no "${type}" after ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      this.#waiting = {
        type,
        resolve: (message) => {
          clearTimeout(timeout);
          resolve(message as Extract<Incoming, { type: Type }>);
        },
        reject: (error) => {
          clearTimeout(timeout);
          reject(error);
        },
      };
      const before = this.#arrived.findIndex((message) => message.type === type);
      if (before >= 0) this.#deliver(this.#arrived.splice(before, 1)[0] as Incoming);
      else if (this.#failure) this.#fail(this.#failure);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #deliver(message: Incoming): void {
    if (this.#waiting?.type !== message.type) {
      this.#arrived.push(message);
      return;
    }
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(message);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure);
  }
}
