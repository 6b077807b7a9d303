/**
 * Reads the audit trail for people, the newest entries first: all of its files from their ends, slice by slice, with a
 * turn of the event loop in between. Main thread, while audit-log.ts writes.
 *
 * Entries are told apart by their numbers, which only grow: files that are renamed meanwhile show nothing twice.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { LIMITS } from '../limits.js';
import { auditFiles } from './audit-files.js';
import { seqOf } from './audit-line.js';
import { matchesPattern } from './pattern.js';

const SLICE_BYTES = 128 * 1024;
const NEWLINE = 0x0a;

export interface AuditQuery {
  readonly limit: number;
  /** Only entries older than the one with this number. */
  readonly before?: number;
  /** Patterns with `*`. */
  readonly action?: string;
  readonly target?: string;
  readonly principal?: string;
}

export interface AuditPage {
  /** JSON texts. */
  readonly lines: readonly string[];
  /** `before` of the next page; null where the trail ends. */
  readonly next: number | null;
}

/** Refused: too many trails are being read. */
export class TooManyReaders extends Error {}

export class AuditReader {
  readonly #folder: string;
  #reading = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Throws {@link TooManyReaders} at once. */
  async page(query: AuditQuery): Promise<AuditPage> {
    if (this.#reading >= LIMITS.auditReaders) throw new TooManyReaders();
    this.#reading += 1;
    try {
      return await this.#read(query);
    } finally {
      this.#reading -= 1;
    }
  }

  async #read(query: AuditQuery): Promise<AuditPage> {
    const lines: string[] = [];
    let lastSeq = query.before ?? Number.MAX_SAFE_INTEGER;
    for (const path of auditFiles(this.#folder)) {
      for await (const line of linesBackwards(path)) {
        const seq = seqOf(line);
        if (seq === 0 || seq >= lastSeq) continue;
        if (!matches(line, query)) continue;
        // One more than asked for says that there is a next page.
        if (lines.length === query.limit) return { lines, next: lastSeq };
        lines.push(line);
        lastSeq = seq;
      }
    }
    return { lines, next: null };
  }
}

function matches(line: string, { action, target, principal }: AuditQuery): boolean {
  if (action === undefined && target === undefined && principal === undefined) return true;
  let entry: Record<string, unknown>;
  try {
    entry = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return false;
  }
  return fits(action, entry.action) && fits(target, entry.target) && fits(principal, entry.principal);
}

function fits(pattern: string | undefined, value: unknown): boolean {
  return pattern === undefined || (typeof value === 'string' && matchesPattern(pattern, value));
}

/** Nothing where there is no such file. */
async function* linesBackwards(path: string): AsyncGenerator<string> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    const { size } = await file.stat();
    /** The beginning of a line whose end was in the slice before. */
    let rest = Buffer.alloc(0);
    for (let end = size; end > 0; ) {
      const start = Math.max(0, end - SLICE_BYTES);
      const slice = Buffer.alloc(end - start);
      const { bytesRead } = await file.read(slice, 0, slice.length, start);
      const bytes = Buffer.concat([slice.subarray(0, bytesRead), rest]);
      // Up to the first newline it may be the end of a line that began further ahead.
      const newline = bytes.indexOf(NEWLINE);
      const first = start === 0 ? 0 : newline === -1 ? bytes.length : newline + 1;
      for (let lineEnd = bytes.lastIndexOf(NEWLINE); lineEnd >= first && lineEnd !== -1; ) {
        const before = lineEnd === 0 ? -1 : bytes.lastIndexOf(NEWLINE, lineEnd - 1);
        yield bytes.toString('utf8', before + 1, lineEnd);
        lineEnd = before;
      }
      rest = bytes.subarray(0, first);
      end = start;
    }
  } finally {
    await file.close();
  }
}
