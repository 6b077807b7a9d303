/**
 * `/api/v1/tokens`: makes, lists and revokes API tokens. The text of a token is in the answer that makes it, and
 * nowhere else, ever.
 */
import { type Static, Type } from 'typebox';
import type { AuditTrail } from '../../access/audit.js';
import type { Principal } from '../../access/principal.js';
import type { TokenRecord, TokenState } from '../../access/token-record.js';
import { isTokenId } from '../../access/token-text.js';
import { type NewToken, TokenNotSaved, TokenTableFull } from '../../access/tokens.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import { RestError, type RestErrorCode } from '../errors.js';
import { isoTime } from '../iso-time.js';
import { MadeToken, NewTokenBody, Token, TokenList, TokenParams } from '../token-schemas.js';

/** What the routes ask for; `Access` is the real one. */
export interface TokenDesk {
  tokens(): readonly TokenRecord[];
  token(id: string): TokenRecord | undefined;
  stateOf(token: TokenRecord): TokenState;
  createToken(wanted: NewToken): Promise<{ readonly record: TokenRecord; readonly text: string }>;
  revokeToken(id: string): Promise<boolean>;
}

const TAGS = ['access'];
const LATEST_MS = Date.UTC(9999, 11, 31);

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
      const { record, text } = await saved(desk.createToken(wanted), (code) => {
        const detail = { name: wanted.name, code };
        audit.record({
          actor: actorOf(request),
          action: 'token.create',
          target: '',
          outcome: 'failed',
          detail,
        });
      });
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
      const actor = actorOf(request);
      const entry = { actor, action: 'token.revoke', target: id } as const;
      const first = await saved(
        desk.revokeToken(id),
        (code) => audit.record({ ...entry, outcome: 'failed', detail: { name, code, in_force: true } }),
        'the token is revoked, but that is not on disk: after a restart it would be back; ask again',
      );
      if (first) audit.record({ ...entry, outcome: 'done', detail: { name } });
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

/** What the change answers; where it was not made, `failed` is told the code that the client gets. */
async function saved<T>(
  change: Promise<T>,
  failed: (code: RestErrorCode) => void,
  notSaved?: string,
): Promise<T> {
  try {
    return await change;
  } catch (error) {
    const full = error instanceof TokenTableFull;
    if (!full && !(error instanceof TokenNotSaved)) throw error;
    const code = full ? 'TOKENS_FULL' : 'STATE_UNAVAILABLE';
    failed(code);
    throw new RestError(code, full || notSaved === undefined ? {} : { detail: notSaved });
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
