/**
 * The OpenAPI 3.1 document, made of the route table: the very schemas that requests are validated and answers
 * serialised with.
 *
 * Owned by main. Made when it is asked for the first time, by an app of its own that never listens and is thrown away;
 * the text is what is kept. Until then the library that makes it is not even loaded.
 */
import type { FastifySchema } from 'fastify';
import type { Permission, Role } from '../access/principal.js';
import { REST_ERRORS, type RestErrorCode } from './errors.js';
import { PROBLEM_SCHEMA, RESPONSE_HEADERS } from './openapi-parts.js';
import type { RouteEntry } from './route-table.js';

export interface OpenApiOptions {
  readonly version: string;
  /** Whether requests are counted, so that 429 can happen. */
  readonly rateLimited: boolean;
}

/** Who may use a route that asks for a role: `command` may read, `admin` may everything. */
const HOLDERS: Record<Role, readonly Role[]> = {
  read: ['read', 'command', 'admin'],
  stream: ['stream', 'admin'],
  command: ['command', 'admin'],
  admin: ['admin'],
};

export async function makeOpenApi(routes: readonly RouteEntry[], options: OpenApiOptions): Promise<string> {
  const [{ default: Fastify }, { default: swagger }] = await Promise.all([
    import('fastify'),
    import('@fastify/swagger'),
  ]);
  const app = Fastify({ logger: false, exposeHeadRoutes: false });
  // It answers nobody, so nothing needs to be compiled.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => () => '');
  await app.register(swagger, { openapi: documentFrame(options), convertConstToEnum: false });
  for (const route of routes) {
    const schema = documented(route, options);
    app.route({ method: route.method, url: route.path, schema, handler: () => null });
  }
  await app.ready();
  const text = JSON.stringify(app.swagger());
  await app.close();
  return text;
}

function documentFrame({ version }: OpenApiOptions) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'HoneyBee Core',
      version,
      description:
        'Nodes, honeypots, commands and the state of a HoneyBee Core. Ids of nodes are unsigned 64-bit numbers: `node_id` has all their digits, `id` is the same as text. Errors are problem details (RFC 9457) with a `code` to compare.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'this Core' }],
    security: [{ bearer: [] }],
    tags: [
      { name: 'nodes', description: 'nodes and their honeypots' },
      { name: 'commands', description: 'what nodes are told to do' },
      { name: 'enrolment', description: 'one-time codes of nodes' },
      { name: 'access', description: 'tokens and the audit trail' },
      { name: 'operation', description: 'how Core is doing' },
      { name: 'documentation', description: 'this' },
      { name: 'debug', description: 'fault injection, only with server.debug' },
    ],
    components: {
      securitySchemes: {
        bearer: {
          type: 'http' as const,
          scheme: 'bearer',
          description:
            'a token made with `honeybee-core token create`; on loopback none is needed until one is made',
        },
      },
      schemas: { Problem: PROBLEM_SCHEMA },
    },
    // biome-ignore lint/suspicious/noExplicitAny: the library's types know only the OpenAPI of its own making
  } as any;
}

/** A route's schema with all that every route may answer, and what it asks of whoever calls it. */
function documented(route: RouteEntry, options: OpenApiOptions): FastifySchema {
  const { schema, config } = route;
  const access: Permission = config.access ?? 'admin';
  const own = (schema.response ?? {}) as Record<string, Record<string, unknown>>;
  const response: Record<string, unknown> = {};
  for (const [status, answer] of Object.entries(own))
    response[status] = withHeaders(answer, config.etag === true);
  if (config.etag === true) {
    response['304'] = {
      type: 'null',
      description: 'the answer with this ETag has not changed',
      headers: ETAG,
    };
  }
  for (const [status, codes] of byStatus(codesOf(route, access, options))) {
    // A status with an answer of its own, as /health has for 503, keeps that.
    response[status] ??= problemResponse(codes);
  }
  return {
    ...schema,
    description: `${schema.description ?? ''}\n\n${ACCESS_TEXT[access]}`.trim(),
    security: access === 'public' ? [] : [{ bearer: [] }],
    ...(access === 'public' ? {} : { 'x-roles': HOLDERS[access] }),
    response,
  };
}

const ACCESS_TEXT: Record<Permission, string> = {
  public: 'For everybody, without a token.',
  read: 'Needs the role `read`.',
  stream: 'Needs the role `stream`.',
  command: 'Needs the role `command`.',
  admin: 'Needs the role `admin`.',
};

const { etag: ETAG_HEADER, ...COMMON } = RESPONSE_HEADERS;
const ETAG = { ...COMMON, etag: ETAG_HEADER };

function withHeaders(answer: Record<string, unknown>, tagged: boolean): Record<string, unknown> {
  return { ...answer, headers: tagged ? ETAG : COMMON };
}

/** What any route may answer with, and what this one says of itself. */
function codesOf(
  { schema, config, path }: RouteEntry,
  access: Permission,
  options: OpenApiOptions,
): Set<RestErrorCode> {
  const codes = new Set<RestErrorCode>([
    'BAD_REQUEST',
    'URI_TOO_LONG',
    'HEADERS_TOO_LARGE',
    'INTERNAL_ERROR',
  ]);
  if (access !== 'public') {
    codes.add('UNAUTHORIZED');
    codes.add('FORBIDDEN');
  }
  if (options.rateLimited && path !== '/health') codes.add('TOO_MANY_REQUESTS');
  if (schema.body !== undefined) {
    codes.add('PAYLOAD_TOO_LARGE');
    codes.add('UNSUPPORTED_MEDIA_TYPE');
  }
  codes.add('REQUEST_TIMEOUT');
  for (const code of config.errors ?? []) codes.add(code);
  return codes;
}

function byStatus(codes: ReadonlySet<RestErrorCode>): Map<string, RestErrorCode[]> {
  const found = new Map<string, RestErrorCode[]>();
  for (const code of codes) {
    const status = String(REST_ERRORS[code].status);
    found.set(status, [...(found.get(status) ?? []), code]);
  }
  return found;
}

function problemResponse(codes: readonly RestErrorCode[]) {
  const description = codes.map((code) => `${code}: ${REST_ERRORS[code].message}`).join('; ');
  return {
    description,
    'x-codes': codes,
    headers: COMMON,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}
