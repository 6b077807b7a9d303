/**
 * The names that have a secret, and those that had one.
 *
 *   unknown --enrol--> active --revoke--> revoked --enrol--> active
 *                        | ^                 |
 *                        +-+ rotate          +--forget--> unknown
 *
 * Owned by main. Everything is in memory; a change is told to the store at once, and the promise of each call resolves
 * when it is durable. Secrets are in memory as they are on the disk: sealed.
 *
 * Its size is bounded: LIMITS.enrolmentNames in all, of which LIMITS.selfEnrolledNames may have come by themselves.
 */
import { LIMITS } from '../limits.js';
import type { StateChange, StateStore } from '../state/store.js';
import { EnrolmentError } from './errors.js';
import { damagedEnrolment, decodeEnrolment, type Enrolment, encodeEnrolment } from './record.js';
import { SortedNames } from './sorted-names.js';
import { judge, NOTHING_SPENT, spend, withoutWrongFloor } from './spent-codes.js';
import { matchingStep, newSecret, otpauthUri, secretText } from './totp.js';
import { openVault, type Vault, type VaultSource } from './vault.js';
import { EnrolmentWindow, WINDOW_KEY } from './window.js';

/** Shown once, to whoever asked for it; never kept or logged in clear. */
export interface IssuedSecret {
  readonly enrolment: Enrolment;
  /** base32 without padding */
  readonly secret: string;
  readonly otpauthUri: string;
}

export interface OpenedEnrolments {
  readonly enrolments: Enrolments;
  /** Records that could not be read; their names count as revoked. */
  readonly damaged: number;
}

/** Reads what is kept. Throws a FatalError where the key is not the one that the secrets were encrypted with. */
export async function openEnrolments(
  store: StateStore,
  source: VaultSource,
  now: () => number = Date.now,
): Promise<OpenedEnrolments> {
  const meta = new Map<string, string>();
  for await (const [key, value] of store.read('meta')) meta.set(key, value);
  const table = new Map<string, Enrolment>();
  let damaged = 0;
  for await (const [name, text] of store.read('enrolment')) {
    const enrolment = decodeEnrolment(name, text);
    if (enrolment === undefined) damaged++;
    table.set(name, enrolment ?? damagedEnrolment(name));
  }
  const vault = openVault(source, meta);
  const window = new EnrolmentWindow(store, now, meta.get(WINDOW_KEY));
  return { enrolments: new Enrolments(store, vault, window, table, now), damaged };
}

export class Enrolments {
  readonly window: EnrolmentWindow;
  readonly #store: StateStore;
  readonly #vault: Vault;
  readonly #now: () => number;
  readonly #table: Map<string, Enrolment>;
  readonly #names: SortedNames;
  #selfEnrolled = 0;

  constructor(
    store: StateStore,
    vault: Vault,
    window: EnrolmentWindow,
    table: Map<string, Enrolment>,
    now: () => number,
  ) {
    this.#store = store;
    this.#vault = vault;
    this.window = window;
    this.#table = table;
    this.#names = new SortedNames(table.keys());
    this.#now = now;
    for (const { by } of table.values()) if (by === 'node') this.#selfEnrolled++;
  }

  get size(): number {
    return this.#table.size;
  }

  get(name: string): Enrolment | undefined {
    return this.#table.get(name);
  }

  /** By name; `after` is the last name of the page before. */
  list(limit: number, after?: string): Enrolment[] {
    return this.#names.page(limit, after).map((name) => this.#table.get(name)!);
  }

  // ---- what administrators do ---------------------------------------------------------------------------------

