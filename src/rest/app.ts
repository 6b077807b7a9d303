/**
 * The type of the fastify instance that all route files get, with the schemas' types known to it.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Permission, Principal } from '../access/principal.js';
import type { RestErrorCode } from './errors.js';

/** See `scope` of a route's config. */
export type RouteScope = 'nodes' | 'counts' | 'events';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a route asks of whoever calls it; every route says it, or Core does not start. */
    access?: Permission;
    /**
     * What the route does for a token with a scope; without it such a token is refused, so that a route that forgets
     * scopes shows nothing. `nodes`: its handler keeps to the scope's nodes, and it shows no events. `counts`: numbers
     * over all nodes, nothing for a token that sees only some of them. `events`: its handler keeps to all of the scope.
     */
    scope?: RouteScope;
    /** Codes its handler may answer with, for the documentation; those that any route may have are added there. */
    errors?: readonly RestErrorCode[];
    /** It takes a body of plain bytes (application/octet-stream), too. */
    takesBytes?: true;
    /** Whether its answers have ETags, for the documentation. */
    etag?: boolean;
  }
  interface FastifyRequest {
    /** Who asks; set before a route's handler runs. */
    principal: Principal;
  }
}

export type RestApp = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse<IncomingMessage>,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;
