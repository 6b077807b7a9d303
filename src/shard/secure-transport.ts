/**
 * How a shard reaches a node that speaks TLS: over a socket of its own, or over what main relays.
 *
 *   shaking --handshake done, certificate taken--> open --close--> closed
 *      |                                             |
 *      +--- failed, or certificate refused ----------+--- the node ends it ---> closed
 *
 * Nothing that the node sent is looked at before its certificate is: reading starts with `open`.
 */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { EndReason } from './messages.js';
import type { TlsTerms } from './tls-terms.js';
import { CLOSE_GRACE_MS, type Transport, type TransportHandlers } from './transport.js';
import { WholeWrites } from './whole-writes.js';

export interface SecureHandlers extends TransportHandlers {
  /** The handshake is over and the node may come in. `names` of its certificate, where it has shown one. */
  onSecure(names: readonly string[] | undefined): void;
  /** No handshake came about. The connection is gone. */
  onFailed(reason: string): void;
  /** The handshake is over, and the node's certificate is not taken. The connection stands, to tell the node. */
  onRefused(reason: string, subject: string | undefined): void;
}

export class SecureTransport implements Transport {
  readonly #socket: TLSSocket;
  readonly #terms: TlsTerms;
  readonly #readArea: Uint8Array;
  readonly #commands: WholeWrites;
  #handlers: SecureHandlers | undefined;
  #state: 'shaking' | 'open' | 'closed' = 'shaking';

  /** `stream` begins with the node's first bytes. */
  constructor(stream: Duplex, terms: TlsTerms, readArea: Uint8Array, handlers: SecureHandlers) {
    this.#terms = terms;
    this.#readArea = readArea;
    this.#handlers = handlers;
    const socket = terms.open(stream);
    this.#socket = socket;
    this.#commands = new WholeWrites(socket);
    // Not among the documented events; but a server's end that was made by hand has no others.
    socket.on('secure', () => this.#shaken());
    socket.on('_tlsError', (error: Error) => this.#failed(error));
    socket.on('error', (error) => this.#failed(error));
    socket.on('end', () => this.#ended('node closed the connection'));
    socket.on('close', () => this.#ended('connection lost'));
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
    const before = this.#state;
    const handlers = this.#handlers;
    this.#state = 'closed';
    this.#handlers = undefined;
    const socket = this.#socket;
    if (before === 'shaking') {
      socket.destroy();
      handlers?.onFailed('not finished when the connection was closed');
      return;
    }
    this.#commands.stop();
    if (socket.destroyed) return;
    if (this.#commands.isTorn) {
      socket.destroy();
      return;
    }
    // As without TLS: a close with unread bytes would reset the connection, and the reset overtakes the last answer.
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), CLOSE_GRACE_MS);
    timer.unref();
    socket.once('end', () => socket.destroy());
    socket.once('close', () => clearTimeout(timer));
  }

  #shaken(): void {
    if (this.#state !== 'shaking') return;
    const verdict = this.#terms.judge(this.#socket);
    this.#state = 'open';
    if (!verdict.taken) {
      this.#handlers?.onRefused(verdict.reason, verdict.subject);
      return;
    }
    this.#handlers?.onSecure(verdict.names);
    this.#socket.on('data', (data: Buffer) => this.#deliver(data));
  }

  #deliver(data: Buffer): void {
    const area = this.#readArea;
    for (let at = 0; at < data.length && this.#handlers !== undefined; at += area.length) {
      if (at > 0 && this.#socket.isPaused()) {
        this.#socket.unshift(data.subarray(at));
        return;
      }
      const piece = data.subarray(at, at + area.length);
      area.set(piece);
      this.#handlers.onData(piece.length);
    }
  }

  #failed(error: Error): void {
    if (this.#state === 'shaking') this.#giveUp(reasonOf(error));
    else this.#ended('connection lost');
    this.#socket.destroy();
  }

  #ended(reason: EndReason): void {
    if (this.#state === 'shaking') return this.#giveUp(reason);
    const handlers = this.#handlers;
    this.#handlers = undefined;
    handlers?.onEnd(reason);
  }

  #giveUp(reason: string): void {
    const handlers = this.#handlers;
    this.#handlers = undefined;
    this.#state = 'closed';
    this.#socket.destroy();
    handlers?.onFailed(reason);
  }
}

/** OpenSSL's own words; of its long line only what tells something. */
function reasonOf(error: Error): string {
  const { reason, code } = error as { reason?: string; code?: string };
  return reason ?? code ?? 'unknown';
}
