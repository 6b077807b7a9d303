/**
 * The shapes of what REST answers, as TypeBox schemas: the serialisers are compiled from them, so a field that is not
 * here does not leave.
 *
 * Owned by main: constants only. Names on this page are the API; fields may be added, never renamed.
 */
import { type Static, Type } from 'typebox';
import { ERROR_CODES } from '../errors.js';
import { SHARD_FIELDS } from '../memory/counters.js';
import { EVENT_FORMS, FRAMINGS, UNIT_SPELLINGS } from '../protocol/dialect.js';
import { NODE_STATUSES } from '../protocol/node-status-update.js';
import { TURNED_AWAY_REASONS } from '../telemetry/admission-counts.js';
import { RATE_FIELDS } from '../telemetry/stats.js';

/** An unsigned 64-bit number with exactly its digits; the serialiser takes bigint for `integer`. */
const U64 = Type.Unsafe<bigint>({ type: 'integer' });
const Moment = Type.String({ description: 'ISO 8601, UTC' });
const MomentOrNull = Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'ISO 8601, UTC' });
const TextOrNull = Type.Unsafe<string | null>({ type: ['string', 'null'] });
const IntegerOrNull = Type.Unsafe<number | null>({ type: ['integer', 'null'] });

/** `{a: number, b: number}` for a list of names. */
function numbers<K extends string>(names: readonly K[]) {
  return Type.Unsafe<Record<K, number>>({
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, { type: 'number' }])),
    required: [...names],
  });
}

const potFields = {
  pot_id: Type.String(),
  pot_type: Type.String(),
  status: Type.String(),
  message: TextOrNull,
  updated: Moment,
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
  node_id: U64,
  id: Type.String({ description: 'node_id as text, for clients whose numbers are doubles' }),
  node_name: Type.String(),
  status: Type.String(),
  node_type: Type.String(),
  connected: Type.Boolean(),
  address: Type.String({ description: 'as reported by the node' }),
  port: Type.Integer({ description: 'as reported by the node' }),
  remote: Type.String({ description: 'where the connection came from' }),
  tls: Type.Boolean({ description: 'the present connection is encrypted' }),
  shard: IntegerOrNull,
  connected_since: MomentOrNull,
  last_seen: MomentOrNull,
  registrations: Type.Integer(),
  dialect: Dialect,
  frames: Type.Integer(),
  records: Type.Integer(),
  events: Type.Integer(),
  refused: Type.Integer(),
  bytes_in: Type.Integer(),
  pots: Type.Integer(),
  pots_not_kept: Type.Integer(),
};

export const NodeRow = Type.Object(nodeFields);
export const NodeDetail = Type.Object({ ...nodeFields, honeypots: Type.Array(Type.Object(potFields)) });
export const HoneypotRow = Type.Object({
  node_id: U64,
  id: Type.String(),
  node_name: Type.String(),
  ...potFields,
});
/** The same for serialising row by row: fastify asks for an index signature, which TypeBox types do not have. */
export const NODE_ROW_SCHEMA: Record<string, unknown> = { ...NodeRow };
export const HONEYPOT_ROW_SCHEMA: Record<string, unknown> = { ...HoneypotRow };

export const NodeList = Type.Object({ nodes: Type.Array(NodeRow) });
export const HoneypotList = Type.Object({ honeypots: Type.Array(HoneypotRow) });

export const HealthAnswer = Type.Object({ status: Type.String(), reason: Type.Optional(Type.String()) });

const RatesRow = numbers(RATE_FIELDS);

export const StatsAnswer = Type.Object({
  version: Type.String(),
  mode: Type.String(),
  started: MomentOrNull,
  uptime_seconds: Type.Number(),
  health: HealthAnswer,
  nodes: Type.Object({ known: Type.Integer(), connected: Type.Integer(), by_status: numbers(NODE_STATUSES) }),
  admission: Type.Object(
    {
      waiting: Type.Integer({ description: 'connections that wait for a shard now' }),
      most_waiting: Type.Integer({ description: 'the most that ever waited' }),
      admitted: Type.Integer({ description: 'connections handed to a shard' }),
      turned_away: numbers(TURNED_AWAY_REASONS),
    },
    { description: 'what happened to connections at the node port before a shard had them' },
  ),
  rates_per_second: Type.Object({ last_1s: RatesRow, last_10s: RatesRow, last_60s: RatesRow }),
  totals: numbers([...SHARD_FIELDS, 'refused']),
  errors: numbers(ERROR_CODES),
  dead_letters: Type.Object({ frames: Type.Integer(), bytes: Type.Integer() }),
  shards: Type.Array(
    Type.Unsafe<{ shard: number; alive: boolean; deaths: number } & Record<string, number | boolean>>({
      type: 'object',
      properties: {
        shard: { type: 'integer' },
        alive: { type: 'boolean' },
        deaths: { type: 'integer' },
        ...Object.fromEntries([...SHARD_FIELDS, 'refused'].map((name) => [name, { type: 'number' }])),
      },
    }),
  ),
  aggregator: Type.Object({
    next_seq: Type.Integer(),
    records: Type.Integer(),
    bytes_logged: Type.Integer(),
    batches: Type.Integer(),
    segments: Type.Integer(),
    heap_used_bytes: Type.Integer(),
    consumers: numbers(['open', 'total', 'cut_off', 'messages_sent', 'bytes_sent', 'bytes_buffered']),
    disk: numbers(['waits', 'wait_ms']),
  }),
});

export const IndexAnswer = Type.Object({
  name: Type.String(),
  version: Type.String(),
  protocol: Type.Integer(),
  routes: Type.Array(Type.Object({ method: Type.String(), path: Type.String(), what: Type.String() })),
});

export const NodeIdParams = Type.Object({ id: Type.String() });

export type NodeRowJson = Static<typeof NodeRow>;
export type HoneypotRowJson = Static<typeof HoneypotRow>;
export type PotJson = Pick<HoneypotRowJson, keyof typeof potFields>;
