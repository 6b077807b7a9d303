/**
 * How an API token is written, made and compared.
 *
 *   hb_<id>_<secret>    id: 8 characters of a-z 2-7, tells which token; secret: 256 bits in base64url
 *
 * Main thread; pure but for the randomness. Only the SHA-256 of the secret is ever kept. A slow hash would add nothing:
 * nobody guesses 256 random bits, and a fast one lets every request be checked.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const FORM = /^hb_([a-z2-7]{8})_([A-Za-z0-9_-]{43})$/;
const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const ID_LENGTH = 8;
const SECRET_BYTES = 32;

export interface TokenParts {
  readonly id: string;
  readonly secret: string;
}

/** Undefined where the text is no token. */
export function parseToken(text: string): TokenParts | undefined {
  const match = FORM.exec(text);
  return match === null ? undefined : { id: match[1]!, secret: match[2]! };
}

export function isTokenId(text: string): boolean {
  return /^[a-z2-7]{8}$/.test(text);
}

export function newTokenId(): string {
  return Array.from(randomBytes(ID_LENGTH), (byte) => ID_ALPHABET[byte % ID_ALPHABET.length]).join('');
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

export function tokenText({ id, secret }: TokenParts): string {
  return `hb_${id}_${secret}`;
}

export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** What an unknown id is compared with, so that it takes as long as a known one; nothing hashes to it. */
const NOBODY = Buffer.alloc(32);

export function sameHash(kept: Buffer | undefined, found: Buffer): boolean {
  return timingSafeEqual(kept ?? NOBODY, found) && kept !== undefined;
}
