/**
 * The records of one WebSocket, in its form: one message each, or many in a message. Runs in the aggregator.
 *
 * uWebSockets.js copies what it is given before send() returns, so ring memory may be passed in, and buffers used again.
 */
import type { WebSocket } from 'uWebSockets.js';
import { AGGREGATOR } from '../memory/counters.js';
import type { Lines } from './lines.js';
import type { Outlet } from './outlet.js';

/** uWebSockets.js collects what is sent inside cork() in 16 KiB; beyond it every send is a system call of its own. */
const CORK_BYTES = 15 * 1024;
/** WebSocket header of a server's message below 64 KiB. */
const HEADER_BYTES = 4;

/** Whose the WebSocket is. */
export type OutletOwner = Pick<Outlet, 'started' | 'over' | 'fail'>;

export class WebOutlet implements Outlet {
  readonly #socket: Pick<WebSocket<unknown>, 'send' | 'cork' | 'getBufferedAmount'>;
  readonly #batch: boolean;
  readonly #counters: Float64Array;
  readonly #owner: OutletOwner;

  constructor(socket: WebSocket<unknown>, batch: boolean, counters: Float64Array, owner: OutletOwner) {
    this.#socket = socket;
    this.#batch = batch;
    this.#counters = counters;
    this.#owner = owner;
  }

  get bufferedBytes(): number {
    return this.#socket.getBufferedAmount();
  }

  send(lines: Lines, note: string | undefined): void {
    if (!this.#batch) {
      this.#sendEach(lines);
      if (note !== undefined) this.note(note);
    } else if (note === undefined) this.#sendWhole(lines);
    else
      this.#socket.cork(() => {
        this.#sendWhole(lines);
        this.note(note);
      });
    this.#counters[AGGREGATOR.bytes_sent]! += lines.bytes.length;
  }

  give(bytes: Uint8Array<ArrayBuffer>, lines: Lines, note: string | undefined): ArrayBuffer {
    this.send(lines, note);
    return bytes.buffer;
  }

  note(text: string): void {
    this.#socket.send(this.#batch ? `${text}\n` : text, false, false);
    this.#counters[AGGREGATOR.messages_sent]!++;
  }

  started(nextSeq: number): void {
    this.#owner.started(nextSeq);
  }

  over(): void {
    this.#owner.over();
  }

  fail(reason: string): void {
    this.#owner.fail(reason);
  }

  #sendWhole({ bytes }: Lines): void {
    this.#socket.send(bytes, false, false);
    this.#counters[AGGREGATOR.messages_sent]!++;
  }

  #sendEach({ bytes, ends, count }: Lines): void {
    const socket = this.#socket;
    let next = 0;
    let start = 0;
    const sendSome = () => {
      let corked = 0;
      do {
        const end = ends[next]!;
        socket.send(bytes.subarray(start, end - 1), false, false);
        corked += end - start + HEADER_BYTES;
        start = end;
        next++;
      } while (next < count && corked + ends[next]! - start + HEADER_BYTES <= CORK_BYTES);
    };
    while (next < count) socket.cork(sendSome);
    this.#counters[AGGREGATOR.messages_sent]! += count;
  }
}
