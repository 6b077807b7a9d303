/**
 * The shapes of API tokens over REST. The secret is in {@link MadeToken} alone.
 *
 * Owned by main: constants only.
 */
import { Type } from 'typebox';
import { ROLES, type Role } from '../access/principal.js';
import type { TokenState } from '../access/token-record.js';

const NAME_LENGTH = 64;
const NODES_LENGTH = 255;
const EVENT_TYPES = 32;
const EVENT_TYPE_LENGTH = 128;

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
export const Token = Type.Object(tokenFields);
export const MadeToken = Type.Object({
  ...tokenFields,
  token: Type.String({ description: 'the token itself, shown this once: authorization: Bearer TOKEN' }),
});
export const TokenList = Type.Object({ tokens: Type.Array(Token, { description: 'the newest first' }) });
export const TokenParams = Type.Object({ id: Type.String({ description: 'id of the token' }) });

export const NewTokenBody = Type.Object(
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
