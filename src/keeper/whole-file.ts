/**
 * Writes a small file whole or not at all, also on a full disk: what the keeper writes down before it deletes anything must
 * not need the room that only the deletion gives. For that there are spare files, made while there was room: one of them
 * is written over and takes the new file's name.
 */
import { join } from 'node:path';
import type { LogFiles } from '../log/files.js';
import { isDiskFull } from '../log/segment-writer.js';

/** A seal, and what retention writes before it deletes: as much as may be needed before there is room again. */
const SPARES = ['keeper-1.spare', 'keeper-2.spare'];
/** The smallest piece of disk that file systems give; both files fit. */
const SPARE_BYTES = 4096;

export class WholeFiles {
  readonly #folder: string;
  readonly #files: LogFiles;

  constructor(folder: string, files: LogFiles) {
    this.#folder = folder;
    this.#files = files;
  }

  /** Makes the spare files that are missing, where there is room. */
  prepare(): void {
    const there = new Set(this.#files.list(this.#folder));
    for (const name of SPARES) {
      if (there.has(name)) continue;
      const temporary = join(this.#folder, `${name}.tmp`);
      try {
        this.#write(temporary, 'w', Buffer.alloc(SPARE_BYTES));
        this.#files.rename(temporary, join(this.#folder, name));
      } catch (error) {
        if (!isDiskFull(error)) throw error;
        // Another time: the disk is full now.
        if (this.#files.list(this.#folder).includes(`${name}.tmp`)) this.#files.unlink(temporary);
        return;
      }
    }
  }

  /** It is on the disk after this, under its name. */
  write(name: string, content: Buffer): void {
    const temporary = join(this.#folder, `${name}.tmp`);
    let written = temporary;
    try {
      this.#write(temporary, 'w', content);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      const there = this.#files.list(this.#folder);
      const spare = SPARES.find((candidate) => there.includes(candidate));
      if (spare === undefined || content.length > SPARE_BYTES) throw error;
      if (there.includes(`${name}.tmp`)) this.#files.unlink(temporary);
      written = join(this.#folder, spare);
      this.#write(written, 'r+', content);
    }
    this.#files.rename(written, join(this.#folder, name));
    this.#files.syncFolderNow(this.#folder);
  }

  #write(path: string, flags: 'w' | 'r+', content: Buffer): void {
    const file = this.#files.open(path, flags, 0o640);
    try {
      for (let at = 0; at < content.length; )
        at += this.#files.write(file, content, at, content.length - at, at);
      if (flags === 'r+') this.#files.truncate(file, content.length);
      this.#files.syncNow(file);
    } finally {
      this.#files.close(file);
    }
  }
}
