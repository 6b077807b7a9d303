/**
 * The shapes of what REST answers, as TypeBox schemas: the serialisers are compiled from them, so a field that is not
 * here does not leave, and the OpenAPI document shows them.
 *
 * Owned by main: constants only. Names on this page are the API; fields may be added, never renamed.
 */
import { type Static, Type } from 'typebox';
import { EVENT_FORMS, FRAMINGS, UNIT_SPELLINGS } from '../protocol/dialect.js';
import { NODE_TYPES } from '../protocol/node-registration.js';
import { NODE_STATUSES } from '../protocol/node-status-update.js';
import { POT_STATUSES } from '../protocol/pot-status-update.js';
import { choice, integerOrNull, moment, momentOrNull, textOrNull, u64 } from './schema-parts.js';
import { NodeAccount } from './schemas-ledger.js';
import { next } from './schemas-lists.js';

const nodeId = u64('node_id as the node chose it: a whole number up to 18446744073709551615, all its digits');
const idText = Type.String({
  description: 'node_id as text, for clients whose numbers are doubles',
  examples: ['4242'],
});
const nodeName = Type.String({ description: 'name the node registered with', examples: ['eu-west-3'] });

const potFields = {
  pot_id: Type.String({ description: 'id of the honeypot on its node', examples: ['cowrie-1'] }),
  pot_type: Type.String({ description: 'what it is', examples: ['cowrie'] }),
  status: choice(POT_STATUSES, 'as it last said'),
  message: textOrNull('what it said with that status'),
  updated: moment('when it said so'),
};

/** One of a few words, or null where nothing tells yet. */
function wordOrNull<W extends string>(words: readonly W[], description: string) {
  return Type.Unsafe<W | null>({ type: ['string', 'null'], enum: [...words, null], description });
}

const Dialect = Type.Object(
  {
    framing: wordOrNull(FRAMINGS, 'lines: a newline ends each frame; objects: the outermost brace does'),
    events: Type.Array(
      Type.Unsafe<(typeof EVENT_FORMS)[number]>({ type: 'string', enum: [...EVENT_FORMS] }),
      {
        description: 'forms its events came in; compiled and legacy ones were rewritten as documented',
      },
    ),
    units: wordOrNull(
      UNIT_SPELLINGS,
      'how it spells what has no fields, and so how Core spells commands without fields to it',
    ),
  },
  { description: 'how the connection was seen to speak the protocol; of the last one while disconnected' },
);

const nodeFields = {
  node_id: nodeId,
  id: idText,
  node_name: nodeName,
  status: choice(
    NODE_STATUSES,
    'as the node last said; Unknown when it is silent or its connection was lost',
  ),
  node_type: choice(NODE_TYPES, 'as the node says of itself'),
  connected: Type.Boolean({ description: 'whether it is connected now' }),
  address: Type.String({ description: 'its address, as reported by the node' }),
  port: Type.Integer({ description: 'its port, as reported by the node' }),
  remote: Type.String({ description: 'address and port its last connection came from' }),
  tls: Type.Boolean({ description: 'the present connection is encrypted' }),
  shard: integerOrNull('thread that reads it; null while it is not connected'),
  connected_since: momentOrNull('start of its connection; null while it is not connected'),
  last_seen: momentOrNull('when something last came from it'),
  registrations: Type.Integer({ description: 'registrations that were accepted' }),
  dialect: Dialect,
  frames: Type.Integer({ description: 'frames received, over all its connections' }),
  records: Type.Integer({ description: 'records it put in the log' }),
  events: Type.Integer({ description: 'events of its honeypots' }),
  refused: Type.Integer({ description: 'frames that were refused' }),
  bytes_in: Type.Integer({ description: 'bytes received' }),
  pots: Type.Integer({ description: 'honeypots remembered' }),
  pots_not_kept: Type.Integer({ description: 'updates of honeypots beyond the bound on what is remembered' }),
};

export const NodeRow = Type.Object(nodeFields);
export const NodeDetail = Type.Object({
  ...nodeFields,
  honeypots: Type.Array(Type.Object(potFields), { description: 'its honeypots' }),
  ledger: NodeAccount,
});
export const HoneypotRow = Type.Object({
  node_id: nodeId,
  id: idText,
  node_name: nodeName,
  ...potFields,
});

export const NodeList = Type.Object({
  nodes: Type.Array(NodeRow, { description: 'in the order of their ids' }),
  next,
});
export const HoneypotList = Type.Object({
  honeypots: Type.Array(HoneypotRow, { description: 'in the order of their nodes, then of their ids' }),
  next,
});

export const HealthAnswer = Type.Object(
  {
    status: choice(['ok', 'starting', 'stopping', 'degraded'], 'ok is 200, everything else 503'),
    reason: Type.Optional(Type.String({ description: 'why it is not ok' })),
  },
  { description: 'whether Core does its work' },
);

export const IndexAnswer = Type.Object({
  name: Type.String({ description: 'honeybee-core' }),
  version: Type.String({ description: 'of Core' }),
  protocol: Type.Integer({ description: 'version of the protocol with nodes and backends' }),
  routes: Type.Array(
    Type.Object({
      method: Type.String({ description: 'GET, POST, PUT or DELETE' }),
      path: Type.String({ description: 'with names in braces for what goes there' }),
      what: Type.String({ description: 'in one line' }),
      access: Type.String({ description: 'role that is needed, or public' }),
    }),
    { description: 'everything there is' },
  ),
});

export type NodeRowJson = Static<typeof NodeRow>;
export type HoneypotRowJson = Static<typeof HoneypotRow>;
export type PotJson = Pick<HoneypotRowJson, keyof typeof potFields>;
