/**
 * One command to many nodes: a fixed set of them, told at once or so many at a time.
 *
 *   running --all over--> done
 *      |----too many failures--> stopped       what was not sent is cancelled; what was sent goes on to its end
 *      +----somebody's cancel--> cancelled
 *
 * Kept in two pieces: what never changes under `rollout/rol_...`, state and counts under `rollout/rol_...#`, written together
 * with the member that changed them, so that counts and members agree after a crash too. Owned by main.
 */
import type { StateChange } from '../state/store.js';
import type { Command } from './command.js';
import { parseCommand } from './parse.js';
import {
  COMMAND_STATES,
  type CommandRecord,
  type CommandState,
  type IdempotencyMark,
  type Requester,
} from './record.js';

/** Which nodes: all that match everything that is given. */
export interface NodeFilter {
  readonly nodeType: 'Full' | 'Agent' | null;
  readonly status: string | null;
  /** `*` stands for any run of characters. */
  readonly name: string | null;
  /** Null: connected or not. */
  readonly connected: boolean | null;
}

export interface Rolling {
  /** Nodes that are told at once; null: all of them. */
  readonly maxInFlight: number | null;
  /** After so many that failed or timed out the rest is cancelled; null: never. */
  readonly maxFailures: number | null;
}

export const ROLLOUT_STATES = ['running', 'done', 'stopped', 'cancelled'] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

export interface RolloutPlan {
  readonly id: string;
  readonly command: Command;
  readonly json: string;
  readonly filter: NodeFilter;
  readonly rolling: Rolling;
  readonly nodes: number;
  readonly requester: Requester;
  readonly idempotency: IdempotencyMark | null;
  readonly createdMs: number;
  readonly ttlMs: number;
  readonly timeoutMs: number;
}

export class Rollout {
  readonly plan: RolloutPlan;
  state: RolloutState = 'running';
  /** Why it was stopped or cancelled. */
  reason: string | null = null;
  endedMs: number | null = null;
  readonly counts: Record<CommandState, number>;
  /** Members that wait for their turn, and all that are not over. Not kept: found again from the members. */
  readonly held = new Set<CommandRecord>();
  readonly live = new Set<CommandRecord>();
  /** Members that are kept, over or not. */
  readonly members = new Set<string>();

  constructor(plan: RolloutPlan) {
    this.plan = plan;
    this.counts = Object.fromEntries(COMMAND_STATES.map((state) => [state, 0])) as Record<
      CommandState,
      number
    >;
    this.counts.queued = plan.nodes;
  }

  get failures(): number {
    return this.counts.failed + this.counts.timed_out;
  }

  /** Members that were released and are not over. */
  get active(): number {
    return this.live.size - this.held.size;
  }

  /** As it was when it was made. */
  asCreated(): Rollout {
    return new Rollout(this.plan);
  }
}

const PROGRESS = '#';

export function planPut({ plan }: Rollout): StateChange {
  const { json, command: _, ...rest } = plan;
  const head = JSON.stringify({ v: 1, ...rest });
  return { section: 'rollout', key: plan.id, value: `${head.slice(0, -1)},"command":${json}}` };
}

export function progressPut({ plan, state, reason, endedMs, counts }: Rollout): StateChange {
  const value = JSON.stringify({ state, reason, endedMs, counts });
  return { section: 'rollout', key: plan.id + PROGRESS, value };
}

export function rolloutDeletes(id: string): StateChange[] {
  return [
    { section: 'rollout', key: id },
    { section: 'rollout', key: id + PROGRESS },
  ];
}

/** All rollouts of the section, and the number of texts that could not be read. */
export function readRollouts(texts: ReadonlyMap<string, string>): {
  rollouts: Rollout[];
  unreadable: number;
} {
  const rollouts: Rollout[] = [];
  let unreadable = 0;
  for (const [id, text] of texts) {
    if (id.endsWith(PROGRESS)) continue;
    const rollout = readRollout(text, texts.get(id + PROGRESS) ?? '');
    if (rollout === undefined) unreadable++;
    else rollouts.push(rollout);
  }
  return { rollouts, unreadable };
}

function readRollout(planText: string, progressText: string): Rollout | undefined {
  try {
    const { command, v, ...plan } = JSON.parse(planText) as RolloutPlan & { v: number; command: unknown };
    const progress = JSON.parse(progressText) as Pick<Rollout, 'state' | 'reason' | 'endedMs' | 'counts'>;
    const parsed = parseCommand(command);
    if (v !== 1 || !parsed.ok || !ROLLOUT_STATES.includes(progress.state)) return undefined;
    const rollout = new Rollout({ ...plan, command: parsed.command, json: parsed.json });
    rollout.state = progress.state;
    rollout.reason = progress.reason;
    rollout.endedMs = progress.endedMs;
    for (const state of COMMAND_STATES) rollout.counts[state] = progress.counts[state] ?? 0;
    return rollout;
  } catch {
    return undefined;
  }
}
