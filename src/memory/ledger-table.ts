/**
 * The ledger in shared memory: one row of float64 per node that the registry knows, over all its sessions and, by its
 * checkpoints, over restarts of Core. Main gives a row to a record of the registry and takes it back when the record
 * is forgotten; between two owners a row is cleared. Row 0 is nobody's: it holds what is counted for nodes that were
 * forgotten before Core started, and records of the log that are no known node's.
 *
 * Who writes what, so that no field has two writers:
 *
 *   main         serial; and every field before the row is given to a shard
 *   the shard that has the node's session (there is one at a time, a takeover waits for the end of the one before)
 *                frames ... refused_*
 *   aggregator   id_low, id_high, numbered, logged_*, durable_seq, all in the order of the log; all of row 0
 *
 * The equation, frame by frame:   frames = records + quiet + duplicates + the sum of refused_*
 * (what was accepted is records + quiet: each good frame is one record, or none where there was only something to be done)
 * and record by record, once its shard's ring is read:   records = logged_records
 *
 * A reader may come between two stores of one frame. `frames` is stored first and what became of the frame last, so a
 * reader that finds `frames` unchanged behind all the others, and the equation true, has one moment's row; else it
 * reads again, see {@link readLedgerRow}. That it never does is a broken invariant.
 */
import { ERROR_CODES } from '../errors.js';

export const LEDGER_FIELDS = [
  /** Of the registry's record that has the row; 0: nobody. */
  'serial',
  /** The id of the node's newest session in the log, in two halves of 32 bits, unsigned. */
  'id_low',
  'id_high',
  /** 1: that session numbers its events (EventAck). */
  'numbered',
  /** Written to the log. */
  'logged_records',
  'logged_events',
  /** The highest `seq` whose event is in the log, or whose refusal in the dead-letter log. */
  'logged_seq',
  /** The highest `seq` of which that holds for it and all before it, fsynced: what an EventAck says. */
  'durable_seq',
  /** Frames that came on the node's registered connections, its registration included. */
  'frames',
  /** Good ones of which no record was made: acted upon, or saying again what was known. */
  'quiet',
  /** Numbered events that Core had already. */
  'duplicates',
  /** Numbers that were skipped by the node: events that it numbered and never sent. */
  'missing',
  /** Put in the ring. */
  'records',
  'events',
  'bytes_in',
  /** The highest `seq` that was taken: put in the ring, or kept as a dead letter. What is not above it is a duplicate. */
  'taken_seq',
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

/** Where the counts of refused frames begin, by code as in ERROR_CODES. */
export const FIRST_REFUSED = LEDGER_FIELDS.length - ERROR_CODES.length;

/** No row: what is put in a ring for nobody. */
export const NO_ROW = -1;

/** The row of nobody. */
export const OTHERS_ROW = 0;

/** So often a row is read again before the reader sleeps a little: a shard that runs needs one or two. One that is kept from
 *  running in the middle of it has so many slices before the row is taken as it is. */
const READS = 1000;
const SLICES = 20;
const SLICE_MS = 1;
const NEVER = new Int32Array(new SharedArrayBuffer(4));

/** A table of `rows` nodes and the row of nobody, all zero. The kernel gives it memory where it is written to. */
export function createLedgerTable(rows: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer((rows + 1) * LEDGER_STRIDE * 8));
}

export function refusedOf(cells: Float64Array): number {
  let sum = 0;
  for (let at = FIRST_REFUSED; at < LEDGER_FIELDS.length; at++) sum += cells[at]!;
  return sum;
}

/** frames = records + quiet + duplicates + refused */
export function isBalanced(cells: Float64Array): boolean {
  const { frames, records, quiet, duplicates } = LEDGER;
  return cells[frames] === cells[records]! + cells[quiet]! + cells[duplicates]! + refusedOf(cells);
}

/** Copies a row as it was in one moment; false where that could not be had, and the copy is not balanced. */
export function readLedgerRow(table: Float64Array, row: number, cells: Float64Array): boolean {
  const at = row * LEDGER_STRIDE;
  for (let reads = 1; reads < READS + SLICES; reads++) {
    if (reads >= READS) Atomics.wait(NEVER, 0, 0, SLICE_MS);
    copy(table, at, cells);
    if (!isBalanced(cells)) continue;
    // All stores of the last frame are done. What is copied now is of that moment, unless another frame has begun.
    const frames = cells[LEDGER.frames];
    copy(table, at, cells);
    if (table[at + LEDGER.frames] === frames && isBalanced(cells)) return true;
  }
  return false;
}

function copy(table: Float64Array, at: number, cells: Float64Array): void {
  for (let field = 0; field < LEDGER_STRIDE; field++) cells[field] = table[at + field]!;
}
