/**
 * The calls to the file system that the log's promises rest on, so that tests can put another one underneath: short writes,
 * EIO, ENOSPC, an fsync that fails, writes that a crash loses. The real one is Node's. Every call throws, or gives its
 * callback, what the file system says.
 */
import * as fs from 'node:fs';

export interface LogFiles {
  open(path: string, flags: 'r' | 'r+' | 'w' | 'wx' | 'wx+', mode: number): number;
  close(file: number): void;
  /** May write less than it was given. */
  write(file: number, bytes: Uint8Array, start: number, length: number, position: number): number;
  read(file: number, bytes: Uint8Array, start: number, length: number, position: number): number;
  size(file: number): number;
  truncate(file: number, length: number): void;
  /** On a thread of the pool. */
  syncData(file: number, done: (error: Error | null) => void): void;
  syncDataNow(file: number): void;
  syncNow(file: number): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  list(folder: string): string[];
  /** Makes what was created, renamed and deleted in a folder last. On a thread of the pool. */
  syncFolder(folder: string, done: (error: Error | null) => void): void;
  syncFolderNow(folder: string): void;
}

export const REAL_FILES: LogFiles = {
  open: (path, flags, mode) => fs.openSync(path, flags, mode),
  close: (file) => fs.closeSync(file),
  write: (file, bytes, start, length, position) => fs.writeSync(file, bytes, start, length, position),
  read: (file, bytes, start, length, position) => fs.readSync(file, bytes, start, length, position),
  size: (file) => fs.fstatSync(file).size,
  truncate: (file, length) => fs.ftruncateSync(file, length),
  syncData: (file, done) => fs.fdatasync(file, done),
  syncDataNow: (file) => fs.fdatasyncSync(file),
  syncNow: (file) => fs.fsyncSync(file),
  rename: (from, to) => fs.renameSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  list: (folder) => fs.readdirSync(folder),
  syncFolder(folder, done) {
    fs.open(folder, 'r', (error, file) => {
      if (error !== null) return done(error);
      fs.fsync(file, (failure) => fs.close(file, (trouble) => done(failure ?? trouble ?? null)));
    });
  },
  syncFolderNow(folder) {
    const file = fs.openSync(folder, 'r');
    try {
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  },
};

/** Writes all of it, however little the system takes at once. */
export function writeWhole(files: LogFiles, file: number, bytes: Uint8Array, positionBytes: number): void {
  for (let at = 0; at < bytes.length; ) {
    const written = files.write(file, bytes, at, bytes.length - at, positionBytes + at);
    if (written <= 0) throw Object.assign(new Error('EIO: nothing was written'), { code: 'EIO' });
    at += written;
  }
}

/**
 * Writes all of it behind the `sizeBytes` of a file, or nothing. What half of it left behind is cut off, because it may be
 * longer than what comes in its place; where even that fails the next start finds it, and deals with it.
 */
export function appendWhole(files: LogFiles, file: number, bytes: Uint8Array, sizeBytes: number): void {
  try {
    writeWhole(files, file, bytes, sizeBytes);
  } catch (error) {
    try {
      files.truncate(file, sizeBytes);
    } catch {
      // The first error says more.
    }
    throw error;
  }
}

/** Reads up to `length` bytes to the start of `bytes`; fewer only where the file ends. */
export function readWhole(
  files: LogFiles,
  file: number,
  bytes: Uint8Array,
  length: number,
  positionBytes: number,
): number {
  let at = 0;
  while (at < length) {
    const read = files.read(file, bytes, at, length - at, positionBytes + at);
    if (read <= 0) break;
    at += read;
  }
  return at;
}

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** The content of a file, or undefined where there is none. */
export function readFile(files: LogFiles, path: string): Buffer | undefined {
  let file: number;
  try {
    file = files.open(path, 'r', 0);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(files.size(file));
    return bytes.subarray(0, readWhole(files, file, bytes, bytes.length, 0));
  } finally {
    files.close(file);
  }
}

/** Writes a file whole or not at all, whenever a crash comes: under another name, fsynced, renamed. */
export function replaceFile(files: LogFiles, folder: string, path: string, content: Uint8Array): void {
  const temporary = `${path}.tmp`;
  const file = files.open(temporary, 'w', 0o640);
  try {
    writeWhole(files, file, content, 0);
    files.syncNow(file);
  } finally {
    files.close(file);
  }
  files.rename(temporary, path);
  files.syncFolderNow(folder);
}
