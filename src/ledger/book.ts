/**
 * What keeps the ledger over restarts, in the aggregator: reads the newest checkpoint and recounts the log behind it at the
 * start, and writes checkpoints while Core runs.
 *
 *   idle --due--> taken (as of the end of the log) --all of that is fsynced--> writing, off this thread --> idle
 *
 * After a crash every row says exactly what is in the log, and up to which number events were taken, those that are kept as
 * dead letters among them. Other counts are as old as the checkpoint: refused frames, duplicates, and frames of which no
 * record was made.
 */

import { makeFolder } from '../folders.js';
import { LIMITS } from '../limits.js';
import { Catalog } from '../log/catalog.js';
import { LogCursor, OpenSegments } from '../log/log-cursor.js';
import { LEDGER, LEDGER_FIELDS, LEDGER_STRIDE, OTHERS_ROW, refusedOf } from '../memory/ledger-table.js';
import type { Addon } from '../native/addon.js';
import type { Accounts } from './accounts.js';
import { type Checkpoint, CheckpointFiles, describeCheckpoint, makeCheckpoint } from './checkpoint.js';
import { Recount, type TakenNumber } from './recount.js';

/** Fields that are summed; those before say who has the row. */
const FIRST_COUNT = LEDGER.logged_records;
const FIELDS = LEDGER_FIELDS.length;

/** What the aggregator knows of the log and of the dead letters. */
export interface Written {
  readonly nextSeq: number;
  readonly durableSeq: number;
  /** Dead letters appended, and fsynced. */
  readonly letters: number;
  readonly durableLetters: number;
  /** Bytes logged since the start. */
  readonly bytes: number;
}

export interface BookOptions {
  readonly table: Float64Array;
  readonly accounts: Accounts;
  /** `<dir>/ledger` and `<dir>/log`. */
  readonly folder: string;
  readonly logFolder: string;
  readonly nextSeq: number;
  /** Of the next dead letter. */
  readonly nextLetter: number;
  /** Numbered events among the dead letters, from the one with this number on. */
  numberedLetters(from: number): Iterable<TakenNumber>;
  readonly addon: Addon | undefined;
  /** It takes longer: called now and then while the log is read. */
  onProgress(): void;
  onTrouble(error: Error): void;
}

/** What was recounted at the start. */
export interface Recounted {
  readonly records: number;
  readonly bytes: number;
  /** There was no checkpoint that could be used: the whole log. */
  readonly whole: boolean;
}

export class Book {
  readonly recounted: Recounted;
  readonly #table: Float64Array;
  readonly #accounts: Accounts;
  readonly #files: CheckpointFiles;
  readonly #onTrouble: (error: Error) => void;
  /** Counts of rows that were given back while Core runs, and those rows until they are used again. */
  readonly #forgotten = new Float64Array(LEDGER_STRIDE);
  readonly #released = new Set<number>();
  #room = makeCheckpoint(0);
  #taken: { readonly bytes: Uint8Array; readonly nextSeq: number; readonly letters: number } | undefined;
  #writing = false;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lastBytes = 0;
  #lastChanges = 0;

  constructor(options: BookOptions) {
    const { table, accounts, folder, nextSeq } = options;
    makeFolder(folder, 0o750);
    this.#table = table;
    this.#accounts = accounts;
    this.#onTrouble = options.onTrouble;
    this.#files = new CheckpointFiles(folder);
    accounts.onUsed = (row) => this.#released.delete(row);
    const rows = rowsBySerial(table);
    accounts.highestRow = rows.size;
    const checkpoint = this.#files.read(nextSeq);
    if (checkpoint !== undefined) restore(table, rows, checkpoint);
    this.recounted = this.#recount(options, rows, checkpoint);
    for (let row = OTHERS_ROW; row <= rows.size; row++) settle(table, row);
    this.#lastMs = performance.now();
    if (this.recounted.records > 0) this.#now(nextSeq, options.nextLetter);
  }

