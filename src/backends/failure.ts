/**
 * Why a backend's message was not done: one list of codes, each with its reason in the answer, `CODE: reason`. Codes
 * mean what they mean elsewhere: protocol codes as for nodes, the others as on REST.
 *
 * Some answers have no code: what the original answers to unknown nodes is kept to the byte, because existing clients
 * show and compare it.
 */
export type BackendFailureCode =
  | 'MESSAGE_PARSE_FAILED'
  | 'INVALID_MESSAGE_FORMAT'
  | 'PROTOCOL_VERSION_MISMATCH'
  | 'INVALID_NODE_ID'
  | 'INVALID_COMMAND'
  | 'NODE_NOT_FOUND'
  /** A command before BackendRegistration. */
  | 'NOT_REGISTERED'
  /** A token is needed, or the one that was sent is not good. */
  | 'UNAUTHORIZED'
  /** The token does not have the role. */
  | 'FORBIDDEN'
  | 'TOO_MANY_REQUESTS'
  | 'REQUEST_TIMEOUT'
  | 'CONFLICT'
  /** As many commands as may wait for the node, or in all. */
  | 'NODE_QUEUE_FULL'
  | 'TOO_MANY_COMMANDS'
  | 'UNAVAILABLE'
  | 'STATE_UNAVAILABLE'
  | 'INTERNAL_ERROR';

/** Thrown by actions that were understood and cannot be done. */
export class BackendFailure extends Error {
  readonly code: BackendFailureCode;
  constructor(code: BackendFailureCode, reason: string) {
    super(reason);
    this.name = 'BackendFailure';
    this.code = code;
  }
}
