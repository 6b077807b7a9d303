/**
 * A record as the registry itself holds it: writable, with its places in the orders. Never leaves this folder.
 *
 * Owned by main.
 */
import type { Link } from './order.js';
import type { NodeRecord, PotRecord } from './record.js';
import type { RegistrationRequest } from './registration.js';

export interface Entry extends Mutable<NodeRecord> {
  /** Null until the first pot, so that a node without pots costs no table. */
  potTable: Map<string, PotRecord> | null;
  /** Set exactly while disconnected. */
  ageLink: Link<Entry> | null;
  /** Its connection numbers its events, or its last one did. */
  isNumbered: boolean;
  /** Its place among the connected, or the disconnected, ones of its name; null only while it moves. */
  nameLink: Link<Entry> | null;
}

/** What is kept of a record over a restart. */
export type RestoredNode = Omit<NodeRecord, 'session' | 'shard' | 'changed'>;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const NO_POTS: ReadonlyMap<string, PotRecord> = new Map();

/** A record that no index knows yet; its connection is filled in when it connects. */
export function createEntry(serial: number, request: RegistrationRequest): Entry {
  return {
    serial,
    id: request.nodeId,
    idSinceSeq: request.nextSeq ?? null,
    name: request.nodeName,
    type: request.nodeType,
    status: 'Connected',
    reportedAddress: '',
    reportedPort: 0,
    remote: '',
    session: null,
    shard: null,
    firstSeenMs: request.nowMs,
    connectedSinceMs: request.nowMs,
    lastSeenMs: request.nowMs,
    registrations: 0,
    dialect: 0,
    pots: NO_POTS,
    potsOverflow: 0,
    changed: 0,
    potTable: null,
    ageLink: null,
    isNumbered: false,
    nameLink: null,
  };
}

/** A record as it was kept, without a connection. */
export function restoreEntry(record: RestoredNode): Entry {
  const potTable = record.pots.size === 0 ? null : new Map(record.pots);
  return {
    ...record,
    session: null,
    shard: null,
    changed: 0,
    pots: potTable ?? NO_POTS,
    potTable,
    ageLink: null,
    isNumbered: false,
    nameLink: null,
  };
}
