/**
 * How a node stands in the store, section `node`: one value for the node, one for each of its pots, so that a change of
 * a pot writes that pot alone. Keys begin with the record's serial number, which stays when the node's id changes.
 *
 *   n/<serial>            {"v":1,"id":"<u64>","since_seq":n,"name","type","status","address","port","remote","first":ms,"since":ms,
 *                          "last":ms,"registrations":n,"dialect":bits,"overflow":n}
 *   p/<serial>/<pot id>   {"v":1,"id","type","status","message":string|null,"updated":ms}
 *
 * And in section `meta`, so that no serial number is given again when its record is gone:
 *
 *   highest-serial        of all that had been given when a record was forgotten last
 *
 * Owned by main. Pure; a text that is none of ours is answered with undefined.
 */
import { parseNodeId } from '../protocol/node-id.js';
import { NODE_TYPES } from '../protocol/node-registration.js';
import { POT_STATUSES } from '../protocol/pot-status-update.js';
import type { StateChange } from '../state/store.js';
import type { RestoredNode } from './entry.js';
import type { NodeRecord, PotRecord } from './record.js';

export type KeptNode = Omit<RestoredNode, 'pots'>;

const SERIAL_KEY = 'highest-serial';

export function serialChange(highest: number): StateChange {
  return { section: 'meta', key: SERIAL_KEY, value: String(highest) };
}

/** Undefined where a value of section `meta` is another one. */
export function readSerial(key: string, text: string): number | undefined {
  return key === SERIAL_KEY && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

export function nodeKey(serial: number): string {
  return `n/${serial}`;
}

export function potKey(serial: number, potId: string): string {
  return `p/${serial}/${potId}`;
}

/** Which record a key is of, and whether it is that of a pot. */
export function readKey(key: string): { readonly serial: number; readonly isPot: boolean } | undefined {
  const found = /^(?:n\/([1-9]\d{0,14})$|p\/([1-9]\d{0,14})\/)/.exec(key);
  if (found === null) return undefined;
  return { serial: Number(found[1] ?? found[2]), isPot: found[1] === undefined };
}

/** `lastSeenMs`: with what the present session knows. */
export function encodeNode(record: NodeRecord, lastSeenMs: number): string {
  return JSON.stringify({
    v: 1,
    id: record.id.toString(),
    since_seq: record.idSinceSeq,
    name: record.name,
    type: record.type,
    // What it reads when Core finds it again without a connection.
    status: record.session === null ? record.status : 'Unknown',
    address: record.reportedAddress,
    port: record.reportedPort,
    remote: record.remote,
    first: record.firstSeenMs,
    since: record.connectedSinceMs,
    last: lastSeenMs,
    registrations: record.registrations,
    dialect: record.dialect,
    overflow: record.potsOverflow,
  });
}

export function encodePot(pot: PotRecord): string {
  const { potId, potType, status, message, updatedMs } = pot;
  return JSON.stringify({ v: 1, id: potId, type: potType, status, message, updated: updatedMs });
}

export function decodeNode(serial: number, text: string): KeptNode | undefined {
  const found = parse(text);
  if (found === undefined) return undefined;
  const { id, name, type, status, address, port, remote } = found;
  const nodeId = typeof id === 'string' ? parseNodeId(id) : undefined;
  const nodeType = NODE_TYPES.find((one) => one === type);
  if (nodeId === undefined || nodeType === undefined) return undefined;
  if (typeof name !== 'string' || typeof address !== 'string' || typeof remote !== 'string') return undefined;
  const { first, since, last, registrations, dialect, overflow } = found;
  if (!isCount(port) || !isCount(first) || !isCount(since) || !isCount(last)) return undefined;
  if (!isCount(registrations) || !isCount(dialect) || !isCount(overflow)) return undefined;
  return {
    serial,
    id: nodeId,
    idSinceSeq: isCount(found.since_seq) ? found.since_seq : null,
    name,
    type: nodeType,
    status: status === 'Stopped' ? 'Stopped' : 'Unknown',
    reportedAddress: address,
    reportedPort: port,
    remote,
    firstSeenMs: first,
    connectedSinceMs: since,
    lastSeenMs: last,
    registrations,
    dialect,
    potsOverflow: overflow,
  };
}

export function decodePot(text: string): PotRecord | undefined {
  const found = parse(text);
  if (found === undefined) return undefined;
  const { id, type, message, updated } = found;
  const status = POT_STATUSES.find((one) => one === found.status);
  if (typeof id !== 'string' || typeof type !== 'string' || status === undefined) return undefined;
  if (!(message === null || typeof message === 'string') || !isCount(updated)) return undefined;
  return { potId: id, potType: type, status, message, updatedMs: updated };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const found = JSON.parse(text) as Record<string, unknown> | null;
    return typeof found === 'object' && found?.v === 1 ? found : undefined;
  } catch {
    return undefined;
  }
}

/** A number, or a time in ms, that a record may hold. */
function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
