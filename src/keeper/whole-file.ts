/**
 * Writes a small file whole or not at all, also on a full disk: what the keeper writes down before it deletes anything must
 * not need the room that only the deletion gives. For that there are spare files, made while there was room: one of them is
 * written over and takes the new file's name. They are kept for retention; what can wait is written without them. A deletion
 * gives back as many as it took: small files of the deleted segment become spare ones, so that whoever waits for room cannot
 * be faster.
 */
import { join } from 'node:path';
import { isMissing, type LogFiles, writeWhole } from '../log/files.js';
import { isDiskFull } from '../log/segment-writer.js';

/** For a seal, and for what retention writes before it deletes. */
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
    for (let name = this.#missingSpare(); name !== undefined; name = this.#missingSpare()) {
      const temporary = join(this.#folder, `${name}.tmp`);
      if (!this.#tryWrite(temporary, Buffer.alloc(SPARE_BYTES))) return;
      this.#files.rename(temporary, join(this.#folder, name));
    }
  }

  /** Deletes a file, or makes a spare one of it where one is missing. */
  removeOrSpare(path: string): void {
    const name = this.#missingSpare();
    if (name === undefined) this.#files.unlink(path);
    else {
      this.#files.rename(path, join(this.#folder, name));
      const file = this.#files.open(join(this.#folder, name), 'r+', 0o640);
      try {
        if (this.#files.size(file) > SPARE_BYTES) this.#files.truncate(file, SPARE_BYTES);
      } finally {
        this.#files.close(file);
      }
    }
  }

  /** It is on the disk after this, under its name. `withSpare`: where the disk is full it takes a spare file. */
  write(name: string, content: Buffer, withSpare: boolean): void {
    let written = join(this.#folder, `${name}.tmp`);
    if (!this.#tryWrite(written, content)) {
      const there = this.#files.list(this.#folder);
      const spare = withSpare ? SPARES.find((candidate) => there.includes(candidate)) : undefined;
      if (spare === undefined || content.length > SPARE_BYTES)
        throw Object.assign(new Error(`the disk is full: ${name} cannot be written`), { code: 'ENOSPC' });
      written = join(this.#folder, spare);
      this.#write(written, 'r+', content);
    }
    this.#files.rename(written, join(this.#folder, name));
    this.#files.syncFolderNow(this.#folder);
  }

  #missingSpare(): string | undefined {
    const there = this.#files.list(this.#folder);
    return SPARES.find((name) => !there.includes(name));
  }

  /** False, and nothing is left of it, where the disk is full. */
  #tryWrite(path: string, content: Buffer): boolean {
    try {
      this.#write(path, 'w', content);
      return true;
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      removeIfThere(this.#files, path);
      return false;
    }
  }

  #write(path: string, flags: 'w' | 'r+', content: Buffer): void {
    const file = this.#files.open(path, flags, 0o640);
    try {
      writeWhole(this.#files, file, content, 0);
      if (flags === 'r+') this.#files.truncate(file, content.length);
      this.#files.syncNow(file);
    } finally {
      this.#files.close(file);
    }
  }
}

export function removeIfThere(files: LogFiles, path: string): void {
  try {
    files.unlink(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
