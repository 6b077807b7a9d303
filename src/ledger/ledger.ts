/**
 * Main's half of the ledger: which record of the registry has which row, and what REST and metrics show of it. Owned by
 * main, which reads what the shards and the aggregator count.
 *
 *   free --rowFor()--> of a record --forget()--> leaving --left()--> free
 *
 * A record that is forgotten may still have records in a ring, so its row is kept until the aggregator says that they
 * are in the log. Its counts stay in the totals: these never go back.
 */
import { ERROR_CODES, type ErrorCode } from '../errors.js';
import {
  FIRST_REFUSED,
  isBalanced,
  LEDGER,
  LEDGER_STRIDE,
  NO_ROW,
  OTHERS_ROW,
  readLedgerRow,
  refusedOf,
} from '../memory/ledger-table.js';
import type { LedgerView, NodeLedger, NodeTotals } from './view.js';

const NO_TOTALS: NodeTotals = { frames: 0, records: 0, events: 0, refused: 0, bytesIn: 0 };

export class Ledger implements LedgerView {
  readonly table: Float64Array;
  /** Whoever reads the rings: it answers with left() when none holds a record of this row. */
  onForgotten: (row: number) => void = (row) => this.left(row);
  readonly #rows = new Map<number, number>();
  /** Rows given back; those from #next on were never used. */
  readonly #free: number[] = [];
  #next = OTHERS_ROW + 1;
  /** Sums of the rows that were given back. */
  readonly #forgotten = new Float64Array(LEDGER_STRIDE);
  readonly #cells = new Float64Array(LEDGER_STRIDE);

  constructor(table: Float64Array) {
    this.table = table;
  }

  /** The row of a record, which gets one now if it has none; NO_ROW where there is none left. */
  rowFor(serial: number): number {
    const known = this.#rows.get(serial);
    if (known !== undefined) return known;
    const row = this.#free.pop() ?? this.#next;
    if ((row + 1) * LEDGER_STRIDE > this.table.length) return NO_ROW;
    if (row === this.#next) this.#next++;
    this.table[row * LEDGER_STRIDE + LEDGER.serial] = serial;
    this.#rows.set(serial, row);
    return row;
  }

  /** The record is not connected and is forgotten. */
  forget(serial: number): void {
    const row = this.#rows.get(serial);
    if (row === undefined) return;
    this.#rows.delete(serial);
    this.onForgotten(row);
  }

  /** Nothing of the row's owner is in a ring any more, and nobody else writes to it. */
  left(row: number): void {
    const at = row * LEDGER_STRIDE;
    for (let field = 0; field < LEDGER_STRIDE; field++) this.#forgotten[field]! += this.table[at + field]!;
    this.table.fill(0, at, at + LEDGER_STRIDE);
    this.#free.push(row);
  }

  of(serial: number): NodeLedger | undefined {
    const row = this.#rows.get(serial);
    if (row === undefined) return undefined;
    readLedgerRow(this.table, row, this.#cells);
    return describe(this.#cells);
  }

  totalsOf(serial: number): NodeTotals {
    const row = this.#rows.get(serial);
    if (row === undefined) return NO_TOTALS;
    const cells = this.#cells;
    readLedgerRow(this.table, row, cells);
    return {
      frames: cells[LEDGER.frames]!,
      records: cells[LEDGER.records]!,
      events: cells[LEDGER.events]!,
      refused: refusedOf(cells),
      bytesIn: cells[LEDGER.bytes_in]!,
    };
  }

  totals(): NodeLedger {
    const sums = this.#forgotten.slice();
    let balanced = true;
    for (let row = OTHERS_ROW; row < this.#next; row++) {
      if (!readLedgerRow(this.table, row, this.#cells)) balanced = false;
      for (let field = 0; field < LEDGER_STRIDE; field++) sums[field]! += this.#cells[field]!;
    }
    sums[LEDGER.taken_seq] = 0;
    sums[LEDGER.durable_seq] = 0;
    return { ...describe(sums), balanced };
  }

  /** What has changed of a record when this is not the same: for ETags. Written to target[at] and behind; how many numbers.
   *  Counts only go up, so their sum says whether any has; numbers of events may be too large to be added up. */
  fingerprint(serial: number, target: Float64Array, at: number): number {
    const start = (this.#rows.get(serial) ?? OTHERS_ROW) * LEDGER_STRIDE;
    const { table } = this;
    let sum = 0;
    for (let i = 0; i < COUNTS.length; i++) sum += table[start + COUNTS[i]!]!;
    target[at] = sum;
    for (let i = 0; i < APART.length; i++) target[at + 1 + i] = table[start + APART[i]!]!;
    return FINGERPRINT_NUMBERS;
  }
}

const APART = [LEDGER.logged_seq, LEDGER.durable_seq, LEDGER.taken_seq, LEDGER.missing];
const COUNTS = Object.values(LEDGER).filter((at) => at >= LEDGER.logged_records && !APART.includes(at));

/** Numbers of a fingerprint. */
export const FINGERPRINT_NUMBERS = 1 + APART.length;

function describe(cells: Float64Array): NodeLedger {
  const refusedByCode = {} as Record<ErrorCode, number>;
  ERROR_CODES.forEach((code, at) => {
    refusedByCode[code] = cells[FIRST_REFUSED + at]!;
  });
  return {
    frames: cells[LEDGER.frames]!,
    accepted: cells[LEDGER.records]! + cells[LEDGER.quiet]!,
    duplicates: cells[LEDGER.duplicates]!,
    refused: refusedOf(cells),
    refusedByCode,
    records: cells[LEDGER.records]!,
    events: cells[LEDGER.events]!,
    loggedRecords: cells[LEDGER.logged_records]!,
    loggedEvents: cells[LEDGER.logged_events]!,
    bytesIn: cells[LEDGER.bytes_in]!,
    missing: cells[LEDGER.missing]!,
    takenSeq: cells[LEDGER.taken_seq]!,
    durableSeq: cells[LEDGER.durable_seq]!,
    balanced: isBalanced(cells),
  };
}
