/**
 * One backend that speaks raw JSON over TCP: frames in, answers out, each ended by a newline, and the stream where it
 * asked for it.
 *
 *   open --goodbye, failure, stop--> closing: what is written still leaves, what comes is not read --> closed
 *
 * One frame is dealt with at a time; meanwhile the socket is not read, so TCP holds back who is too fast. Answers that
 * are not read have the same effect. The stream has a window of its own, in the aggregator.
 *
 * Owned by main.
 */
import type { Socket } from 'node:net';
import { LIMITS } from '../limits.js';
import { objectEnds } from '../shard/bytes.js';
import { Framer, type FrameSink, type ShardBuffer } from '../shard/framer.js';
import { failure } from './answers.js';
import type { Conversation, Reply } from './conversation.js';
import type { BackendFailureCode } from './failure.js';
import { Turns } from './turns.js';

export interface RawHooks {
  /** The conversation has changed hands, or wants something of the stream. Resolves when that is in force. */
  onNext(next: Extract<Reply['next'], { kind: 'granted' | 'subscribe' | 'unsubscribe' }>): Promise<void>;
  /** The connection is over, and everything of it can be forgotten. Exactly once. */
  onClosed(): void;
}

export class RawBackend implements FrameSink {
  readonly scannable = false;
  readonly #socket: Socket;
  readonly #buffer: ShardBuffer;
  readonly #hooks: RawHooks;
  readonly #framer: Framer;
  readonly #turns: Turns;
  readonly #conversation: Conversation;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #peerEnded = false;
  #deadline: NodeJS.Timeout | undefined;

  /** `first` was read from the socket already. `buffer` is for all raw backends: nothing stays in it. */
  constructor(socket: Socket, conversation: Conversation, buffer: ShardBuffer, hooks: RawHooks) {
    this.#socket = socket;
    this.#buffer = buffer;
    this.#hooks = hooks;
    this.#conversation = conversation;
    this.#framer = new Framer(buffer, this, LIMITS.consumerMessageBytes);
    this.#turns = new Turns(
      conversation,
      (reply) => this.#answer(reply),
      () => this.#goOn(),
    );
    socket.setNoDelay(true);
    socket.setKeepAlive(true, LIMITS.rawKeepAliveMs);
    // Its time begins anew with whatever comes, and with what has left: who is slow goes on, who is silent may be.
    socket.setTimeout(LIMITS.rawStalledMs, () => {
      if (socket.writableLength > 0) socket.destroy();
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => this.#ended());
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => this.#closed());
    this.expectRegistration(
      conversation.principal === undefined ? LIMITS.strangerMs : LIMITS.rawRegistrationMs,
    );
  }

  get conversation(): Conversation {
    return this.#conversation;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Reads what was read already, and goes on with the socket. */
  start(first: Buffer): void {
    this.#read(first);
    if (this.#turns.idle) this.#socket.resume();
  }

  /** Unless it has registered within this time, the connection ends. */
  expectRegistration(timeoutMs: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(
      () => this.fail('REQUEST_TIMEOUT', 'the backend did not register in time'),
      timeoutMs,
    );
  }

  /** Records of the stream; `done` once they have left, or nobody takes them any more. */
  stream(lines: Uint8Array, done: () => void): void {
    if (this.#state !== 'open' || this.#socket.destroyed) return done();
    this.#socket.write(lines, () => done());
  }

  /** Says why, and ends the connection. */
  fail(code: BackendFailureCode, reason: string): void {
    if (this.#state !== 'open') return;
    this.#write(failure(code, reason));
    this.end();
  }

  /** Ends the connection once what was written has left, or after a grace. */
  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#turns.end();
    clearTimeout(this.#deadline);
    this.#socket.end();
    // What still comes is read and dropped: closing over unread bytes would reset the connection under the last answer.
    this.#socket.resume();
    this.#deadline = setTimeout(() => this.#socket.destroy(), LIMITS.consumerCloseGraceMs);
    if (this.#peerEnded) this.#socket.once('finish', () => this.#socket.destroy());
  }

  // ---- frames (called by the framer) --------------------------------------------------------------------------

  get accepting(): boolean {
    return this.#state === 'open' && this.#turns.idle;
  }

  lines(): number {
    throw new Error('the framer was told that nothing here is scannable');
  }

  /** Several objects may stand on a line. */
  line(bytes: Uint8Array, start: number, end: number): void {
    const ends = objectEnds(bytes, start, end);
    if (ends.length < 2) return this.object(bytes, start, end);
    let from = start;
    for (const to of ends) {
      this.object(bytes, from, to);
      from = to;
    }
  }

  object(bytes: Uint8Array, start: number, end: number): void {
    if (this.#state === 'open')
      this.#turns.push(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8'));
  }

  oversized(_bytes: Uint8Array, _start: number, _end: number, fatal: boolean): void {
    const reason = `the message is larger than ${LIMITS.consumerMessageBytes} bytes`;
    if (fatal) this.fail('INVALID_MESSAGE_FORMAT', reason);
    else this.#write(failure('INVALID_MESSAGE_FORMAT', reason));
  }

  // ---- the socket ---------------------------------------------------------------------------------------------

  #read(chunk: Buffer): void {
    if (this.#state !== 'open') return;
    for (let at = 0; at < chunk.length; at += LIMITS.readBytes)
      this.#framer.receive(chunk.copy(this.#buffer.readArea, 0, at));
    if (!this.accepting) this.#socket.pause();
  }

  #ended(): void {
    this.#peerEnded = true;
    if (this.#state === 'open') this.#goOn();
    else this.#socket.destroySoon();
  }

  /** Nothing is being dealt with: looks at what the framer holds, then at the socket. */
  #goOn(): void {
    if (this.#state !== 'open') return;
    this.#framer.resume();
    if (!this.accepting) return;
    if (!this.#peerEnded) {
      this.#socket.resume();
      return;
    }
    // A last frame without newline.
    this.#framer.finish();
    if (this.accepting) this.end();
  }

  async #answer({ text, next }: Reply): Promise<void> {
    if (this.#conversation.registered) clearTimeout(this.#deadline);
    if (next.kind !== 'go on' && next.kind !== 'end') await this.#hooks.onNext(next);
    if (this.#state !== 'open') return;
    this.#write(text);
    if (next.kind === 'end') this.end();
    while (this.#state === 'open' && this.#socket.writableLength > LIMITS.rawAnswerBytes)
      await this.#drained();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
    });
  }

  #write(text: string): void {
    if (this.#socket.writable) this.#socket.write(`${text}\n`);
  }

  #closed(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    clearTimeout(this.#deadline);
    this.#turns.end();
    this.#hooks.onClosed();
  }
}
