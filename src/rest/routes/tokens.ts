/**
 * `/api/v1/tokens`: makes, lists and revokes API tokens. The text of a token is in the answer that makes it, and
 * nowhere else, ever.
 */
import { type Static, Type } from 'typebox';
import type { AuditTrail } from '../../access/audit.js';
import { type Principal, ROLES, type Role } from '../../access/principal.js';
import type { TokenRecord, TokenState } from '../../access/token-record.js';
import { isTokenId } from '../../access/token-text.js';
import { type NewToken, TokenNotSaved, TokenTableFull } from '../../access/tokens.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { isoTime } from '../iso-time.js';

/** What the routes ask for; `Access` is the real one. */
export interface TokenDesk {
  tokens(): readonly TokenRecord[];
  token(id: string): TokenRecord | undefined;
  stateOf(token: TokenRecord): TokenState;
  createToken(wanted: NewToken): Promise<{ readonly record: TokenRecord; readonly text: string }>;
  revokeToken(id: string): Promise<boolean>;
}

const TAGS = ['access'];
const NAME_LENGTH = 64;
const NODES_LENGTH = 255;
const EVENT_TYPES = 32;
const EVENT_TYPE_LENGTH = 128;
const LATEST_MS = Date.UTC(9999, 11, 31);

const MomentOrNull = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], description: `${description}, ISO 8601 in UTC` });

const ScopeFields = {
  nodes: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    minLength: 1,
    maxLength: NODES_LENGTH,
    description: 'pattern of the names of the nodes it sees, * for any run of characters; null for all',
  }),
  event_types: Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string', minLength: 1, maxLength: EVENT_TYPE_LENGTH },
    minItems: 1,
    maxItems: EVENT_TYPES,
    description: 'types of the events it sees, each may end in *; null for all',
  }),
};
const Roles = Type.Array(
  Type.Unsafe<Role>({ type: 'string', enum: [...ROLES], description: 'command includes read, admin all' }),
  { minItems: 1, maxItems: ROLES.length, uniqueItems: true, description: 'what it may do' },
);

const tokenFields = {
  id: Type.String({ description: 'tells which token; not secret' }),
  name: Type.String({ description: 'what it is for' }),
  roles: Roles,
  ...ScopeFields,
  state: Type.Unsafe<TokenState>({
    type: 'string',
    enum: ['active', 'expired', 'revoked'],
    description: 'only active ones let anybody in',
  }),
  created: MomentOrNull('when it was made'),
  created_by: Type.String({ description: 'who made it' }),
  expires: MomentOrNull('when it ends; null for never'),
  revoked: MomentOrNull('when it was revoked'),
  last_used: MomentOrNull('when it was last used; kept over restarts to a minute'),
};
const Token = Type.Object(tokenFields);
const MadeToken = Type.Object({
  ...tokenFields,
  token: Type.String({ description: 'the token itself, shown this once: authorization: Bearer TOKEN' }),
});
const TokenList = Type.Object({ tokens: Type.Array(Token, { description: 'the newest first' }) });
const TokenParams = Type.Object({ id: Type.String({ description: 'id of the token' }) });

const NewTokenBody = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: NAME_LENGTH,
      description: 'what it is for; shown in lists and in the audit trail',
    }),
    roles: Roles,
    nodes: Type.Optional(ScopeFields.nodes),
    event_types: Type.Optional(ScopeFields.event_types),
    expires: Type.Optional(
      Type.Unsafe<string | null>({
        type: ['string', 'null'],
        maxLength: 40,
        description: 'ISO 8601 with a zone, in the future; null or absent for never',
      }),
    ),
  },
  { additionalProperties: false },
);

