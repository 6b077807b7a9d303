/**
 * The log of refused frames, see line.ts for its format. Owned by the aggregator, which gives each its number. Bounded:
 * the oldest files give way, which is counted and told.
 *
 * No number is given twice, whatever happens to the files. `numbers.json` beside them says what may have been used:
 *
 *   {"reserved":number,"next":number|null,"file":number,"boot":"..."}
 *
 * Numbers are used only below `reserved`, which is on the disk before. `next` is exact and stands there while no Core
 * writes. After an end without it the last line says where to go on, as long as the machine has not been started anew
 * (`boot`) and the newest file (`file`, or a later one) is there: else newer lines may have been lost, and the next number
 * is `reserved`. Then it begins a new file, so that within a file none is missing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../folders.js';
import { LIMITS } from '../limits.js';
import { appendWhole, type LogFiles, REAL_FILES } from '../log/files.js';
import { letterFileName, letterFiles, numberOf, numberPrefix } from './line.js';

const NEWLINE = 0x0a;
const NUMBERS_FILE = 'numbers.json';
/** Space for a file's worth of letters may not be less than one letter. */
const FILES_AT_LEAST = 8;

export interface DeadLetterOptions {
  readonly folder: string;
  /** Of all files together. */
  readonly maxBytes: number;
  readonly fsync: 'interval' | 'always' | 'never';
  readonly fsyncIntervalMs: number;
  readonly files?: LogFiles;
  /** Another one after each start of the machine. */
  readonly boot?: string;
  /** The letters from `first` up to `next`, not included, have given way. */
  onDropped(first: number, next: number): void;
  onSyncFailed(error: Error): void;
}

interface Numbers {
  readonly reserved: number;
  readonly next: number | null;
  readonly file: number;
  readonly boot: string;
}

interface LetterFile {
  readonly first: number;
  sizeBytes: number;
}

interface OpenFile extends LetterFile {
  readonly descriptor: number;
  /** Syncs on pool threads that still use the descriptor; it is closed after the last one. */
  pending: number;
  finished: boolean;
}

/** How a file ends. */
interface Tail {
  /** Of its last whole line; 0 where there is none, or none that can be read. */
  readonly lastNumber: number;
  readonly wholeBytes: number;
  readonly sizeBytes: number;
  /** Its last line is no dead letter: not what a Core that was killed leaves. */
  readonly damaged: boolean;
}

export class DeadLetterLog {
  /** Of the next letter. */
  next = 1;
  /** All before it are fsynced; with `never`: were handed to the system. */
  durableNext = 1;
  onDurable: () => void = () => {};
  readonly #options: DeadLetterOptions;
  readonly #files: LogFiles;
  readonly #boot: string;
  readonly #fileBytes: number;
  /** Those that are finished, the oldest first; and how much is in all of them. */
  readonly #old: LetterFile[] = [];
  #oldBytes = 0;
  #file: OpenFile | undefined;
  #reserved = 0;
  /** Fsyncs under way, in their order: of one file after the other. */
  readonly #forcing: { readonly upTo: number; done: boolean }[] = [];
  /** All before it are fsynced, or will be by those. */
  #forcedUpTo = 1;
  #lastSyncMs = 0;
  #line = Buffer.alloc(4096);

  constructor(options: DeadLetterOptions) {
    makeFolder(options.folder, 0o750);
    this.#options = options;
    this.#files = options.files ?? REAL_FILES;
    this.#boot = options.boot ?? bootOfMachine();
    this.#fileBytes = Math.min(LIMITS.deadLetterFileBytes, Math.floor(options.maxBytes / FILES_AT_LEAST));
    this.#recover();
    this.durableNext = this.next;
    this.#forcedUpTo = this.next;
  }

