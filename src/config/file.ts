/**
 * The configuration file on disk: read it, or write it with the defaults when there is none.
 *
 * Owned by main, before anything else runs; synchronous on purpose.
 */
import { isUtf8 } from 'node:buffer';
import { closeSync, fstatSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { EXIT, FatalError } from '../errors.js';
import { defaultFile } from './default-file.js';
import { printable } from './values.js';

/** No configuration is that long; a log or an image given by mistake is. */
const longestFileBytes = 256 * 1024;

/** For those that only look: nothing is written. */
export function readOrDefaults(path: string): { kind: 'read'; text: string } | { kind: 'absent' } {
  const text = read(path);
  return text === undefined ? { kind: 'absent' } : { kind: 'read', text };
}

export type ConfigFile =
  | { readonly kind: 'read'; readonly text: string }
  | { readonly kind: 'created'; readonly text: string }
  /** Neither there nor possible to write. */
  | { readonly kind: 'missing'; readonly reason: string };

export function readOrCreate(path: string): ConfigFile {
  const found = read(path);
  if (found !== undefined) return { kind: 'read', text: found };
  const text = defaultFile();
  let opened = false;
  try {
    const fd = openSync(path, 'wx', 0o644);
    opened = true;
    try {
      writeFileSync(fd, text);
    } finally {
      closeSync(fd);
    }
    return { kind: 'created', text };
  } catch (error) {
    // Half a file would be taken for the operator's at the next start.
    if (opened) rmSync(path, { force: true });
    // Another Core may have written it in between.
    const late = codeOf(error) === 'EEXIST' ? read(path) : undefined;
    return late === undefined ? { kind: 'missing', reason: codeOf(error) } : { kind: 'read', text: late };
  }
}

/** The text of the file, or undefined when there is none. */
function read(path: string): string | undefined {
  let bytes: Buffer;
  try {
    const fd = openSync(path, 'r');
    try {
      if (fstatSync(fd).size > longestFileBytes)
        throw refuse(path, `is longer than ${longestFileBytes} bytes`);
      bytes = readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof FatalError) throw error;
    if (codeOf(error) === 'ENOENT') return undefined;
    throw refuse(path, `cannot be read: ${codeOf(error)}`, error);
  }
  if (!isUtf8(bytes)) throw refuse(`${path}:${firstBadLine(bytes)}`, 'is not UTF-8');
  return bytes.toString('utf8');
}

function firstBadLine(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline === -1 ? bytes.length : newline;
    if (!isUtf8(bytes.subarray(start, end))) break;
    start = end + 1;
  }
  return line;
}

function refuse(where: string, what: string, cause?: unknown): FatalError {
  return new FatalError(EXIT.config, `${printable(where)}: the configuration file ${what}`, { cause });
}

function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : String(error);
}
