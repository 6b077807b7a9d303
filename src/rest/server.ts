/**
 * The REST server on the backend port: fastify with our limits, error shape and routes.
 *
 * Owned by main. It reads through a `CoreView`; a request can never hold main up for longer than one slice of a
 * list takes. There is no log line per request: whoever can reach the port could fill a disk with them.
 */
import { lookup } from 'node:dns/promises';
import type { ServerOptions as HttpsOptions, Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyServerOptions } from 'fastify';
import type { Logger } from 'pino';
import type { Gatekeeper } from '../access/access.js';
import type { AuditTrail } from '../access/audit.js';
import { SharedPort } from '../backends/port.js';
import type { CommandService } from '../commands/service.js';
import type { Config } from '../config/config.js';
import { backendHost } from '../config/rules.js';
import { originsOf } from '../config/values.js';
import type { DeadLetterService } from '../dead-letters/service.js';
import type { EnrolmentDesk } from '../enrolment/desk.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import { boundedLogger } from '../telemetry/bounded-logger.js';
import type { RestMetrics } from '../telemetry/rest-metrics.js';
import { backendContextOptions } from '../tls/context.js';
import type { TlsMaterial } from '../tls/material.js';
import type { RestApp } from './app.js';
import { createAuthenticator, type RouteAccess, watchAccess } from './auth.js';
import { answerBrokenHttp } from './broken-http.js';
import { RestError } from './errors.js';
import { type AccessChanges, EventFeeds } from './event-feeds.js';
import { addHooks } from './hooks.js';
import { REST_LIMITS } from './limits.js';
import { ListSender } from './list.js';
import type { LogView } from './log-view.js';
import { addMethodGuards } from './methods.js';
import { clientErrorOf, createErrorHandler, sendProblem } from './problem.js';
import { requestIdOf } from './request-id.js';
import { RouteTable } from './route-table.js';
import { type AuditShelf, auditRoute } from './routes/audit.js';
import { commandRoutes } from './routes/commands.js';
import { consumerRoutes } from './routes/consumers.js';
import { deadLetterRoutes } from './routes/dead-letters.js';
import { debugRoutes, type Faults } from './routes/debug.js';
import { docsRoutes } from './routes/docs.js';
import { enrolmentRoutes } from './routes/enrolments.js';
import { eventRoutes } from './routes/events.js';
import { healthRoute } from './routes/health.js';
import { honeypotRoutes } from './routes/honeypots.js';
import { indexRoute } from './routes/index-route.js';
import { ledgerRoutes } from './routes/ledger.js';
import { logRoute } from './routes/log.js';
import { metricsRoute } from './routes/metrics.js';
import { nodeRemovalRoute, nodeRoutes } from './routes/nodes.js';
import { rolloutRoutes } from './routes/rollouts.js';
import { statsRoute } from './routes/stats.js';
import { type TokenDesk, tokenRoutes } from './routes/tokens.js';
import type { CoreView, NodeRemoval } from './view.js';

/** What administration is made of; it works without a data plane, too. */
export interface Administration {
  readonly access: Gatekeeper & TokenDesk & AccessChanges;
  readonly audit: AuditTrail;
  readonly auditShelf: AuditShelf;
  readonly enrolmentDesk: EnrolmentDesk;
}

/** What there is beside administration while Core runs. */
export interface RunningCore {
  readonly view: CoreView;
  readonly removal: NodeRemoval;
  readonly metrics: RestMetrics;
  readonly commands: CommandService;
  readonly deadLetters: DeadLetterService;
  readonly log: LogView;
  /** Opens the fault-injection routes. */
  readonly debug?: Faults;
}

export interface RestServerOptions {
  readonly config: {
    readonly server: Pick<Config['server'], 'host' | 'backend_host' | 'backend_port'>;
    readonly auth: Pick<Config['auth'], 'allowed_origins'>;
    readonly rest: Config['rest'];
  };
  readonly administration: Administration;
  /** Takes connections that speak JSON instead of HTTP; `first` was read already. Without it there is only HTTP. */
  readonly raw?: (socket: Socket, first: Buffer) => void;
  /** Absent where Core does not run: then only administration is there, for the control socket. */
  readonly core?: RunningCore;
  readonly logger: Logger;
  /** Absent: plain HTTP. */
  readonly tls?: TlsMaterial;
}

