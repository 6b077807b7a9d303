/**
 * What is kept of an enrolled name, and how it stands in the store: section `enrolment`, the name as key, JSON as
 * value.
 *
 *   {"v":1,"state":"active"|"revoked","by":"admin"|"node","created":ms,"changed":ms,"used":ms|null,
 *    "secret":sealed|null,"floor":step,"steps":[step,...],"recent":[[step,ms,address],...]}
 *
 * Owned by main. Pure.
 */
import { LIMITS } from '../limits.js';
import { type CodeUse, NOTHING_SPENT, type SpentCodes } from './spent-codes.js';

export interface Enrolment {
  readonly name: string;
  /** `revoked`: the name had a secret, and gets none again unless an administrator says so. */
  readonly state: 'active' | 'revoked';
  /** Who enrolled it: an administrator, or the node by registering. */
  readonly by: 'admin' | 'node';
  readonly createdMs: number;
  /** When the secret was made, or revoked. */
  readonly changedMs: number;
  /** When a code of the present secret was last accepted. */
  readonly lastUsedMs: number | null;
  /** As a SecretBox sealed it; null when revoked. */
  readonly sealed: string | null;
  readonly spent: SpentCodes;
}

export function encodeEnrolment(enrolment: Enrolment): string {
  const { state, by, createdMs, changedMs, lastUsedMs, sealed, spent } = enrolment;
  return JSON.stringify({
    v: 1,
    state,
    by,
    created: createdMs,
    changed: changedMs,
    used: lastUsedMs,
    secret: sealed,
    floor: spent.floor,
    steps: spent.steps,
    recent: spent.recent.map(({ step, atMs, address }) => [step, atMs, address]),
  });
}

/** Undefined where the text is none of ours. */
export function decodeEnrolment(name: string, text: string): Enrolment | undefined {
  let found: Record<string, unknown>;
  try {
    found = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof found !== 'object' || found === null || found.v !== 1) return undefined;
  const { state, by, created, changed, used, secret, floor, steps } = found;
  if (state !== 'active' && state !== 'revoked') return undefined;
  if (by !== 'admin' && by !== 'node') return undefined;
  if (!isNumber(created) || !isNumber(changed) || !(used === null || isNumber(used))) return undefined;
  if (state === 'active' ? typeof secret !== 'string' : secret !== null) return undefined;
  if (!isNumber(floor) || !isAscending(steps) || steps.length > LIMITS.spentStepsKept) return undefined;
  const recent = decodeUses(found.recent);
  if (recent === undefined) return undefined;
  return {
    name,
    state,
    by,
    createdMs: created,
    changedMs: changed,
    lastUsedMs: used,
    sealed: secret as string | null,
    spent: { floor, steps, recent },
  };
}

/** What stands for a record that cannot be read: nobody gets in by it, and nobody may enrol the name anew. */
export function damagedEnrolment(name: string): Enrolment {
  return {
    name,
    state: 'revoked',
    by: 'admin',
    createdMs: 0,
    changedMs: 0,
    lastUsedMs: null,
    sealed: null,
    spent: NOTHING_SPENT,
  };
}

function decodeUses(value: unknown): CodeUse[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const uses: CodeUse[] = [];
  for (const use of value) {
    if (!Array.isArray(use)) return undefined;
    const [step, atMs, address] = use as unknown[];
    if (!isNumber(step) || !isNumber(atMs) || typeof address !== 'string') return undefined;
    uses.push({ step, atMs, address });
  }
  return uses;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}

function isAscending(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((one, at) => isNumber(one) && (at === 0 || value[at - 1] < one));
}