  /** To be called often: takes and writes a checkpoint where one is due. */
  tick(nowMs: number, written: Written): void {
    if (this.#taken !== undefined) {
      const { nextSeq, letters } = this.#taken;
      if (written.durableSeq >= nextSeq && written.durableLetters >= letters) this.#write();
      return;
    }
    if (this.#writing || this.#accounts.changes === this.#lastChanges) return;
    const sinceMs = nowMs - this.#lastMs;
    if (sinceMs < LIMITS.checkpointPauseMs) return;
    if (sinceMs < LIMITS.checkpointMs && written.bytes - this.#lastBytes < LIMITS.checkpointBytes) return;
    this.#lastMs = nowMs;
    this.#lastBytes = written.bytes;
    this.#lastChanges = this.#accounts.changes;
    this.#taken = {
      bytes: this.#take(written.nextSeq, written.letters),
      nextSeq: written.nextSeq,
      letters: written.letters,
    };
    this.tick(nowMs, written);
  }

  /** The row is nobody's any more: nothing of it is in a ring, and all that it says is in the log and durable. */
  release(row: number): void {
    const at = row * LEDGER_STRIDE;
    for (let field = FIRST_COUNT; field < LEDGER_STRIDE; field++)
      this.#forgotten[field]! += this.#table[at + field]!;
    this.#released.add(row);
  }

  /** The last one, exact: the log is closed, and nobody counts any more. */
  close(nextSeq: number, nextLetter: number): void {
    this.#taken = undefined;
    // The one that is being written keeps its bytes.
    if (this.#writing) this.#room = makeCheckpoint(0);
    this.#now(nextSeq, nextLetter);
  }

  #recount(
    { table, logFolder, nextSeq, nextLetter, numberedLetters, addon, onProgress }: BookOptions,
    rows: ReadonlyMap<number, number>,
    checkpoint: Checkpoint | undefined,
  ): Recounted {
    const segments = new OpenSegments(new Catalog(logFolder), addon);
    try {
      const from = checkpoint?.nextSeq ?? segments.catalog.first ?? nextSeq;
      const recount = new Recount(table, rows, checkpoint === undefined);
      recount.run(new LogCursor(segments, from), nextSeq, onProgress);
      const fromLetter = checkpoint?.nextLetter ?? 0;
      if (fromLetter < nextLetter) for (const number of numberedLetters(fromLetter)) recount.taken(number);
      return { records: recount.records, bytes: recount.bytes, whole: checkpoint === undefined };
    } finally {
      segments.close();
    }
  }

  #now(nextSeq: number, nextLetter: number): void {
    try {
      this.#files.writeNow(this.#take(nextSeq, nextLetter));
    } catch (error) {
      this.#onTrouble(error as Error);
    }
  }

  #write(): void {
    const { bytes } = this.#taken!;
    this.#taken = undefined;
    this.#writing = true;
    this.#files.write(bytes).then(
      () => {
        this.#writing = false;
      },
      (error: Error) => {
        this.#writing = false;
        this.#onTrouble(error);
      },
    );
  }

  /** All rows in use. Shards count meanwhile: each number is right or a moment old, and settle() makes a sum of them. */
  #take(nextSeq: number, nextLetter: number): Uint8Array {
    const table = this.#table;
    const { highestRow } = this.#accounts;
    if (this.#room.cells.length < (highestRow + 1) * FIELDS)
      this.#room = makeCheckpoint(Math.ceil((highestRow + 1) * 1.5));
    const { bytes, cells } = this.#room;
    let rows = 0;
    for (let row = OTHERS_ROW; row <= highestRow; row++) {
      const at = row * LEDGER_STRIDE;
      if (row !== OTHERS_ROW && (table[at + LEDGER.serial] === 0 || this.#released.has(row))) continue;
      const to = rows * FIELDS;
      for (let field = 0; field < FIELDS; field++) cells[to + field] = table[at + field]!;
      rows++;
    }
    for (let field = FIRST_COUNT; field < FIELDS; field++) cells[field]! += this.#forgotten[field]!;
    return describeCheckpoint(bytes, rows, nextSeq, nextLetter);
  }
}

/** Main has given rows to the records of the registry, one behind the other. */
function rowsBySerial(table: Float64Array): Map<number, number> {
  const rows = new Map<number, number>();
  for (let row = OTHERS_ROW + 1; ; row++) {
    const serial = table[row * LEDGER_STRIDE + LEDGER.serial];
    if (serial === undefined || serial === 0) return rows;
    rows.set(serial, row);
  }
}

function restore(table: Float64Array, rows: ReadonlyMap<number, number>, checkpoint: Checkpoint): void {
  for (const cells of checkpoint.rows) {
    const row = rows.get(cells[LEDGER.serial]!);
    const at = (row ?? OTHERS_ROW) * LEDGER_STRIDE;
    for (let field = FIRST_COUNT; field < FIELDS; field++) table[at + field]! += cells[field]!;
    if (row === undefined) continue;
    for (const field of [LEDGER.id_low, LEDGER.id_high, LEDGER.numbered]) table[at + field] = cells[field]!;
  }
}

/** Makes a row whole again: what is in the log was taken, and nothing else. */
function settle(table: Float64Array, row: number): void {
  const cells = table.subarray(row * LEDGER_STRIDE, (row + 1) * LEDGER_STRIDE);
  cells[LEDGER.records] = cells[LEDGER.logged_records]!;
  cells[LEDGER.events] = cells[LEDGER.logged_events]!;
  if (row === OTHERS_ROW) cells[LEDGER.logged_seq] = 0;
  cells[LEDGER.taken_seq] = cells[LEDGER.logged_seq]!;
  cells[LEDGER.durable_seq] = cells[LEDGER.logged_seq]!;
  cells[LEDGER.frames] =
    cells[LEDGER.records]! + cells[LEDGER.quiet]! + cells[LEDGER.duplicates]! + refusedOf(cells);
}
