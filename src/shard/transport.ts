/**
 * How a shard reaches a node: over the node's own socket (native mode), or through main (portable mode).
 *
 * Bytes that arrive are put into the shard's one read buffer and announced with `onData(length)`; the handler deals
 * with them before it returns. A transport that is paused announces nothing.
 *
 * Where TLS is configured the first byte tells what a node speaks. One that speaks TLS gets another transport on top
 * (secure-transport.ts), and this one only carries.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { MessagePort } from 'node:worker_threads';
import { LIMITS } from '../limits.js';
import type { EndReason, ShardToMain } from './messages.js';
import { RelayStream } from './relay-stream.js';
import { WholeWrites } from './whole-writes.js';

export interface TransportHandlers {
  /** `length` bytes stand at the start of the read area. */
  onData(length: number): void;
  /** The operating system has all of the command. */
  onCommandSent(command: string): void;
  /** Nothing more will come. */
  onEnd(reason: EndReason): void;
}

/** What is asked, once, where TLS is configured. */
export interface Greeting {
  /** The node speaks TLS; `stream` begins with its first bytes. `endReason`: why it ended, where that is known. */
  tls(stream: Duplex, endReason: () => EndReason | undefined): void;
  /** It does not: `length` bytes stand at the start of the read area. False: then it is not taken, and was told so. */
  plain(length: number): boolean;
}

/** First byte of a TLS connection: a record of the handshake (RFC 8446 section 5.1). No frame begins so. */
const TLS_HANDSHAKE = 0x16;

export interface Transport {
  write(text: string): void;
  /** Writes a command, and says when it is sent: once closed it never is. */
  writeCommand(command: string, text: string): void;
  /** Bytes written that the node has not taken. */
  readonly backlogBytes: number;
  pause(): void;
  resume(): void;
  /** Sends what was written, then closes; gives up after a moment. No handler is called any more. */
  close(): void;
}

/** How long a node may take to read the last answer before its socket is destroyed. */
export const CLOSE_GRACE_MS = 2_000;

export class SocketTransport implements Transport {
  readonly #socket: Socket;
  readonly #readArea: Uint8Array;
  readonly #commands: WholeWrites;
  #handlers: TransportHandlers | undefined;
  #greeting: Greeting | undefined;
  #peerEnded = false;

  /** `readArea` is shared by all sockets of the shard: one thread, one read at a time. */
  constructor(
    fd: number,
    readArea: Uint8Array,
    handlers: TransportHandlers,
    greeting: Greeting | undefined = undefined,
  ) {
    this.#readArea = readArea;
    this.#handlers = handlers;
    this.#greeting = greeting;
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: true,
      allowHalfOpen: true,
      onread: {
        buffer: readArea,
        callback: (length: number) => {
          if (this.#greeting !== undefined) return this.#greet(this.#greeting, length);
          this.#handlers?.onData(length);
          return true;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
    this.#commands = new WholeWrites(this.#socket);
    this.#socket.setNoDelay(true);
    this.#socket.on('end', () => {
      this.#peerEnded = true;
      this.#ended('node closed the connection');
    });
    this.#socket.on('error', () => this.#ended('connection lost'));
    this.#socket.on('close', () => this.#ended('connection lost'));
    this.#socket.resume();
  }

  get backlogBytes(): number {
    return this.#socket.writableLength + this.#commands.waitingLength;
  }

  write(text: string): void {
    if (!this.#socket.destroyed && this.#socket.writable) this.#socket.write(text);
  }

  writeCommand(command: string, text: string): void {
    this.#commands.write(text, () => this.#handlers?.onCommandSent(command));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#handlers = undefined;
    this.#commands.stop();
    const socket = this.#socket;
    if (socket.destroyed) return;
    // Main is about to send the command on another connection: what is left of it must not leave on this one. Or nothing
    // is unread, and the kernel has all that was written: it will be sent.
    if (this.#commands.isTorn || (this.#peerEnded && socket.writableLength === 0)) {
      socket.destroy();
      return;
    }
    // A close with unread bytes in the kernel resets the connection, and the reset overtakes the last answer; so
    // what still comes is read and dropped until the node has closed its side too.
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
    timer.unref();
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearTimeout(timer));
  }

  /** False: no further read goes to the read area. */
  #greet(greeting: Greeting, length: number): boolean {
    this.#greeting = undefined;
    if (this.#readArea[0] !== TLS_HANDSHAKE) {
      if (greeting.plain(length)) this.#handlers?.onData(length);
      return true;
    }
    this.#handlers = undefined;
    const socket = this.#socket;
    socket.pause();
    socket.unshift(Buffer.from(this.#readArea.subarray(0, length)));
    greeting.tls(socket, () => undefined);
    return false;
  }

  #ended(reason: EndReason): void {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    handlers?.onEnd(reason);
  }
}

export class RelayTransport implements Transport {
  readonly backlogBytes = 0;
  readonly #relay: number;
  readonly #session: number;
  readonly #closed: () => void;
  readonly #port: MessagePort;
  readonly #readArea: Uint8Array;
  #handlers: TransportHandlers | undefined;
  #paused = false;
  #ended: EndReason | undefined;
  #pumping = false;
  /** What came while paused: at most LIMITS.relayWindowBytes, because main stops there. */
  #waiting: Uint8Array[] = [];
  #greeting: Greeting | undefined;
  /** The node speaks TLS: everything goes here. */
  #stream: RelayStream | undefined;

