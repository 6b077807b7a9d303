/**
 * Writes log lines to a file descriptor at once, from whichever thread it lives in. A log that cannot be written is
 * never a reason to stop or to wait: what is lost is counted.
 *
 *   open ──EAGAIN──▶ blocked   lines wait here, up to a bound; tried again by timer, by each line, and at exit
 *        ◀──written──
 *
 * Any other error (reader gone, disk full, descriptor closed) loses the line at hand and leaves the state as it is,
 * because the next line may find room again.
 */
import { writeSync } from 'node:fs';

/** Lines that wait for a reader who is behind; more are lost. */
const waitingBytesMax = 256 * 1024;
const retryMs = 20;

/** `fs.writeSync` to a descriptor; a parameter so that tests can make it fail. */
export type WriteBytes = (fd: number, bytes: Uint8Array) => number;

export class LineWriter {
  readonly #fd: number;
  readonly #write: WriteBytes;
  #state: 'open' | 'blocked' = 'open';
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #retry: NodeJS.Timeout | undefined;
  /** The last thing written was a part of a line: the next one must not be glued to it. */
  #torn = false;
  #lost = 0;
  readonly #atExit = () => this.flush();

  constructor(fd: number, write: WriteBytes = writeSync) {
    this.#fd = fd;
    this.#write = write;
  }

  /** Lines that were not written, or only in part. */
  get lost(): number {
    return this.#lost;
  }

  /** `line` ends with its newline. */
  write(line: string): void {
    const bytes = Buffer.from(line, 'utf8');
    switch (this.#state) {
      case 'open': {
        const rest = this.#attempt(bytes);
        if (rest) this.#block(rest);
        break;
      }
      case 'blocked':
        if (this.#waitingBytes + bytes.length > waitingBytesMax) this.#lost++;
        else this.#enqueue(bytes);
        this.flush();
        break;
    }
  }

  /** Tries once to write what waits. */
  flush(): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const rest = this.#attempt(first);
      if (rest) {
        this.#waiting[0] = rest;
        this.#waitingBytes -= first.length - rest.length;
        return;
      }
      this.#waiting.shift();
      this.#waitingBytes -= first.length;
    }
    this.#unblock();
  }

  /** Returns what is left when the reader is behind; anything else that goes wrong costs the line. */
  #attempt(bytes: Buffer): Buffer | undefined {
    let rest = bytes;
    try {
      if (this.#torn) {
        this.#write(this.#fd, newline);
        this.#torn = false;
      }
      while (rest.length > 0) rest = rest.subarray(this.#write(this.#fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return rest;
      this.#lost++;
      this.#torn ||= rest.length < bytes.length;
    }
    return undefined;
  }

  #block(rest: Buffer): void {
    this.#state = 'blocked';
    this.#enqueue(rest);
    this.#retry = setInterval(() => this.flush(), retryMs).unref();
    process.on('exit', this.#atExit);
  }

  #unblock(): void {
    if (this.#state === 'open') return;
    this.#state = 'open';
    clearInterval(this.#retry);
    process.off('exit', this.#atExit);
  }

  #enqueue(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }
}

const newline = Buffer.from('\n');
