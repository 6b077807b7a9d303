/**
 * Portable mode, TLS: what main relays of a connection, as a stream that node:tls can sit on. Owned by the shard.
 *
 * What came is acknowledged when TLS takes it, so that the relay's window holds here, too.
 */
import { Duplex } from 'node:stream';

export interface RelayEnds {
  write(data: Uint8Array): void;
  consumed(bytes: number): void;
  /** Send what was written, then close. */
  close(): void;
}

export class RelayStream extends Duplex {
  readonly #relay: RelayEnds;
  /** At most LIMITS.relayWindowBytes: main stops there. */
  readonly #waiting: Uint8Array[] = [];
  #wanted = false;
  #ended = false;
  #closed = false;

  constructor(relay: RelayEnds) {
    super({ allowHalfOpen: true });
    this.#relay = relay;
  }

  received(data: Uint8Array): void {
    this.#waiting.push(data);
    if (this.#wanted) this.#pass();
  }

  /** Nothing more will come. */
  finished(): void {
    this.#ended = true;
    if (this.#wanted) this.#pass();
  }

  override _read(): void {
    this.#wanted = true;
    this.#pass();
  }

  override _write(data: Buffer, _encoding: string, done: () => void): void {
    this.#relay.write(data);
    done();
  }

  override _final(done: () => void): void {
    this.#close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#close();
    done(error);
  }

  #pass(): void {
    while (this.#wanted && this.#waiting.length > 0) {
      const data = this.#waiting.shift()!;
      this.#relay.consumed(data.length);
      this.#wanted = this.push(data);
    }
    if (this.#ended && this.#wanted && this.#waiting.length === 0) {
      this.#wanted = false;
      this.push(null);
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#relay.close();
  }
}
