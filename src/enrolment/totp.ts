/**
 * One-time codes as RFC 6238 has them: SHA-1, 6 digits, steps of 30 s, one step either side of the clock.
 *
 * Pure but for random numbers. otplib does the arithmetic; Node's own HMAC makes it three times as fast, which counts
 * when ten thousand nodes come back at once. Any text may be passed as a code: otplib would throw for most of them.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { generateURI, ScureBase32Plugin, verifySync } from 'otplib';

export const STEP_MS = 30_000;
export const SECRET_BYTES = 20;
const STEP_SECONDS = STEP_MS / 1000;
const ISSUER = 'HoneyBee';

const base32 = new ScureBase32Plugin();
const nativeCrypto = {
  name: 'node',
  hmac: (algorithm: string, key: Uint8Array, data: Uint8Array) =>
    createHmac(algorithm, key).update(data).digest(),
  randomBytes: (length: number) => randomBytes(length),
  constantTimeEqual: (a: string | Uint8Array, b: string | Uint8Array) => {
    const [left, right] = [Buffer.from(a), Buffer.from(b)];
    return left.length === right.length && timingSafeEqual(left, right);
  },
};

export function newSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/** As nodes and people are given it: base32 without padding. */
export function secretText(secret: Uint8Array): string {
  return base32.encode(secret, { padding: false });
}

/** `otpauth://` for authenticator programs. The name must be well formed. */
export function otpauthUri(name: string, secret: Uint8Array): string {
  return generateURI({ issuer: ISSUER, label: name, secret: secretText(secret) });
}

/** The number of the step that a moment, in ms since 1970, lies in. */
export function stepAt(timeMs: number): number {
  return Math.floor(timeMs / STEP_MS);
}

/** The step, at most one away from the clock, whose code this is; undefined where there is none. */
export function matchingStep(secret: Uint8Array, code: string, nowMs: number): number | undefined {
  // A text that is no code costs what a wrong code does.
  const wellFormed = /^\d{6}$/.test(code);
  const result = verifySync({
    secret,
    token: wellFormed ? code : '000000',
    epoch: Math.floor(nowMs / 1000),
    epochTolerance: STEP_SECONDS,
    crypto: nativeCrypto,
  });
  return wellFormed && result.valid ? stepAt(nowMs) + result.delta : undefined;
}
