/**
 * How a shard reaches a node: over the node's own socket (native mode), or through main (portable mode).
 *
 * Bytes that arrive are put into the shard's one read buffer and announced with `onData(length)`; the handler deals
 * with them before it returns. A transport that is paused announces nothing.
 */
import { Socket } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import { LIMITS } from '../limits.js';
import type { EndReason, ShardToMain } from './messages.js';
import { WholeWrites } from './whole-writes.js';

export interface TransportHandlers {
  /** `length` bytes stand at the start of the read area. */
  onData(length: number): void;
  /** The operating system has all of the command. */
  onCommandSent(command: string): void;
  /** Nothing more will come. */
  onEnd(reason: EndReason): void;
}

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
const CLOSE_GRACE_MS = 2_000;

export class SocketTransport implements Transport {
  readonly #socket: Socket;
  readonly #commands: WholeWrites;
  #handlers: TransportHandlers | undefined;

  /** `readArea` is shared by all sockets of the shard: one thread, one read at a time. */
  constructor(fd: number, readArea: Uint8Array, handlers: TransportHandlers) {
    this.#handlers = handlers;
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: true,
      allowHalfOpen: true,
      onread: {
        buffer: readArea,
        callback: (length: number) => {
          this.#handlers?.onData(length);
          return true;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
    this.#commands = new WholeWrites(this.#socket);
    this.#socket.setNoDelay(true);
    this.#socket.on('end', () => this.#ended('node closed the connection'));
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
    // Main is about to send the command on another connection: what is left of it must not leave on this one.
    if (this.#commands.isTorn) {
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

  #ended(reason: EndReason): void {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    handlers?.onEnd(reason);
  }
}

export class RelayTransport implements Transport {
  readonly backlogBytes = 0;
  readonly #session: number;
  readonly #port: MessagePort;
  readonly #readArea: Uint8Array;
  #handlers: TransportHandlers | undefined;
  #paused = false;
  #ended: EndReason | undefined;
  #pumping = false;
  /** What came while paused: at most LIMITS.relayWindowBytes, because main stops there. */
  #waiting: Uint8Array[] = [];

  constructor(session: number, port: MessagePort, readArea: Uint8Array, handlers: TransportHandlers) {
    this.#session = session;
    this.#port = port;
    this.#readArea = readArea;
    this.#handlers = handlers;
  }

  /** Main has read something. */
  received(data: Uint8Array): void {
    this.#waiting.push(data);
    this.#pump();
  }

  /** Main has seen the end. */
  finished(reason: EndReason): void {
    this.#ended = reason;
    this.#pump();
  }

  write(text: string): void {
    this.#post({ type: 'relay-write', session: this.#session, text, command: null });
  }

  /** Main has the socket, and tells itself when the command is sent. */
  writeCommand(command: string, text: string): void {
    this.#post({ type: 'relay-write', session: this.#session, text, command });
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
    this.#post({ type: 'relay-close', session: this.#session });
  }

  #post(message: ShardToMain): void {
    this.#port.postMessage(message);
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
        this.#handlers.onData(piece.length);
        this.#post({ type: 'relay-consumed', session: this.#session, bytes: piece.length });
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
