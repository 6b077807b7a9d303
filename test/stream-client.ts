/**
 * A consumer for tests: what it is sent, whole, and how the connection ended. In both forms: a message per record,
 * or batches (`?batch=1`). Not made with the library that Core listens with, so that each checks the other.
 */
import { type ClientOptions, WebSocket } from 'ws';
import { poll, within } from './deadline.js';
import { messageName } from './node-frames.js';

export interface StreamClosed {
  readonly code: number;
  readonly reason: string;
}

export type StreamForm = 'events' | 'batch';

export interface StreamOptions {
  readonly path?: string;
  /** Query parameters: then what Core says about the stream is kept apart from the records. */
  readonly query?: Readonly<Record<string, string | number>>;
  readonly token?: string;
  /** Certificates to trust; with TLS. */
  readonly ca?: string;
}

/** A StreamGap. */
export interface Gap {
  readonly first_seq: number;
  readonly next_seq: number;
  readonly records: number;
  readonly reason: string;
}

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
  /** Where Core said that it is, one after the other. */
  readonly positions: number[] = [];
  readonly gaps: Gap[] = [];
  /** Other messages of Core between the records: answers. */
  readonly answers: string[] = [];
  readonly #noted: boolean;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #forgets = false;
  #lines: string[] = [];
  #waiters: Waiter[] = [];

  static connect(port: number, form: StreamForm, path = '/'): Promise<StreamClient> {
    return StreamClient.open(port, form, { path });
  }

  static async open(port: number, form: StreamForm, options: StreamOptions = {}): Promise<StreamClient> {
    const client = new StreamClient(port, form, options);
    await within(
      `WebSocket to port ${port}`,
      new Promise<void>((resolve, reject) => {
        client.socket.once('open', () => resolve());
        client.socket.once('error', reject);
      }),
    );
    return client;
  }

  private constructor(port: number, form: StreamForm, { path = '/', query, token, ca }: StreamOptions) {
    this.form = form;
    this.#noted = query !== undefined;
    const url = new URL(`${ca === undefined ? 'ws' : 'wss'}://localhost:${port}${path}`);
    if (ca === undefined) url.hostname = '127.0.0.1';
    if (form === 'batch') url.searchParams.set('batch', '1');
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, String(value));
    const options: ClientOptions = { perMessageDeflate: false, ...(ca !== undefined && { ca }) };
    if (token !== undefined) options.headers = { authorization: `Bearer ${token}` };
    this.socket = new WebSocket(url, options);
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

  /** Everything before it was sent, or named in a gap. */
  get position(): number {
    return Math.max(0, this.positions.at(-1) ?? 0, this.gaps.at(-1)?.next_seq ?? 0);
  }

  /** Waits until Core has said that it is there, or further. */
  at(nextSeq: number, timeoutMs?: number): Promise<void> {
    return poll(
      `the stream is at ${nextSeq}`,
      () => (this.position >= nextSeq ? true : undefined),
      timeoutMs,
      () => `it is at ${this.position}, with ${this.#lines.length} records`,
    ).then(() => {});
  }

  ack(nextSeq: number): void {
    this.socket.send(`{"version":2,"message":{"StreamAck":{"next_seq":${nextSeq}}}}`);
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
    if (this.#noted && this.#note(data)) return;
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

  /** Core's own word about the stream is a message of its own, and no node can send one like it. */
  #note(data: Buffer): boolean {
    if (!/^\{"version":2,"message":\{"(Stream|BackendResponse)/.test(data.subarray(0, 40).toString('latin1')))
      return false;
    const { message } = JSON.parse(data.toString('utf8')) as {
      message: { StreamPosition?: { next_seq: number }; StreamGap?: Gap };
    };
    if (message.StreamPosition !== undefined) this.positions.push(message.StreamPosition.next_seq);
    else if (message.StreamGap !== undefined) this.gaps.push(message.StreamGap);
    else this.answers.push(data.toString('utf8'));
    return true;
  }

  #wake(line: string): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!waiter.test(line) || --waiter.left > 0) return true;
      waiter.done();
      return false;
    });
  }
}
