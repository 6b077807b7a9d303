/**
 * The ledger in shared memory: one row of float64 per node that the registry knows, over all its sessions and, by its
 * checkpoints, over restarts of Core. Main gives a row to a record of the registry and takes it back when the record
 * is forgotten; between two owners a row is cleared.
 *
 * Who writes what, so that no field has two writers:
 *
 *   main         serial, id_low, id_high, and every field before the row is given to a shard
 *   the shard that has the node's session (there is one at a time, a takeover waits for the end of the one before)
 *                frames ... refused_*, taken_seq
 *   aggregator   logged_*, durable_seq
 *
 * The equation, frame by frame:   frames = accepted + duplicates + the sum of refused_*
 * and record by record, once its shard's ring is read:   records = logged_records
 *
 * A reader may come between two stores of one frame, so it reads again until the sums agree; that they never do is a
 * broken invariant.
 */
import { ERROR_CODES } from '../errors.js';

export const LEDGER_FIELDS = [
  /** Of the registry's record that has the row; 0: nobody. */
  'serial',
  /** The node's present id in two halves of 32 bits, unsigned. */
  'id_low',
  'id_high',
  /** Frames that came on the node's registered connections, its registration included. */
  'frames',
  /** Those that were good: passed on, or acted upon. */
  'accepted',
  /** Numbered events that Core had already. */
  'duplicates',
  /** Numbers that were skipped by the node: events that it numbered and never sent. */
  'missing',
  /** Put in the ring. */
  'records',
  'events',
  'bytes_in',
  /** The highest `seq` of an event that was put in the ring; what is not above it is a duplicate. */
  'taken_seq',
  /** Written to the log. */
  'logged_records',
  'logged_events',
  'logged_seq',
  /** The highest `seq` whose event, with all before it, is fsynced: what an EventAck says. */
  'durable_seq',
  ...ERROR_CODES.map((code) => `refused_${code}` as const),
] as const;

export type LedgerField = (typeof LEDGER_FIELDS)[number];

export const LEDGER = Object.fromEntries(LEDGER_FIELDS.map((name, at) => [name, at])) as Record<
  LedgerField,
  number
>;

/** Floats per row: whole cache lines, so that two shards never share one. */
export const LEDGER_STRIDE = 24;

if (LEDGER_FIELDS.length > LEDGER_STRIDE) throw new Error('a row of the ledger table is too short');

/** No row: what is put in a ring for nobody. */
export const NO_ROW = -1;

/** A table of `rows` nodes, all zero. The kernel gives it memory where it is written to. */
export function createLedgerTable(rows: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(rows * LEDGER_STRIDE * 8));
}
