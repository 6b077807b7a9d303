/**
 * Prometheus text, filled from the shared counters at the moment of the scrape: between scrapes it costs nothing.
 *
 * Owned by main. Labels are only shard numbers, error codes and statuses, and names of named consumers, never a text
 * that a node chose, so the number of series is bounded.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { ERROR_CODES, type ErrorCode } from '../errors.js';
import {
  AGGREGATOR_FIELDS,
  type AggregatorField,
  SHARD_FIELDS,
  type ShardField,
} from '../memory/counters.js';
import { type AdmissionCounts, TURNED_AWAY_REASONS } from './admission-counts.js';
import { type LogMetricsSource, logMetrics } from './log-metrics.js';
import type { StatsSnapshot } from './stats.js';

/** What the metrics are filled from; everything is asked for once per scrape. */
export interface MetricsSource {
  readonly version: string;
  readonly mode: 'native' | 'portable';
  stats(): StatsSnapshot;
  admission(): AdmissionCounts;
  /** Nodes known, by status, and how many of them are connected. */
  nodes(): { readonly connected: number; readonly byStatus: Readonly<Record<string, number>> };
  /** Commands to nodes, by state: how many are in it, and how many came into it since the start. */
  commands?(): {
    readonly live: Readonly<Record<string, number>>;
    readonly entered: Readonly<Record<string, number>>;
  };
  healthy(): boolean;
  /** Absent in tests that have no log. */
  readonly log?: LogMetricsSource;
  /** Absent where TLS is not configured. */
  readonly certificate?: () => CertificateCounts;
}

/** Core's own certificate. */
export interface CertificateCounts {
  readonly notAfterMs: number;
  readonly reloads: number;
  readonly failedReloads: number;
}

interface Definition {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  /** From the unit of the counter to the unit of the metric; 1 if absent. */
  readonly scale?: number;
}

type PlainShardField = Exclude<ShardField, `refused_${ErrorCode}`>;

const MS_TO_SECONDS = 0.001;

/** One metric per shard counter, labelled by shard; a counter that is missing here does not compile. */
const SHARD_METRICS: Record<PlainShardField, Definition> = {
  connections_open: gauge('connections', 'Node connections open.'),
  connections_total: counter('connections_total', 'Node connections taken over by a shard.'),
  bytes_in: counter('received_bytes_total', 'Bytes read from nodes.'),
  frames: counter('frames_total', 'Frames received.'),
  records: counter('records_total', 'Records handed to the aggregator.'),
  events: counter('events_total', 'Honeypot events accepted, in all spellings.'),
  events_compiled: counter('events_compiled_total', 'Events that came in the compiled form.'),
  events_legacy: counter('events_legacy_total', 'Events that came as a pot status update without a status.'),
  status_updates: counter('node_status_updates_total', 'Node status updates (heartbeats) received.'),
  pot_status_updates: counter('pot_status_updates_total', 'Pot status updates received.'),
  node_events: counter('node_events_total', 'Node events received.'),
  registrations: counter('registrations_total', 'Registrations received.'),
  node_drops: counter('node_drops_total', 'Nodes that said goodbye before they left.'),
  ring_full_waits: counter(
    'ring_full_waits_total',
    'Times a shard held its nodes back because its ring was full.',
  ),
  ring_full_ms: counter('ring_full_seconds_total', 'Seconds a shard waited on a full ring.', MS_TO_SECONDS),
  heap_used_bytes: gauge('shard_heap_used_bytes', 'JavaScript heap in use by a shard.'),
  error_replies: counter('error_replies_total', 'Error answers sent to nodes.'),
  error_replies_held_back: counter(
    'error_replies_held_back_total',
    'Error answers not sent because of the limit per connection.',
  ),
  closed_for_errors: counter(
    'closed_for_errors_total',
    'Nodes disconnected for too many refused frames in a minute.',
  ),
  registration_timeouts: counter(
    'registration_timeouts_total',
    'Connections closed because they did not register in time.',
  ),
  tls_handshakes: counter('tls_handshakes_total', 'TLS handshakes with nodes that came about.'),
  tls_failures: counter(
    'tls_failures_total',
    'TLS handshakes with nodes that failed, or whose certificate was refused.',
  ),
  tls_missing: counter('tls_missing_total', 'Connections of nodes without TLS where it is required.'),
  duplicates: counter('duplicate_events_total', 'Numbered events that Core had already, and dropped.'),
  seq_missing: counter('missing_events_total', 'Numbers of events that nodes skipped.'),
  event_acks: counter('event_acks_total', 'Acknowledgements of durable events sent to nodes.'),
  replayed: counter('dead_letters_replayed_total', 'Refused frames that were tried again.'),
  replayed_accepted: counter(
    'dead_letters_replayed_accepted_total',
    'Refused frames that were tried again, and were good.',
  ),
};

