/**
 * How many requests a token, or an address without one, may make in a minute. Told in every answer:
 *
 *   RateLimit-Policy: "default";q=60000;w=60      what is allowed in how many seconds
 *   RateLimit: "default";r=59871;t=42             what is left, and when the count starts again
 *
 * (draft-ietf-httpapi-ratelimit-headers). Owned by main. Counts are kept for the last so many tokens and addresses
 * only; who is forgotten starts again, which costs less than memory without bound.
 */
import rateLimit from '@fastify/rate-limit';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { RestApp } from './app.js';
import { RestError } from './errors.js';
import { REST_LIMITS } from './limits.js';

const WINDOW_SECONDS = 60;

type Limiter = ReturnType<RestApp['createRateLimit']>;

export interface RateLimiter {
  /** Counts the request; throws TOO_MANY_REQUESTS when it is one too many. */
  count(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

/** To be called in a plugin, before the routes are ready. */
export async function createRateLimiter(app: RestApp, requestsPerMinute: number): Promise<RateLimiter> {
  await app.register(rateLimit, {
    global: false,
    max: requestsPerMinute,
    timeWindow: WINDOW_SECONDS * 1000,
    cache: REST_LIMITS.rateLimitedClients,
  });
  // The plugin's own key is the address, of IPv6 its /64: who has one has all of it.
  const byAddress = app.createRateLimit();
  const byToken = app.createRateLimit({ keyGenerator: (request) => request.principal.tokenId ?? '' });
  const policy = `"default";q=${requestsPerMinute};w=${WINDOW_SECONDS}`;

  async function count(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { principal } = request;
    // Whoever can open the control socket can also stop the process; monitors must get their answer.
    if (principal.kind === 'local' || request.routeOptions.url === '/health') return;
    // Without an address it came through a socket of this machine, or is gone already.
    if (request.raw.socket.remoteAddress === undefined) return;
    const limiter: Limiter = principal.kind === 'token' ? byToken : byAddress;
    const state = await limiter(request);
    if (state.isAllowed) return;
    reply
      .header('ratelimit-policy', policy)
      .header('ratelimit', `"default";r=${state.remaining};t=${state.ttlInSeconds}`);
    if (!state.isExceeded) return;
    reply.header('retry-after', String(Math.max(1, state.ttlInSeconds)));
    throw new RestError('TOO_MANY_REQUESTS');
  }

  return { count };
}
