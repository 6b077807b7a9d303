/** A segment's plain file, read from its beginning to its end in slices, without leaving its pages in the system's memory:
 *  they would push out what the aggregator is writing. */
import type { LogFiles } from '../log/files.js';
import type { Addon } from '../native/addon.js';

/** What is read at once: a millisecond or two of work. */
export const SLICE_BYTES = 1024 * 1024;
const TRIM_STEP_BYTES = 16 * 1024 * 1024;

export class ContentFile {
  readonly sizeBytes: number;
  readonly #files: LogFiles;
  readonly #addon: Addon | undefined;
  readonly #file: number;
  #trimmedBytes = 0;
  /** Trims on pool threads; the descriptor is closed after the last one. */
  #trims = 0;
  #closed = false;

  constructor(path: string, files: LogFiles, addon: Addon | undefined) {
    this.#files = files;
    this.#addon = addon;
    this.#file = files.open(path, 'r', 0);
    this.sizeBytes = files.size(this.#file);
  }

  /** Everything in it is on the disk after this. */
  sync(): void {
    this.#files.syncDataNow(this.#file);
  }

  /** Fills `target` from `offsetBytes` on; answers how much there was. */
  read(target: Buffer, offsetBytes: number): number {
    let at = 0;
    while (at < target.length) {
      const read = this.#files.read(this.#file, target, at, target.length - at, offsetBytes + at);
      if (read === 0) break;
      at += read;
    }
    if (offsetBytes + at - this.#trimmedBytes >= TRIM_STEP_BYTES) this.#trim(offsetBytes + at);
    return at;
  }

  close(): void {
    if (this.#closed) return;
    this.#trim(this.sizeBytes);
    this.#closed = true;
    if (this.#trims === 0) this.#files.close(this.#file);
  }

  #trim(upToBytes: number): void {
    if (this.#addon === undefined || upToBytes <= this.#trimmedBytes) return;
    const offsetBytes = this.#trimmedBytes;
    this.#trimmedBytes = upToBytes;
    this.#trims++;
    this.#addon.trim(this.#file, offsetBytes, upToBytes - offsetBytes, () => {
      this.#trims--;
      if (this.#closed && this.#trims === 0) this.#files.close(this.#file);
    });
  }
}
