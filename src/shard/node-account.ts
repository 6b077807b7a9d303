/**
 * The shard's half of the ledger, for one connection: what came, and what became of it. It writes the node's row of the
 * ledger table (memory/ledger-table.ts); before the node is registered there is none, and what is counted until then
 * is added when there is one. Runs in the shard that owns the connection.
 *
 * Each frame is counted once, when it is known what became of it: `frames` first, the outcome last, with nothing in between
 * that takes time. A reader that comes between the two has to read again.
 */
import { FIRST_REFUSED, LEDGER, LEDGER_STRIDE, NO_ROW } from '../memory/ledger-table.js';

export class NodeAccount {
  row: number = NO_ROW;
  #cells: Float64Array = new Float64Array(LEDGER_STRIDE);
  #at = 0;

  /** The node has this row from now on. */
  settle(table: Float64Array, row: number): void {
    const before = this.#cells;
    this.row = row;
    this.#cells = table;
    this.#at = row * LEDGER_STRIDE;
    // `frames` first, as everywhere.
    for (let field = LEDGER.frames; field < LEDGER_STRIDE; field++)
      table[this.#at + field]! += before[field]!;
  }

  bytes(length: number): void {
    this.#cells[this.#at + LEDGER.bytes_in]! += length;
  }

  /** `count` frames of which each is an event in the ring; `seq` is the last one's number, or 0. */
  run(count: number, seq: number): void {
    const cells = this.#cells;
    const at = this.#at;
    cells[at + LEDGER.frames]! += count;
    cells[at + LEDGER.events]! += count;
    if (seq > 0) cells[at + LEDGER.taken_seq] = seq;
    cells[at + LEDGER.records]! += count;
  }

  /** The frame is a record in the ring; `seq` is its number, or 0. */
  record(isEvent: boolean, seq: number): void {
    this.#cells[this.#at + LEDGER.frames]!++;
    if (isEvent) this.#cells[this.#at + LEDGER.events]!++;
    if (seq > 0) this.#take(seq);
    this.#cells[this.#at + LEDGER.records]!++;
  }

  quiet(): void {
    this.#cells[this.#at + LEDGER.frames]!++;
    this.#cells[this.#at + LEDGER.quiet]!++;
  }

  duplicate(): void {
    this.#cells[this.#at + LEDGER.frames]!++;
    this.#cells[this.#at + LEDGER.duplicates]!++;
  }

  /** `seq`: the number of an event that is kept as a dead letter, or 0. */
  refused(code: number, seq: number): void {
    this.#cells[this.#at + LEDGER.frames]!++;
    if (seq > 0) this.#take(seq);
    this.#cells[this.#at + FIRST_REFUSED + code]!++;
  }

  get takenSeq(): number {
    return this.#cells[this.#at + LEDGER.taken_seq]!;
  }

  get durableSeq(): number {
    return this.#cells[this.#at + LEDGER.durable_seq]!;
  }

  #take(seq: number): void {
    this.#cells[this.#at + LEDGER.missing]! += seq - this.takenSeq - 1;
    this.#cells[this.#at + LEDGER.taken_seq] = seq;
  }
}
