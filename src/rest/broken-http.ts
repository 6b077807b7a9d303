/**
 * What came in was not HTTP, or not in time: there is no request and no reply, so the answer is written by hand, in
 * the same shape and with the same headers as every other.
 *
 * Owned by main.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { REST_ERRORS, type RestErrorCode } from './errors.js';
import { COMMON_HEADERS, transportHeaders } from './headers.js';
import { PROBLEM_TYPE, problemBody } from './problem.js';
import { REQUEST_ID_HEADER, requestIdOf } from './request-id.js';

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
  const answer = brokenAnswer(codeOf(error.code), { ...transportHeaders(socket) });
  socket.end(answer, () => socket.destroy());
}

/** A whole answer as text; the connection ends behind it. */
export function brokenAnswer(code: RestErrorCode, more: Readonly<Record<string, string>> = {}): string {
  const requestId = requestIdOf({ headers: {} });
  const body = problemBody(code, requestId);
  const headers = {
    ...COMMON_HEADERS,
    ...more,
    [REQUEST_ID_HEADER]: requestId,
    'content-type': PROBLEM_TYPE,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${REST_ERRORS[code].status} ${code}\r\n${lines.join('')}\r\n${body}`;
}

function codeOf(code: string | undefined): RestErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'HEADERS_TOO_LARGE';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'REQUEST_TIMEOUT';
  return 'BAD_REQUEST';
}
