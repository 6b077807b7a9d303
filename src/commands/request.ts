/**
 * What is asked of the command centre, and the answers that are no: shapes and small decisions.
 *
 * Owned by main. Nothing here keeps anything.
 */
import type { Actor } from '../access/principal.js';
import { LIMITS } from '../limits.js';
import { CommandError } from './errors.js';
import { parseCommand } from './parse.js';
import { type CommandRecord, type CommandState, type Requester, stateOf } from './record.js';
import type { NodeFilter, Rolling } from './rollout.js';

export interface CommandRequest {
  /** As it was given; see parse.ts. */
  readonly command: unknown;
  readonly actor: Actor;
  readonly ttlMs?: number | undefined;
  readonly timeoutMs?: number | undefined;
  readonly idempotencyKey?: string | undefined;
}

export interface BroadcastRequest extends CommandRequest {
  readonly filter?: Partial<NodeFilter> | undefined;
  readonly rolling?: Partial<Rolling> | undefined;
}

export interface CommandQuery {
  readonly state?: CommandState | undefined;
  readonly nodeName?: string | undefined;
  readonly rolloutId?: string | undefined;
  /** Only those behind it, the newest first. */
  readonly after?: string | undefined;
}

export function parsed(value: unknown) {
  const result = parseCommand(value);
  if (!result.ok) throw new CommandError('INVALID_COMMAND', `${result.field} ${result.reason}`, result.field);
  return result;
}

export function requesterOf({ principal, from, requestId }: Actor): Requester {
  const { kind, name, tokenId } = principal;
  return { kind, name, tokenId, from, requestId: requestId ?? null };
}

/** Why a command cannot be called off; undefined where it can. */
export function cancelRefusal(record: CommandRecord): string | undefined {
  switch (record.phase) {
    case 'held':
    case 'queued':
      return undefined;
    case 'handing':
      return 'it is being sent to the node at this moment, and cannot be unsent';
    case 'sent':
    case 'in_progress':
      return 'it was sent to the node, and cannot be unsent';
    case 'done':
    case 'failed':
    case 'timed_out':
    case 'cancelled':
      return `it is over: ${stateOf(record.phase)}`;
  }
}

export function unknownCommand(): CommandError {
  return new CommandError('COMMAND_NOT_FOUND', 'no command with this id is kept');
}

export function unknownRollout(): CommandError {
  return new CommandError('ROLLOUT_NOT_FOUND', 'no rollout with this id is kept');
}

export function stateUnavailable(): CommandError {
  return new CommandError('STATE_UNAVAILABLE', 'Core cannot write its state now; try again');
}

/** Waits for the disk, but not for ever. */
export async function inTime(durable: Promise<unknown> | null): Promise<void> {
  if (durable === null) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new CommandError(
            'STATE_UNAVAILABLE',
            'the disk has not taken it yet; it is carried out once it has. Ask again with the same idempotency key',
          ),
        ),
      LIMITS.commandDurableMs,
    );
    timer.unref();
  });
  try {
    await Promise.race([durable, late]);
  } finally {
    clearTimeout(timer);
  }
}
