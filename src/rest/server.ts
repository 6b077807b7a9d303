/**
 * The REST server on the backend port: fastify with our limits, error shape and routes.
 *
 * Owned by main. It only reads, through a `CoreView`; a request can never hold main up for longer than one slice of a
 * list takes. There is no log line per request: whoever can reach the port could fill a disk with them.
 */
import { lookup } from 'node:dns/promises';
import type { AddressInfo, Socket } from 'node:net';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify from 'fastify';
import type { Logger } from 'pino';
import type { Gatekeeper } from '../access/access.js';
import type { AuditTrail } from '../access/audit.js';
import type { Config } from '../config/config.js';
import { backendHost } from '../config/rules.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import type { RestApp } from './app.js';
import { createAuthenticator, type RouteAccess, watchAccess } from './auth.js';
import { answerBrokenHttp, COMMON_HEADERS, createErrorHandler, sendError } from './errors.js';
import { REST_LIMITS } from './limits.js';
import { ListSender } from './list.js';
import { guardMethods } from './methods.js';
import { type AuditShelf, auditRoute } from './routes/audit.js';
import { deadLetterRoutes } from './routes/dead-letters.js';
import { debugRoutes, type Faults } from './routes/debug.js';
import { healthRoute } from './routes/health.js';
import { honeypotRoutes } from './routes/honeypots.js';
import { indexRoute } from './routes/index-route.js';
import { metricsRoute } from './routes/metrics.js';
import { nodeRoutes } from './routes/nodes.js';
import { statsRoute } from './routes/stats.js';
import { type TokenDesk, tokenRoutes } from './routes/tokens.js';
import type { CoreView } from './view.js';

/** What administration is made of; it works without a data plane, too. */
export interface Administration {
  readonly access: Gatekeeper & TokenDesk;
  readonly audit: AuditTrail;
  readonly auditShelf: AuditShelf;
}

export interface RestServerOptions {
  readonly config: { readonly server: Pick<Config['server'], 'host' | 'backend_host' | 'backend_port'> };
  /** Absent where Core does not run: then only administration is there, for the control socket. */
  readonly view?: CoreView;
  readonly administration: Administration;
  readonly logger: Logger;
  /** Opens the fault-injection routes. */
  readonly debug?: Faults;
}

export interface RestServer {
  /** Resolves to the port, which matters when 0 was asked for; rejects with a FatalError if there is none. */
  listen(): Promise<number>;
  /** Serves a connection that came in through the control socket: whoever is there may do everything. */
  serveLocal(connection: Socket): void;
  /** Every route and what it asks for; complete once it listens, or after {@link ready}. */
  readonly routes: readonly RouteAccess[];
  /** For a server that is never told to listen. */
  ready(): Promise<void>;
  /** Ends idle connections at once and the others when they have their answer, or after a short grace. */
  close(): Promise<void>;
}

type State = 'new' | 'listening' | 'closing';

export function createRestServer(options: RestServerOptions): RestServer {
  const { config, view, administration, logger, debug } = options;
  let state: State = 'new';
  let closed: Promise<void> | null = null;
  const localConnections = new WeakSet<object>();
  const app = createApp(logger);
  app.addHook('onSend', async (_request, reply) => {
    if (state === 'closing') reply.header('connection', 'close');
  });
  app.addHook('onResponse', async () => {
    if (state === 'closing') setImmediate(() => app.server.closeIdleConnections());
  });
  const isLocal = (connection: object) => localConnections.has(connection);
  const routes = watchAccess(app);
  const authenticate = createAuthenticator({ ...administration, isLocal });
  app.decorateRequest('principal');
  app.addHook('onRequest', async (request, reply) => authenticate(request, reply));
  const addMethodGuards = guardMethods(app);
  addAdministration(app, administration);
  if (view !== undefined) {
    addRoutes(app, view);
    if (debug !== undefined) debugRoutes(app, view, debug);
  }
  addMethodGuards();

  async function listen(): Promise<number> {
    if (state !== 'new') throw new Error('a REST server listens once');
    state = 'listening';
    await app.ready();
    const host = backendHost(config.server);
    const { backend_port: port } = config.server;
    try {
      // One address, as for the node port; fastify would bind every address of "localhost".
      const { address } = await lookup(host);
      await app.listen({ host: address, port });
    } catch (error) {
      await close();
      throw listenError(error, host, port);
    }
    app.server.on('error', (error) => logger.error({ err: error }, 'the REST listener reported an error'));
    return (app.server.address() as AddressInfo).port;
  }

  function close(): Promise<void> {
    if (closed === null) {
      state = 'closing';
      const cut = setTimeout(() => app.server.closeAllConnections(), REST_LIMITS.closeGraceMs);
      closed = app.close().finally(() => clearTimeout(cut));
    }
    return closed;
  }

  function serveLocal(connection: Socket): void {
    localConnections.add(connection);
    app.server.emit('connection', connection);
  }

  return { listen, serveLocal, routes, ready: async () => void (await app.ready()), close };
}

function createApp(logger: Logger): RestApp {
  const app = Fastify({
    logger: false,
    bodyLimit: LIMITS.restBodyBytes,
    connectionTimeout: REST_LIMITS.connectionTimeoutMs,
    keepAliveTimeout: REST_LIMITS.keepAliveTimeoutMs,
    requestTimeout: REST_LIMITS.requestTimeoutMs,
    forceCloseConnections: 'idle',
    http: {
      headersTimeout: REST_LIMITS.headersTimeoutMs,
      connectionsCheckingInterval: REST_LIMITS.connectionsCheckIntervalMs,
      maxHeaderSize: REST_LIMITS.headerBytes,
    },
    // Values are taken as they are: no "5" for 5, and no field dropped in silence.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    // Any text may stand for an id, so that the route and not the router says what is wrong with it.
    routerOptions: { maxParamLength: REST_LIMITS.headerBytes },
    clientErrorHandler: answerBrokenHttp,
    frameworkErrors: (_error, _request, reply) => {
      sendError(reply, 'BAD_REQUEST');
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.maxConnections = REST_LIMITS.connections;
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(COMMON_HEADERS);
  });
  app.setErrorHandler(createErrorHandler(logger));
  app.setNotFoundHandler((_request, reply) => sendError(reply, 'NOT_FOUND'));
  return app;
}

function addAdministration(app: RestApp, { access, audit, auditShelf }: Administration): void {
  tokenRoutes(app, access, audit);
  auditRoute(app, auditShelf);
}

function addRoutes(app: RestApp, view: CoreView): void {
  const lists = new ListSender();
  indexRoute(app, view);
  healthRoute(app, view);
  nodeRoutes(app, view, lists);
  honeypotRoutes(app, view, lists);
  statsRoute(app, view);
  deadLetterRoutes(app, view);
  metricsRoute(app, view);
}

function listenError(error: unknown, host: string, port: number): FatalError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const where = `port ${port} of ${host} (server.backend_port)`;
  const options = { cause: error };
  switch (code) {
    case 'EADDRINUSE':
      return new FatalError(EXIT.unavailable, `${where} is in use by another process`, options);
    case 'EACCES':
      return new FatalError(EXIT.unavailable, `${where} may not be opened by this user`, options);
    default:
      return new FatalError(EXIT.unavailable, `${where} cannot be opened: ${code || String(error)}`, options);
  }
}