export interface RestServer {
  /** Resolves to the port, which matters when 0 was asked for; rejects with a FatalError if there is none. */
  listen(): Promise<number>;
  /** For new connections, where it listens with TLS. */
  renewTls(material: TlsMaterial): void;
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
  const { config, administration, core, logger, tls } = options;
  let state: State = 'new';
  let closed: Promise<void> | null = null;
  const localConnections = new WeakSet<object>();
  const isLocal = (connection: object) => localConnections.has(connection);
  const app = createApp(logger, tls);
  // The event by which an HTTPS server learns of a connection that has been decrypted.
  const connected = tls === undefined ? 'connection' : 'secureConnection';
  app.decorateRequest('principal');
  const routes = watchAccess(app);
  const authenticate = createAuthenticator({ ...administration, isLocal });
  addHooks(app, {
    allowedOrigins: originsOf(config.auth.allowed_origins),
    requestsPerMinute: config.rest.requests_per_minute,
    authenticate,
  });
  app.addHook('onSend', async (_request, reply) => {
    if (state === 'closing') reply.header('connection', 'close');
  });
  app.addHook('onResponse', async (request, reply) => {
    const { elapsedTime, statusCode } = reply;
    core?.metrics.answered(request.routeOptions.url, request.method, statusCode, elapsedTime / 1000);
    if (state === 'closing') setImmediate(() => app.server.closeIdleConnections());
  });
  const table = new RouteTable();
  table.watch(app);
  addAdministration(app, administration);
  const feeds = core && new EventFeeds(core.log.reader, administration.access, boundedLogger(logger));
  if (core !== undefined && feeds !== undefined) addRoutes(app, table, core, feeds, options);
  addMethodGuards(app, table);
  const shared =
    options.raw === undefined
      ? undefined
      : new SharedPort(app.server, connected, options.raw, REST_LIMITS.headersTimeoutMs);

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
      shared?.close();
      feeds?.close();
      const cut = setTimeout(() => app.server.closeAllConnections(), REST_LIMITS.closeGraceMs);
      closed = app.close().finally(() => clearTimeout(cut));
    }
    return closed;
  }

  function renewTls(material: TlsMaterial): void {
    if (tls !== undefined)
      (app.server as unknown as HttpsServer).setSecureContext(backendContextOptions(material));
  }

  function serveLocal(connection: Socket): void {
    localConnections.add(connection);
    // HTTP whatever its first byte is, and never encrypted.
    if (shared !== undefined) shared.http(connection);
    else app.server.emit(connected, connection);
  }

  return { listen, renewTls, serveLocal, routes, ready: async () => void (await app.ready()), close };
}

function createApp(logger: Logger, tls: TlsMaterial | undefined): RestApp {
  const http = {
    headersTimeout: REST_LIMITS.headersTimeoutMs,
    connectionsCheckingInterval: REST_LIMITS.connectionsCheckIntervalMs,
    maxHeaderSize: REST_LIMITS.headerBytes,
    requireHostHeader: false,
  };
  const app = Fastify({
    logger: false,
    genReqId: requestIdOf,
    requestIdHeader: false,
    bodyLimit: LIMITS.restBodyBytes,
    connectionTimeout: REST_LIMITS.connectionTimeoutMs,
    keepAliveTimeout: REST_LIMITS.keepAliveTimeoutMs,
    requestTimeout: REST_LIMITS.requestTimeoutMs,
    forceCloseConnections: 'idle',
    http,
    ...(tls !== undefined && httpsOption({ ...http, ...backendContextOptions(tls) })),
    // Values are taken as they are: no "5" for 5, and no field dropped in silence.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    // Any text may stand for an id, so that the route and not the router says what is wrong with it.
    routerOptions: { maxParamLength: REST_LIMITS.headerBytes },
    clientErrorHandler: answerBrokenHttp,
    frameworkErrors: (error, _request, reply) => {
      sendProblem(reply, clientErrorOf(error.statusCode ?? 400));
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.server.maxConnections = REST_LIMITS.connections;
  // Not refused by the server with an empty 417; the first hook does it.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response));
  // JSON only: a form on somebody's page must not be able to send what a route takes.
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (request, body, done) => {
    if (request.routeOptions.config.takesBytes === true) done(null, body);
    else done(new RestError('UNSUPPORTED_MEDIA_TYPE'), undefined);
  });
  app.setErrorHandler(createErrorHandler(logger));
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 'NOT_FOUND'));
  return app;
}

/** An HTTPS server of Node is an HTTP server in all that fastify and the routes need; its type says otherwise. */
function httpsOption(options: HttpsOptions): FastifyServerOptions {
  return { https: { ...options, handshakeTimeout: LIMITS.tlsHandshakeMs } } as FastifyServerOptions;
}

function addAdministration(app: RestApp, administration: Administration): void {
  const { access, audit, auditShelf, enrolmentDesk } = administration;
  tokenRoutes(app, access, audit);
  auditRoute(app, auditShelf);
  enrolmentRoutes(app, enrolmentDesk, audit);
}

function addRoutes(
  app: RestApp,
  table: RouteTable,
  core: RunningCore,
  feeds: EventFeeds,
  options: RestServerOptions,
): void {
  const { view, log, debug } = core;
  const { audit } = options.administration;
  const lists = new ListSender();
  indexRoute(app, view, table);
  healthRoute(app, view);
  nodeRoutes(app, view, log.ledger, lists);
  nodeRemovalRoute(app, view, core.removal, audit);
  honeypotRoutes(app, view, lists);
  commandRoutes(app, view, core.commands);
  rolloutRoutes(app, core.commands);
  eventRoutes(app, view, feeds);
  consumerRoutes(app, view, log);
  ledgerRoutes(app, view, log, lists);
  logRoute(app, view, log);
  statsRoute(app, view);
  deadLetterRoutes(app, core.deadLetters, options.administration.audit);
  metricsRoute(app, view);
  docsRoutes(app, table, {
    version: () => view.about().version,
    rateLimited: options.config.rest.requests_per_minute > 0,
  });
  if (debug !== undefined) debugRoutes(app, view, debug);
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
