/**
 * From what Core knows to what REST shows: names of the API, times as text.
 *
 * Owned by main. Pure.
 */
import type { PotRecord } from '../registry/record.js';
import { isoTime } from './iso-time.js';
import type { HoneypotRowJson, NodeRowJson, PotJson } from './schemas.js';
import type { NodeView } from './view.js';

export function nodeRow(node: NodeView): NodeRowJson {
  return {
    node_id: node.id,
    id: node.id.toString(),
    node_name: node.name,
    status: node.status,
    node_type: node.type,
    connected: node.connected,
    address: node.reportedAddress,
    port: node.reportedPort,
    remote: node.remote,
    tls: node.tls,
    shard: node.shard,
    connected_since: isoTime(node.connectedSinceMs),
    last_seen: isoTime(node.lastSeenMs),
    registrations: node.registrations,
    dialect: { ...node.dialect, events: [...node.dialect.events] },
    frames: node.totals.frames,
    records: node.totals.records,
    events: node.totals.events,
    refused: node.totals.refused,
    bytes_in: node.totals.bytesIn,
    pots: node.pots.size,
    pots_not_kept: node.potsOverflow,
  };
}

export function potRow(pot: PotRecord): PotJson {
  return {
    pot_id: pot.potId,
    pot_type: pot.potType,
    status: pot.status,
    message: pot.message,
    updated: isoTime(pot.updatedMs) ?? '',
  };
}

export function honeypotRow(node: Pick<NodeView, 'id' | 'name'>, pot: PotRecord): HoneypotRowJson {
  return { node_id: node.id, id: node.id.toString(), node_name: node.name, ...potRow(pot) };
}
