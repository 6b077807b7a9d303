/**
 * A node for tests, down at the socket: it sends whatever bytes it is given, in whatever pieces, and keeps what it is
 * answered, line by line.
 */
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { Watched, within } from './deadline.js';
import { messageName, type NodeIdentity, registration } from './node-frames.js';

export interface Closed {
  /** The connection was reset, or a write failed. */
  readonly error: string | undefined;
}

export class NodeClient {
  readonly socket: Socket;
  /** Lines from Core, without their newlines. */
  readonly answers = new Watched<string>();
  /** What Core sent, to the byte. */
  readonly received: Buffer[] = [];
  /** Core has closed the connection, or it broke. */
  readonly closed: Promise<Closed>;
  isClosed = false;
  /** Its own port, which is how Core names the connection. */
  port = 0;
  #rest = '';
  #error: string | undefined;

  /** `port` of loopback; resolves when the connection stands. `reads`: takes what Core sends. `from`: the address it
   *  comes from, for example 127.0.0.2. */
  static async connect(port: number, reads = true, from?: string): Promise<NodeClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, localAddress: from });
    return NodeClient.#opened(socket, 'connect', reads);
  }

  /** The same with TLS; `options` say whom it trusts and what certificate it shows. Core's own is checked. */
  static connectTls(port: number, options: ConnectionOptions, reads = true): Promise<NodeClient> {
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ...options });
    socket.setNoDelay(true);
    return NodeClient.#opened(socket, 'secureConnect', reads);
  }

  static async #opened(
    socket: Socket,
    event: 'connect' | 'secureConnect',
    reads: boolean,
  ): Promise<NodeClient> {
    const client = new NodeClient(socket, reads);
    await within(
      `connection to port ${socket.remotePort}`,
      new Promise<void>((resolve, reject) => {
        socket.once(event, () => {
          client.port = socket.localPort!;
          resolve();
        });
        socket.once('error', reject);
      }),
    );
    return client;
  }

  /** A node that is connected and registered; `end` follows its registration. */
  static async register(port: number, identity: NodeIdentity, end = '\n'): Promise<NodeClient> {
    const client = await NodeClient.connect(port);
    await client.register(identity, end);
    return client;
  }

  private constructor(socket: Socket, reads: boolean) {
    this.socket = socket;
    if (reads) socket.on('data', (data: Buffer) => this.#read(data));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error.code ?? error.message;
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.isClosed = true;
        resolve({ error: this.#error });
      });
    });
  }

  /** Resolves when the kernel has taken it. After the connection is gone it resolves, too: nobody takes it. */
  send(bytes: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      // Never at once: a test that sends in a loop must hear that the connection is gone.
      if (!this.socket.writable) setImmediate(resolve);
      else this.socket.write(bytes, () => resolve());
    });
  }

  /** Each piece is written by itself; the kernel may still join some. */
  async sendPieces(pieces: Iterable<string | Uint8Array>): Promise<void> {
    for (const piece of pieces) {
      await this.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Registers and waits for the answer, which it returns. */
  async register(identity: NodeIdentity, end = '\n'): Promise<string> {
    const from = this.answers.all.length;
    await this.send(registration(identity) + end);
    const answer = await this.answer('RegistrationAck', from);
    if (!answer.includes('"accepted":true')) throw new Error(`not accepted: ${answer}`);
    return answer;
  }

  /** The first answer with this message, from the `from`-th answer on. */
  answer(name: string, from = 0): Promise<string> {
    return within(
      `${name} from Core`,
      this.answers.first((line) => messageName(line) === name, from),
      undefined,
      () => this.answers.all.join('\n'),
    );
  }

  /** Waits until Core has closed the connection. */
  gone(timeoutMs?: number): Promise<Closed> {
    return within('Core closes the connection', this.closed, timeoutMs);
  }

  /** Says goodbye as TCP does, and waits until Core has done the same. */
  async end(): Promise<Closed> {
    this.socket.end();
    return this.gone();
  }

  /** Vanishes with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  #read(data: Buffer): void {
    this.received.push(data);
    const lines = (this.#rest + data.toString('utf8')).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) this.answers.push(line);
  }
}

/** Cuts bytes at the offsets. */
export function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const ends = [...cuts, bytes.length];
  return ends
    .map((end, at) => bytes.subarray(at === 0 ? 0 : ends[at - 1], end))
    .filter(({ length }) => length > 0);
}
