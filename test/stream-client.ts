/**
 * A consumer for tests: what it is sent, whole, and how the connection ended. In both forms: a message per record,
 * or batches (`?batch=1`). Not made with the library that Core listens with, so that each checks the other.
 */
import { WebSocket } from 'ws';
import { within } from './deadline.js';
import { messageName } from './node-frames.js';

export interface StreamClosed {
  readonly code: number;
  readonly reason: string;
}

export type StreamForm = 'events' | 'batch';

interface Waiter {
  readonly test: (line: string) => boolean;
  readonly done: () => void;
  /** The test is over when it has passed for so many records. */
  left: number;
}

export class StreamClient {
  readonly socket: WebSocket;
  readonly form: StreamForm;
  readonly closed: Promise<StreamClosed>;
  /** Messages as they came; binary ones, which Core must not send, are counted. */
  messageCount = 0;
  binaryCount = 0;
  /** Messages that break the form: no newline at a batch's end, or one inside of a single record. */
  misshapen = 0;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #forgets = false;
  #lines: string[] = [];
  #waiters: Waiter[] = [];

  static async connect(port: number, form: StreamForm, path = '/'): Promise<StreamClient> {
    const client = new StreamClient(port, form, path);
    await within(
      `WebSocket to port ${port}`,
      new Promise<void>((resolve, reject) => {
        client.socket.once('open', () => resolve());
        client.socket.once('error', reject);
      }),
    );
    return client;
  }

  private constructor(port: number, form: StreamForm, path: string) {
    this.form = form;
    const query = form === 'batch' ? '?batch=1' : '';
    this.socket = new WebSocket(`ws://127.0.0.1:${port}${path}${query}`, { perMessageDeflate: false });
    this.socket.on('message', (data: Buffer, isBinary: boolean) => this.#receive(data, isBinary));
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString('utf8') }));
    });
  }

  /** From now on messages are counted, and nothing else. */
  forget(): void {
    this.#forgets = true;
  }

  /** All records so far, each ended by a newline: what the log must hold for the same time. */
  get content(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get byteCount(): number {
    return this.#bytes;
  }

  /** Records so far, without their newlines. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Waits until `count` records, from now or from before, passed the test. */
  seen(what: string, test: (line: string) => boolean, count = 1, timeoutMs?: number): Promise<void> {
    let left = count;
    for (const line of this.#lines) if (test(line)) left--;
    const done = new Promise<void>((resolve) => {
      if (left <= 0) resolve();
      else this.#waiters.push({ test, done: resolve, left });
    });
    return within(
      `the stream shows ${what}`,
      done,
      timeoutMs,
      () => `${this.#lines.length} records, the last ones:\n${this.#lines.slice(-3).join('\n')}`,
    );
  }

  /** Waits for `count` records that carry this message. */
  messages(name: string, count = 1, timeoutMs?: number): Promise<void> {
    return this.seen(`${count} ${name}`, (line) => messageName(line) === name, count, timeoutMs);
  }

  /** The first record that passes the test. */
  async record(what: string, test: (line: string) => boolean): Promise<string> {
    await this.seen(what, test);
    return this.#lines.find(test)!;
  }

  end(): Promise<StreamClosed> {
    this.socket.close();
    return this.gone();
  }

  gone(timeoutMs?: number): Promise<StreamClosed> {
    return within('the stream is closed', this.closed, timeoutMs);
  }

  /** No byte is read from the socket any more, until resume(). */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Vanishes without a word. */
  vanish(): void {
    this.socket.terminate();
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.messageCount++;
    if (isBinary) this.binaryCount++;
    const endsInNewline = data.length > 0 && data[data.length - 1] === 0x0a;
    if (this.form === 'batch' ? !endsInNewline : data.includes(0x0a)) this.misshapen++;
    this.#bytes += this.form === 'batch' ? data.length : data.length + 1;
    if (this.#forgets) return;
    const whole = this.form === 'batch' ? data : Buffer.concat([data, Buffer.from('\n')]);
    this.#chunks.push(whole);
    const lines = whole.toString('utf8').split('\n');
    lines.pop();
    for (const line of lines) {
      this.#lines.push(line);
      if (this.#waiters.length > 0) this.#wake(line);
    }
  }

  #wake(line: string): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!waiter.test(line) || --waiter.left > 0) return true;
      waiter.done();
      return false;
    });
  }
}
