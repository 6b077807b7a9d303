/**
 * The calls to the file system that the log's promises rest on, so that tests can put another one underneath: short writes,
 * EIO, ENOSPC, an fsync that fails, writes that a crash loses. The real one is Node's. Every call throws, or gives its
 * callback, what the file system says.
 */
import * as fs from 'node:fs';

export interface LogFiles {
  open(path: string, flags: 'r' | 'r+' | 'w' | 'wx', mode: number): number;
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
  /** Makes what was created, renamed and deleted in a folder last. */
  syncFolder(folder: string): void;
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
  syncFolder(folder) {
    const file = fs.openSync(folder, 'r');
    try {
      fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  },
};
