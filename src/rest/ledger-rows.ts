/** Accounts and consumers in the names of the API. Owned by main. Pure. */
import type { Delivery, NamedConsumer } from '../consumers/named-consumers.js';
import { ERROR_CODES } from '../errors.js';
import type { NodeLedger } from '../ledger/view.js';
import type { NodeRecord } from '../registry/record.js';
import { isoTime } from './iso-time.js';
import type { AccountRowJson } from './schemas-ledger.js';

/** Of a node that has no account. */
export const NO_ACCOUNT: NodeLedger = Object.freeze({
  frames: 0,
  accepted: 0,
  duplicates: 0,
  refused: 0,
  refusedByCode: Object.freeze(
    Object.fromEntries(ERROR_CODES.map((code) => [code, 0])),
  ) as NodeLedger['refusedByCode'],
  records: 0,
  events: 0,
  loggedRecords: 0,
  loggedEvents: 0,
  bytesIn: 0,
  missing: 0,
  takenSeq: 0,
  durableSeq: 0,
  balanced: true,
});

export function accountRow(account: NodeLedger) {
  return {
    frames: account.frames,
    accepted: account.accepted,
    duplicates: account.duplicates,
    refused: account.refused,
    refused_by_code: account.refusedByCode,
    missing: account.missing,
    records: account.records,
    events: account.events,
    logged_records: account.loggedRecords,
    logged_events: account.loggedEvents,
    bytes_in: account.bytesIn,
    balanced: account.balanced,
    taken_seq: account.takenSeq,
    durable_seq: account.durableSeq,
  };
}

export function nodeAccountRow(record: NodeRecord, account: NodeLedger): AccountRowJson {
  return {
    node_id: record.id,
    id: record.id.toString(),
    node_name: record.name,
    connected: record.session !== null,
    ...accountRow(account),
  };
}

export function consumerRow(consumer: NamedConsumer, nextSeq: number) {
  return {
    name: consumer.name,
    next_seq: consumer.nextSeq,
    lag: Math.max(0, nextSeq - consumer.nextSeq),
    created: isoTime(consumer.createdMs) ?? '',
    acknowledged: isoTime(consumer.acknowledgedMs) ?? '',
    created_by: consumer.createdBy,
    connected: consumer.connected,
  };
}

export function deliveryRow(delivery: Delivery, nextSeq: number) {
  return {
    consumer: delivery.consumer,
    name: delivery.name,
    remote: delivery.remote,
    kind: delivery.kind,
    connected_since: isoTime(delivery.connectedMs) ?? '',
    mode: delivery.mode,
    next_seq: delivery.nextSeq,
    lag: Math.max(0, nextSeq - delivery.nextSeq),
    records: delivery.records,
    bytes: delivery.bytes,
    missing: delivery.missing,
    buffered_bytes: delivery.bufferedBytes,
  };
}
