/** What stands in the log is counted for whom it is of; what is damaged there costs itself, and never a start. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { letterFileName } from '../src/dead-letters/line.js';
import { numberedLetters } from '../src/dead-letters/numbered.js';
import { Recount } from '../src/ledger/recount.js';
import { Catalog } from '../src/log/catalog.js';
import { LogCursor, OpenSegments } from '../src/log/log-cursor.js';
import { createLedgerTable, LEDGER, LEDGER_STRIDE, OTHERS_ROW } from '../src/memory/ledger-table.js';
import { dataFiles, temporaryFolder } from './log-files.js';
import { openWriter } from './open-writer.js';

const registered = (rest: string) => `{"version":2,"message":{"NodeRegistered":{"node_id":7,${rest}}}}`;
const event = (seq: number) => `{"version":2,"message":{"PotEvent":{"node_id":7,"seq":${seq},"data":{}}}}`;

it('a number that was taken by a dead letter is taken, for the node whose it is', (t) => {
  const folder = temporaryFolder(t);
  const letter = (id: number, rest: string) => `{"id":${id},"time":"2026-11-21T00:00:00.000Z",${rest}}\n`;
  const numbered = (serial: number, seq: number) =>
    `"code":"x","reason":"r","node_id":7,"node_name":"n","node_serial":${serial},"seq":${seq},"remote":"r:1","bytes":""`;
  // What stands in a name, or in the frame, says nothing.
  const quoted = JSON.stringify(',"node_serial":3,"seq":99,"remote":"');
  writeFileSync(join(folder, letterFileName(5)), letter(5, numbered(3, 90)) + letter(6, numbered(3, 7)));
  writeFileSync(
    join(folder, letterFileName(8)),
    letter(8, `"code":"x","reason":"r","node_id":7,"node_name":${quoted},"remote":"r:1","bytes":""`) +
      letter(9, numbered(4, 12)) +
      letter(10, numbered(3, 5)) +
      letter(11, numbered(3, 98)).slice(0, -1),
  );
  const table = createLedgerTable(2);
  const recount = new Recount(
    table,
    new Map([
      [3, 1],
      [4, 2],
    ]),
    false,
  );
  const logged = (row: number) => row * LEDGER_STRIDE + LEDGER.logged_seq;
  table[logged(1)] = 6;
  table[logged(2)] = 11;
  for (const one of numberedLetters(folder, 6)) recount.taken(one);
  assert.deepEqual([table[logged(1)], table[logged(2)]], [7, 12]);
});

it('a dead letter that outlived the events before it, which the power took, says nothing of them', () => {
  const table = createLedgerTable(1);
  const recount = new Recount(table, new Map([[3, 1]]), false);
  const at = LEDGER_STRIDE + LEDGER.logged_seq;
  // Up to 5 they were forced to the disk; 6 to 9 were written, 10 was refused, and its file was forced first.
  table[at] = 5;
  recount.taken({ serial: 3, seq: 10 });
  recount.taken({ serial: 3, seq: 11 });
  assert.equal(table[at], 5);
  // Refused one behind the other; and one that lies before what the log holds.
  for (const seq of [4, 6, 7]) recount.taken({ serial: 3, seq });
  assert.equal(table[at], 7);
});

it('a recount passes over notices that are damaged', (t) => {
  const folder = join(temporaryFolder(t), 'log');
  const writer = openWriter(folder, 1 << 20, undefined);
  const lines = [
    registered('"node_serial":3,"features":["event_ack"]'),
    event(1),
    // Nobody knows then who has the id from here on.
    registered('"node_serial":#####'),
    registered('"node_serial":3,"features":7'),
    '{"version":2,"message":{"NodeRegistered":{"node_id":}}}',
    registered('"node_serial":3,"features":["event_ack"]'),
    event(2),
  ];
  writer.append(Buffer.from(`${lines.join('\n')}\n`), lines.length, 1000);
  writer.close();
  const table = createLedgerTable(1);
  const recount = new Recount(table, new Map([[3, 1]]), false);
  const segments = new OpenSegments(new Catalog(folder), undefined);
  recount.run(new LogCursor(segments, 1), writer.nextSeq, () => {});
  segments.close();
  assert.equal(recount.records, lines.length);
  const cell = (row: number, field: number) => table[row * LEDGER_STRIDE + field];
  assert.deepEqual([cell(1, LEDGER.logged_events), cell(1, LEDGER.logged_seq)], [2, 2]);
  assert.equal(cell(OTHERS_ROW, LEDGER.logged_seq), 0);
});

it('events behind records that are lost do not say that those before them were taken', (t) => {
  const folder = join(temporaryFolder(t), 'log');
  const writer = openWriter(folder, 1 << 20, undefined);
  const append = (...lines: string[]) => {
    writer.append(Buffer.from(lines.map((line) => `${line}\n`).join('')), lines.length, 1000);
    writer.flushIndex();
  };
  append(registered('"node_serial":3,"features":["event_ack"]'), event(1), event(2));
  append(event(3), event(4));
  append(event(5), event(6));
  writer.close();
  // Pages that never reached the disk, in front of some that did.
  const path = join(folder, dataFiles(folder)[0]!);
  const bytes = readFileSync(path);
  bytes.fill(0, bytes.indexOf(event(3)), bytes.indexOf(event(5)));
  writeFileSync(path, bytes);
  const table = createLedgerTable(1);
  const recount = new Recount(table, new Map([[3, 1]]), false);
  const segments = new OpenSegments(new Catalog(folder), undefined);
  recount.run(new LogCursor(segments, 1), writer.nextSeq, () => {});
  segments.close();
  const cell = (field: number) => table[LEDGER_STRIDE + field];
  assert.deepEqual([cell(LEDGER.logged_events), cell(LEDGER.logged_seq)], [4, 2]);
});
