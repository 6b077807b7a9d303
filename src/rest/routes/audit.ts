/** `GET /api/v1/audit`: who did what, when, from where, and what came of it; the newest first. */
import { Type } from 'typebox';
import { type AuditPage, type AuditQuery, TooManyReaders } from '../../access/audit-reader.js';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { sendJsonText } from '../json-text.js';

/** What the route asks for; `AuditReader` is the real one. */
export interface AuditShelf {
  page(query: AuditQuery): Promise<AuditPage>;
}

const DEFAULT_LIMIT = 100;
const PATTERN_LENGTH = 255;

const pattern = (what: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: PATTERN_LENGTH,
      description: `only entries ${what}; * for any run of characters`,
    }),
  );

/** Text, because values are never coerced. */
const AuditQueryString = Type.Object(
  {
    limit: Type.Optional(
      Type.String({
        pattern: '^([1-9][0-9]{0,2}|1000)$',
        description: 'entries at most, 1 to 1000; default 100',
      }),
    ),
    after: Type.Optional(
      Type.String({ pattern: '^[0-9]{1,15}$', description: '`next` of the page before: goes on behind it' }),
    ),
    action: pattern('with this action, such as token.create or command.*'),
    target: pattern('done to this target'),
    principal: pattern('of whoever has this name'),
  },
  { additionalProperties: false },
);

const Entry = Type.Object({
  seq: Type.Integer({ description: 'counts up by one; a gap is a loss' }),
  time: Type.String({ description: 'ISO 8601 in UTC' }),
  principal: Type.String({ description: 'name of the token, local, or anonymous' }),
  kind: Type.String({ description: 'token, local (through the control socket), or anonymous' }),
  token_id: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'id of the token' }),
  from: Type.String({ description: 'address and port it came from, or local' }),
  request_id: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'of the REST request' }),
  action: Type.String({ description: 'what was done: noun.verb' }),
  target: Type.String({ description: 'what it was done to: an id or a name' }),
  outcome: Type.String({ description: 'done, refused or failed' }),
  detail: Type.Record(Type.String(), Type.Unknown(), { description: 'more, depending on the action' }),
});

const AuditAnswer = Type.Object({
  entries: Type.Array(Entry, { description: 'the newest first' }),
  next: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description: '`after` of the next page; null where the trail ends',
  }),
});

export function auditRoute(app: RestApp, shelf: AuditShelf): void {
  app.get(
    '/api/v1/audit',
    {
      config: { access: 'admin', errors: ['TOO_MANY_LISTS'] },
      schema: {
        operationId: 'listAuditEntries',
        summary: 'the audit trail',
        description: 'Who changed something, or was refused to: when, from where, and what came of it.',
        tags: ['access'],
        querystring: AuditQueryString,
        response: { 200: AuditAnswer },
      },
    },
    async (request, reply) => {
      const { limit = String(DEFAULT_LIMIT), after, action, target, principal } = request.query;
      const { lines, next } = await shelf
        .page({
          limit: Number(limit),
          ...(after === undefined ? {} : { before: Number(after) }),
          ...(action === undefined ? {} : { action }),
          ...(target === undefined ? {} : { target }),
          ...(principal === undefined ? {} : { principal }),
        })
        .catch((error: unknown) => {
          if (!(error instanceof TooManyReaders)) throw error;
          reply.header('retry-after', '1');
          throw new RestError('TOO_MANY_LISTS');
        });
      // Lines of the trail are JSON texts, put together as they are.
      return sendJsonText(reply, `{"entries":[${lines.join(',')}],"next":${next}}`);
    },
  );
}
