/**
 * One command to one node, and its life.
 *
 *   held --release--> queued --hand--> handing --sent--> sent --progress--> in_progress
 *     |                 |  ^--put back--|  |               |                    |
 *     |                 |               |  +-- time out --+|                    |
 *     +---- cancel -----+-- time out    |                 ||                    |
 *     v                 v               v                 vv                    v
 *   cancelled       timed_out       timed_out        done | failed | timed_out
 *
 * `held` waits for its rollout, `handing` is on its way to the connection: to the world both are `queued`. `handing` is made
 * durable before anything leaves, because a command must never reach a node twice: one that a crash of Core leaves
 * in `handing` may have arrived, and counts as sent from then on.
 *
 * Owned by main. Pure, but for the records, which only the command table changes.
 */
import type { CommandCode } from '../errors.js';
import type { PotStatus } from '../protocol/pot-status-update.js';
import type { Command } from './command.js';

export const COMMAND_STATES = [
  'queued',
  'sent',
  'in_progress',
  'done',
  'failed',
  'timed_out',
  'cancelled',
] as const;
/** As the world sees it. */
export type CommandState = (typeof COMMAND_STATES)[number];

export const PHASES = [...COMMAND_STATES, 'held', 'handing'] as const;
export type Phase = (typeof PHASES)[number];

export type CommandEvent =
  | 'release'
  | 'hand'
  | 'put_back'
  | 'sent'
  | 'progress'
  | 'done'
  | 'failed'
  | 'time_out'
  | 'cancel';

/** Where an event leads; undefined where it cannot happen. */
export function nextPhase(phase: Phase, event: CommandEvent): Phase | undefined {
  switch (phase) {
    case 'held':
      return event === 'release' ? 'queued' : event === 'cancel' ? 'cancelled' : undefined;
    case 'queued':
      if (event === 'hand') return 'handing';
      if (event === 'time_out') return 'timed_out';
      return event === 'cancel' ? 'cancelled' : undefined;
    case 'handing':
      if (event === 'sent') return 'sent';
      if (event === 'time_out') return 'timed_out';
      return event === 'put_back' ? 'queued' : undefined;
    case 'sent':
    case 'in_progress':
      if (event === 'progress') return 'in_progress';
      if (event === 'time_out') return 'timed_out';
      return event === 'done' || event === 'failed' ? event : undefined;
    case 'done':
    case 'failed':
    case 'timed_out':
    case 'cancelled':
      return undefined;
  }
}

export function stateOf(phase: Phase): CommandState {
  return phase === 'held' || phase === 'handing' ? 'queued' : phase;
}

export function isOver(phase: Phase): boolean {
  switch (phase) {
    case 'held':
    case 'queued':
    case 'handing':
    case 'sent':
    case 'in_progress':
      return false;
    case 'done':
    case 'failed':
    case 'timed_out':
    case 'cancelled':
      return true;
  }
}

/** Is it with the node, so that what the node says may be about it? */
export function isWithNode(phase: Phase): boolean {
  return phase === 'sent' || phase === 'in_progress';
}

/** What a node said about one pot. */
export interface PotAnswer {
  readonly potId: string;
  readonly potType: string;
  readonly status: PotStatus;
  readonly message: string | null;
  /** The message was longer. */
  readonly truncated: boolean;
}

export type CommandResult =
  | { readonly kind: 'pot'; readonly answer: PotAnswer }
  /** `complete`: the node had fallen silent, and no answer was left out. */
  | { readonly kind: 'pots'; readonly answers: readonly PotAnswer[]; readonly complete: boolean }
  | { readonly kind: 'note'; readonly text: string };

export interface Transition {
  readonly state: CommandState;
  readonly atMs: number;
  readonly message: string | null;
}

/** Who asked for it, as it is kept: never a secret. */
export interface Requester {
  readonly kind: 'token' | 'local' | 'anonymous';
  readonly name: string;
  readonly tokenId: string | null;
  readonly from: string;
  readonly requestId: string | null;
}

/** Hashes; see idempotency.ts. */
export interface IdempotencyMark {
  readonly key: string;
  readonly body: string;
}

export interface CommandRecord {
  readonly id: string;
  /** The node's name is what lasts; the id is the one it had when the command was made. */
  readonly nodeName: string;
  readonly nodeId: bigint;
  readonly command: Command;
  /** The command as it is sent; shared by all commands of a rollout. */
  readonly json: string;
  readonly rolloutId: string | null;
  readonly requester: Requester;
  readonly idempotency: IdempotencyMark | null;
  readonly createdMs: number;
  readonly ttlMs: number;
  readonly timeoutMs: number;
  phase: Phase;
  /** Its time to live is over then, ms since 1970; null while it is held. Counts while it is queued. */
  expiresMs: number | null;
  /** When Core gives up on it in its present phase, ms since 1970; null while it is held, and once it is over. */
  dueMs: number | null;
  readonly history: Transition[];
  /** The node's last word, while it goes on. */
  message: string | null;
  result: CommandResult | null;
  error: { readonly code: CommandCode; readonly reason: string } | null;
  /** It was with its node when this Core started. Not kept. */
  survivedRestart: boolean;
}

export type NewCommand = Pick<
  CommandRecord,
  | 'id'
  | 'nodeName'
  | 'nodeId'
  | 'command'
  | 'json'
  | 'rolloutId'
  | 'requester'
  | 'idempotency'
  | 'createdMs'
  | 'ttlMs'
  | 'timeoutMs'
>;

export function newRecord(fields: NewCommand, phase: 'held' | 'queued'): CommandRecord {
  const expiresMs = phase === 'held' ? null : fields.createdMs + fields.ttlMs;
  return {
    ...fields,
    phase,
    expiresMs,
    dueMs: expiresMs,
    history: [{ state: 'queued', atMs: fields.createdMs, message: null }],
    message: null,
    result: null,
    error: null,
    survivedRestart: false,
  };
}

/** When it last came into another state. */
export function updatedMs(record: CommandRecord): number {
  return record.history.at(-1)!.atMs;
}

/** The command as it was when it was made: what whoever made it was answered. */
export function asCreated(record: CommandRecord): CommandRecord {
  const expiresMs = record.createdMs + record.ttlMs;
  return {
    ...record,
    phase: 'queued',
    expiresMs,
    dueMs: expiresMs,
    history: record.history.slice(0, 1),
    message: null,
    result: null,
    error: null,
  };
}
