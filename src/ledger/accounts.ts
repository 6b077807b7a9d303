/**
 * The aggregator's half of the ledger: what of each node is in the log, and what of that is fsynced. Runs in the aggregator.
 *
 *   taken from a ring --note()--> noted --appended()--> dirty --syncStarts()--> syncing --durable()--> durable_seq, told to
 *                                   '----putBack(): the disk is full                                   the shards
 *
 * A number of a refused frame is durable when its dead letter is, so a group whose numbers rest on dead letters waits for
 * these too: logDurable() makes it wait, settle() lets it go.
 */
import { LEDGER, LEDGER_STRIDE, NO_ROW } from '../memory/ledger-table.js';
import { type RingConsumer, RUN } from '../memory/ring.js';

interface Mark {
  readonly row: number;
  readonly seq: number;
}

export class Accounts {
  readonly #table: Float64Array;
  /** Of the runs of the batch that is being written: kind, row, records, events, seq of each, */
  readonly #noted: number[] = [];
  /** and of the notices among them the node's id. */
  readonly #ids: bigint[] = [];
  /** Rows with numbered events that were appended since the last fsync began, and those that it covers, with their seq. */
  #dirty = new Set<number>();
  #syncing: Mark[] = [];
  /** Dead letters with numbers were noted since the last fsync of the log began. */
  #lettersNoted = false;
  /** How many dead letters must be on the disk for the group that is being fsynced; and for those that the log has. */
  #needs = 0;
  readonly #held: { readonly needs: number; readonly marks: readonly Mark[] }[] = [];
  /** Counts what was appended, so that somebody can tell whether anything was. */
  changes = 0;
  highestRow = 0;
  /** A node's notice is in the log: this row is in use. */
  onUsed: (row: number) => void = () => {};

  constructor(table: Float64Array) {
    this.#table = table;
  }

  /** The run that the ring shows will be appended. */
  note(ring: RingConsumer): void {
    const { kind, row } = ring;
    if (row === NO_ROW) return;
    if (kind === RUN.deadLetter) {
      this.#noted.push(kind, row, 0, 0, ring.seq);
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
    if (noted[0] === RUN.deadLetter && noted[4]! > 0) this.#lettersNoted = true;
    let ids = 0;
    for (let i = 0; i < noted.length; i += 5) {
      const row = noted[i + 1]!;
      if (noted[i] === RUN.registered) this.#registered(row, this.#ids[ids++]!, noted[i + 4] === 1);
      else this.#logged(row, noted[i + 2]!, noted[i + 3]!, noted[i + 4]!);
    }
    this.putBack();
  }

  /** An fsync of the log begins, `letters` dead letters have been appended. */
  syncStarts(letters: number): void {
    for (const row of this.#dirty)
      this.#syncing.push({ row, seq: this.#table[row * LEDGER_STRIDE + LEDGER.logged_seq]! });
    this.#dirty.clear();
    this.#needs = this.#lettersNoted ? letters : 0;
    this.#lettersNoted = false;
  }

  /** It is over. */
  logDurable(): void {
    if (this.#syncing.length > 0) this.#held.push({ needs: this.#needs, marks: this.#syncing });
    this.#syncing = [];
  }

  /** So many dead letters are on the disk. True where some node has more durable events than before: its shard is to be
   *  told. In order, because a later group may say more of the same node. */
  settle(durableLetters: number): boolean {
    let any = false;
    while (this.#held.length > 0 && this.#held[0]!.needs <= durableLetters) {
      for (const { row, seq } of this.#held.shift()!.marks)
        this.#table[row * LEDGER_STRIDE + LEDGER.durable_seq] = seq;
      any = true;
    }
    return any;
  }

  /** Nothing of this row waits for an fsync. */
  isSettled(row: number): boolean {
    const at = row * LEDGER_STRIDE;
    return this.#table[at + LEDGER.durable_seq] === this.#table[at + LEDGER.logged_seq];
  }

  /** There are numbers that no fsync of the log has to wait for: it has everything. */
  get needsNoSync(): boolean {
    return this.#dirty.size > 0 && this.#syncing.length === 0;
  }

  /** The notice is in the log that the node of this row is there, under this id. */
  #registered(row: number, id: bigint, numbered: boolean): void {
    const at = row * LEDGER_STRIDE;
    this.#table[at + LEDGER.id_low] = Number(id & 0xffff_ffffn);
    this.#table[at + LEDGER.id_high] = Number(id >> 32n);
    this.#table[at + LEDGER.numbered] = numbered ? 1 : 0;
    if (row > this.highestRow) this.highestRow = row;
    this.onUsed(row);
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
