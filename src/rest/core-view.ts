/**
 * The view of a running Core: joins the registry's records with the session table and the ledger.
 *
 * Owned by main. Reads the shared tables, never writes them.
 */

import type { Ledger } from '../ledger/ledger.js';
import { DIALECT, describeDialect } from '../protocol/dialect.js';
import type { NodeRecord } from '../registry/record.js';
import type { NodeRegistry } from '../registry/registry.js';
import { sessionCell } from '../registry/session-cell.js';
import type { AdmissionCounts } from '../telemetry/admission-counts.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Stats } from '../telemetry/stats.js';
import type { About, CoreView, Health, NodeView } from './view.js';

export interface CoreViewParts {
  readonly registry: NodeRegistry;
  readonly sessionTable: Float64Array;
  readonly ledger: Ledger;
  readonly stats: Stats;
  readonly metrics: Metrics;
  admission(): AdmissionCounts;
  about(): About;
  health(): Health;
}

export function createCoreView(parts: CoreViewParts): CoreView {
  const { registry, sessionTable, ledger, stats, metrics } = parts;
  return {
    about: () => parts.about(),
    health: () => parts.health(),
    nodes: (after) => registry.list(after),
    node: (id) => registry.byId(id),
    show: (record) => viewOf(record, sessionTable, ledger),
    live: { table: sessionTable, ledger },
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

function viewOf(record: NodeRecord, sessionTable: Float64Array, ledger: Ledger): NodeView {
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
    totals: ledger.totalsOf(record.serial),
    pots: record.pots,
    potsOverflow: record.potsOverflow,
  };
}
