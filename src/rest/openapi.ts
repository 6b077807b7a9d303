/**
 * The OpenAPI 3.1 document, made of the route table: the very schemas that requests are validated and answers
 * serialised with.
 *
 * Owned by main. Made when it is asked for the first time, by an app of its own that never listens and is thrown away;
 * the text is what is kept. Until then the library that makes it is not even loaded.
 */
import type { FastifySchema } from 'fastify';
import { type Permission, ROLES, type Role } from '../access/principal.js';
import { REST_ERRORS, type RestErrorCode } from './errors.js';
import {
  ABOUT,
  COMMON_HEADER_REFS,
  PROBLEM_SCHEMA,
  RATE_HEADER_REFS,
  REQUEST_HEADERS,
  RESPONSE_HEADERS,
} from './openapi-parts.js';
import { type RouteEntry, shownPath } from './route-table.js';

export interface OpenApiOptions {
  readonly version: string;
  /** Whether requests are counted, so that 429 can happen. */
  readonly rateLimited: boolean;
}

/** What is touched of the document once the library has made it. */
interface OpenApiDocument {
  tags: Tag[];
  readonly paths: Record<string, Record<string, Operation>>;
}

interface Tag {
  readonly name: string;
  readonly description: string;
}

interface Operation {
  description?: string;
  security?: unknown;
  parameters?: unknown[];
  'x-roles'?: readonly Role[];
  readonly responses: Record<string, OpenApiResponse>;
}

interface OpenApiResponse {
  readonly description: string;
  readonly 'x-codes'?: readonly RestErrorCode[];
  readonly content?: unknown;
  headers?: Record<string, { readonly $ref: string }>;
}

/** Who may use a route that asks for a role: `command` may read, `admin` may everything. */
const HOLDERS: Record<Exclude<Permission, 'public'>, readonly Role[]> = {
  any: ROLES,
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
    const { method, path } = route;
    app.route({ method, url: path, schema: described(route), handler: () => null });
  }
  await app.ready();
  const document = app.swagger() as unknown as OpenApiDocument;
  await app.close();
  for (const route of routes)
    complete(document.paths[shownPath(route.path)]![route.method.toLowerCase()]!, route, options);
  document.tags = tagsOf(routes, document.tags);
  return JSON.stringify(document);
}

/** Those that routes bear, in the order of the list; one that is not in it comes behind, and explains itself. */
function tagsOf(routes: readonly RouteEntry[], known: readonly Tag[]): Tag[] {
  const used = new Set(routes.flatMap(({ schema }) => schema.tags ?? []));
  const others = [...used].filter((name) => !known.some((tag) => tag.name === name));
  return [
    ...known.filter(({ name }) => used.has(name)),
    ...others.map((name) => ({ name, description: name })),
  ];
}

/** `getNodesIdCommands` for GET /api/v1/nodes/:id/commands; a route may have a better one. */
function operationIdOf(method: string, path: string): string {
  const words = path.replace(/^\/api\/v1/, '').split(/[^A-Za-z0-9]+/);
  return method.toLowerCase() + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}

/** Every answer says what it is; by itself one that goes well is what the route is about. */
function described({ method, path, schema }: RouteEntry): FastifySchema {
  const answers = Object.entries((schema.response ?? {}) as Record<string, Record<string, unknown>>);
  return {
    operationId: operationIdOf(method, path),
    ...schema,
    response: Object.fromEntries(
      answers.map(([status, answer]) => [
        status,
        { ...answer, description: answer.description ?? schema.summary },
      ]),
    ),
  };
}

function documentFrame({ version }: OpenApiOptions) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'HoneyBee Core',
      version,
      description: ABOUT,
    },
    servers: [{ url: '/', description: 'this Core' }],
    security: [{ bearer: [] }],
    tags: [
      { name: 'nodes', description: 'nodes and their honeypots' },
      { name: 'events', description: 'what nodes sent: the log, and what comes' },
      { name: 'ledger', description: 'what came in, and what became of it' },
      { name: 'consumers', description: 'who takes events, and how far each is' },
      { name: 'commands', description: 'what nodes are told to do' },
      { name: 'rollouts', description: 'what many nodes are told to do' },
      { name: 'enrolment', description: 'one-time codes of nodes' },
      { name: 'tokens', description: 'who may ask' },
      { name: 'audit', description: 'who did what' },
      { name: 'dead letters', description: 'what nodes sent and Core refused' },
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
      headers: RESPONSE_HEADERS,
      parameters: REQUEST_HEADERS,
    },
    'x-error-codes': Object.fromEntries(
      Object.entries(REST_ERRORS).map(([code, { status, message }]) => [code, { status, meaning: message }]),
    ),
    // biome-ignore lint/suspicious/noExplicitAny: the library's types know only the OpenAPI of its own making
  } as any;
}

/** What every route may answer beside its own, and what it asks of whoever calls it. */
function complete(operation: Operation, route: RouteEntry, options: OpenApiOptions): void {
  const { config } = route;
  const access: Permission = config.access ?? 'admin';
  operation.description = `${operation.description ?? ''}\n\n${ACCESS_TEXT[access]}`.trim();
  operation.security = access === 'public' ? [] : [{ bearer: [] }];
  if (access !== 'public') operation['x-roles'] = HOLDERS[access];
  const { responses } = operation;
  if (config.etag === true) {
    for (const answer of Object.values(responses))
      answer.headers = { ETag: { $ref: '#/components/headers/ETag' } };
    responses['304'] = {
      description: 'nothing has changed since the answer with this ETag',
      headers: { ETag: { $ref: '#/components/headers/ETag' } },
    };
    operation.parameters = [...(operation.parameters ?? []), { $ref: '#/components/parameters/IfNoneMatch' }];
  }
  for (const [status, codes] of byStatus(codesOf(route, access, options))) {
    // A status with an answer of its own, as /health has for 503, keeps that.
    responses[status] ??= problemResponse(codes);
  }
  const counted = options.rateLimited && route.path !== '/health';
  for (const answer of Object.values(responses)) {
    answer.headers = { ...answer.headers, ...COMMON_HEADER_REFS, ...(counted ? RATE_HEADER_REFS : {}) };
  }
}

const ACCESS_TEXT: Record<Permission, string> = {
  public: 'For everybody, without a token.',
  any: 'For every token.',
  read: 'Needs the role `read`.',
  stream: 'Needs the role `stream`.',
  command: 'Needs the role `command`.',
  admin: 'Needs the role `admin`.',
};

/** What any route may answer with, and what this one says of itself. */
function codesOf(
  { method, config, path }: RouteEntry,
  access: Permission,
  options: OpenApiOptions,
): Set<RestErrorCode> {
  const codes = new Set<RestErrorCode>([
    'BAD_REQUEST',
    'REQUEST_TIMEOUT',
    'URI_TOO_LONG',
    'EXPECTATION_FAILED',
    'HEADERS_TOO_LARGE',
    'INTERNAL_ERROR',
  ]);
  if (access !== 'public') {
    codes.add('UNAUTHORIZED');
    codes.add('FORBIDDEN');
  }
  if (options.rateLimited && path !== '/health') codes.add('TOO_MANY_REQUESTS');
  // Also where none is asked for: it is read all the same.
  if (method !== 'GET') {
    codes.add('PAYLOAD_TOO_LARGE');
    codes.add('UNSUPPORTED_MEDIA_TYPE');
  }
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

function problemResponse(codes: readonly RestErrorCode[]): OpenApiResponse {
  const description = codes.map((code) => `${code}: ${REST_ERRORS[code].message}`).join('; ');
  return {
    description,
    'x-codes': codes,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  };
}
