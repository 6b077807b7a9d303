/**
 * What is durable of each node: never more than the fsyncs cover that are over, of the log and of the dead letters; and
 * all of it, once they are. Against a model, with steps in any order.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { Accounts } from '../src/ledger/accounts.js';
import { createLedgerTable, LEDGER, LEDGER_STRIDE } from '../src/memory/ledger-table.js';
import { createRingMemory, RingConsumer, RingProducer, RUN } from '../src/memory/ring.js';

const SEED = Number(process.env.SEED ?? 20261121);
const ROWS = 5;

/** A number that was taken, and what it rests on: the place in the log, or among the dead letters. */
interface Taken {
  readonly row: number;
  readonly seq: number;
  readonly log: number;
  readonly letter: number;
}

test(`durable_seq is what the fsyncs that are over cover, in any order of steps (seed ${SEED})`, () => {
  let moved = 0;
  for (let round = 0; round < 300; round++) {
    const random = new Random(SEED, round);
    const table = createLedgerTable(ROWS);
    const accounts = new Accounts(table);
    const memory = createRingMemory(1 << 16);
    const producer = new RingProducer(memory, () => {});
    const consumer = new RingConsumer(memory);
    const taken: Taken[] = [];
    const next = new Array<number>(ROWS + 1).fill(1);
    let log = 0;
    let letters = 0;
    let durableLog = 0;
    let durableLetters = 0;
    let syncing: number | undefined;
    let lettersSyncing: number | undefined;
    const durable = (row: number) => table[row * LEDGER_STRIDE + LEDGER.durable_seq]!;
    /** The highest number of a row that is on the disk with all before it. */
    const covered = (row: number) => {
      let seq = 0;
      for (const one of taken) {
        if (one.row !== row) continue;
        if (one.log > durableLog || one.letter > durableLetters) break;
        seq = one.seq;
      }
      return seq;
    };
    const check = () => {
      for (let row = 1; row <= ROWS; row++)
        assert.ok(durable(row) <= covered(row), `row ${row}: ${durable(row)} of ${covered(row)}`);
    };
    const step = (kind: number) => {
      switch (kind) {
        case 0:
        case 1:
        case 2: {
          const row = 1 + random.below(ROWS);
          const isLetter = kind === 2;
          const count = isLetter ? 1 : 1 + random.below(3);
          const seq = next[row]! + count - 1;
          next[row] = seq + 1;
          producer.reserve(8);
          producer.publish(
            isLetter ? RUN.deadLetter : RUN.records,
            8,
            count,
            0,
            row,
            isLetter ? 0 : count,
            seq,
          );
          assert.ok(consumer.peek());
          accounts.note(consumer);
          if (random.below(8) === 0) {
            accounts.putBack();
            accounts.note(consumer);
          }
          consumer.take();
          consumer.release();
          accounts.appended();
          if (isLetter) letters++;
          else log++;
          taken.push({ row, seq, log: isLetter ? 0 : log, letter: isLetter ? letters : 0 });
          break;
        }
        case 3:
          if (syncing !== undefined || durableLog === log) break;
          syncing = log;
          accounts.syncStarts(letters);
          break;
        case 4:
          if (syncing === undefined) break;
          durableLog = syncing;
          syncing = undefined;
          accounts.logDurable();
          if (accounts.settle(durableLetters)) moved++;
          break;
        case 5:
          // As bookkeeping.ts does where only dead letters came.
          if (syncing !== undefined || durableLog !== log || !accounts.needsNoSync) break;
          accounts.syncStarts(letters);
          accounts.logDurable();
          if (accounts.settle(durableLetters)) moved++;
          break;
        case 6:
          lettersSyncing ??= letters;
          break;
        case 7:
          if (lettersSyncing === undefined) break;
          durableLetters = lettersSyncing;
          lettersSyncing = undefined;
          if (accounts.settle(durableLetters)) moved++;
          break;
      }
      check();
    };
    for (let steps = 0; steps < 200; steps++) step(random.below(8));
    // In the end all is durable.
    for (const kind of [4, 3, 4, 5, 7, 6, 7]) step(kind);
    for (let row = 1; row <= ROWS; row++) {
      assert.equal(durable(row), next[row]! - 1, `row ${row}`);
      assert.ok(accounts.isSettled(row));
    }
  }
  assert.ok(moved > 1000);
});