  /** Numbers and appends a line that a shard has made; throws what the file system says, and can then be called again. */
  append(letter: Uint8Array): void {
    if (this.next >= this.#reserved) this.#reserve();
    const length = this.#number(letter);
    if (
      this.#file !== undefined &&
      this.#file.sizeBytes + length > this.#fileBytes &&
      this.#file.sizeBytes > 0
    )
      this.#finish(this.#file);
    this.#makeRoom(length);
    this.#file ??= this.#begin();
    appendWhole(this.#files, this.#file.descriptor, this.#line.subarray(0, length), this.#file.sizeBytes);
    this.#file.sizeBytes += length;
    this.next++;
  }

  /** Starts an fsync where one is due. To be called often. */
  sync(nowMs: number): void {
    if (this.#options.fsync === 'never') this.durableNext = this.next;
    else if (this.dueInMs(nowMs) <= 0) {
      this.#lastSyncMs = nowMs;
      this.#force(this.#file!);
    }
  }

  /** In how many ms sync() has something to do, if nothing is appended; Infinity: in none. */
  dueInMs(nowMs: number): number {
    const { fsync, fsyncIntervalMs } = this.#options;
    if (fsync === 'never' || this.#file === undefined || this.#forcedUpTo === this.next)
      return Number.POSITIVE_INFINITY;
    // The one under way looks again when it is over.
    if (this.#forcing.length > 0) return Number.POSITIVE_INFINITY;
    return fsync === 'always' ? 0 : this.#lastSyncMs + fsyncIntervalMs - nowMs;
  }

  /** Everything appended is on the disk after this. */
  close(): void {
    const file = this.#file;
    if (file !== undefined) {
      this.#files.syncDataNow(file.descriptor);
      this.#file = undefined;
      this.#letGo(file);
      this.durableNext = this.next;
    }
    if (this.#reserved > 0) this.#remember({ next: this.next, file: file?.first ?? 0 }, true);
    this.#reserved = 0;
  }

  /** Forces what was appended to this file to the disk, on a thread of the pool. */
  #force(file: OpenFile): void {
    const group = { upTo: this.next, done: false };
    this.#forcing.push(group);
    this.#forcedUpTo = this.next;
    file.pending++;
    this.#files.syncData(file.descriptor, (error) => {
      file.pending--;
      if (file.finished && file.pending === 0) this.#files.close(file.descriptor);
      if (error !== null) return this.#options.onSyncFailed(error);
      group.done = true;
      while (this.#forcing[0]?.done === true) this.durableNext = this.#forcing.shift()!.upTo;
      this.onDurable();
    });
  }

  #letGo(file: OpenFile): void {
    file.finished = true;
    if (file.pending === 0) this.#files.close(file.descriptor);
  }

  #number(letter: Uint8Array): number {
    const prefix = numberPrefix(this.next);
    const length = prefix.length + letter.length - 1;
    if (length > this.#line.length) this.#line = Buffer.alloc(length);
    this.#line.write(prefix, 0, 'latin1');
    // All but its opening brace.
    this.#line.set(letter.subarray(1), prefix.length);
    return length;
  }

  #begin(): OpenFile {
    const first = this.next;
    const path = join(this.#options.folder, letterFileName(first));
    // One of this name can only be one that never got a letter.
    const descriptor = this.#files.open(path, 'w', 0o640);
    try {
      this.#remember({ next: null, file: first }, false);
      this.#files.syncFolderNow(this.#options.folder);
    } catch (error) {
      this.#files.close(descriptor);
      throw error;
    }
    return { first, sizeBytes: 0, descriptor, pending: 0, finished: false };
  }

  /** The next letter begins another file; what is in this one is forced to the disk by the way. */
  #finish(file: OpenFile): void {
    this.#file = undefined;
    this.#putAway(file);
    if (this.#options.fsync !== 'never') this.#force(file);
    this.#letGo(file);
  }

  #putAway({ first, sizeBytes }: LetterFile): void {
    this.#old.push({ first, sizeBytes });
    this.#oldBytes += sizeBytes;
  }

  #makeRoom(bytes: number): void {
    const { folder, maxBytes, onDropped } = this.#options;
    const wanted = (this.#file?.sizeBytes ?? 0) + bytes;
    while (this.#oldBytes + wanted > maxBytes && this.#old.length > 0) {
      const oldest = this.#old[0]!;
      const path = join(folder, letterFileName(oldest.first));
      const last = this.#lastNumber(path);
      this.#unlink(path);
      this.#old.shift();
      this.#oldBytes -= oldest.sizeBytes;
      if (last >= oldest.first) onDropped(oldest.first, last + 1);
    }
  }

  #unlink(path: string): void {
    try {
      this.#files.unlink(path);
    } catch (error) {
      // Somebody else was faster.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  /** Of the last whole line of a file; 0 where there is none. */
  #lastNumber(path: string): number {
    let file: number | undefined;
    try {
      file = this.#files.open(path, 'r', 0);
      return this.#readTail(file).lastNumber;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return 0;
    } finally {
      if (file !== undefined) this.#files.close(file);
    }
  }

  #readTail(file: number): Tail {
    const size = this.#files.size(file);
    // Two of the longest lines, so that the last whole one stands in it with the newline in front of it.
    const tail = Buffer.alloc(Math.min(size, 2 * LIMITS.deadLetterLineBytes));
    const start = size - tail.length;
    for (let at = 0; at < tail.length; ) {
      const read = this.#files.read(file, tail, at, tail.length - at, start + at);
      if (read === 0) break;
      at += read;
    }
    const end = tail.lastIndexOf(NEWLINE);
    if (end < 0) return { lastNumber: 0, wholeBytes: 0, sizeBytes: size, damaged: start > 0 };
    const before = end === 0 ? -1 : tail.lastIndexOf(NEWLINE, end - 1);
    const lastNumber = numberOf(tail, before + 1);
    return { lastNumber, wholeBytes: start + end + 1, sizeBytes: size, damaged: lastNumber === 0 };
  }

  #reserve(): void {
    const reserved = this.next + LIMITS.deadLetterReservation;
    const before = this.#reserved;
    this.#reserved = reserved;
    try {
      this.#remember({ next: null, file: this.#file?.first ?? this.#old.at(-1)?.first ?? 0 }, true);
    } catch (error) {
      this.#reserved = before;
      throw error;
    }
  }

