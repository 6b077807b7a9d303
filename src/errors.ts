/**
 * The one table of errors: protocol codes (what a node, a REST client or the dead-letter log is told) and the
 * process's exit codes. Callers compare codes, never text.
 *
 * Owned by no thread: constants only.
 */

/** Protocol error codes; the index in this list is the number used in shared memory, so only append. */
export const ERROR_CODES = [
  'MESSAGE_PARSE_FAILED',
  'INVALID_MESSAGE_FORMAT',
  'PROTOCOL_VERSION_MISMATCH',
  'INVALID_NODE_ID',
  'NODE_NOT_FOUND',
  'NODE_ALREADY_REGISTERED',
  'AUTHENTICATION_FAILED',
  'NODE_REGISTRATION_FAILED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** What each code means, for the README, REST and people who read the log. */
export const ERROR_MEANING: Record<ErrorCode, string> = {
  MESSAGE_PARSE_FAILED: 'the frame is not JSON, or not UTF-8',
  INVALID_MESSAGE_FORMAT: 'JSON, but not a message of Protocol v2; the message names the field',
  PROTOCOL_VERSION_MISMATCH: 'the envelope carries another version than 2',
  INVALID_NODE_ID: 'the node id is out of range, or is not the id this connection registered',
  NODE_NOT_FOUND: 'the connection has not registered',
  NODE_ALREADY_REGISTERED: 'the id is in use by another, connected node',
  AUTHENTICATION_FAILED: 'the TOTP code or the certificate was refused, or TLS is missing',
  NODE_REGISTRATION_FAILED: 'the node cannot be registered now, for example because a table is full',
};

/** Codes of commands to nodes, in REST answers, in the state of a command and in the backend conversation. */
export const COMMAND_CODES = [
  'INVALID_COMMAND',
  'COMMAND_TIMEOUT',
  'COMMAND_FAILED',
  'COMMAND_CANCELLED',
] as const;

export type CommandCode = (typeof COMMAND_CODES)[number];

export const COMMAND_MEANING: Record<CommandCode, string> = {
  INVALID_COMMAND: 'not a command of Protocol v2; the message names the field',
  COMMAND_TIMEOUT: 'the node was not there, or did not do it, in time',
  COMMAND_FAILED: 'the node reports that it failed',
  COMMAND_CANCELLED: 'somebody called it off before it was sent',
};

/** Index of a code in {@link ERROR_CODES}, as kept in shared memory. */
export function errorIndex(code: ErrorCode): number {
  return ERROR_CODES.indexOf(code);
}

/** How the process ends; numbers follow BSD sysexits where one fits. */
export const EXIT = {
  ok: 0,
  /** What was asked to be checked is not as it should be. */
  faults: 1,
  usage: 64,
  /** Not all of what a command was asked to do could be done: something was refused, or is not there. */
  dataError: 65,
  /** A port is in use or cannot be bound. */
  unavailable: 69,
  /** A broken invariant, or a thread that Core cannot live without died. */
  software: 70,
  /** The data directory cannot be created or written. */
  cannotCreate: 73,
  /** Shutdown time was over before everything read was written; the log says how much was left. */
  ioError: 74,
  /** Another Core holds the data directory. */
  locked: 75,
  /** A running Core refused what was asked: no token, a wrong one, or one without the role. */
  noPermission: 77,
  /** The configuration is wrong. */
  config: 78,
} as const;

/** An error that ends the process with a message for people, not with a stack trace. */
export class FatalError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FatalError';
    this.exitCode = exitCode;
  }
}
