/**
 * A file system in memory for tests of the log, which does what real ones do on their worst day: writes are short, the disk
 * is full, an fsync fails and drops what it should have written, a crash comes between any two calls. After a loss of
 * power any subset of what was not fsynced is there, page by page and name by name; an end of the process alone keeps all.
 */
import type { LogFiles } from '../src/log/files.js';

/** Small, so that batches are torn in many places. */
const PAGE_BYTES = 64;

interface Version {
  readonly op: number;
  readonly bytes: Buffer;
}

class Inode {
  /** What processes see. */
  content = Buffer.alloc(0);
  /** What is on the disk for sure. */
  durable = Buffer.alloc(0);
  /** Of each page, what was written since, the oldest first; and the sizes the file had. */
  readonly pages = new Map<number, Version[]>();
  sizes: { readonly op: number; readonly size: number }[] = [];
  /** Pages that the kernel believes to be on the disk and are not. */
  readonly dropped = new Set<number>();
}

type Change =
  | { readonly kind: 'set'; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'remove'; readonly path: string };

/** The machine or the process is gone: thrown by the call that would have come next. */
export class Crash extends Error {}

export type FaultCall = Exclude<keyof LogFiles, 'close' | 'list' | 'size' | 'read'>;

function failure(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected`), { code });
}

export class FaultFiles implements LogFiles {
  /** Asked before each call that changes something: the error code that it fails with. */
  fault: (call: FaultCall, path: string) => string | undefined = () => undefined;
  /** Calls until the crash. */
  crashIn = Number.POSITIVE_INFINITY;
  /** How an fsync lies, for planting faults. */
  lies = { syncData: false, syncFolder: false };
  readonly #random: () => number;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #changes: Change[] = [];
  #open = new Map<number, { readonly inode: Inode; readonly path: string }>();
  #nextFile = 3;
  #op = 0;
  /** How much of what was not fsynced survives this loss of power. */
  #kept = 0;
  #running: (() => void)[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  open(path: string, flags: string): number {
    this.#enter('open', path);
    let inode = this.#names.get(path);
    if (inode !== undefined && flags.startsWith('wx')) throw failure('EEXIST');
    if (inode === undefined) {
      if (flags.startsWith('r')) throw failure('ENOENT');
      inode = new Inode();
      this.#change({ kind: 'set', path, inode });
    } else if (flags === 'w') this.#resize(inode, 0);
    this.#open.set(this.#nextFile, { inode, path });
    return this.#nextFile++;
  }

  close(file: number): void {
    if (!this.#open.delete(file)) throw failure('EBADF');
  }

  write(file: number, bytes: Uint8Array, start: number, length: number, position: number): number {
    const { inode, path } = this.#of(file);
    let count = this.#random() < 0.3 ? Math.ceil(this.#random() * length) : length;
    try {
      this.#enter('write', path);
    } catch (error) {
      // Some of it may have got there.
      count = Math.floor(this.#random() * (length + 1));
      this.#put(inode, bytes.subarray(start, start + count), position);
      throw error;
    }
    this.#put(inode, bytes.subarray(start, start + count), position);
    return count;
  }

  read(file: number, bytes: Uint8Array, start: number, length: number, position: number): number {
    const { inode } = this.#of(file);
    const count = this.#random() < 0.2 ? Math.ceil(this.#random() * length) : length;
    return inode.content.subarray(position, position + count).copy(bytes, start);
  }

  size(file: number): number {
    return this.#of(file).inode.content.length;
  }

  truncate(file: number, length: number): void {
    const { inode, path } = this.#of(file);
    this.#enter('truncate', path);
    this.#resize(inode, length);
  }

  syncData(file: number, done: (error: Error | null) => void): void {
    const { inode, path } = this.#of(file);
    const op = this.#op;
    this.#running.push(() => {
      try {
        this.#enter('syncData', path);
      } catch (error) {
        if (error instanceof Crash) throw error;
        this.#drop(inode);
        return done(error as Error);
      }
      if (!this.lies.syncData) this.#flush(inode, op);
      done(null);
    });
  }

  syncDataNow(file: number): void {
    const { inode, path } = this.#of(file);
    try {
      this.#enter('syncDataNow', path);
    } catch (error) {
      if (!(error instanceof Crash)) this.#drop(inode);
      throw error;
    }
    if (!this.lies.syncData) this.#flush(inode, this.#op);
  }

  syncNow(file: number): void {
    this.syncDataNow(file);
  }

  rename(from: string, to: string): void {
    this.#enter('rename', to);
    const inode = this.#names.get(from);
    if (inode === undefined) throw failure('ENOENT');
    this.#change({ kind: 'set', path: to, inode });
    this.#change({ kind: 'remove', path: from });
  }

  unlink(path: string): void {
    this.#enter('unlink', path);
    if (!this.#names.has(path)) throw failure('ENOENT');
    this.#change({ kind: 'remove', path });
  }

  list(folder: string): string[] {
    return [...this.#names.keys()]
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1));
  }

  syncFolder(folder: string, done: (error: Error | null) => void): void {
    const count = this.#changes.length;
    this.#running.push(() => {
      try {
        this.#enter('syncFolder', folder);
      } catch (error) {
        if (error instanceof Crash) throw error;
        return done(error as Error);
      }
      if (!this.lies.syncFolder) this.#flushNames(count);
      done(null);
    });
  }

  syncFolderNow(folder: string): void {
    this.#enter('syncFolderNow', folder);
    if (!this.lies.syncFolder) this.#flushNames(this.#changes.length);
  }

  /** Ends one of the calls that run on the pool; false: none does. */
  finishOne(): boolean {
    const at = Math.floor(this.#random() * this.#running.length);
    const [call] = this.#running.splice(at, 1);
    call?.();
    return call !== undefined;
  }

  get crashed(): boolean {
    return this.crashIn <= 0;
  }

  /** Descriptors nobody has closed. */
  get openFiles(): string[] {
    return [...this.#open.values()].map(({ path }) => path);
  }

  get paths(): string[] {
    return [...this.#names.keys()];
  }

  content(path: string): Buffer {
    return this.#names.get(path)!.content;
  }

  /** Changes a file for good, as a disk does, or somebody who should not have. */
  replace(path: string, content: Uint8Array): void {
    const inode = new Inode();
    inode.content = Buffer.from(content);
    inode.durable = Buffer.from(content);
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /** Removes a file for good, as somebody who should not have. */
  forget(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  /** The process is gone, the machine goes on: what was written stays, but for pages that an fsync dropped. */
  endProcess(): void {
    this.#reset();
    for (const inode of this.#names.values()) {
      for (const page of inode.dropped) {
        if (this.#random() < 0.5) continue;
        const from = page * PAGE_BYTES;
        const to = Math.min(from + PAGE_BYTES, inode.content.length);
        pageOf(inode.durable, page).copy(inode.content, from, 0, to - from);
      }
    }
  }

  /** The power is gone: of what was not fsynced, anything may be there, in any order. */
  losePower(): void {
    this.#reset();
    this.#kept = [0.1, 0.5, 0.9, 0.98][Math.floor(this.#random() * 4)]!;
    for (const change of this.#changes)
      if (this.#random() < this.#kept) applyChange(this.#durableNames, change);
    this.#changes = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) this.#settle(inode);
  }

  #settle(inode: Inode): void {
    const sizes = [inode.durable.length, ...inode.sizes.map(({ size }) => size)];
    const size =
      this.#random() < this.#kept ? sizes.at(-1)! : sizes[Math.floor(this.#random() * sizes.length)]!;
    const settled = Buffer.alloc(size);
    inode.durable.copy(settled);
    for (const [page, versions] of inode.pages) {
      const chosen =
        this.#random() < this.#kept
          ? versions.at(-1)
          : versions[Math.floor(this.#random() * versions.length) - 1];
      chosen?.bytes.copy(settled, page * PAGE_BYTES);
    }
    inode.content = settled;
    inode.durable = Buffer.from(settled);
    inode.pages.clear();
    inode.sizes = [];
    inode.dropped.clear();
  }

  #reset(): void {
    this.#running = [];
    this.#open.clear();
    this.crashIn = Number.POSITIVE_INFINITY;
  }

  #enter(call: FaultCall, path: string): void {
    if (--this.crashIn <= 0) {
      this.crashIn = 0;
      throw new Crash(call);
    }
    const code = this.fault(call, path);
    if (code !== undefined) throw failure(code);
  }

  #of(file: number): { readonly inode: Inode; readonly path: string } {
    const open = this.#open.get(file);
    if (open === undefined) throw failure('EBADF');
    return open;
  }

  #put(inode: Inode, bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    const end = position + bytes.length;
    if (end > inode.content.length) {
      const grown = Buffer.alloc(end);
      inode.content.copy(grown);
      inode.content = grown;
    }
    inode.content.set(bytes, position);
    this.#wrote(inode, position, end);
  }

  #resize(inode: Inode, length: number): void {
    const from = Math.min(length, inode.content.length);
    const to = Math.max(length, inode.content.length);
    const resized = Buffer.alloc(length);
    inode.content.copy(resized);
    inode.content = resized;
    this.#wrote(inode, from, to);
  }

  #wrote(inode: Inode, from: number, to: number): void {
    this.#op++;
    for (let page = Math.floor(from / PAGE_BYTES); page * PAGE_BYTES < to; page++) {
      const versions = inode.pages.get(page) ?? [];
      inode.pages.set(page, versions);
      versions.push({ op: this.#op, bytes: pageOf(inode.content, page) });
      inode.dropped.delete(page);
    }
    inode.sizes.push({ op: this.#op, size: inode.content.length });
  }

  /** Everything written up to `op` is on the disk; of what came later, some may be. */
  #flush(inode: Inode, op: number): void {
    const size = inode.sizes.filter((entry) => entry.op <= op).at(-1)?.size ?? inode.durable.length;
    const later = inode.sizes.filter((entry) => entry.op > op);
    const flushed = Buffer.alloc(Math.max(size, inode.durable.length));
    inode.durable.copy(flushed);
    for (const [page, versions] of inode.pages) {
      const written = versions.filter((version) => version.op <= op).at(-1);
      const rest = versions.filter((version) => version.op > op);
      written?.bytes.copy(flushed, page * PAGE_BYTES);
      if (rest.length > 0) inode.pages.set(page, rest);
      else inode.pages.delete(page);
    }
    inode.durable = flushed.subarray(0, size);
    inode.sizes = later;
  }

  /** The kernel gives up some pages: they look written from now on. */
  #drop(inode: Inode): void {
    for (const page of [...inode.pages.keys()]) {
      if (this.#random() < 0.3) continue;
      inode.pages.delete(page);
      inode.dropped.add(page);
    }
  }

  #change(change: Change): void {
    this.#changes.push(change);
    applyChange(this.#names, change);
  }

  #flushNames(count: number): void {
    for (const change of this.#changes.splice(0, count)) applyChange(this.#durableNames, change);
  }
}

function applyChange(names: Map<string, Inode>, change: Change): void {
  if (change.kind === 'set') names.set(change.path, change.inode);
  else names.delete(change.path);
}

function pageOf(content: Buffer, page: number): Buffer {
  const bytes = Buffer.alloc(PAGE_BYTES);
  content.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES).copy(bytes);
  return bytes;
}
