/**
 * Which codes of a name were used: a code is good for one registration, except that the same node may repeat it from
 * the same address within 30 s of its first use (shipped nodes reconnect after 5 s and have no other).
 *
 *    forgotten, all spent      |  known one by one: spent if listed   |  never used
 *   ---------------------------+--------------------------------------+-------------> steps
 *                            floor                                  highest of `steps`
 *
 * A clock that is set back does not matter: `steps` may lie ahead of it, and a step that is not listed and above the
 * floor is fresh, wherever it stands. Only a floor ahead of the clock refuses good codes. That takes more uses than
 * are listed, all of them ahead; one more than a day ahead is taken for the work of a wrong clock and put down.
 *
 * Pure.
 */
import { LIMITS } from '../limits.js';
import { STEP_MS, stepAt } from './totp.js';

/** How long a code may be repeated from where it was first used. */
const REPEAT_MS = 30_000;
/** Steps whose codes can be used within that time: it touches two steps, and codes may be one step off. */
const REPEATABLE = 4;

export interface CodeUse {
  readonly step: number;
  /** First use, ms since 1970. */
  readonly atMs: number;
  readonly address: string;
}

export interface SpentCodes {
  /** This step and all below it are spent. */
  readonly floor: number;
  /** Spent steps above the floor, ascending, at most LIMITS.spentStepsKept. */
  readonly steps: readonly number[];
  /** The newest uses, of which a repetition may be allowed. */
  readonly recent: readonly CodeUse[];
}

export const NOTHING_SPENT: SpentCodes = { floor: -1, steps: [], recent: [] };

export function judge(
  spent: SpentCodes,
  step: number,
  nowMs: number,
  address: string,
): 'fresh' | 'repeated' | 'spent' {
  const use = spent.recent.find((one) => one.step === step);
  if (use !== undefined && use.address === address) {
    const ageMs = nowMs - use.atMs;
    if (ageMs >= 0 && ageMs <= REPEAT_MS) return 'repeated';
  }
  return step <= spent.floor || spent.steps.includes(step) ? 'spent' : 'fresh';
}

/** With a fresh step used. */
export function spend(spent: SpentCodes, step: number, nowMs: number, address: string): SpentCodes {
  const steps = [...spent.steps, step].sort((a, b) => a - b);
  const forgotten = steps.length > LIMITS.spentStepsKept ? steps.shift() : undefined;
  const recent = [...spent.recent, { step, atMs: nowMs, address }].slice(-REPEATABLE);
  return { floor: Math.max(spent.floor, forgotten ?? -1), steps, recent };
}

/** The highest step that was used; -1 where none was. */
export function highestSpent({ floor, steps }: SpentCodes): number {
  return Math.max(floor, steps.at(-1) ?? -1);
}

/** Without a floor that only a wrong clock can have made. */
export function withoutWrongFloor(spent: SpentCodes, nowMs: number): SpentCodes {
  const aheadMs = (spent.floor - stepAt(nowMs)) * STEP_MS;
  return aheadMs > LIMITS.spentFloorAheadMs ? { ...spent, floor: -1 } : spent;
}
