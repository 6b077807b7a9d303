/**
 * What lists may be asked for: filters and pages. Values come as text and are converted before they are checked.
 *
 * Owned by main: constants only.
 */
import { type Static, Type } from 'typebox';
import { NODE_TYPES } from '../protocol/node-registration.js';
import { NODE_STATUSES } from '../protocol/node-status-update.js';
import { POT_STATUSES } from '../protocol/pot-status-update.js';
import { REST_LIMITS } from './limits.js';
import { choice, query } from './schema-parts.js';

const limit = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: REST_LIMITS.pageRows,
    description: 'rows of a page; without it the answer is the whole list, without `next`',
  }),
);

const potType = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 255,
    description: 'type of a honeypot, exactly',
    examples: ['cowrie'],
  }),
);

export const NodeQuery = query({
  status: Type.Optional(choice(NODE_STATUSES, 'only nodes with this status')),
  node_type: Type.Optional(choice(NODE_TYPES, 'only nodes of this type')),
  connected: Type.Optional(Type.Boolean({ description: 'only nodes that are connected, or that are not' })),
  name: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description: 'only nodes of this name; `*` stands for any run of characters: `eu-*`',
    }),
  ),
  pot_type: potType,
  limit,
  after: Type.Optional(
    Type.String({
      maxLength: 20,
      description: 'where to go on: `next` of the page before',
      examples: ['4242'],
    }),
  ),
});

export const HoneypotQuery = query({
  status: Type.Optional(choice(POT_STATUSES, 'only honeypots with this status')),
  pot_type: potType,
  node: Type.Optional(
    Type.String({
      maxLength: 20,
      description: 'only honeypots of the node with this id',
      examples: ['4242'],
    }),
  ),
  limit,
  after: Type.Optional(
    Type.String({ maxLength: 1024, description: 'where to go on: `next` of the page before' }),
  ),
});

export type NodeFilter = Static<typeof NodeQuery>;
export type HoneypotFilter = Static<typeof HoneypotQuery>;

export const NodeIdParams = Type.Object({
  id: Type.String({
    description: 'node_id, all its digits: 1 to 18446744073709551615',
    examples: ['4242'],
  }),
});

/** In the answer of a list. */
export const next = Type.Optional(
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: 'only with `limit`: `after` of the next page, null behind the last row',
  }),
);
