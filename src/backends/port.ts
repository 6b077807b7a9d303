/**
 * Two languages on the REST port: a connection whose first byte that is no white space is `{` speaks the raw backend
 * conversation, every other one HTTP.
 *
 *   accepted --> looking --`{`--> raw(socket, what was read)
 *                   |---- else --> the HTTP server, with everything that was read put back in front
 *                   |---- nothing in time, nothing but white space --> the HTTP server's answer to broken HTTP
 *
 * The HTTP server stays the one that listens, and does TLS where it is to: its limits, time-outs and its way of closing
 * hold as before.
 *
 * Owned by main.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { LIMITS } from '../limits.js';

type Serve = (socket: Socket) => void;

const OPEN_BRACE = 0x7b;

export class SharedPort {
  readonly #server: Server;
  /** Serves HTTP on a connection, without a look at it. */
  readonly http: Serve;
  readonly #raw: (socket: Socket, first: Buffer) => void;
  readonly #firstByteMs: number;
  readonly #looking = new Set<Socket>();
  #closed = false;

  /** Puts itself between the server's port and its HTTP. `firstByteMs`: time for a client to say anything. */
  constructor(
    server: Server,
    connected: 'connection' | 'secureConnection',
    raw: (socket: Socket, first: Buffer) => void,
    firstByteMs: number,
  ) {
    const listeners = server.listeners(connected) as ((this: Server, socket: Socket) => void)[];
    server.removeAllListeners(connected);
    this.#server = server;
    this.#raw = raw;
    this.#firstByteMs = firstByteMs;
    this.http = (socket) => {
      for (const listener of listeners) listener.call(server, socket);
    };
    server.on(connected, (socket: Socket) => this.look(socket));
  }

  /** Finds out what a connection speaks, and hands it on. */
  look(socket: Socket): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    const blanks: Buffer[] = [];
    let blankBytes = 0;
    const leave = () => {
      clearTimeout(timer);
      this.#looking.delete(socket);
      socket.off('data', read);
      socket.off('end', ended);
      socket.off('error', leave);
      socket.off('close', leave);
    };
    const http = (read: Buffer) => {
      leave();
      socket.pause();
      if (read.length > 0) socket.unshift(read);
      this.http(socket);
      socket.resume();
    };
    const read = (chunk: Buffer) => {
      const at = firstByte(chunk);
      if (at === chunk.length && blankBytes + chunk.length <= LIMITS.leadingBlanks) {
        blanks.push(chunk);
        blankBytes += chunk.length;
        return;
      }
      const all = blanks.length === 0 ? chunk : Buffer.concat([...blanks, chunk]);
      if (chunk[at] !== OPEN_BRACE) return http(all);
      leave();
      this.#raw(socket, all);
    };
    const ended = () => {
      leave();
      socket.destroy();
    };
    const timer = setTimeout(() => {
      leave();
      if (!this.#server.emit('clientError', new FirstByteTimeout(), socket)) socket.destroy();
    }, this.#firstByteMs);
    this.#looking.add(socket);
    socket.on('error', leave);
    socket.on('close', leave);
    socket.on('end', ended);
    socket.on('data', read);
  }

  /** Ends the connections that have not said anything yet, and takes no more. */
  close(): void {
    this.#closed = true;
    for (const socket of this.#looking) socket.destroy();
  }
}

/** As the HTTP server calls a request that does not come. */
class FirstByteTimeout extends Error {
  readonly code = 'ERR_HTTP_REQUEST_TIMEOUT';
  constructor() {
    super('the client said nothing in time');
  }
}

function firstByte(chunk: Buffer): number {
  let at = 0;
  while (at < chunk.length && (chunk[at] === 0x20 || (chunk[at]! >= 0x09 && chunk[at]! <= 0x0d))) at++;
  return at;
}
