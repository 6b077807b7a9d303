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
import { SharedPort } from '../backends/port.js';
import type { Config } from '../config/config.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import type { RestApp } from './app.js';
import { answerBrokenHttp, COMMON_HEADERS, createErrorHandler, sendError } from './errors.js';
import { REST_LIMITS } from './limits.js';
import { ListSender } from './list.js';
import { guardMethods } from './methods.js';
import { deadLetterRoutes } from './routes/dead-letters.js';
import { debugRoutes, type Faults } from './routes/debug.js';
import { healthRoute } from './routes/health.js';
import { honeypotRoutes } from './routes/honeypots.js';
import { indexRoute } from './routes/index-route.js';
import { metricsRoute } from './routes/metrics.js';
import { nodeRoutes } from './routes/nodes.js';
import { statsRoute } from './routes/stats.js';
import type { CoreView } from './view.js';

export interface RestServerOptions {
  readonly config: { readonly server: Pick<Config['server'], 'host' | 'backend_port'> };
  readonly view: CoreView;
  readonly logger: Logger;
  /** Takes connections that speak JSON instead of HTTP; `first` was read already. Without it there is only HTTP. */
  readonly raw?: (socket: Socket, first: Buffer) => void;
  /** Opens the fault-injection routes. */
  readonly debug?: Faults;
}

export interface RestServer {
  /** Resolves to the port, which matters when 0 was asked for; rejects with a FatalError if there is none. */
  listen(): Promise<number>;
  /** Ends idle connections at once and the others when they have their answer, or after a short grace. */
  close(): Promise<void>;
}

type State = 'new' | 'listening' | 'closing';

export function createRestServer({ config, view, logger, raw, debug }: RestServerOptions): RestServer {
  let state: State = 'new';
  let closed: Promise<void> | null = null;
  const app = createApp(logger);
  app.addHook('onSend', async (_request, reply) => {
    if (state === 'closing') reply.header('connection', 'close');
  });
  app.addHook('onResponse', async () => {
    if (state === 'closing') setImmediate(() => app.server.closeIdleConnections());
  });
  const port = raw === undefined ? undefined : new SharedPort(app.server, raw, REST_LIMITS.headersTimeoutMs);
  const addMethodGuards = guardMethods(app);
  addRoutes(app, view);
  if (debug !== undefined) debugRoutes(app, view, debug);
  addMethodGuards();

  async function listen(): Promise<number> {
    if (state !== 'new') throw new Error('a REST server listens once');
    state = 'listening';
    const { host, backend_port } = config.server;
    try {
      // One address, as for the node port; fastify would bind every address of "localhost".
      const { address } = await lookup(host);
      await app.listen({ host: address, port: backend_port });
    } catch (error) {
      await close();
      throw listenError(error, host, backend_port);
    }
    app.server.on('error', (error) => logger.error({ err: error }, 'the REST listener reported an error'));
    return (app.server.address() as AddressInfo).port;
  }

  function close(): Promise<void> {
    if (closed === null) {
      state = 'closing';
      port?.close();
      const cut = setTimeout(() => app.server.closeAllConnections(), REST_LIMITS.closeGraceMs);
      closed = app.close().finally(() => clearTimeout(cut));
    }
    return closed;
  }

  return { listen, close };
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
