/**
 * What web pages of other origins may do.
 *
 * Which of them may read answers (CORS): those of `auth.allowed_origins` and no others. Without that setting no
 * header of CORS ever leaves, and browsers keep every page out. No cookies are used, so no credentials are allowed.
 *
 * Reading is not all: a browser sends a POST without a body for any page, and only hides the answer from it. Where
 * access is open, that would be enough to do harm. So what changes something is refused when a page of another origin
 * asks for it; browsers always say so.
 *
 * Owned by main.
 */
import cors from '@fastify/cors';
import type { FastifyRequest } from 'fastify';
import { RestError } from './errors.js';
import { REST_LIMITS } from './limits.js';
import { REQUEST_ID_HEADER } from './request-id.js';

const OPTIONS = {
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
  allowedHeaders: [
    'Authorization',
    'Content-Type',
    'If-None-Match',
    'Idempotency-Key',
    'Last-Event-ID',
    REQUEST_ID_HEADER,
  ],
  exposedHeaders: [
    'Link',
    'ETag',
    'Location',
    'RateLimit',
    'RateLimit-Policy',
    'Retry-After',
    REQUEST_ID_HEADER,
  ],
  maxAge: REST_LIMITS.preflightSeconds,
};
const OFF = { origin: false } as const;

export const corsPlugin = cors;

/** The plugin's options for one request: a preflight of an origin that may is answered, everything else goes on. */
export function corsDelegator(allowedOrigins: readonly string[]) {
  return (
    request: FastifyRequest,
    use: (error: Error | null, options: typeof OFF | (typeof OPTIONS & { origin: string[] })) => void,
  ): void => {
    const { origin } = request.headers;
    const asksForPage = origin !== undefined && allowedOrigins.includes(origin);
    // Without this header it is no preflight, but somebody who asks for the method OPTIONS.
    const preflight = request.method !== 'OPTIONS' || 'access-control-request-method' in request.headers;
    use(null, asksForPage && preflight ? { ...OPTIONS, origin: [origin] } : OFF);
  };
}

const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

export function refuseForeignPage(request: FastifyRequest, allowedOrigins: readonly string[]): void {
  const { origin, host } = request.headers;
  if (origin === undefined || READING.has(request.method)) return;
  if (allowedOrigins.includes(origin) || hostOf(origin) === host) return;
  throw new RestError('FORBIDDEN', {
    detail: 'a page of this origin may not do this: see auth.allowed_origins',
  });
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
