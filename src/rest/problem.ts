/**
 * Errors as they leave: problem details of RFC 9457, in one shape for everything that can go wrong.
 *
 *   {"type":"urn:honeybee:error:NODE_NOT_FOUND","title":"no node with this id is known","status":404,
 *    "detail":"...","instance":"urn:honeybee:request:5f0e...","code":"NODE_NOT_FOUND",
 *    "errors":[{"field":"limit","reason":"is not a whole number"}]}
 *
 * `type` and `code` say the same, for readers of the RFC and for everybody else. `errors` is there when fields of the
 * request are to blame. Owned by main.
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { type FieldError, REST_ERRORS, RestError, type RestErrorCode } from './errors.js';
import { COMMON_HEADERS, transportHeaders } from './headers.js';
import { REQUEST_ID_HEADER } from './request-id.js';
import { fieldErrorsOf } from './validation.js';

export const PROBLEM_TYPE = 'application/problem+json';

export interface ProblemParts {
  readonly detail?: string | undefined;
  readonly errors?: readonly FieldError[] | undefined;
}

export function problemBody(code: RestErrorCode, requestId: string, parts: ProblemParts = {}): string {
  const { status, message } = REST_ERRORS[code];
  return JSON.stringify({
    type: `urn:honeybee:error:${code}`,
    title: message,
    status,
    detail: parts.detail ?? message,
    instance: `urn:honeybee:request:${requestId}`,
    code,
    ...(parts.errors === undefined || parts.errors.length === 0 ? {} : { errors: parts.errors }),
  });
}

export function sendProblem(reply: FastifyReply, code: RestErrorCode, parts?: ProblemParts): FastifyReply {
  const { request } = reply;
  // What the answer would have been may have its own headers; these stand on a problem, whatever was meant to come.
  return reply
    .code(REST_ERRORS[code].status)
    .headers({ ...COMMON_HEADERS, ...transportHeaders(request.raw.socket) })
    .header(REQUEST_ID_HEADER, request.id)
    .header('content-type', PROBLEM_TYPE)
    .removeHeader('etag')
    .removeHeader('link')
    .serializer((body: unknown) => String(body))
    .send(problemBody(code, request.id, parts));
}

/** The last station of everything a route or the framework throws. */
export function createErrorHandler(
  logger: Logger,
): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  return (error, request, reply) => {
    if (error instanceof RestError) {
      const { code, field, message } = error;
      return sendProblem(reply, code, {
        detail: message,
        errors: field === undefined ? undefined : [{ field, reason: message }],
      });
    }
    if (error.validation !== undefined) {
      return sendProblem(reply, 'BAD_REQUEST', {
        errors: fieldErrorsOf(error.validation, error.validationContext, request.routeOptions.schema),
      });
    }
    const status = error.statusCode ?? 500;
    if (status < 500) return sendProblem(reply, clientErrorOf(status), reasonOf(error.code));
    if (status === 503) return sendProblem(reply, 'UNAVAILABLE');
    logger.error(
      { err: error, method: request.method, route: request.routeOptions.url, request_id: request.id },
      'a REST route failed',
    );
    return sendProblem(reply, 'INTERNAL_ERROR');
  };
}

/** What the framework refused, in our words. */
function reasonOf(code: string): ProblemParts | undefined {
  switch (code) {
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return { errors: [{ field: 'body', reason: 'is empty' }] };
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return { errors: [{ field: 'body', reason: 'is not JSON' }] };
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return { errors: [{ field: 'content-length', reason: 'is not the length of the body' }] };
    default:
      return undefined;
  }
}

/** The table's row for a status that the framework chose. */
export function clientErrorOf(status: number): RestErrorCode {
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
    case 417:
      return 'EXPECTATION_FAILED';
    case 429:
      return 'TOO_MANY_REQUESTS';
    case 431:
      return 'HEADERS_TOO_LARGE';
    default:
      return 'BAD_REQUEST';
  }
}
