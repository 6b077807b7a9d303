/**
 * The key in use: seals and opens the secrets of names. Owned by main.
 *
 * The first secret that is sealed leaves a check value beside it in section `meta`, and a Core that starts with another
 * key than that was made with says so and ends, before it could lock out every node.
 */
import { randomBytes } from 'node:crypto';
import { EXIT, FatalError } from '../errors.js';
import type { StateChange } from '../state/store.js';
import { EnrolmentError } from './errors.js';
import { describeKey, findKey, type KeySource, makeKey } from './key.js';
import { SecretBox } from './secret-box.js';
import { newSecret } from './totp.js';

export type VaultSource = KeySource;

export const CHECK_KEY = 'secret-key-check';
const CHECK_CONTEXT = 'honeybee check';
const DECOY_CONTEXT = 'honeybee decoy';
const CHECK_BYTES = 16;

/** What a secret is sealed for: no name can be that of another purpose. */
function contextOf(name: string): string {
  return `honeybee enrolment ${name}`;
}

/** Throws a FatalError where the key cannot be used, or is not the one of the secrets that are kept. */
export function openVault(source: VaultSource, meta: ReadonlyMap<string, string>): Vault {
  const key = findKey(source);
  const check = meta.get(CHECK_KEY);
  if (check === undefined) return new Vault(source, key, false);
  if (key === undefined) {
    throw new FatalError(
      EXIT.config,
      `the secrets of nodes were encrypted with a key that is not there: ${describeKey(source)}; put it back, or give the one in use by auth.key_file or HONEYBEE_SECRET_KEY`,
    );
  }
  if (new SecretBox(key).open(CHECK_CONTEXT, check) === undefined) {
    throw new FatalError(
      EXIT.config,
      `the secrets of nodes were encrypted with another key than ${describeKey(source)} holds; give the key that was in use before`,
    );
  }
  return new Vault(source, key, true);
}

export class Vault {
  /** Never the secret of anybody: verified against where there is no other. */
  readonly decoy = newSecret();
  readonly #source: VaultSource;
  #box: SecretBox | undefined;
  #sealedDecoy = '';
  /** The check value is in the store, or on its way there. */
  #checked: boolean;

  constructor(source: VaultSource, key: Buffer | undefined, checked: boolean) {
    this.#source = source;
    this.#checked = checked;
    if (key !== undefined) this.#use(new SecretBox(key));
  }

  /** Makes the key where there is none yet; throws an EnrolmentError where it cannot. `changes` belong into the write that the sealed secret is part of. */
  seal(
    name: string,
    secret: Uint8Array,
  ): { readonly sealed: string; readonly changes: readonly StateChange[] } {
    const box = this.#box ?? this.#use(new SecretBox(this.#makeKey()));
    const changes: StateChange[] = [];
    if (!this.#checked) {
      changes.push({
        section: 'meta',
        key: CHECK_KEY,
        value: box.seal(CHECK_CONTEXT, randomBytes(CHECK_BYTES)),
      });
    }
    return { sealed: box.seal(contextOf(name), secret), changes };
  }

  /** The write with the check value was taken. */
  keepCheck(): void {
    this.#checked = true;
  }

  /** Undefined where it does not open. Without a sealed secret it does the same work for nothing. */
  open(name: string, sealed: string | null): Buffer | undefined {
    if (sealed !== null) return this.#box?.open(contextOf(name), sealed);
    this.#box?.open(DECOY_CONTEXT, this.#sealedDecoy);
    return undefined;
  }

  #makeKey(): Buffer {
    try {
      return makeKey(this.#source.dataDir);
    } catch (error) {
      throw new EnrolmentError('NO_KEY', { cause: error });
    }
  }

  #use(box: SecretBox): SecretBox {
    this.#box = box;
    this.#sealedDecoy = box.seal(DECOY_CONTEXT, this.decoy);
    return box;
  }
}
