/**
 * What REST answers when it does not answer with what was asked for: one table.
 *
 * Owned by main: constants and the class that routes throw. The texts are fixed: neither the text of an exception nor
 * anything a client sent gets into one. How it is sent is in `problem.ts`.
 */

/** Codes that clients may compare, their HTTP status and their text. Protocol codes keep their meaning here. */
export const REST_ERRORS = {
  BAD_REQUEST: { status: 400, message: 'the request cannot be understood' },
  INVALID_NODE_ID: { status: 400, message: 'a node id is a decimal number from 1 to 18446744073709551615' },
  INVALID_COMMAND: { status: 400, message: 'this is no command of Protocol v2' },
  UNAUTHORIZED: { status: 401, message: 'a valid token is needed: authorization: Bearer TOKEN' },
  FORBIDDEN: { status: 403, message: 'this token does not have the role for this' },
  OUT_OF_SCOPE: { status: 403, message: 'this token has a scope, and this shows more than it may see' },
  HOST_REFUSED: {
    status: 403,
    message:
      'without tokens Core answers only to an address, localhost and its configured host; make a token, or name the ' +
      'page in auth.allowed_origins',
  },
  ORIGIN_REFUSED: {
    status: 403,
    message: 'without tokens Core does not answer to pages of other origins; see auth.allowed_origins',
  },
  NOT_FOUND: { status: 404, message: 'there is nothing at this path; GET / lists what is here' },
  NODE_NOT_FOUND: { status: 404, message: 'no node with this id is known' },
  COMMAND_NOT_FOUND: { status: 404, message: 'no command with this id is kept' },
  ROLLOUT_NOT_FOUND: { status: 404, message: 'no rollout with this id is kept' },
  DEAD_LETTER_NOT_FOUND: { status: 404, message: 'no dead letter with this number is kept' },
  CONSUMER_NOT_FOUND: { status: 404, message: 'no named consumer of this name is known' },
  ENROLMENT_NOT_FOUND: { status: 404, message: 'no node with this name is enrolled' },
  TOKEN_NOT_FOUND: { status: 404, message: 'no token with this id was made' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    message: 'this path does not support this method; see the allow header',
  },
  REQUEST_TIMEOUT: { status: 408, message: 'the request was not complete in time' },
  TOKENS_FULL: { status: 409, message: 'there are as many active tokens as there may be; revoke one' },
  CONFLICT: { status: 409, message: 'this is not possible in the present state' },
  REPLAYED_BEFORE: {
    status: 409,
    message: 'this dead letter was accepted before, or may have been; see force',
  },
  REPLAY_UNPROVEN: {
    status: 409,
    message:
      'nothing shows that this dead letter is of the node it names, which has to prove who it is; see force',
  },
  NODE_QUEUE_FULL: { status: 409, message: 'as many commands as may wait for this node do' },
  PAYLOAD_TOO_LARGE: { status: 413, message: 'the body is larger than allowed' },
  URI_TOO_LONG: { status: 414, message: 'the path is longer than allowed' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'the body must be application/json' },
  EXPECTATION_FAILED: { status: 417, message: 'only 100-continue may be expected' },
  NOT_REPLAYABLE: { status: 422, message: 'this dead letter cannot be tried again as it is' },
  IDEMPOTENCY_CONFLICT: { status: 422, message: 'this idempotency key was used for another request' },
  TOO_MANY_REQUESTS: { status: 429, message: 'too many requests; see the retry-after header' },
  TOO_MANY_FAILURES: { status: 429, message: 'too many wrong tokens came from this address; wait a minute' },
  HEADERS_TOO_LARGE: { status: 431, message: 'the headers are larger than allowed' },
  INTERNAL_ERROR: { status: 500, message: 'Core failed to answer; its log says why' },
  REPLAY_UNKNOWN: {
    status: 503,
    message: 'it was begun, and nobody knows how it ended: look for it in the log before it is forced',
  },
  UNAVAILABLE: { status: 503, message: 'Core cannot answer this now; try again' },
  TOO_MANY_COMMANDS: { status: 503, message: 'as many commands as Core can keep are under way; try again' },
  STATE_UNAVAILABLE: { status: 503, message: 'Core cannot write its state now; try again' },
  TOO_MANY_READERS: { status: 503, message: 'as many as may read the log at once do; try again' },
  TOO_MANY_LISTS: { status: 503, message: 'too many large lists are being read; try again' },
} as const satisfies Record<string, { status: number; message: string }>;

export type RestErrorCode = keyof typeof REST_ERRORS;

/** A part of the request that is wrong, and why, both in our words. */
export interface FieldError {
  /** `limit`, or `filter.status` for a field inside another one; `body` for the whole of it. */
  readonly field: string;
  readonly reason: string;
}

/** Thrown by routes; ends as the table says. `detail`, in our words, takes the place of the table's message. */
export class RestError extends Error {
  readonly code: RestErrorCode;
  /** The field of the request that is wrong, where there is one. */
  readonly field: string | undefined;
  constructor(code: RestErrorCode, options: { readonly detail?: string; readonly field?: string } = {}) {
    super(options.detail ?? REST_ERRORS[code].message);
    this.name = 'RestError';
    this.code = code;
    this.field = options.field;
  }
}
