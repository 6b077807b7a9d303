/**
 * The shape of `GET /api/v1/stats`.
 *
 * Owned by main: constants only.
 */
import { Type } from 'typebox';
import { ERROR_CODES, ERROR_MEANING } from '../errors.js';
import { SHARD_FIELDS } from '../memory/counters.js';
import { NODE_STATUSES } from '../protocol/node-status-update.js';
import { TURNED_AWAY, TURNED_AWAY_REASONS } from '../telemetry/admission-counts.js';
import { RATE_FIELDS } from '../telemetry/stats.js';
import { momentOrNull, numbers } from './schema-parts.js';
import { HealthAnswer } from './schemas.js';

function ratesOver(seconds: number) {
  return numbers(RATE_FIELDS, `over the last ${seconds} s`);
}

function count(description: string) {
  return Type.Integer({ description });
}

const ShardRow = Type.Unsafe<
  { shard: number; alive: boolean; deaths: number } & Record<string, number | boolean>
>({
  type: 'object',
  required: ['shard', 'alive', 'deaths'],
  properties: {
    shard: { type: 'integer', description: 'its number' },
    alive: { type: 'boolean', description: 'false while it is being replaced' },
    deaths: { type: 'integer', description: 'how often it was replaced' },
    ...Object.fromEntries(
      [...SHARD_FIELDS, 'refused'].map((name) => [
        name,
        { type: 'number', description: name.replaceAll('_', ' ') },
      ]),
    ),
  },
});

export const StatsAnswer = Type.Object({
  version: Type.String({ description: 'of Core' }),
  mode: Type.String({ description: 'native or portable' }),
  started: momentOrNull('when Core started'),
  uptime_seconds: Type.Number({ description: 'seconds since then' }),
  health: HealthAnswer,
  nodes: Type.Object(
    {
      known: count('connected or remembered'),
      connected: count('connected now'),
      by_status: numbers(NODE_STATUSES, 'known nodes by their status'),
    },
    { description: 'how many nodes there are' },
  ),
  admission: Type.Object(
    {
      waiting: count('connections that wait for a shard now'),
      most_waiting: count('the most that ever waited'),
      admitted: count('connections handed to a shard'),
      turned_away: numbers(TURNED_AWAY_REASONS, 'connections closed unheard, by reason', TURNED_AWAY),
    },
    { description: 'what happened to connections at the node port before a shard had them' },
  ),
  rates_per_second: Type.Object(
    { last_1s: ratesOver(1), last_10s: ratesOver(10), last_60s: ratesOver(60) },
    { description: 'growth per second' },
  ),
  totals: numbers([...SHARD_FIELDS, 'refused'], 'sums over all shards since Core started'),
  errors: numbers(ERROR_CODES, 'refused frames by code', ERROR_MEANING),
  dead_letters: Type.Object(
    { frames: count('refused frames written'), bytes: count('bytes of them') },
    { description: 'the dead-letter log' },
  ),
  shards: Type.Array(ShardRow, { description: 'per shard' }),
  aggregator: Type.Object(
    {
      next_seq: count('sequence number of the next record'),
      durable_seq: count('everything before this number is fsynced'),
      records: count('records written'),
      bytes_logged: count('bytes written'),
      batches: count('writes'),
      segments: count('files of the log'),
      heap_used_bytes: count('JavaScript heap of the thread'),
      consumers: numbers(
        ['open', 'total', 'cut_off', 'messages_sent', 'bytes_sent', 'bytes_buffered'],
        'WebSocket consumers',
      ),
      disk: numbers(['waits', 'wait_ms'], 'waiting for room on a full disk'),
    },
    { description: 'the event log and its consumers' },
  ),
});
