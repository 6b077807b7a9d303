/**
 * Metrics of the log on the disk, of the ledger and of named consumers.
 *
 * Owned by main. The one label that somebody outside chose is the name of a named consumer: there are at most
 * LIMITS.namedConsumers of them, made by whoever has the role `stream`, and who watches them needs to tell them apart.
 */
import type { LogState } from '../keeper/messages.js';

export interface LogMetricsSource {
  /** What the keeper saw last. */
  state(): LogState | undefined;
  ledger(): LedgerTotals;
  consumers(): readonly NamedCursor[];
  /** The number of the next record. */
  nextSeq(): number;
}

/** What is shown of the ledger. */
export interface LedgerTotals {
  readonly accepted: number;
  readonly duplicates: number;
  readonly refusedByCode: Readonly<Record<string, number>>;
  readonly missing: number;
  readonly records: number;
  readonly loggedRecords: number;
  readonly balanced: boolean;
}

export interface NamedCursor {
  readonly name: string;
  readonly nextSeq: number;
  readonly connected: boolean;
}

export interface LogMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labels?: readonly string[];
  fill(put: (labels: Record<string, string>, value: number) => void): void;
}

export function logMetrics(source: LogMetricsSource): LogMetric[] {
  return [
    ...STATE_METRICS.map(({ name, help, type, value }): LogMetric => {
      return {
        name,
        help,
        type,
        // Nothing before the keeper has looked: a zero would be an alarm.
        fill(put) {
          const state = source.state();
          if (state !== undefined) put({}, value(state));
        },
      };
    }),
    ...ledgerMetrics(source),
    ...consumerMetrics(source),
  ];
}

const STATE_METRICS: readonly {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  value(state: LogState): number;
}[] = [
  {
    name: 'log_first_sequence',
    help: 'Sequence number of the oldest record that can be read.',
    type: 'gauge',
    value: (state) => state.firstSeq,
  },
  {
    name: 'log_kept_bytes',
    help: 'Bytes of the log on the disk, with what stands beside its segments.',
    type: 'gauge',
    value: (state) => state.bytes,
  },
  {
    name: 'log_sealed_segments',
    help: 'Segments of the log that are sealed.',
    type: 'gauge',
    value: (state) => state.sealedSegments,
  },
  {
    name: 'log_compressed_segments',
    help: 'Segments of the log that are compressed.',
    type: 'gauge',
    value: (state) => state.compressedSegments,
  },
  {
    name: 'log_unsealed_bytes',
    help: 'Bytes of finished segments that are not sealed yet.',
    type: 'gauge',
    value: (state) => state.unsealedBytes,
  },
  {
    name: 'log_damaged_records',
    help: 'Records that could not be read when their segment was sealed.',
    type: 'gauge',
    value: (state) => state.damagedRecords,
  },
  {
    name: 'log_deleted_segments_total',
    help: 'Segments that retention has deleted.',
    type: 'counter',
    value: (state) => state.deletedSegments,
  },
  {
    name: 'log_deleted_bytes_total',
    help: 'Bytes that retention has deleted.',
    type: 'counter',
    value: (state) => state.deletedBytes,
  },
  {
    name: 'log_deleted_records_total',
    help: 'Records that retention has deleted.',
    type: 'counter',
    value: (state) => state.deletedRecords,
  },
  {
    name: 'log_forced_records_total',
    help: 'Records that retention has deleted before a named consumer had acknowledged them.',
    type: 'counter',
    value: (state) => state.forcedRecords,
  },
  {
    name: 'log_retention_held',
    help: '1 while a named consumer keeps retention from deleting what is due, else 0.',
    type: 'gauge',
    value: (state) => (state.heldBy === null ? 0 : 1),
  },
  {
    name: 'disk_free_bytes',
    help: 'Bytes that are free on the disk of the data directory.',
    type: 'gauge',
    value: (state) => state.freeBytes,
  },
];

function ledgerMetrics({ ledger }: LogMetricsSource): LogMetric[] {
  return [
    {
      name: 'ledger_frames_total',
      help: 'Frames of registered nodes by what became of them, over restarts of Core.',
      type: 'counter',
      labels: ['result'],
      fill(put) {
        const { accepted, duplicates, refusedByCode } = ledger();
        put({ result: 'accepted' }, accepted);
        put({ result: 'duplicate' }, duplicates);
        put(
          { result: 'refused' },
          Object.values(refusedByCode).reduce((sum, count) => sum + count, 0),
        );
      },
    },
    {
      name: 'ledger_records_total',
      help: 'Records passed on, and those of them that are in the log, over restarts of Core.',
      type: 'counter',
      labels: ['stage'],
      fill(put) {
        const { records, loggedRecords } = ledger();
        put({ stage: 'passed' }, records);
        put({ stage: 'logged' }, loggedRecords);
      },
    },
    {
      name: 'ledger_missing_events_total',
      help: 'Events that nodes numbered and never sent, over restarts of Core.',
      type: 'counter',
      fill: (put) => put({}, ledger().missing),
    },
    {
      name: 'ledger_balanced',
      help: '1 while every frame is accounted for; 0 is a fault of Core.',
      type: 'gauge',
      fill: (put) => put({}, ledger().balanced ? 1 : 0),
    },
  ];
}

function consumerMetrics({ consumers, nextSeq }: LogMetricsSource): LogMetric[] {
  const each = (
    name: string,
    help: string,
    value: (consumer: NamedCursor, endSeq: number) => number,
  ): LogMetric => ({
    name,
    help,
    type: 'gauge',
    labels: ['consumer'],
    fill(put) {
      const endSeq = nextSeq();
      for (const consumer of consumers()) put({ consumer: consumer.name }, value(consumer, endSeq));
    },
  });
  return [
    each(
      'named_consumer_sequence',
      'First record that a named consumer has not acknowledged.',
      (consumer) => consumer.nextSeq,
    ),
    each(
      'named_consumer_lag_records',
      'Records that a named consumer has not acknowledged.',
      (consumer, endSeq) => Math.max(0, endSeq - consumer.nextSeq),
    ),
    each('named_consumer_connected', '1 while a named consumer is connected, else 0.', ({ connected }) =>
      connected ? 1 : 0,
    ),
  ];
}
