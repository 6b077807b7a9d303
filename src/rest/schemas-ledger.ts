/**
 * The shapes of the ledger, of the log's state and of consumers.
 *
 * Owned by main: constants only. Names on this page are the API; fields may be added, never renamed.
 */
import { type Static, Type } from 'typebox';
import { ERROR_CODES, ERROR_MEANING } from '../errors.js';
import { LIMITS } from '../limits.js';
import { REST_LIMITS } from './limits.js';
import {
  choice,
  integerOrNull,
  moment,
  momentOrNull,
  numbers,
  query,
  textOrNull,
  u64,
} from './schema-parts.js';
import { next } from './schemas-lists.js';

function count(description: string) {
  return Type.Integer({ description });
}

const accountFields = {
  frames: count('frames received on registered connections: accepted + duplicates + refused'),
  accepted: count('frames that were good: passed on, or acted upon'),
  duplicates: count('numbered events that Core had already, and dropped'),
  refused: count('frames that were refused, and are kept as dead letters'),
  refused_by_code: numbers(ERROR_CODES, 'those, by code', ERROR_MEANING),
  missing: count('events that nodes numbered and never sent'),
  records: count('records passed on to the log'),
  events: count('those of them that are events of honeypots'),
  logged_records: count('records in the log'),
  logged_events: count('events in the log'),
  bytes_in: count('bytes received'),
  balanced: Type.Boolean({ description: 'the equation holds; false is a fault of Core' }),
};

export const nodeAccountFields = {
  ...accountFields,
  taken_seq: count('number of the newest event that was taken; 0 where the node does not number its events'),
  durable_seq: count('all its events up to this number are fsynced, and acknowledged'),
};

export const NodeAccount = Type.Object(nodeAccountFields, {
  description: 'what came from the node, and what became of it',
});

const ConsumerRow = Type.Object(
  {
    name: Type.String({ description: 'as it connects: ?consumer=NAME', examples: ['siem'] }),
    next_seq: count('the first record that it has not acknowledged'),
    lag: count('records behind the end of the log'),
    created: moment('when it first connected'),
    acknowledged: moment('when it acknowledged something last'),
    created_by: Type.String({ description: 'name of the token that made it' }),
    connected: Type.Boolean({ description: 'whether it is connected now' }),
  },
  { description: 'a named consumer' },
);

export const ConsumerList = Type.Object({
  consumers: Type.Array(ConsumerRow, { description: 'in the order of their names' }),
});
export const ConsumerDetail = ConsumerRow;

export const ConsumerParams = Type.Object({
  name: Type.String({
    description: `name of a consumer, 1 to ${LIMITS.consumerNameLength} characters`,
    examples: ['siem'],
  }),
});

export const DeliveryList = Type.Object({
  deliveries: Type.Array(
    Type.Object(
      {
        consumer: count('number of the connection'),
        name: textOrNull('of a named consumer'),
        remote: Type.String({ description: 'address it came from' }),
        kind: choice(['websocket', 'raw'], 'how it is connected'),
        connected_since: moment('when it came'),
        mode: choice(['live', 'log'], 'live: from memory; log: it is behind, or filters'),
        next_seq: count('everything before this was sent, or it was told that it is missing'),
        lag: count('records behind the end of the log'),
        records: count('records sent'),
        bytes: count('bytes sent'),
        missing: count('records in the gaps that it was told of'),
        buffered_bytes: count('bytes that wait for it in memory'),
      },
      { description: 'a connected consumer' },
    ),
    { description: 'in the order in which they came' },
  ),
});

export const LedgerAnswer = Type.Object({
  nodes: Type.Object(accountFields, {
    description: 'all nodes together, those that were forgotten included',
  }),
  log: Type.Object(
    {
      next_seq: count('sequence number of the next record'),
      durable_seq: count('everything before this number is fsynced'),
    },
    { description: 'what of it is in the log' },
  ),
  consumers: Type.Object(
    {
      connected: count('WebSocket and raw consumers that are connected'),
      in_log: count('those that are behind, or filter, and read the log'),
      named: count('named consumers, connected or not'),
      slowest: textOrNull('the named consumer that is furthest behind'),
      slowest_next_seq: integerOrNull('the first record that it has not acknowledged'),
      bytes_sent: count('bytes sent since Core started'),
      gaps: count('gaps that consumers were told of since Core started'),
    },
    { description: 'who has taken it from there' },
  ),
});

export const AccountRow = Type.Object({
  node_id: u64('node_id, all its digits'),
  id: Type.String({ description: 'node_id as text' }),
  node_name: Type.String({ description: 'name the node registered with' }),
  connected: Type.Boolean({ description: 'whether it is connected now' }),
  ...nodeAccountFields,
});

export const AccountList = Type.Object({
  nodes: Type.Array(AccountRow, { description: 'in the order of their ids' }),
  next,
});

export const AccountQuery = query({
  node: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: LIMITS.filterLength,
      description: 'only nodes of this name, `*` for any run of characters, or the one with this id',
      examples: ['eu-*'],
    }),
  ),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: REST_LIMITS.pageRows,
      description: 'rows of a page; without it the answer is the whole list, without `next`',
    }),
  ),
  after: Type.Optional(
    Type.String({
      maxLength: 20,
      description: 'where to go on: `next` of the page before',
      examples: ['4242'],
    }),
  ),
});

export const LogAnswer = Type.Object({
  next_seq: count('sequence number of the next record'),
  durable_seq: count('everything before this number is fsynced'),
  fsync: Type.Object(
    {
      mode: choice(['interval', 'always', 'never'], 'storage.fsync'),
      interval_ms: count('storage.fsync_interval_ms'),
      count: count('fsyncs since Core started'),
      seconds: Type.Number({ description: 'time they took' }),
      longest_ms: Type.Number({ description: 'the longest of the last ones' }),
    },
    { description: 'how events are forced to the disk' },
  ),
  written: Type.Object(
    {
      records: count('records'),
      bytes: count('bytes'),
      disk_waits: count('times a write found the disk full'),
      disk_wait_seconds: Type.Number({ description: 'time nodes were held back for it' }),
    },
    { description: 'since Core started' },
  ),
  kept: Type.Object(
    {
      first_seq: integerOrNull('the oldest record that can be read'),
      first_received: momentOrNull('when it was received'),
      segments: integerOrNull('files of the log'),
      sealed_segments: integerOrNull('those that are sealed'),
      compressed_segments: integerOrNull('those that are compressed'),
      bytes: integerOrNull('their bytes, with what stands beside them'),
      unsealed_bytes: integerOrNull('bytes of finished files that are not sealed yet'),
      damaged_records: integerOrNull(
        'records that could not be read when their file was sealed; log verify looks at all of it again',
      ),
      free_bytes: integerOrNull('free on the disk'),
      chain: textOrNull('of the newest seal'),
    },
    { description: 'what is on the disk; null before Core has looked' },
  ),
  retention: Type.Object(
    {
      bytes: count('storage.retention_bytes; 0: no limit'),
      seconds: count('storage.retention_seconds; 0: no limit'),
      free_bytes: count('storage.retention_free_bytes; 0: no limit'),
      force: Type.Boolean({ description: 'storage.retention_force' }),
      deleted_segments: integerOrNull('files deleted since Core started'),
      deleted_bytes: integerOrNull('their bytes'),
      deleted_records: integerOrNull('their records'),
      forced_records: integerOrNull('those of them that a named consumer had not acknowledged'),
      held_by: textOrNull('the named consumer for whose sake something is not deleted'),
    },
    { description: 'what is deleted when' },
  ),
});

export type AccountRowJson = Static<typeof AccountRow>;
