/**
 * The view of a running Core: joins the registry's records with the live counts of the session table.
 *
 * Owned by main. Reads the shared table, never writes it.
 */
import { DIALECT, describeDialect } from '../protocol/dialect.js';
import type { NodeRecord, NodeTotals } from '../registry/record.js';
import type { NodeRegistry } from '../registry/registry.js';
import { sessionCell, sessionTotals } from '../registry/session-totals.js';
import type { AdmissionCounts } from '../telemetry/admission-counts.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Stats } from '../telemetry/stats.js';
import type { About, CoreView, Health, NodeView } from './view.js';

export interface CoreViewParts {
  readonly registry: NodeRegistry;
  readonly sessionTable: Float64Array;
  readonly stats: Stats;
  readonly metrics: Metrics;
  admission(): AdmissionCounts;
  about(): About;
  health(): Health;
}

export function createCoreView(parts: CoreViewParts): CoreView {
  const { registry, sessionTable, stats, metrics } = parts;
  return {
    about: () => parts.about(),
    health: () => parts.health(),
    nodes: (after) => registry.list(after),
    node: (id) => registry.byId(id),
    show: (record) => viewOf(record, sessionTable),
    sessionTable,
    nodeCounts: () => registry.counts(),
    stats: () => stats.snapshot(),
    admission: () => parts.admission(),
    deadLetters() {
      const { dead_letters, dead_letter_bytes } = stats.snapshot().aggregator;
      return { frames: dead_letters, bytes: dead_letter_bytes };
    },
    metrics: () => metrics,
  };
}

function viewOf(record: NodeRecord, sessionTable: Float64Array): NodeView {
  const { session } = record;
  const connected = session !== null;
  return {
    id: record.id,
    name: record.name,
    type: record.type,
    status: record.status,
    connected,
    reportedAddress: record.reportedAddress,
    reportedPort: record.reportedPort,
    remote: record.remote,
    tls: connected && (sessionCell(sessionTable, session, 'dialect') & DIALECT.tls) !== 0,
    shard: record.shard,
    connectedSinceMs: connected ? record.connectedSinceMs : null,
    // A fresh row is zero until the session's first frame was seen.
    lastSeenMs: connected
      ? Math.max(record.lastSeenMs, sessionCell(sessionTable, session, 'last_seen_ms'))
      : record.lastSeenMs,
    registrations: record.registrations,
    dialect: describeDialect(connected ? sessionCell(sessionTable, session, 'dialect') : record.dialect),
    totals: connected ? plus(record.totals, sessionTotals(sessionTable, session)) : record.totals,
    pots: record.pots,
    potsOverflow: record.potsOverflow,
  };
}

function plus(past: NodeTotals, present: NodeTotals): NodeTotals {
  return {
    frames: past.frames + present.frames,
    records: past.records + present.records,
    events: past.events + present.events,
    refused: past.refused + present.refused,
    bytesIn: past.bytesIn + present.bytesIn,
  };
}
