/**
 * The ledger as REST, metrics and the command line show it: what came from a node, and what became of it.
 *
 *   frames = accepted + duplicates + refused      per node, always
 */
import type { ErrorCode } from '../errors.js';

/** What lists of nodes show of it, in the unit of each name. */
export interface NodeTotals {
  readonly frames: number;
  readonly records: number;
  readonly events: number;
  readonly refused: number;
  readonly bytesIn: number;
}

export interface NodeLedger {
  readonly frames: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly refused: number;
  readonly refusedByCode: Readonly<Record<ErrorCode, number>>;
  /** Records and events passed on, and those of them that are in the log. */
  readonly records: number;
  readonly events: number;
  readonly loggedRecords: number;
  readonly loggedEvents: number;
  readonly bytesIn: number;
  /** Of nodes that number their events: events that were numbered and never came. */
  readonly missing: number;
  /** 0 where it does not number them. In the totals 0 too: numbers of several nodes have no sum. */
  readonly takenSeq: number;
  readonly durableSeq: number;
  /** The equation holds. False is a fault of Core. */
  readonly balanced: boolean;
}

export interface LedgerView {
  /** Of the record of the registry with this serial number; undefined: it has none. */
  of(serial: number): NodeLedger | undefined;
  /** The same, of a record in a list. All zero where it has none. */
  totalsOf(serial: number): NodeTotals;
  /** Of all nodes that were ever known, those that have been forgotten included. */
  totals(): NodeLedger;
}
