/**
 * Who asks, and whether they may: runs before a request is looked at further, also before a 404 or a 405, so that
 * strangers are not even told what is there. Every route says in `config.access` what it asks for; one that does not
 * keeps Core from starting.
 *
 * Owned by main. A token comes in the Authorization header and nowhere else: query strings end up in logs.
 */
import type { FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { Gatekeeper, Refusal } from '../access/access.js';
import type { AuditTrail } from '../access/audit.js';
import { type Permission, type Principal, permits } from '../access/principal.js';
import { LOCAL, STRANGER } from '../access/principals.js';
import { actorOf } from './actor.js';
import type { RestApp, RouteScope } from './app.js';
import { RestError } from './errors.js';

const CHALLENGE = 'Bearer realm="honeybee-core"';

export interface GuardParts {
  readonly access: Gatekeeper;
  readonly audit: AuditTrail;
  /** True for connections that came in through the control socket. */
  isLocal(socket: object): boolean;
}

/** A route as the table of who may do what shows it. */
export interface RouteAccess {
  readonly method: string;
  readonly path: string;
  readonly access: Permission;
  readonly scope: RouteScope | undefined;
}

/** Sets `request.principal`, or throws a RestError; also for paths and methods that do not exist. */
export type Authenticate = (request: FastifyRequest, reply: FastifyReply) => void;

/** Runs before anything that a stranger must not learn from. */
export function createAuthenticator(parts: GuardParts): Authenticate {
  return (request, reply) => {
    // Whoever may ask anything at all is told that there is nothing; a route without a word is nobody's.
    const { access = request.is404 ? 'any' : 'admin', scope } = request.routeOptions.config ?? {};
    if (access === 'public') {
      request.principal = STRANGER;
      return;
    }
    request.principal = identify(parts, request, reply);
    if (!permits(request.principal, access)) throw forbidden(parts, request, reply, access);
    if (access !== 'any' && !scopeAllows(request.principal, scope)) throw new RestError('OUT_OF_SCOPE');
  };
}

/**
 * Watches routes being added: one that does not say who may use it keeps Core from starting. Answers the list of them,
 * complete once the app is ready.
 */
export function watchAccess(app: RestApp): readonly RouteAccess[] {
  const added: (RouteOptions & { path: string })[] = [];
  const routes: RouteAccess[] = [];
  app.addHook('onRoute', (route) => {
    added.push(route);
  });
  // Not while routes are added: whoever adds those of others (a page of documents) has its turn to say it for them.
  app.addHook('onReady', async () => {
    for (const { method, path, config } of added) {
      // The preflight of CORS, added by its plugin; a hook answers it before anybody is asked who they are.
      if (method === 'OPTIONS' && path === '*') continue;
      if (config?.access === undefined)
        throw new Error(`the route ${method} ${path} does not say who may use it (config.access)`);
      const { access, scope } = config;
      for (const name of [method].flat()) routes.push({ method: name, path, access, scope });
    }
  });
  return routes;
}

function identify({ access, isLocal }: GuardParts, request: FastifyRequest, reply: FastifyReply): Principal {
  if (isLocal(request.socket)) return LOCAL;
  const { authorization, host, origin } = request.headers;
  const address = request.socket.remoteAddress ?? 'unknown';
  const context = { listener: 'rest', address, host, origin } as const;
  const verdict = access.check(tokenOf(authorization), context);
  if (verdict.refusal === undefined) return verdict.principal;
  // The body of a stranger is not read, so the connection cannot be used again.
  if (request.method !== 'GET' && request.method !== 'HEAD') reply.header('connection', 'close');
  if (verdict.refusal === 'locked')
    reply.header('retry-after', String(Math.ceil((verdict.retryAfterMs ?? 0) / 1000)));
  throw refusal(reply, verdict.refusal);
}

/** What stands behind `Bearer`; another scheme is a wrong token, not none. */
function tokenOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  return /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? '';
}

function refusal(reply: FastifyReply, reason: Refusal): RestError {
  switch (reason) {
    case 'missing':
      reply.header('www-authenticate', CHALLENGE);
      return new RestError('UNAUTHORIZED');
    case 'invalid':
    case 'expired':
      reply.header('www-authenticate', `${CHALLENGE}, error="invalid_token"`);
      return new RestError('UNAUTHORIZED', reason === 'expired' ? { detail: 'this token has expired' } : {});
    case 'locked':
      return new RestError('TOO_MANY_FAILURES');
    case 'host':
      return new RestError('HOST_REFUSED');
    case 'origin':
      return new RestError('ORIGIN_REFUSED');
  }
}

function forbidden(
  { audit }: GuardParts,
  request: FastifyRequest,
  reply: FastifyReply,
  access: Permission,
): RestError {
  reply.header('www-authenticate', `${CHALLENGE}, error="insufficient_scope"`);
  // Whoever tries what it was not given is worth a line; a reader that looks at a page too many is not.
  if (access === 'admin' || access === 'command') {
    audit.record({
      actor: actorOf(request),
      action: 'access.refuse',
      target: `${request.method} ${request.routeOptions.url ?? ''}`,
      outcome: 'refused',
      detail: { needs: access },
    });
  }
  return new RestError('FORBIDDEN', { detail: `this needs the role ${access}` });
}

function scopeAllows({ scope: limit }: Principal, scope: RouteScope | undefined): boolean {
  switch (scope) {
    case 'nodes':
    case 'events':
      return true;
    case 'counts':
      return limit.nodes === null;
    case undefined:
      return limit.nodes === null && limit.eventTypes === null;
  }
}
