/**
 * What REST answers when it does not answer with what was asked for: one table, one shape,
 * `{"error":{"code","message"}}`.
 *
 * Owned by main. The texts are fixed: neither the text of an exception nor anything a client sent gets into one.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';

/** Codes that clients may compare, their HTTP status and their text. Protocol codes keep their meaning here. */
export const REST_ERRORS = {
  BAD_REQUEST: { status: 400, message: 'the request cannot be understood' },
  INVALID_NODE_ID: { status: 400, message: 'a node id is a decimal number from 1 to 18446744073709551615' },
  INVALID_COMMAND: { status: 400, message: 'this is no command of Protocol v2' },
  UNAUTHORIZED: { status: 401, message: 'a valid token is needed: authorization: Bearer TOKEN' },
  FORBIDDEN: { status: 403, message: 'this token does not have the role for this' },
  NOT_FOUND: { status: 404, message: 'there is nothing at this path; GET / lists what is here' },
  NODE_NOT_FOUND: { status: 404, message: 'no node with this id is known' },
  COMMAND_NOT_FOUND: { status: 404, message: 'no command with this id is kept' },
  ROLLOUT_NOT_FOUND: { status: 404, message: 'no rollout with this id is kept' },
  ENROLMENT_NOT_FOUND: { status: 404, message: 'no node with this name is enrolled' },
  TOKEN_NOT_FOUND: { status: 404, message: 'no token with this id was made' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    message: 'this path does not support this method; see the allow header',
  },
  REQUEST_TIMEOUT: { status: 408, message: 'the request was not complete in time' },
  CONFLICT: { status: 409, message: 'this is not possible in the present state' },
  NODE_QUEUE_FULL: { status: 409, message: 'as many commands as may wait for this node do' },
  PAYLOAD_TOO_LARGE: { status: 413, message: 'the body is larger than allowed' },
  URI_TOO_LONG: { status: 414, message: 'the path is longer than allowed' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, message: 'the body must be application/json' },
  IDEMPOTENCY_CONFLICT: { status: 422, message: 'this idempotency key was used for another request' },
  TOO_MANY_REQUESTS: { status: 429, message: 'too many requests; see the retry-after header' },
  HEADERS_TOO_LARGE: { status: 431, message: 'the headers are larger than allowed' },
  INTERNAL_ERROR: { status: 500, message: 'Core failed to answer; its log says why' },
  UNAVAILABLE: { status: 503, message: 'Core cannot answer this now; try again' },
  TOO_MANY_COMMANDS: { status: 503, message: 'as many commands as Core can keep are under way; try again' },
  STATE_UNAVAILABLE: { status: 503, message: 'Core cannot write its state now; try again' },
  TOO_MANY_LISTS: { status: 503, message: 'too many large lists are being read; try again' },
} as const satisfies Record<string, { status: number; message: string }>;

export type RestErrorCode = keyof typeof REST_ERRORS;

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

export const JSON_TYPE = 'application/json; charset=utf-8';

/** On every answer: texts in it were chosen by strangers, and it is old the moment it is made. */
export const COMMON_HEADERS = { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' } as const;

export function errorBody(code: RestErrorCode, message: string = REST_ERRORS[code].message): string {
  return JSON.stringify({ error: { code, message } });
}

export function sendError(reply: FastifyReply, code: RestErrorCode, message?: string): FastifyReply {
  return reply
    .code(REST_ERRORS[code].status)
    .headers(COMMON_HEADERS)
    .header('content-type', JSON_TYPE)
    .serializer((body: unknown) => String(body))
    .send(errorBody(code, message));
}

/** The last station of everything a route or the framework throws. */
export function createErrorHandler(
  logger: Logger,
): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  return (error, request, reply) => {
    if (error instanceof RestError) return sendError(reply, error.code, error.message);
    // A schema error names the field in the schema's words.
    if (error.validation !== undefined) return sendError(reply, 'BAD_REQUEST', error.message);
    const status = error.statusCode ?? 500;
    if (status < 500) return sendError(reply, clientErrorOf(status));
    if (status === 503) return sendError(reply, 'UNAVAILABLE');
    logger.error(
      { err: error, method: request.method, route: request.routeOptions?.url },
      'a REST route failed',
    );
    return sendError(reply, 'INTERNAL_ERROR');
  };
}

function clientErrorOf(status: number): RestErrorCode {
  switch (status) {
    case 404:
      return 'NOT_FOUND';
    case 405:
      return 'METHOD_NOT_ALLOWED';
    case 408:
      return 'REQUEST_TIMEOUT';
    case 413:
      return 'PAYLOAD_TOO_LARGE';
    case 414:
      return 'URI_TOO_LONG';
    case 415:
      return 'UNSUPPORTED_MEDIA_TYPE';
    default:
      return 'BAD_REQUEST';
  }
}

/** What came in was not HTTP, or not in time: there is no request, so the answer is written by hand. */
export function answerBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // An answer that is already under way would be torn by a second one; the parser's server tells through this link.
  const answering = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage;
  if (answering?.headersSent === true) {
    socket.destroy();
    return;
  }
  const code = brokenHttpCode(error.code);
  const { status } = REST_ERRORS[code];
  const body = errorBody(code);
  const headers = {
    ...COMMON_HEADERS,
    'content-type': JSON_TYPE,
    'content-length': body.length,
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${code}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
}

function brokenHttpCode(code: string | undefined): RestErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'HEADERS_TOO_LARGE';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'REQUEST_TIMEOUT';
  return 'BAD_REQUEST';
}
