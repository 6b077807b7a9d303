/**
 * A name for each request, so that an answer, a log line and an entry of the audit trail can be brought together. The
 * client's own is taken where it is harmless to repeat in all three.
 *
 * Owned by main. Pure, but for the chance in a made one.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export const REQUEST_ID_HEADER = 'x-request-id';

/** 1 to 128 letters, digits, dots, underlines and dashes: nothing that acts in a log, a header or a page. */
const HARMLESS = /^[A-Za-z0-9._-]{1,128}$/;

export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers[REQUEST_ID_HEADER];
  return typeof given === 'string' && HARMLESS.test(given) ? given : randomUUID();
}
