/**
 * The type of the fastify instance that all route files get, with the schemas' types known to it.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Permission, Principal } from '../access/principal.js';
import type { RestErrorCode } from './errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a route asks of whoever calls it; every route says it. */
    access?: Permission;
    /** Codes its handler may answer with, for the documentation; those that any route may have are added there. */
    errors?: readonly RestErrorCode[];
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