const AGGREGATOR_METRICS: Record<AggregatorField, Definition> = {
  next_seq: gauge('log_next_sequence', 'Sequence number the next record gets.'),
  durable_seq: gauge(
    'log_durable_sequence',
    'Sequence number up to which, not included, all records are fsynced.',
  ),
  records: counter('log_records_total', 'Records written to the log.'),
  bytes_logged: counter('log_bytes_total', 'Bytes written to the log.'),
  batches: counter('log_batches_total', 'Batches written to the log, one write each.'),
  segments: gauge('log_segments', 'Segments of the log.'),
  segments_finished: gauge('log_segments_finished', 'Segments of the log that are full or closed.'),
  syncs: counter('log_syncs_total', 'Times the log was forced to the disk.'),
  sync_ms: counter('log_sync_seconds_total', 'Seconds it took to force the log to the disk.', MS_TO_SECONDS),
  sync_longest_ms: gauge('log_sync_longest_seconds', 'Longest of the last syncs.', MS_TO_SECONDS),
  dead_letters: counter('dead_letters_total', 'Refused frames written to the dead-letter log.'),
  dead_letter_bytes: counter('dead_letter_bytes_total', 'Bytes written to the dead-letter log.'),
  dead_letters_dropped: counter(
    'dead_letters_dropped_total',
    'Dead letters that gave way to newer ones: storage.dead_letter_bytes was full.',
  ),
  disk_waits: counter('disk_waits_total', 'Times a write found the disk full.'),
  disk_wait_ms: counter(
    'disk_wait_seconds_total',
    'Seconds spent waiting for room on the disk.',
    MS_TO_SECONDS,
  ),
  consumers_open: gauge('consumers', 'WebSocket consumers connected.'),
  consumers_total: counter('consumer_connections_total', 'WebSocket consumers that ever connected.'),
  consumers_cut_off: counter(
    'consumers_cut_off_total',
    'WebSocket consumers closed because they did not read the answers to what they asked.',
  ),
  consumers_in_log: gauge(
    'consumers_in_log',
    'Consumers that read the log, because they are behind or filter.',
  ),
  consumers_to_log: counter(
    'consumers_to_log_total',
    'Times a live consumer fell behind and was moved to the log.',
  ),
  consumers_to_live: counter('consumers_to_live_total', 'Times a consumer that read the log was live again.'),
  stream_gaps: counter('stream_gaps_total', 'Gaps that consumers were told of.'),
  messages_sent: counter('stream_messages_total', 'WebSocket messages sent to consumers.'),
  bytes_sent: counter('stream_bytes_total', 'Bytes sent to consumers.'),
  heap_used_bytes: gauge('aggregator_heap_used_bytes', 'JavaScript heap in use by the aggregator.'),
  bytes_buffered: gauge('stream_buffered_bytes', 'Bytes that wait in memory for slow consumers.'),
};

export class Metrics {
  readonly #registry = new Registry();
  readonly #source: MetricsSource;
  /** What the running scrape is filled from; every metric of one scrape shows the same moment. */
  #stats: StatsSnapshot;

  constructor(source: MetricsSource) {
    this.#source = source;
    this.#stats = source.stats();
    for (const field of SHARD_FIELDS) if (isPlain(field)) this.#addShardMetric(field, SHARD_METRICS[field]);
    for (const field of AGGREGATOR_FIELDS) this.#addAggregatorMetric(field, AGGREGATOR_METRICS[field]);
    this.#addRefused();
    this.#addShardDeaths();
    this.#addControlPlane();
    this.#addCertificate();
    if (source.log !== undefined)
      for (const { labels = [], fill, ...definition } of logMetrics(source.log))
        this.#add(definition, [...labels], fill);
    collectDefaultMetrics({ register: this.#registry });
  }

  /** For what counts itself. */
  get registry(): Registry {
    return this.#registry;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text of one scrape. All `collect` functions run before the first await, so scrapes never mix. */
  render(): Promise<string> {
    this.#stats = this.#source.stats();
    return this.#registry.metrics();
  }

  #addShardMetric(field: PlainShardField, definition: Definition): void {
    this.#add(definition, ['shard'], (put) => {
      for (const { shard, counters } of this.#stats.shards) put({ shard: String(shard) }, counters[field]);
    });
  }

  #addAggregatorMetric(field: AggregatorField, definition: Definition): void {
    this.#add(definition, [], (put) => put({}, this.#stats.aggregator[field]));
  }

