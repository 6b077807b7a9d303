/**
 * The aggregator's half of the ledger: what of each node is in the log, and what of that is fsynced. Runs in the aggregator.
 *
 *   taken from a ring --note()--> noted --appended()--> dirty --syncStarts()--> syncing --durable()--> durable_seq, told to
 *                                   '----putBack(): the disk is full                                   the shards
 */
import { LEDGER, LEDGER_STRIDE, NO_ROW } from '../memory/ledger-table.js';
import { type RingConsumer, RUN } from '../memory/ring.js';

export class Accounts {
  readonly #table: Float64Array;
  /** Of the runs of the batch that is being written: kind, row, records, events, seq of each, */
  readonly #noted: number[] = [];
  /** and of the notices among them the node's id. */
  readonly #ids: bigint[] = [];
  /** Rows with numbered events that were appended since the last fsync began, and those that it covers, with their seq. */
  #dirty = new Set<number>();
  #syncing: { readonly row: number; readonly seq: number }[] = [];
  /** Counts what was appended, so that somebody can tell whether anything was. */
  changes = 0;

  constructor(table: Float64Array) {
    this.#table = table;
  }

  /** The run that the ring shows will be appended. */
  note(ring: RingConsumer): void {
    const { kind, row } = ring;
    if (row === NO_ROW) return;
    if (kind === RUN.deadLetter) {
      if (ring.seq > 0) this.#noted.push(kind, row, 0, 0, ring.seq);
      return;
    }
    this.#noted.push(kind, row, ring.count, ring.events, ring.seq);
    if (kind === RUN.registered) this.#ids.push(ring.nodeId);
  }

  /** It was not: it stays in its ring. */
  putBack(): void {
    this.#noted.length = 0;
    this.#ids.length = 0;
  }

  appended(): void {
    const noted = this.#noted;
    if (noted.length === 0) return;
    this.changes++;
    let ids = 0;
    for (let i = 0; i < noted.length; i += 5) {
      const row = noted[i + 1]!;
      if (noted[i] === RUN.registered) this.#registered(row, this.#ids[ids++]!, noted[i + 4] === 1);
      else this.#logged(row, noted[i + 2]!, noted[i + 3]!, noted[i + 4]!);
    }
    this.putBack();
  }

  syncStarts(): void {
    for (const row of this.#dirty)
      this.#syncing.push({ row, seq: this.#table[row * LEDGER_STRIDE + LEDGER.logged_seq]! });
    this.#dirty.clear();
  }

  /** True where some node has more durable events than before: its shard is to be told. */
  durable(): boolean {
    for (const { row, seq } of this.#syncing) this.#table[row * LEDGER_STRIDE + LEDGER.durable_seq] = seq;
    const any = this.#syncing.length > 0;
    this.#syncing = [];
    return any;
  }

  /** There are numbers to be made durable. */
  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** The notice is in the log that the node of this row is there, under this id. */
  #registered(row: number, id: bigint, numbered: boolean): void {
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.id_low] = Number(id & 0xffff_ffffn);
    this.#table[at + LEDGER.id_high] = Number(id >> 32n);
    this.#table[at + LEDGER.numbered] = numbered ? 1 : 0;
  }

  #logged(row: number, records: number, events: number, seq: number): void {
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.logged_records]! += records;
    this.#table[at + LEDGER.logged_events]! += events;
    if (seq === 0) return;
    this.#table[at + LEDGER.logged_seq] = seq;
    this.#dirty.add(row);
  }
}
