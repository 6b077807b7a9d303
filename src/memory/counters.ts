/**
 * Counters in shared memory: one block of float64 per thread, written by that thread alone, read by main for REST
 * and metrics. Plain loads and stores: a reader may see a value that is a moment old, never a torn one (aligned
 * 64-bit), and float64 counts exactly to 2^53.
 */
import { ERROR_CODES } from '../errors.js';

/** Fields of a shard's block. `refused` is followed by one field per error code. */
export const SHARD_FIELDS = [
  'connections_open',
  'connections_total',
  'bytes_in',
  'frames',
  'records',
  'events',
  'events_compiled',
  'events_legacy',
  'status_updates',
  'pot_status_updates',
  'node_events',
  'registrations',
  'node_drops',
  'ring_full_waits',
  'ring_full_ms',
  /** Of the thread's JavaScript heap, as of the last second. */
  'heap_used_bytes',
  'error_replies',
  'error_replies_held_back',
  /** Connections that had more refused frames in a minute than `admission.max_errors_per_minute`. */
  'closed_for_errors',
  /** Connections that did not register within `ingest.registration_timeout_seconds`. */
  'registration_timeouts',
  'tls_handshakes',
  /** Handshakes that did not come about, and those whose certificate was refused. */
  'tls_failures',
  /** Connections without TLS where it is required. */
  'tls_missing',
  /** Numbered events that Core had already, and numbers that nodes skipped. */
  'duplicates',
  'seq_missing',
  'event_acks',
  /** Frames of the dead-letter log that were tried again, and those of them that were good. */
  'replayed',
  'replayed_accepted',
  ...ERROR_CODES.map((code) => `refused_${code}` as const),
] as const;

/** Fields of the aggregator's block. */
export const AGGREGATOR_FIELDS = [
  /** The sequence number that the next record gets, and the one up to which (not including it) all are fsynced. */
  'next_seq',
  'durable_seq',
  'records',
  'bytes_logged',
  'batches',
  'segments',
  /** Segments that are finished: a change tells the keeper that there is one to seal. */
  'segments_finished',
  'syncs',
  'sync_ms',
  /** The longest fsync of the last minute, or so. */
  'sync_longest_ms',
  'dead_letters',
  'dead_letter_bytes',
  /** Dead letters that gave way to newer ones. */
  'dead_letters_dropped',
  'disk_waits',
  'disk_wait_ms',
  'consumers_open',
  'consumers_total',
  'consumers_cut_off',
  /** Of those open: that read the log at present. And how often one fell behind, and one came back. */
  'consumers_in_log',
  'consumers_to_log',
  'consumers_to_live',
  'stream_gaps',
  'messages_sent',
  'bytes_sent',
  'bytes_buffered',
  'heap_used_bytes',
] as const;

export type ShardField = (typeof SHARD_FIELDS)[number];
export type AggregatorField = (typeof AGGREGATOR_FIELDS)[number];

/** Indexes by name, resolved once: `SHARD.events`. */
export const SHARD = Object.fromEntries(SHARD_FIELDS.map((name, at) => [name, at])) as Record<
  ShardField,
  number
>;
export const AGGREGATOR = Object.fromEntries(AGGREGATOR_FIELDS.map((name, at) => [name, at])) as Record<
  AggregatorField,
  number
>;

export function createShardCounters(): Float64Array {
  return new Float64Array(new SharedArrayBuffer(SHARD_FIELDS.length * 8));
}

export function createAggregatorCounters(): Float64Array {
  return new Float64Array(new SharedArrayBuffer(AGGREGATOR_FIELDS.length * 8));
}
