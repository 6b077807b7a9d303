/**
 * The log of refused frames: `<dir>/dead-letters/dead-letters.ndjson`, one JSON object a line, and the generation
 * before it. Owned by the aggregator. Bounded: when the current file reaches half of the bound it replaces the older one.
 *
 *   {"time":ISO 8601,"code":"...","reason":"...","node_id":u64|null,"node_name":string|null,"remote":"ip:port",
 *    "size":bytes of the frame,"bytes":"base64 of its first 4 KiB"}
 */
import { closeSync, fdatasyncSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export class DeadLetterLog {
  readonly #folder: string;
  readonly #generationBytes: number;
  #file: number;
  #sizeBytes: number;

  constructor(folder: string, maxBytes: number) {
    mkdirSync(folder, { recursive: true, mode: 0o750 });
    this.#folder = folder;
    this.#generationBytes = Math.floor(maxBytes / 2);
    this.#file = this.#open();
    this.#sizeBytes = fstatSync(this.#file).size;
  }

  /** Appends one line; throws what the file system says, and can then be called again. */
  append(line: Uint8Array): void {
    if (this.#sizeBytes + line.length > this.#generationBytes && this.#sizeBytes > 0) {
      renameSync(this.#path('dead-letters.ndjson'), this.#path('dead-letters.1.ndjson'));
      const next = this.#open();
      closeSync(this.#file);
      this.#file = next;
      this.#sizeBytes = 0;
    }
    for (let at = 0; at < line.length; ) {
      at += writeSync(this.#file, line, at, line.length - at, this.#sizeBytes + at);
    }
    this.#sizeBytes += line.length;
  }

  close(): void {
    fdatasyncSync(this.#file);
    closeSync(this.#file);
  }

  /** Not in append mode: a line that failed half way is written again at its place. */
  #open(): number {
    const file = openSync(this.#path('dead-letters.ndjson'), 0o102 /* O_RDWR | O_CREAT */, 0o640);
    return file;
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