  #remember({ next, file }: Pick<Numbers, 'next' | 'file'>, durably: boolean): void {
    const { folder } = this.#options;
    const numbers: Numbers = { reserved: this.#reserved, next, file, boot: this.#boot };
    const bytes = Buffer.from(`${JSON.stringify(numbers)}\n`);
    const path = join(folder, NUMBERS_FILE);
    const written = this.#files.open(`${path}.new`, 'w', 0o640);
    try {
      for (let at = 0; at < bytes.length; )
        at += this.#files.write(written, bytes, at, bytes.length - at, at);
      if (durably) this.#files.syncNow(written);
    } finally {
      this.#files.close(written);
    }
    this.#files.rename(`${path}.new`, path);
    if (durably) this.#files.syncFolderNow(folder);
  }

  #recover(): void {
    const { folder } = this.#options;
    const numbers = readNumbers(join(folder, NUMBERS_FILE));
    for (const first of letterFiles(this.#files.list(folder))) {
      const file = this.#files.open(join(folder, letterFileName(first)), 'r', 0);
      this.#putAway({ first, sizeBytes: this.#files.size(file) });
      // What a Core that was killed wrote counts as taken from here on (the ledger reads it), so it has to stay.
      if (this.#options.fsync !== 'never') this.#files.syncDataNow(file);
      this.#files.close(file);
    }
    const newest = this.#old.at(-1);
    if (newest === undefined) {
      this.next = numbers?.next ?? numbers?.reserved ?? 1;
      return;
    }
    const { first } = newest;
    const descriptor = this.#files.open(join(folder, letterFileName(first)), 'r+', 0o640);
    const tail = this.#readTail(descriptor);
    // What is damaged is left to whoever may read it; numbers go on behind all that were used, in another file.
    if (!tail.damaged && tail.wholeBytes < tail.sizeBytes) this.#files.truncate(descriptor, tail.wholeBytes);
    const behind = Math.max(first, tail.lastNumber + 1);
    this.next = nextNumber(behind, tail.damaged, first, numbers, this.#boot);
    if (tail.damaged || this.next !== behind) return this.#files.close(descriptor);
    this.#old.pop();
    this.#oldBytes -= newest.sizeBytes;
    this.#file = { first, sizeBytes: tail.wholeBytes, descriptor, pending: 0, finished: false };
  }
}

/** `behind`: the number behind the last line of the newest file. */
function nextNumber(
  behind: number,
  damaged: boolean,
  newestFile: number,
  numbers: Numbers | undefined,
  boot: string,
): number {
  if (numbers === undefined) return damaged ? behind + LIMITS.deadLetterReservation : behind;
  if (numbers.next !== null) return Math.max(behind, numbers.next);
  const allThere = !damaged && boot !== '' && numbers.boot === boot && newestFile >= numbers.file;
  return allThere ? behind : Math.max(behind, numbers.reserved);
}

/** Undefined where there are none, or none that can be used. */
function readNumbers(path: string): Numbers | undefined {
  try {
    const { reserved, next, file, boot } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    if (!isNumber(reserved) || !isNumber(file) || typeof boot !== 'string') return undefined;
    return { reserved, next: isNumber(next) ? next : null, file, boot };
  } catch {
    return undefined;
  }
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Empty where the system does not say: then nothing is taken for granted. */
function bootOfMachine(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
