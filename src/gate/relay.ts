/**
 * Portable mode: main reads the sockets of nodes itself and passes on what it read, because without the addon a
 * socket cannot move to another thread. One relay per connection, owned by main.
 *
 * At most LIMITS.relayWindowBytes of a connection are under way; then its socket is not read until the shard has
 * caught up, and TCP holds the node back.
 */
import type { Socket } from 'node:net';
import { LIMITS } from '../limits.js';
import type { EndReason, MainToShard } from '../shard/messages.js';
import { WholeWrites } from '../shard/whole-writes.js';

/** How long a node may take to read the last answer before its socket is destroyed. */
const CLOSE_GRACE_MS = 2_000;

export class Relay {
  readonly slot: number;
  readonly #socket: Socket;
  readonly #number: number;
  readonly #post: (message: MainToShard, transfer?: ArrayBuffer[]) => void;
  readonly #commands: WholeWrites;
  #underWayBytes = 0;
  #ended = false;

  constructor(
    socket: Socket,
    number: number,
    slot: number,
    post: (message: MainToShard, transfer?: ArrayBuffer[]) => void,
  ) {
    this.#socket = socket;
    this.#number = number;
    this.slot = slot;
    this.#post = post;
    this.#commands = new WholeWrites(socket);
    socket.on('data', (data: Buffer) => this.#read(data));
    socket.on('end', () => this.#end('node closed the connection'));
    socket.on('error', () => this.#end('connection lost'));
    socket.on('close', () => this.#end('connection lost'));
    socket.setNoDelay(true);
    socket.resume();
  }

  consumed(bytes: number): void {
    this.#underWayBytes -= bytes;
    if (this.#underWayBytes < LIMITS.relayWindowBytes / 2 && this.#socket.isPaused() && !this.#ended)
      this.#socket.resume();
  }

  write(data: string | Uint8Array): void {
    if (!this.#socket.writable) return;
    this.#socket.write(data);
    this.#endIfNotReading();
  }

  /** `sent` is called once the operating system has all of it; never after the relay was closed. */
  writeCommand(text: string, sent: () => void): void {
    if (this.#ended) return;
    this.#commands.write(text, sent);
    this.#endIfNotReading();
  }

  /** The shard is done with the connection: what was written goes out, then it is closed. */
  close(): void {
    this.#ended = true;
    this.#commands.stop();
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (this.#commands.isTorn) {
      socket.destroy();
      return;
    }
    socket.removeAllListeners('data');
    socket.on('data', () => {});
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
    timer.unref();
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#ended = true;
    this.#commands.stop();
    this.#socket.destroy();
  }

  #read(data: Buffer): void {
    if (this.#ended) return;
    this.#underWayBytes += data.length;
    if (this.#underWayBytes >= LIMITS.relayWindowBytes) this.#socket.pause();
    // A read of a socket has memory of its own, so it can be moved instead of copied.
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    this.#post({ type: 'relay-data', relay: this.#number, data: bytes }, [data.buffer as ArrayBuffer]);
  }

  #endIfNotReading(): void {
    if (this.#socket.writableLength + this.#commands.waitingLength <= LIMITS.nodeWriteBufferBytes) return;
    this.#end('does not read its answers');
    this.#socket.destroy();
  }

  #end(reason: EndReason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#post({ type: 'relay-end', relay: this.#number, reason });
  }
}
