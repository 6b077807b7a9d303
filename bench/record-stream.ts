/**
 * Between the raw bytes of a WebSocket connection and the verifier, for both kinds of stream:
 *
 *   batch  a message holds many lines: frame parser, then line by line in spans
 *   event  a message holds one event without newline: whole frames are compared in spans as they are; the frame
 *          parser only sees what did not match
 *
 * Owned by the consumer's thread. Allocates nothing per event.
 */
import { LineFeeder } from './lines.js';
import type { Verifier } from './verifier.js';
import { FrameReader, type FrameSink, OPCODE } from './websocket-frames.js';

export type StreamKind = 'batch' | 'event';

export interface StreamEvents {
  ping(payload: Buffer): void;
  close(code: number, reason: string): void;
}

/** A message of one event grows in here when a read cuts it. */
const MESSAGE_BYTES = 64 * 1024;

export class RecordStream implements FrameSink {
  readonly #kind: StreamKind;
  readonly #verifier: Verifier;
  readonly #events: StreamEvents;
  readonly #frames: FrameReader;
  readonly #lines: LineFeeder;
  #message = Buffer.allocUnsafe(MESSAGE_BYTES);
  #messageBytes = 0;

  constructor(kind: StreamKind, verifier: Verifier, events: StreamEvents) {
    this.#kind = kind;
    this.#verifier = verifier;
    this.#events = events;
    this.#frames = new FrameReader(this);
    this.#lines = new LineFeeder(verifier);
  }

  /** Bytes of the connection behind the HTTP answer. Throws FrameError when the server breaks the protocol. */
  read(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#kind === 'event' && this.#frames.atBoundary) {
        at = this.#verifier.match(buffer, at, end);
        if (at === end) return;
      }
      at = this.#frames.read(buffer, at, end);
    }
  }

  payload(buffer: Buffer, start: number, end: number): void {
    if (this.#kind === 'batch') {
      this.#lines.feed(buffer, start, end);
      return;
    }
    const needed = this.#messageBytes + (end - start);
    if (needed > this.#message.length) {
      const larger = Buffer.allocUnsafe(needed * 2);
      this.#message.copy(larger, 0, 0, this.#messageBytes);
      this.#message = larger;
    }
    buffer.copy(this.#message, this.#messageBytes, start, end);
    this.#messageBytes = needed;
  }

  messageEnd(): void {
    if (this.#kind === 'batch') {
      if (!this.#lines.atBoundary)
        this.#verifier.faults.add('protocol', 'a batch message that ends inside a record');
      return;
    }
    this.#verifier.record(this.#message, 0, this.#messageBytes);
    this.#messageBytes = 0;
  }

  control(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.ping) this.#events.ping(payload);
    if (opcode !== OPCODE.close) return;
    // 1005: closed without a code (RFC 6455, section 7.1.5).
    const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
    this.#events.close(code, payload.subarray(2).toString());
  }
}
