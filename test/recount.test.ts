/** What stands in the log is counted for whom it is of; what is damaged there costs itself, and never a start. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { Recount } from '../src/ledger/recount.js';
import { Catalog } from '../src/log/catalog.js';
import { LogCursor, OpenSegments } from '../src/log/log-cursor.js';
import { createLedgerTable, LEDGER, LEDGER_STRIDE, OTHERS_ROW } from '../src/memory/ledger-table.js';
import { temporaryFolder } from './log-files.js';
import { openWriter } from './open-writer.js';

const registered = (rest: string) => `{"version":2,"message":{"NodeRegistered":{"node_id":7,${rest}}}}`;
const event = (seq: number) => `{"version":2,"message":{"PotEvent":{"node_id":7,"seq":${seq},"data":{}}}}`;

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
  const recount = new Recount(table, new Map([[3, 1]]));
  const segments = new OpenSegments(new Catalog(folder), undefined);
  recount.run(new LogCursor(segments, 1), writer.nextSeq, () => {});
  segments.close();
  assert.equal(recount.records, lines.length);
  const cell = (row: number, field: number) => table[row * LEDGER_STRIDE + field];
  assert.deepEqual([cell(1, LEDGER.logged_events), cell(1, LEDGER.logged_seq)], [2, 2]);
  assert.equal(cell(OTHERS_ROW, LEDGER.logged_seq), 0);
});