  async enrol(name: string): Promise<IssuedSecret> {
    if (!isEnrollable(name)) throw new EnrolmentError('BAD_NAME');
    const known = this.#table.get(name);
    if (known?.state === 'active') throw new EnrolmentError('ALREADY_ENROLLED');
    if (known === undefined && this.#table.size >= LIMITS.enrolmentNames) throw new EnrolmentError('FULL');
    const { issued, durable } = this.#issue(name, 'admin', known);
    await durable;
    return issued;
  }

  /** A new secret for an enrolled name; the old one is worth nothing from this moment. */
  async rotate(name: string): Promise<IssuedSecret> {
    const known = this.#active(name);
    const { issued, durable } = this.#issue(name, known.by, known);
    await durable;
    return issued;
  }

  async revoke(name: string): Promise<void> {
    const known = this.#table.get(name);
    if (known === undefined) throw new EnrolmentError('NOT_ENROLLED');
    if (known.state === 'revoked') return;
    await this.#put({
      ...known,
      state: 'revoked',
      changedMs: this.#now(),
      sealed: null,
      spent: NOTHING_SPENT,
    });
  }

  /** The name is as unknown as any other again: in `optional` it may enrol itself. */
  async forget(name: string): Promise<void> {
    if (!this.#table.has(name)) throw new EnrolmentError('NOT_ENROLLED');
    await this.#delete(name);
  }

  // ---- what registrations do ----------------------------------------------------------------------------------

  /** Is there room for one more name that comes by itself? */
  get hasRoomForNode(): boolean {
    return this.#selfEnrolled < LIMITS.selfEnrolledNames && this.#table.size < LIMITS.enrolmentNames;
  }

  /** An unknown name registers with a code: its secret, and when that is durable. */
  enrolNode(name: string): { readonly issued: IssuedSecret; readonly durable: Promise<void> } {
    if (this.#table.has(name) || !this.hasRoomForNode || !isEnrollable(name))
      throw new Error('a name enrolled itself that may not');
    return this.#issue(name, 'node', undefined);
  }

  /** The node never got its secret: the name is unknown again. Nothing happens where it was changed meanwhile. */
  async withdraw(enrolment: Enrolment): Promise<void> {
    if (this.#table.get(enrolment.name) === enrolment) await this.#delete(enrolment.name);
  }

  /**
   * Which step the code is of; `damaged` where the secret cannot be decrypted. Costs the same for a name that is not
   * enrolled, so that the time of a refusal tells nothing.
   */
  check(name: string, code: string): number | undefined | 'damaged' {
    const sealed = this.#table.get(name)?.sealed ?? null;
    const secret = this.#vault.open(name, sealed);
    const step = matchingStep(secret ?? this.#vault.decoy, code, this.#now());
    if (sealed === null) return undefined;
    return secret === undefined ? 'damaged' : step;
  }

  /** Uses up a step of an enrolled name. When `durable` resolves no restart can make its code good again. */
  spend(
    name: string,
    step: number,
    address: string,
  ):
    | { readonly verdict: 'spent' }
    | { readonly verdict: 'fresh' | 'repeated'; readonly durable: Promise<void> } {
    const known = this.#active(name);
    const nowMs = this.#now();
    const spent = withoutWrongFloor(known.spent, nowMs);
    const verdict = judge(spent, step, nowMs, address);
    if (verdict === 'spent') return { verdict };
    const next = verdict === 'fresh' ? spend(spent, step, nowMs, address) : spent;
    // A repetition is written, too: its first use may still be on its way to the disk.
    return { verdict, durable: this.#put({ ...known, lastUsedMs: nowMs, spent: next }) };
  }

  // ---- the table ----------------------------------------------------------------------------------------------

  #active(name: string): Enrolment {
    const known = this.#table.get(name);
    if (known?.state !== 'active') throw new EnrolmentError('NOT_ENROLLED');
    return known;
  }

  #issue(name: string, by: Enrolment['by'], known: Enrolment | undefined) {
    const secret = newSecret();
    const nowMs = this.#now();
    const { sealed, changes } = this.#vault.seal(name, secret);
    const enrolment: Enrolment = {
      name,
      state: 'active',
      by,
      createdMs: known?.state === 'active' ? known.createdMs : nowMs,
      changedMs: nowMs,
      lastUsedMs: null,
      sealed,
      spent: NOTHING_SPENT,
    };
    const durable = this.#put(enrolment, changes);
    this.#vault.keepCheck();
    const issued = { enrolment, secret: secretText(secret), otpauthUri: otpauthUri(name, secret) };
    return { issued, durable };
  }

  #put(enrolment: Enrolment, more: readonly StateChange[] = []): Promise<void> {
    const { name } = enrolment;
    // First, because it may refuse.
    const durable = this.#store.write([
      ...more,
      { section: 'enrolment', key: name, value: encodeEnrolment(enrolment) },
    ]);
    this.#count(name, -1);
    this.#table.set(name, enrolment);
    this.#count(name, +1);
    this.#names.add(name);
    return durable;
  }

  #delete(name: string): Promise<void> {
    const durable = this.#store.write([{ section: 'enrolment', key: name }]);
    this.#count(name, -1);
    this.#table.delete(name);
    this.#names.remove(name);
    return durable;
  }

  #count(name: string, change: 1 | -1): void {
    if (this.#table.get(name)?.by === 'node') this.#selfEnrolled += change;
  }
}

/** A name that can be enrolled: as long as the protocol has it, and one that no other one could be mistaken for. */
export function isEnrollable(name: string): boolean {
  const length = [...name].length;
  return length >= 1 && length <= LIMITS.nodeNameLength && !/\p{Surrogate}/u.test(name);
}
