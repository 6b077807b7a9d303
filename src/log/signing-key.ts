/**
 * Reads the keys of seals: the private one that signs (storage.signing_key_file), and public ones that check. What stands
 * in such a file is never part of an error. Any thread.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { EXIT, FatalError } from '../errors.js';
import { keyIdOf, type SigningKey } from './seal.js';

/** A key in PEM is a few hundred bytes. */
const FILE_BYTES_MAX = 64 * 1024;

/** Undefined where none is set; throws a FatalError where it cannot be used. */
export function readSigningKey(path: string): SigningKey | undefined {
  if (path === '') return undefined;
  const refuse = (reason: string) =>
    new FatalError(EXIT.config, `storage.signing_key_file = "${path}" ${reason}`);
  const privateKey = readKey(path, 'an unencrypted private key in PEM', createPrivateKey, refuse);
  return { privateKey, keyId: keyIdOf(privateKey) };
}

export function readPublicKey(path: string): KeyObject {
  const refuse = (reason: string) => new FatalError(EXIT.usage, `--public-key ${path} ${reason}`);
  // A private key would do as well, and has no business being where logs are checked.
  return readKey(
    path,
    'a public key in PEM',
    (pem) => {
      if (pem.includes('PRIVATE KEY')) throw new Error('a private key');
      return createPublicKey(pem);
    },
    refuse,
  );
}

function readKey(
  path: string,
  wanted: string,
  parse: (pem: string) => KeyObject,
  refuse: (reason: string) => FatalError,
): KeyObject {
  let pem: string;
  try {
    // Not opened before: a pipe would be waited for.
    const stats = statSync(path);
    if (!stats.isFile()) throw refuse('is not a file');
    if (stats.size > FILE_BYTES_MAX) throw refuse(`is larger than ${FILE_BYTES_MAX} bytes`);
    pem = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof FatalError) throw error;
    throw refuse(`cannot be read: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
  }
  let key: KeyObject;
  try {
    key = parse(pem);
  } catch {
    throw refuse(`does not hold ${wanted}`);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw refuse(`holds a key of the type ${key.asymmetricKeyType}; allowed: ed25519`);
  return key;
}
