/**
 * Reads refused frames for people, from the files that log.ts writes, slice by slice: pages from either end, and one by its
 * number. Main thread, while the aggregator writes, or the command line; a line without its newline is left out.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LIMITS } from '../limits.js';
import {
  type Letter,
  type LetterHead,
  letterFileName,
  letterFiles,
  numberOf,
  readHead,
  readLetter,
} from './line.js';
import { linesBackwards, linesForwards } from './slices.js';

/** All conditions must hold. */
export interface LetterFilter {
  readonly codes?: readonly string[] | undefined;
  /** A node id, or a pattern of names with `*`. */
  readonly node?: string | undefined;
  readonly sinceMs?: number | undefined;
  /** Not included. */
  readonly untilMs?: number | undefined;
}

export interface LetterQuery extends LetterFilter {
  readonly limit: number;
  readonly oldestFirst?: boolean;
  /** Only letters behind this number, in the order of the page. */
  readonly after?: number | undefined;
}

export interface LetterRow {
  readonly head: LetterHead;
  /** A JSON text. */
  readonly line: string;
}

export interface LetterPage {
  readonly rows: readonly LetterRow[];
  /** `after` of the next page, which may be all there is: a page ends short after a bounded amount of work. Null where the
   *  letters end. */
  readonly next: number | null;
}

/** Refused: too many are reading. */
export class TooManyReaders extends Error {}

/** From so little it is read line by line. */
const SEARCH_BYTES = 256 * 1024;
const NEWLINE = 0x0a;
const PROBE_BYTES = 16 * 1024;

export class DeadLetterReader {
  readonly #folder: string;
  readonly #matches: (pattern: string, name: string) => boolean;
  #reading = 0;

  /** `matches`: does a name fit a pattern? */
  constructor(folder: string, matches: (pattern: string, name: string) => boolean) {
    this.#folder = folder;
    this.#matches = matches;
  }

  /** Throws {@link TooManyReaders} at once. */
  page(query: LetterQuery): Promise<LetterPage> {
    return this.#bounded(() => this.#page(query));
  }

  /** Undefined where there is none with this number, or not any more. Throws {@link TooManyReaders}. */
  find(id: number): Promise<{ readonly letter: Letter; readonly line: string } | undefined> {
    return this.#bounded(() => this.#find(id));
  }

  /** The same for somebody who keeps to a bound of their own. */
  findAnyway(id: number): ReturnType<DeadLetterReader['find']> {
    return this.#find(id);
  }

  /** Number of the oldest file's first letter; undefined where there is no file. */
  async oldest(): Promise<number | undefined> {
    return (await this.#firsts())[0];
  }

  async #bounded<T>(work: () => Promise<T>): Promise<T> {
    if (this.#reading >= LIMITS.deadLetterReaders) throw new TooManyReaders();
    this.#reading++;
    try {
      return await work();
    } finally {
      this.#reading--;
    }
  }

  async #page(query: LetterQuery): Promise<LetterPage> {
    const { limit, oldestFirst = false, after } = query;
    const firsts = await this.#firsts();
    const behind = (id: number) => after === undefined || (oldestFirst ? id > after : id < after);
    const files = oldestFirst ? firsts : firsts.toReversed();
    const rows: LetterRow[] = [];
    let rowBytes = 0;
    let scannedBytes = 0;
    let last = after ?? null;
    for (const first of files) {
      // The next file begins behind the last letter of this one.
      const next = firsts[firsts.indexOf(first) + 1] ?? Number.POSITIVE_INFINITY;
      if (oldestFirst ? !behind(next - 1) : !behind(first)) continue;
      const file = await openFile(join(this.#folder, letterFileName(first)));
      if (file === undefined) continue;
      try {
        const { size } = await file.stat();
        const lines = oldestFirst
          ? linesForwards(
              file,
              after === undefined || after < first ? 0 : (await placeOf(file, after, size)).start,
              size,
            )
          : linesBackwards(
              file,
              after === undefined || after >= next ? size : (await placeOf(file, after, size)).end,
            );
        for await (const bytes of lines) {
          const id = numberOf(bytes, 0);
          scannedBytes += bytes.length + 1;
          if (id === 0 || !behind(id)) continue;
          const line = bytes.toString('utf8');
          const head = readHead(line);
          const fits = head !== undefined && this.#fits(head, query);
          // One that does not fit says that there is more.
          if (
            fits &&
            (rows.length === limit ||
              (rows.length > 0 && rowBytes + bytes.length > LIMITS.deadLetterPageBytes))
          )
            return { rows, next: last };
          last = id;
          if (fits) {
            rows.push({ head, line });
            rowBytes += bytes.length;
          }
          if (scannedBytes >= LIMITS.deadLetterScanBytes) return { rows, next: last };
        }
      } finally {
        await file.close();
      }
    }
    return { rows, next: null };
  }

  async #find(id: number): Promise<{ letter: Letter; line: string } | undefined> {
    const first = (await this.#firsts()).findLast((one) => one <= id);
    if (first === undefined) return undefined;
    const file = await openFile(join(this.#folder, letterFileName(first)));
    if (file === undefined) return undefined;
    try {
      const { size } = await file.stat();
      for await (const bytes of linesForwards(file, (await placeOf(file, id, size)).start, size)) {
        const number = numberOf(bytes, 0);
        if (number > id) return undefined;
        if (number !== id) continue;
        const line = bytes.toString('utf8');
        const letter = readLetter(line);
        return letter === undefined ? undefined : { letter, line };
      }
      return undefined;
    } finally {
      await file.close();
    }
  }

  #fits(head: LetterHead, { codes, node, sinceMs, untilMs }: LetterFilter): boolean {
    if (codes !== undefined && !codes.includes(head.code)) return false;
    if (sinceMs !== undefined && head.timeMs < sinceMs) return false;
    if (untilMs !== undefined && head.timeMs >= untilMs) return false;
    if (node === undefined || head.nodeId === node) return true;
    return head.nodeName !== null && this.#matches(node, head.nodeName);
  }

  async #firsts(): Promise<number[]> {
    try {
      return letterFiles(await readdir(this.#folder));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }
}

/** Where the line of the letter with this number begins: not before `start`, where some line does, and not behind `end`.
 *  Found by halving. */
async function placeOf(
  file: FileHandle,
  id: number,
  size: number,
): Promise<{ readonly start: number; readonly end: number }> {
  let start = 0;
  let end = size;
  while (end - start > SEARCH_BYTES) {
    const middle = start + Math.floor((end - start) / 2);
    const probe = await probeLine(file, middle, end);
    if (probe === undefined || probe.number > id) end = middle;
    else if (probe.number === 0) break;
    else start = probe.start;
  }
  return { start, end };
}

/** The first line that begins behind `from`. */
async function probeLine(
  file: FileHandle,
  from: number,
  end: number,
): Promise<{ readonly start: number; readonly number: number } | undefined> {
  const bytes = Buffer.alloc(PROBE_BYTES);
  for (let at = from; at < end; at += PROBE_BYTES) {
    const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
    const newline = bytes.subarray(0, bytesRead).indexOf(NEWLINE);
    if (newline < 0) continue;
    const start = at + newline + 1;
    if (start >= end) return undefined;
    const head = Buffer.alloc(64);
    await file.read(head, 0, head.length, start);
    return { start, number: numberOf(head, 0) };
  }
  return undefined;
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    // It has given way meanwhile.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
