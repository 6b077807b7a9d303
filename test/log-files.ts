/** Reads a log's folder as a stranger would, and checks that data and indexes say the same. For tests of the log. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  type IndexEntry,
} from '../src/log/format.js';
import type { SegmentWriter } from '../src/log/segment-writer.js';

/** A folder that is gone when the test is over. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'honeybee-log-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The line of a record; no two are alike, and their lengths differ. */
export function lineOf(number: number): string {
  return `{"record":${number},"s":"${'é'.repeat(number % 5)}"}\n`;
}

export function linesOf(first: number, count: number): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, i) => lineOf(first + i)).join(''));
}

/** Batches of 1, 2, 3, ... records, so that each starts at a number of its own. */
export function write(writer: SegmentWriter, batches: number, firstRecord = writer.nextSeq): number {
  let record = firstRecord;
  for (let batch = 0; batch < batches; batch++) {
    const count = 1 + (batch % 4);
    writer.append(linesOf(record, count), count, 1_000 + batch);
    record += count;
  }
  return record;
}

/** What stands in the log with so many records. */
export function text(records: number): string {
  return Array.from({ length: records }, (_, i) => lineOf(1 + i)).join('');
}

export function dataFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
}

export function readIndex(bytes: Buffer): { firstSeq: number | undefined; entries: IndexEntry[] } {
  const entries: IndexEntry[] = [];
  for (let at = INDEX_HEADER_BYTES; at < bytes.length; at += INDEX_ENTRY_BYTES) {
    const entry = decodeIndexEntry(bytes, at);
    assert.ok(entry !== undefined, `index entry at ${at} is damaged`);
    entries.push(entry);
  }
  return { firstSeq: decodeIndexHeader(bytes), entries };
}

/** Checks every segment against its index, and that the segments follow each other; the whole text of the log. */
export function checkLog(folder: string): { text: string; nextSeq: number; segments: number } {
  let seq: number | undefined;
  let text = '';
  const files = dataFiles(folder);
  for (const file of files) {
    const data = readFileSync(join(folder, file));
    const { firstSeq, entries } = readIndex(readFileSync(join(folder, file.replace('.ndjson', '.idx'))));
    assert.equal(firstSeq, Number(file.slice(0, 20)), 'the index is of another segment');
    seq ??= firstSeq;
    assert.equal(firstSeq, seq, `${file} does not follow the one before`);
    let offset = 0;
    for (const entry of entries) {
      const lines = data.subarray(entry.offsetBytes, entry.offsetBytes + entry.lengthBytes);
      assert.equal(entry.baseSeq, seq);
      assert.equal(entry.offsetBytes, offset);
      assert.equal(lines.length, entry.lengthBytes);
      assert.equal(lines.at(-1), 10, 'a batch does not end with a newline');
      assert.equal(entry.crc, crc32(lines));
      assert.equal(entry.recordCount, lines.filter((byte) => byte === 10).length);
      seq! += entry.recordCount;
      offset += entry.lengthBytes;
    }
    assert.equal(offset, data.length, `${file}: the index does not reach the end of the data`);
    text += data.toString('utf8');
  }
  return { text, nextSeq: seq ?? 1, segments: files.length };
}
