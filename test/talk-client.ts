/** A WebSocket backend for tests, with whatever headers and subprotocols it is given. */
import type { IncomingMessage } from 'node:http';
import { type ClientOptions, WebSocket } from 'ws';
import { Watched, within } from './deadline.js';

export class TalkClient {
  readonly socket: WebSocket;
  readonly messages = new Watched<string>();
  readonly closed: Promise<{ code: number; reason: string }>;
  #read = 0;

  static async connect(
    port: number,
    options: ClientOptions = {},
    protocols: readonly string[] = [],
    path = '/',
  ): Promise<TalkClient> {
    const client = new TalkClient(port, options, protocols, path);
    await within(
      'WebSocket',
      new Promise<void>((resolve, reject) => {
        client.socket.once('open', () => resolve());
        client.socket.once('error', reject);
        client.socket.once('unexpected-response', (_request, response: IncomingMessage) => {
          let text = '';
          response.on('data', (chunk) => {
            text += chunk;
          });
          response.on('end', () => reject(new Error(`${response.statusCode} ${text}`)));
        });
      }),
    );
    return client;
  }

  private constructor(port: number, options: ClientOptions, protocols: readonly string[], path: string) {
    const url = `ws://127.0.0.1:${port}${path}`;
    this.socket = new WebSocket(url, [...protocols], { perMessageDeflate: false, ...options });
    this.socket.on('message', (data: Buffer) => this.messages.push(data.toString('utf8')));
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString('utf8') }));
    });
  }

  send(text: string): void {
    this.socket.send(text);
  }

  async next(): Promise<string> {
    const from = this.#read++;
    return within(
      `message ${from}`,
      this.messages.first(() => true, from),
      10_000,
      () => this.messages.all.join('\n'),
    );
  }

  ask(text: string): Promise<string> {
    this.send(text);
    return this.next();
  }

  /** The first record that passes, past or future. */
  seen(what: string, test: (line: string) => boolean): Promise<string> {
    return within(what, this.messages.first(test), 10_000, () => this.messages.all.slice(-5).join('\n'));
  }

  gone(): Promise<{ code: number; reason: string }> {
    return within('the WebSocket ends', this.closed, 15_000);
  }
}
