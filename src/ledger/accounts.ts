/**
 * The aggregator's half of the ledger: what of each node is in the log, and what of that is fsynced. Runs in the aggregator.
 *
 *   taken from a ring and appended --logged()--> dirty --syncStarts()--> syncing --durable()--> durable_seq, told to the shards
 */
import { LEDGER, LEDGER_STRIDE, NO_ROW } from '../memory/ledger-table.js';

export class Accounts {
  readonly #table: Float64Array;
  /** Rows with numbered events that were appended since the last fsync began, and those that it covers, with their seq. */
  #dirty = new Set<number>();
  #syncing: { readonly row: number; readonly seq: number }[] = [];

  constructor(table: Float64Array) {
    this.#table = table;
  }

  /** The notice was appended that the node of this row is there, under this id. */
  registered(row: number, id: bigint, numbered: boolean): void {
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.id_low] = Number(id & 0xffff_ffffn);
    this.#table[at + LEDGER.id_high] = Number(id >> 32n);
    this.#table[at + LEDGER.numbered] = numbered ? 1 : 0;
  }

  /** A run of a node was appended to the log. */
  logged(row: number, records: number, events: number, seq: number): void {
    if (row === NO_ROW) return;
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.logged_records]! += records;
    this.#table[at + LEDGER.logged_events]! += events;
    if (seq === 0) return;
    this.#table[at + LEDGER.logged_seq] = seq;
    this.#dirty.add(row);
  }

  syncStarts(): void {
    this.#syncing = [...this.#dirty].map((row) => ({
      row,
      seq: this.#table[row * LEDGER_STRIDE + LEDGER.logged_seq]!,
    }));
    this.#dirty.clear();
  }

  /** True where some node has more durable events than before: its shard is to be told. */
  durable(): boolean {
    for (const { row, seq } of this.#syncing) this.#table[row * LEDGER_STRIDE + LEDGER.durable_seq] = seq;
    const any = this.#syncing.length > 0;
    this.#syncing = [];
    return any;
  }
}
