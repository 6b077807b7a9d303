/**
 * The log of refused frames: `<dir>/dead-letters/dead-letters.ndjson`, one JSON object a line, and the generation
 * before it. Owned by the aggregator. Bounded: when the current file reaches half of the bound it replaces the older one.
 *
 *   {"time":ISO 8601,"code":"...","reason":"...","node_id":u64|null,"node_name":string|null,"remote":"ip:port",
 *    "size":bytes of the frame,"bytes":"base64 of its first 4 KiB"}
 */

import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../folders.js';

/** The newest first. */
export const DEAD_LETTER_FILES = ['dead-letters.ndjson', 'dead-letters.1.ndjson'] as const;

const NEWLINE = 0x0a;
/** More than a line can hold: 4 KiB of a frame in base64, and names of 255 characters. */
const LINE_BYTES_MAX = 64 * 1024;

export class DeadLetterLog {
  readonly #folder: string;
  readonly #generationBytes: number;
  #file: number;
  #sizeBytes: number;
  /** Dead letters appended since the start, and those of them that are fsynced. */
  next = 0;
  durableNext = 0;
  onDurable: () => void = () => {};
  #syncing = false;

  constructor(folder: string, maxBytes: number) {
    makeFolder(folder, 0o750);
    this.#folder = folder;
    this.#generationBytes = Math.floor(maxBytes / 2);
    this.#file = this.#open();
    this.#sizeBytes = cutTornLine(this.#file);
  }

  /** Appends one line; throws what the file system says, and can then be called again. */
  append(line: Uint8Array): void {
    if (this.#sizeBytes + line.length > this.#generationBytes && this.#sizeBytes > 0) this.#rotate();
    for (let at = 0; at < line.length; ) {
      at += writeSync(this.#file, line, at, line.length - at, this.#sizeBytes + at);
    }
    this.#sizeBytes += line.length;
    this.next++;
  }

  /** In how many ms sync() has something to do; Infinity: in none. */
  dueInMs(): number {
    return this.#syncing || this.durableNext === this.next ? Number.POSITIVE_INFINITY : 0;
  }

  /** Starts an fsync where one is due. */
  sync(): void {
    if (this.durableNext === this.next || this.#syncing) return;
    this.#syncing = true;
    const upTo = this.next;
    const file = this.#file;
    fdatasync(file, (error) => {
      this.#syncing = false;
      // One that was rotated meanwhile is closed when it was fsynced.
      if (file !== this.#file) closeSync(file);
      if (error !== null) throw error;
      this.durableNext = upTo;
      this.onDurable();
    });
  }

  close(): void {
    fdatasyncSync(this.#file);
    closeSync(this.#file);
  }

  #rotate(): void {
    const [current, previous] = DEAD_LETTER_FILES.map((name) => join(this.#folder, name)) as [string, string];
    renameSync(current, previous);
    let next: number;
    try {
      next = this.#open();
    } catch (error) {
      renameSync(previous, current);
      throw error;
    }
    if (!this.#syncing) {
      fdatasyncSync(this.#file);
      closeSync(this.#file);
    }
    this.#file = next;
    this.#sizeBytes = 0;
  }

  /** Not in append mode: a line that failed half way is written again at its place. */
  #open(): number {
    return openSync(join(this.#folder, DEAD_LETTER_FILES[0]), constants.O_RDWR | constants.O_CREAT, 0o640);
  }
}

/** Cuts what a Core that was killed left of a line; the size after that. */
function cutTornLine(file: number): number {
  const { size } = fstatSync(file);
  const tail = Buffer.alloc(Math.min(size, LINE_BYTES_MAX));
  readSync(file, tail, 0, tail.length, size - tail.length);
  const end = size - tail.length + tail.lastIndexOf(NEWLINE) + 1;
  if (end < size) ftruncateSync(file, end);
  return end;
}