  #addRefused(): void {
    this.#add(
      counter('refused_frames_total', 'Frames refused, by shard and error code.'),
      ['shard', 'code'],
      (put) => {
        for (const { shard, counters } of this.#stats.shards) {
          for (const code of ERROR_CODES) put({ shard: String(shard), code }, counters[`refused_${code}`]);
        }
      },
    );
  }

  #addShardDeaths(): void {
    this.#add(counter('shard_deaths_total', 'Times a shard died and was replaced.'), ['shard'], (put) => {
      for (const { shard, deaths } of this.#stats.shards) put({ shard: String(shard) }, deaths);
    });
    this.#add(
      gauge('shard_up', '1 while the shard runs, 0 while it is being replaced.'),
      ['shard'],
      (put) => {
        for (const { shard, alive } of this.#stats.shards) put({ shard: String(shard) }, alive ? 1 : 0);
      },
    );
  }

  #addControlPlane(): void {
    const source = this.#source;
    this.#add(gauge('nodes', 'Nodes in the registry, connected or not, by status.'), ['status'], (put) => {
      for (const [status, count] of Object.entries(source.nodes().byStatus)) put({ status }, count);
    });
    this.#add(gauge('nodes_connected', 'Registered nodes that are connected.'), [], (put) => {
      put({}, source.nodes().connected);
    });
    this.#add(gauge('connections_waiting', 'Node connections that wait for a shard.'), [], (put) => {
      put({}, source.admission().waiting);
    });
    this.#add(counter('connections_admitted_total', 'Node connections handed to a shard.'), [], (put) => {
      put({}, source.admission().admitted);
    });
    this.#add(
      counter('connections_turned_away_total', 'Node connections closed before a shard had them, by reason.'),
      ['reason'],
      (put) => {
        const { turnedAway } = source.admission();
        for (const reason of TURNED_AWAY_REASONS) put({ reason }, turnedAway[reason]);
      },
    );
    this.#add(gauge('commands', 'Commands to nodes that are not over, by state.'), ['state'], (put) => {
      for (const [state, count] of Object.entries(source.commands?.().live ?? {})) put({ state }, count);
    });
    this.#add(
      counter('commands_total', 'Commands to nodes that came into a state, by state.'),
      ['state'],
      (put) => {
        for (const [state, count] of Object.entries(source.commands?.().entered ?? {})) put({ state }, count);
      },
    );
    this.#add(gauge('healthy', '1 while /health answers ok, else 0.'), [], (put) =>
      put({}, source.healthy() ? 1 : 0),
    );
    this.#add(gauge('build_info', 'Always 1; the labels say what runs.'), ['version', 'mode'], (put) => {
      put({ version: source.version, mode: source.mode }, 1);
    });
  }

  /** Without TLS there is no such metric: an end of validity of 0 would be an alarm. */
  #addCertificate(): void {
    const { certificate } = this.#source;
    if (certificate === undefined) return;
    this.#add(
      gauge('tls_certificate_expiry_timestamp_seconds', "End of the certificate's validity, Unix time."),
      [],
      (put) => put({}, certificate().notAfterMs * MS_TO_SECONDS),
    );
    this.#add(
      counter('tls_certificate_reloads_total', 'Changes of the TLS files, by what came of them.'),
      ['result'],
      (put) => {
        const { reloads, failedReloads } = certificate();
        put({ result: 'ok' }, reloads);
        put({ result: 'failed' }, failedReloads);
      },
    );
  }

  #add(
    { name, help, type, scale = 1 }: Definition,
    labelNames: string[],
    fill: (put: (labels: Record<string, string>, value: number) => void) => void,
  ): void {
    const shared = { name: `honeybee_${name}`, help, labelNames, registers: [this.#registry] };
    if (type === 'gauge') {
      new Gauge({
        ...shared,
        collect() {
          this.reset();
          fill((labels, value) => this.set(labels, value * scale));
        },
      });
      return;
    }
    new Counter({
      ...shared,
      // A counter can only be added to; what is kept in shared memory is absolute and never goes back. So it starts
      // from nothing at each scrape. A reset label-less one holds a 0 to add to, a labelled one holds no series at all.
      collect() {
        this.reset();
        fill((labels, value) => this.inc(labels, value * scale));
      },
    });
  }
}

function isPlain(field: ShardField): field is PlainShardField {
  return field in SHARD_METRICS;
}

function counter(name: string, help: string, scale?: number): Definition {
  return scale === undefined ? { name, help, type: 'counter' } : { name, help, type: 'counter', scale };
}

function gauge(name: string, help: string, scale?: number): Definition {
  return scale === undefined ? { name, help, type: 'gauge' } : { name, help, type: 'gauge', scale };
}
