/**
 * The files of the audit trail: `audit.ndjson`, which is written, and the ones before it, `audit.1.ndjson` (the newest)
 * and up. When the first is full all move up by one, and the last one goes: the trail is bounded. Main thread.
 *
 * Written at a position and not in append mode: a line that failed half way is written again at its place.
 */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeFolder } from '../folders.js';
import { LIMITS } from '../limits.js';
import { seqOf } from './audit-line.js';

const NEWLINE = 0x0a;
/** More than a line of audit-line.ts can hold. */
const LINE_BYTES_MAX = 256 * 1024;

const sync = promisify(fdatasync);

/** The newest first. */
export function auditFiles(folder: string): string[] {
  return Array.from({ length: LIMITS.auditFiles }, (_, age) =>
    join(folder, age === 0 ? 'audit.ndjson' : `audit.${age}.ndjson`),
  );
}

export class AuditFiles {
  readonly #folder: string;
  #file: number;
  #sizeBytes: number;
  /** What was left of a line when Core was killed, and was cut off. */
  readonly tornBytes: number;
  /** Of the last entry; 0 where there is none. */
  readonly lastSeq: number;

  /** Throws what the file system says. */
  constructor(folder: string) {
    makeFolder(folder, 0o700);
    this.#folder = folder;
    this.#file = this.#open();
    const { end, tornBytes, lastLine } = repair(this.#file);
    this.#sizeBytes = end;
    this.tornBytes = tornBytes;
    this.lastSeq = lastLine === '' ? newestSeq(auditFiles(folder)[1]!) : seqOf(lastLine);
  }

  /** Throws what the file system says, and can then be called again with the same lines. */
  append(lines: Uint8Array): void {
    if (this.#sizeBytes + lines.length > LIMITS.auditFileBytes && this.#sizeBytes > 0) this.#rotate();
    try {
      for (let at = 0; at < lines.length; )
        at += writeSync(this.#file, lines, at, lines.length - at, this.#sizeBytes + at);
    } catch (error) {
      // Or the part that was written would be read, and would stay in the file if the next try is for another one.
      ftruncateSync(this.#file, this.#sizeBytes);
      throw error;
    }
    this.#sizeBytes += lines.length;
  }

  /** Resolves when what was appended before the call is on the disk. */
  async sync(): Promise<void> {
    // One that is replaced meanwhile was synced by the rotation; its descriptor may be gone.
    await sync(this.#file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EBADF') throw error;
    });
  }

  close(): void {
    closeSync(this.#file);
  }

  #rotate(): void {
    const names = auditFiles(this.#folder);
    // Up to the first gap only: a rotation that failed half way and is tried again must not push anything out.
    const gap = names.findIndex((name) => !existsSync(name));
    for (let age = gap === -1 ? names.length - 1 : gap; age > 0; age--)
      renameSync(names[age - 1]!, names[age]!);
    const full = this.#file;
    this.#file = this.#open();
    this.#sizeBytes = 0;
    fdatasync(full, () => closeSync(full));
  }

  #open(): number {
    const file = openSync(auditFiles(this.#folder)[0]!, constants.O_RDWR | constants.O_CREAT, 0o600);
    fchmodSync(file, 0o600);
    const directory = openSync(this.#folder, constants.O_RDONLY);
    fsyncSync(directory);
    closeSync(directory);
    return file;
  }
}

/** Cuts a torn last line off. */
function repair(file: number): { end: number; tornBytes: number; lastLine: string } {
  const { size } = fstatSync(file);
  const tail = Buffer.alloc(Math.min(size, LINE_BYTES_MAX));
  readSync(file, tail, 0, tail.length, size - tail.length);
  const keep = tail.lastIndexOf(NEWLINE) + 1;
  const end = size - tail.length + keep;
  if (end < size) ftruncateSync(file, end);
  return { end, tornBytes: size - end, lastLine: lastLineOf(tail.subarray(0, keep)) };
}

function lastLineOf(tail: Buffer): string {
  return tail
    .subarray(tail.lastIndexOf(NEWLINE, -2) + 1)
    .toString('utf8')
    .trimEnd();
}

function newestSeq(path: string): number {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return 0;
  }
  const { size } = fstatSync(file);
  const tail = Buffer.alloc(Math.min(size, LINE_BYTES_MAX));
  readSync(file, tail, 0, tail.length, size - tail.length);
  closeSync(file);
  return seqOf(lastLineOf(tail));
}