  /** `closed`: nothing of this relay is of interest any more. */
  constructor(
    relay: number,
    session: number,
    port: MessagePort,
    readArea: Uint8Array,
    handlers: TransportHandlers,
    greeting: Greeting | undefined,
    closed: () => void,
  ) {
    this.#relay = relay;
    this.#session = session;
    this.#closed = closed;
    this.#port = port;
    this.#readArea = readArea;
    this.#handlers = handlers;
    this.#greeting = greeting;
  }

  /** Main has read something. */
  received(data: Uint8Array): void {
    if (this.#greeting !== undefined && data[0] === TLS_HANDSHAKE) this.#carry(this.#greeting);
    if (this.#stream !== undefined) return this.#stream.received(data);
    this.#waiting.push(data);
    this.#pump();
  }

  /** Main has seen the end. */
  finished(reason: EndReason): void {
    this.#ended = reason;
    if (this.#stream !== undefined) return this.#stream.finished();
    this.#pump();
  }

  write(text: string): void {
    this.#post({ type: 'relay-write', relay: this.#relay, data: text, command: null });
  }

  /** Main has the socket, and tells itself when the command is sent. */
  writeCommand(command: string, text: string): void {
    const session = this.#session;
    this.#post({ type: 'relay-write', relay: this.#relay, data: text, command: { session, id: command } });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#pump();
  }

  close(): void {
    this.#handlers = undefined;
    this.#waiting = [];
    this.#leave();
  }

  #leave(): void {
    this.#closed();
    this.#post({ type: 'relay-close', relay: this.#relay });
  }

  #post(message: ShardToMain): void {
    this.#port.postMessage(message);
  }

  #carry(greeting: Greeting): void {
    this.#greeting = undefined;
    this.#handlers = undefined;
    const relay = this.#relay;
    this.#stream = new RelayStream({
      write: (data) => this.#post({ type: 'relay-write', relay, data, command: null }),
      consumed: (bytes) => this.#post({ type: 'relay-consumed', relay, bytes }),
      close: () => this.#leave(),
    });
    greeting.tls(this.#stream, () => this.#ended);
  }

  #pump(): void {
    // A handler may resume from within its own onData.
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#paused && this.#waiting.length > 0 && this.#handlers !== undefined) {
      const data = this.#waiting.shift()!;
      for (let at = 0; at < data.length && this.#handlers !== undefined; at += this.#readArea.length) {
        // What is paused in the middle of a chunk waits for the next resume.
        if (this.#paused) {
          this.#waiting.unshift(data.subarray(at));
          break;
        }
        const piece = data.subarray(at, at + this.#readArea.length);
        this.#readArea.set(piece);
        const greeting = this.#greeting;
        this.#greeting = undefined;
        if (greeting === undefined || greeting.plain(piece.length)) this.#handlers?.onData(piece.length);
        this.#post({ type: 'relay-consumed', relay: this.#relay, bytes: piece.length });
      }
    }
    this.#pumping = false;
    if (this.#ended !== undefined && !this.#paused && this.#waiting.length === 0) {
      const handlers = this.#handlers;
      this.#handlers = undefined;
      handlers?.onEnd(this.#ended);
    }
  }
}

/** Bytes of one relayed connection that may be under way; see limits. */
export const RELAY_WINDOW = LIMITS.relayWindowBytes;
