/** A raw backend for tests: it sends whatever bytes it is given, and keeps the lines it is answered. */
import { connect, type Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { Watched, within } from './deadline.js';

export class RawClient {
  readonly socket: Socket;
  readonly lines = new Watched<string>();
  /** Everything it was sent, to the byte. */
  readonly chunks: Buffer[] = [];
  readonly closed: Promise<void>;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #read = 0;

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    const client = new RawClient(socket);
    await within('connection', new Promise((resolve) => socket.once('connect', resolve)));
    return client;
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      this.chunks.push(data);
      const lines = (this.#rest + this.#decoder.write(data)).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) this.lines.push(line);
    });
    this.closed = new Promise((resolve) => {
      socket.on('end', () => {
        socket.end();
        resolve();
      });
      socket.on('close', () => resolve());
    });
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The next line that was not asked for yet. */
  async next(): Promise<string> {
    const from = this.#read++;
    return within(
      `line ${from}`,
      this.lines.first(() => true, from),
      10_000,
      () => this.lines.all.join('\n'),
    );
  }

  async ask(text: string): Promise<string> {
    this.send(`${text}\n`);
    return this.next();
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('utf8');
  }

  gone(): Promise<void> {
    return within('the raw connection ends', this.closed, 15_000);
  }
}
