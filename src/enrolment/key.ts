/**
 * The key that encrypts the secrets of nodes, and where it is found:
 *
 *   HONEYBEE_SECRET_KEY   32 bytes in base64
 *   auth.key_file         a file with the same, which nobody else may read
 *   <data dir>/secret.key made by Core when it needs a key for the first time
 *
 * Owned by main. Never logged, never in the text of an error.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { EXIT, FatalError } from '../errors.js';

export const KEY_BYTES = 32;
export const KEY_VARIABLE = 'HONEYBEE_SECRET_KEY';

export interface KeySource {
  readonly env: NodeJS.ProcessEnv;
  /** `auth.key_file`; empty where there is none. */
  readonly keyFile: string;
  /** `storage.dir` */
  readonly dataDir: string;
}

/** The key, or undefined where Core may make one and has not yet. Throws a FatalError that says what to do. */
export function findKey({ env, keyFile, dataDir }: KeySource): Buffer | undefined {
  const variable = env[KEY_VARIABLE];
  if (variable !== undefined && variable !== '') {
    return (
      decodeKey(variable) ??
      refuse(`${KEY_VARIABLE} is not 32 bytes in base64; make one: openssl rand -base64 32`)
    );
  }
  if (keyFile !== '') {
    const how = `make one: (umask 077; openssl rand -base64 32 > ${keyFile})`;
    return (
      readKeyFile(keyFile, 'auth.key_file', how) ?? refuse(`auth.key_file ${keyFile} is not there; ${how}`)
    );
  }
  return readKeyFile(ownKeyFile(dataDir), 'the key of the data directory', 'put back the one it was');
}

/** Makes the key file of the data directory; the key is durable when this returns. Throws what the file system says. */
export function makeKey(dataDir: string): Buffer {
  const key = randomBytes(KEY_BYTES);
  const path = ownKeyFile(dataDir);
  const temporary = `${path}.new`;
  // Of a Core that ended in the middle: its mode may be anybody's.
  rmSync(temporary, { force: true });
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, `${key.toString('base64')}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return key;
}

/** Where the key comes from, for messages. */
export function describeKey({ env, keyFile, dataDir }: KeySource): string {
  if ((env[KEY_VARIABLE] ?? '') !== '') return KEY_VARIABLE;
  return keyFile === '' ? ownKeyFile(dataDir) : `auth.key_file ${keyFile}`;
}

function ownKeyFile(dataDir: string): string {
  return join(dataDir, 'secret.key');
}

function readKeyFile(path: string, what: string, how: string): Buffer | undefined {
  let text: string;
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    // Of the open file, so that it cannot be another one that is read.
    const status = fstatSync(file);
    if (!status.isFile()) return refuse(`${what} ${path} is not a file`);
    const mode = status.mode & 0o777;
    if ((mode & 0o077) !== 0) {
      const octal = mode.toString(8).padStart(4, '0');
      return refuse(
        `${what} ${path} can be read by others (mode ${octal}); allowed: 0600 or 0400: chmod 600 ${path}`,
      );
    }
    text = readFileSync(file, 'latin1');
  } catch (error) {
    if (error instanceof FatalError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    return refuse(`${what} ${path} cannot be read (${code})`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return decodeKey(text) ?? refuse(`${what} ${path} does not hold 32 bytes in base64; ${how}`);
}

function decodeKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  return /^[A-Za-z0-9+/]{43}=$/.test(trimmed) ? Buffer.from(trimmed, 'base64') : undefined;
}

function refuse(message: string): never {
  throw new FatalError(EXIT.config, message);
}
