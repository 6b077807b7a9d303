/**
 * Why the command centre says no to somebody who asks it: codes to compare, texts for people. REST and the backend
 * conversation turn them into their own answers.
 *
 * Owned by main.
 */
export type CommandRefusal =
  | 'INVALID_COMMAND'
  | 'NODE_NOT_FOUND'
  | 'COMMAND_NOT_FOUND'
  | 'ROLLOUT_NOT_FOUND'
  /** The command or rollout is past the point where this was possible, or no node matches. */
  | 'CONFLICT'
  /** Retry later: the node has as many commands as may wait for it. */
  | 'NODE_QUEUE_FULL'
  /** Retry later: a bound of the whole Core is reached. */
  | 'TOO_MANY_COMMANDS'
  | 'IDEMPOTENCY_CONFLICT'
  /** Retry later: the state does not reach the disk. */
  | 'STATE_UNAVAILABLE';

export class CommandError extends Error {
  readonly code: CommandRefusal;
  /** The field of the request that is wrong, where there is one: `command.InstallPot.pot_id`. */
  readonly field: string | undefined;

  constructor(code: CommandRefusal, message: string, field?: string) {
    super(message);
    this.name = 'CommandError';
    this.code = code;
    this.field = field;
  }
}
