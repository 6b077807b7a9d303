/**
 * What happens to every request before its route's handler, in this order:
 *
 *   headers        id and security headers, so that they stand on whatever is answered
 *   head           length of path and query, host, expectations: 414, 400, 417
 *   CORS           a preflight ends here: browsers send no token with it
 *   origin         a foreign page that would change something: 403
 *   who asks       `authenticate` sets request.principal, or refuses: 401, 403, 429
 *   rate limit     429
 *   query          texts become what the schema says
 *
 * Owned by main.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RestApp } from './app.js';
import { corsDelegator, corsPlugin, refuseForeignPage } from './cors.js';
import { RestError } from './errors.js';
import { COMMON_HEADERS, transportHeaders } from './headers.js';
import { REST_LIMITS } from './limits.js';
import { createRateLimiter } from './rate-limit.js';
import { REQUEST_ID_HEADER } from './request-id.js';
import { convertQuery } from './validation.js';

/** Sets `request.principal`, or throws a RestError. Also asked for paths and methods that do not exist. */
export type Authenticate = (request: FastifyRequest, reply: FastifyReply) => Promise<void> | void;

export interface HookOptions {
  readonly allowedOrigins: readonly string[];
  /** 0: no limit. */
  readonly requestsPerMinute: number;
  readonly authenticate: Authenticate;
}

export function addHooks(app: RestApp, options: HookOptions): void {
  app.addHook('onRequest', async (request, reply) => {
    reply
      .headers({ ...COMMON_HEADERS, ...transportHeaders(request.raw.socket) })
      .header(REQUEST_ID_HEADER, request.id);
    checkHead(request);
  });
  // A plugin's hooks are added when it is loaded, so that everything behind the first plugin has to be in one, too.
  app.register(inThisScope(async (scope) => addLaterHooks(scope, options)));
  app.addHook('preValidation', async (request) => {
    convertQuery(request.query as Record<string, unknown>, request.routeOptions.schema?.querystring);
  });
}

/** What the server itself would refuse, but without a word: its checks are off (see server.ts), these stand for them. */
function checkHead({ url, headers, raw }: FastifyRequest): void {
  if (url.length > REST_LIMITS.urlChars) throw new RestError('URI_TOO_LONG');
  if (headers.host === undefined && raw.httpVersion !== '1.0')
    throw new RestError('BAD_REQUEST', { field: 'host', detail: 'HTTP/1.1 asks for a host header' });
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue')
    throw new RestError('EXPECTATION_FAILED');
}

async function addLaterHooks(app: RestApp, options: HookOptions): Promise<void> {
  const { allowedOrigins, requestsPerMinute, authenticate } = options;
  if (allowedOrigins.length > 0) await app.register(corsPlugin, () => corsDelegator(allowedOrigins));
  app.addHook('onRequest', async (request) => refuseForeignPage(request, allowedOrigins));
  app.addHook('onRequest', async (request, reply) => authenticate(request, reply));
  if (requestsPerMinute === 0) return;
  const limiter = await createRateLimiter(app, requestsPerMinute);
  app.addHook('onRequest', (request, reply) => limiter.count(request, reply));
}

/** Marks a plugin as one that changes the app itself, not a part of it. */
function inThisScope<P extends (app: RestApp) => Promise<void>>(plugin: P): P {
  return Object.assign(plugin, { [Symbol.for('skip-override')]: true });
}
