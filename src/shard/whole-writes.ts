/**
 * Writes of which it must be known whether the other side can have all of them. Runs where the socket is: in the shard, or
 * on main in portable mode.
 *
 * A write starts only when nothing is waiting in front of it. So as long as it is not taken, some of it has not left,
 * and a socket that is destroyed now will never send the rest: the other side cannot have a whole frame.
 */
import type { Socket } from 'node:net';

interface Write {
  readonly text: string;
  readonly taken: () => void;
}

export class WholeWrites {
  readonly #socket: Socket;
  readonly #waiting: Write[] = [];
  #waitingLength = 0;
  #busy = false;
  #started = false;
  #over = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Characters that have not been given to the socket. */
  get waitingLength(): number {
    return this.#waitingLength;
  }

  /** A part of a write may have left, and it is not known that all of it has. */
  get isTorn(): boolean {
    return this.#started;
  }

  /** `taken` is called once the operating system has all of it; never after `stop`. */
  write(text: string, taken: () => void): void {
    this.#waiting.push({ text, taken });
    this.#waitingLength += text.length;
    this.#next();
  }

  /** Nothing more is written, and nobody is told any more. */
  stop(): void {
    this.#over = true;
    this.#waiting.length = 0;
    this.#waitingLength = 0;
  }

  #next(): void {
    const socket = this.#socket;
    const [write] = this.#waiting;
    if (write === undefined || this.#busy || this.#over || socket.destroyed || !socket.writable) return;
    this.#busy = true;
    if (socket.writableLength > 0) {
      // Nothing, behind everything: when that is through, the way is free.
      socket.write('', () => this.#freed());
      return;
    }
    this.#waiting.shift();
    this.#waitingLength -= write.text.length;
    this.#started = true;
    socket.write(write.text, (error) => {
      if (this.#over || (error !== null && error !== undefined)) return;
      this.#started = false;
      write.taken();
      this.#freed();
    });
  }

  #freed(): void {
    this.#busy = false;
    this.#next();
  }
}
