/**
 * What REST and the backend conversation ask of the command centre. All of it may throw a CommandError.
 *
 * Owned by main.
 */
import type { CommandCenter } from './center.js';

export type CommandService = Pick<
  CommandCenter,
  | 'submit'
  | 'broadcast'
  | 'command'
  | 'find'
  | 'commands'
  | 'cancel'
  | 'rollout'
  | 'rollouts'
  | 'cancelRollout'
  | 'inScope'
  | 'maySee'
>;
