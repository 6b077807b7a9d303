/**
 * A record as the registry itself holds it: writable, with its places in the orders. Never leaves this folder.
 *
 * Owned by main.
 */
import type { Link } from './order.js';
import type { NodeRecord, NodeTotals, PotRecord } from './record.js';
import type { RegistrationRequest } from './registration.js';

export interface Entry extends Mutable<NodeRecord> {
  /** Null until the first pot, so that a node without pots costs no table. */
  potTable: Map<string, PotRecord> | null;
  /** Both set exactly while disconnected. */
  ageLink: Link<Entry> | null;
  nameLink: Link<Entry> | null;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const NO_POTS: ReadonlyMap<string, PotRecord> = new Map();
const NO_TOTALS: NodeTotals = { frames: 0, records: 0, events: 0, refused: 0, bytesIn: 0 };

/** A record that no index knows yet; its connection is filled in when it connects. */
export function createEntry(request: RegistrationRequest): Entry {
  return {
    id: request.nodeId,
    name: request.nodeName,
    type: request.nodeType,
    status: 'Connected',
    reportedAddress: '',
    reportedPort: 0,
    remote: '',
    session: null,
    shard: null,
    connectedSinceMs: request.nowMs,
    lastSeenMs: request.nowMs,
    registrations: 0,
    totals: NO_TOTALS,
    pots: NO_POTS,
    potsOverflow: 0,
    changed: 0,
    potTable: null,
    ageLink: null,
    nameLink: null,
  };
}
