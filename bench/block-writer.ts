/**
 * Writes one node's block to its socket over and over, in pieces of any size, and knows how many events went out.
 *
 * Owned by the thread of the load. One write is outstanding at a time: the socket's callback frees the writer.
 */
import type { Socket } from 'node:net';
import { blockEvents, blockOf, type EventBlocks } from './generator.js';

export class BlockWriter {
  /** The last write has not been taken by the kernel yet. */
  busy = false;

  readonly #socket: Socket;
  readonly #block: Buffer;
  readonly #written: () => void;
  /** Where each event of the block starts, and where the last one ends. */
  readonly #starts: Uint32Array;
  #offset = 0;
  #rounds = 0;

  /** `onWritten` is called when a write has been taken. */
  constructor(socket: Socket, blocks: EventBlocks, node: number, onWritten: (writer: BlockWriter) => void) {
    this.#socket = socket;
    this.#block = blockOf(blocks, node);
    const first = blocks.firstEvent[node]!;
    const blockStart = blocks.eventStart[first]!;
    this.#starts = blocks.eventStart
      .slice(first, first + blockEvents(blocks, node) + 1)
      .map((start) => start - blockStart);
    this.#written = () => {
      this.busy = false;
      onWritten(this);
    };
  }

  /** Bytes the socket holds because the kernel does not take them. */
  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  /** Whole events written so far. */
  get events(): number {
    return this.#rounds * (this.#starts.length - 1) + this.#eventAt(this.#offset);
  }

  /** The next `lengthBytes` of the repeated block, in one gathered write. */
  write(lengthBytes: number): void {
    this.busy = true;
    this.#socket.cork();
    let remaining = lengthBytes;
    while (remaining > 0) {
      const end = Math.min(this.#block.length, this.#offset + remaining);
      const piece =
        end - this.#offset === this.#block.length ? this.#block : this.#block.subarray(this.#offset, end);
      remaining -= piece.length;
      this.#offset = end;
      if (end === this.#block.length) {
        this.#offset = 0;
        this.#rounds += 1;
      }
      if (remaining > 0) this.#socket.write(piece);
      else this.#socket.write(piece, this.#written);
    }
    this.#socket.uncork();
  }

  /** The next `count` events; returns their bytes. */
  writeEvents(count: number): number {
    const lengthBytes = this.bytesOfEvents(count);
    this.write(lengthBytes);
    return lengthBytes;
  }

  bytesOfEvents(count: number): number {
    const inBlock = this.#starts.length - 1;
    const first = this.#eventAt(this.#offset);
    const last = first + count;
    const wholeRounds = Math.floor(last / inBlock);
    return wholeRounds * this.#block.length + this.#starts[last % inBlock]! - this.#offset;
  }

  /** Completes the event that the last write cut; returns the bytes written, 0 when there is none. */
  finishEvent(): number {
    const event = this.#eventAt(this.#offset);
    if (this.#starts[event] === this.#offset) return 0;
    const missing = this.#starts[event + 1]! - this.#offset;
    this.write(missing);
    return missing;
  }

  /** Number of the event that holds this offset. */
  #eventAt(offset: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return low;
  }
}