export function tokenRoutes(app: RestApp, desk: TokenDesk, audit: AuditTrail): void {
  app.get(
    '/api/v1/tokens',
    {
      config: { access: 'admin' },
      schema: {
        operationId: 'listTokens',
        summary: 'all API tokens',
        description:
          'Also those that have expired or were revoked, until room is needed. Never their secrets.',
        tags: TAGS,
        response: { 200: TokenList },
      },
    },
    async () => ({ tokens: desk.tokens().map((token) => rowOf(desk, token)) }),
  );

  app.get(
    '/api/v1/tokens/:id',
    {
      config: { access: 'admin', errors: ['TOKEN_NOT_FOUND'] },
      schema: {
        operationId: 'getToken',
        summary: 'one API token',
        description: 'What it may do, and when it was last used. Never its secret.',
        tags: TAGS,
        params: TokenParams,
        response: { 200: Token },
      },
    },
    async (request) => rowOf(desk, known(desk, request.params.id)),
  );

  app.post(
    '/api/v1/tokens',
    {
      config: { access: 'admin', errors: ['TOKENS_FULL', 'STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'createToken',
        summary: 'make an API token',
        description: 'The answer shows the token this once; Core keeps only a hash of it.',
        tags: TAGS,
        body: NewTokenBody,
        response: { 201: MadeToken },
      },
    },
    async (request, reply) => {
      const wanted = newToken(request.body, request.principal);
      const { record, text } = await saved(desk.createToken(wanted));
      audit.record({
        actor: actorOf(request),
        action: 'token.create',
        target: record.id,
        outcome: 'done',
        detail: describe(record),
      });
      return reply
        .code(201)
        .header('location', `/api/v1/tokens/${record.id}`)
        .send({ ...rowOf(desk, record), token: text });
    },
  );

  app.delete(
    '/api/v1/tokens/:id',
    {
      config: { access: 'admin', errors: ['TOKEN_NOT_FOUND', 'STATE_UNAVAILABLE'] },
      schema: {
        operationId: 'revokeToken',
        summary: 'revoke an API token',
        description: 'At once, for good, and connections that were opened with it are closed.',
        tags: TAGS,
        params: TokenParams,
        response: { 204: Type.Null({ description: 'it is revoked' }) },
      },
    },
    async (request, reply) => {
      const { id, name } = known(desk, request.params.id);
      const first = await saved(desk.revokeToken(id));
      if (first) {
        const actor = actorOf(request);
        audit.record({ actor, action: 'token.revoke', target: id, outcome: 'done', detail: { name } });
      }
      return reply.code(204).send(null);
    },
  );
}

function known(desk: TokenDesk, id: string): TokenRecord {
  const token = isTokenId(id) ? desk.token(id) : undefined;
  if (token === undefined) throw new RestError('TOKEN_NOT_FOUND');
  return token;
}

/** What cannot be said by the schema. */
function newToken(body: Static<typeof NewTokenBody>, { name: createdBy }: Principal): NewToken {
  const { name, roles, nodes = null, event_types: eventTypes = null, expires = null } = body;
  if (/\p{C}/u.test(name) || name.trim() !== name)
    throw invalid('name', 'a name has no control characters, and no blanks at its ends');
  if (roles.includes('admin') && (nodes !== null || eventTypes !== null))
    throw invalid('roles', 'a token with the role admin cannot be limited: it could make itself another one');
  if (eventTypes?.some((type) => type.slice(0, -1).includes('*')))
    throw invalid('event_types', 'an event type may have a * at its end only');
  return { name, roles, scope: { nodes, eventTypes }, expiresMs: expiryOf(expires), createdBy };
}

function expiryOf(expires: string | null): number | null {
  if (expires === null) return null;
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;
  const timeMs = form.test(expires) ? Date.parse(expires) : Number.NaN;
  if (Number.isNaN(timeMs)) throw invalid('expires', 'not a time such as 2027-01-01T00:00:00Z');
  if (timeMs <= Date.now()) throw invalid('expires', 'a token must end in the future');
  if (timeMs > LATEST_MS) throw invalid('expires', 'a token must end before the year 10000');
  return timeMs;
}

function invalid(field: string, detail: string): RestError {
  return new RestError('BAD_REQUEST', { field, detail: `${field}: ${detail}` });
}

async function saved<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof TokenTableFull) throw new RestError('TOKENS_FULL');
    if (error instanceof TokenNotSaved) throw new RestError('STATE_UNAVAILABLE');
    throw error;
  }
}

function rowOf(desk: TokenDesk, token: TokenRecord): Static<typeof Token> {
  return {
    id: token.id,
    name: token.name,
    roles: [...token.roles],
    nodes: token.scope.nodes,
    event_types: token.scope.eventTypes === null ? null : [...token.scope.eventTypes],
    state: desk.stateOf(token),
    created: isoTime(token.createdMs),
    created_by: token.createdBy,
    expires: isoTime(token.expiresMs),
    revoked: isoTime(token.revokedMs),
    last_used: isoTime(token.lastUsedMs),
  };
}

function describe(token: TokenRecord): Record<string, string | null> {
  return {
    name: token.name,
    roles: token.roles.join(' '),
    nodes: token.scope.nodes,
    event_types: token.scope.eventTypes?.join(' ') ?? null,
    expires: isoTime(token.expiresMs),
  };
}
