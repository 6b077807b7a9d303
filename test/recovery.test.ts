/**
 * The log after a crash: whatever was cut off the last segment or its index, recovery costs the torn line and nothing
 * else, never renumbers, and what is written next follows.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { encodeIndexEntry, INDEX_ENTRY_BYTES, INDEX_HEADER_BYTES, segmentName } from '../src/log/format.js';
import { recoverLog } from '../src/log/recovery.js';
import { seeded } from './framer-run.js';
import { SEED } from './frames.js';
import { checkLog, dataFiles, linesOf, readIndex, temporaryFolder, text, write } from './log-files.js';
import { openWriter } from './open-writer.js';

describe('recovery', () => {
  const RECORDS = 12;

  /** Two segments; the second is the one that may be torn. Its files, and the number it starts with. */
  function twoSegments(folder: string) {
    const writer = openWriter(folder, 100, undefined);
    const first = write(writer, 4);
    writer.close();
    const second = openWriter(folder, 1 << 20, undefined);
    const next = write(second, 6, first);
    second.close();
    const name = dataFiles(folder).find((file) => Number(file.slice(0, 20)) === first)!;
    const data = join(folder, name);
    const index = data.replace('.ndjson', '.idx');
    assert.equal(next - first, 1 + 2 + 3 + 4 + 1 + 2);
    return { first, next, data, index, dataBytes: readFileSync(data), indexBytes: readFileSync(index) };
  }

  /** After recovery: whole lines are all there under their numbers, the index is right, and all can be written on. */
  function checkRecovered(folder: string, whole: Buffer, first: number, data: string): void {
    const lines = whole.subarray(0, whole.lastIndexOf(10) + 1);
    const records = lines.filter((byte) => byte === 10).length;
    const recovered = recoverLog(folder);
    assert.equal(recovered.nextSeq, first + records);
    assert.equal(recovered.tornBytes, whole.length - lines.length);
    assert.deepEqual(readFileSync(data), lines);
    assert.equal(checkLog(folder).text, text(first - 1 + records));
    assert.deepEqual(
      recoverLog(folder),
      { ...recovered, tornBytes: 0, reindexedRecords: 0 },
      'a second time',
    );
  }

  it('of an empty folder starts at 1', (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'notes.txt'), 'not a segment');
    writeFileSync(join(folder, '7.ndjson'), 'nor this\n');
    assert.deepEqual(recoverLog(folder), { nextSeq: 1, segments: 0, tornBytes: 0, reindexedRecords: 0 });
  });

  it('of data cut off anywhere keeps every whole line under its number', (t) => {
    const folder = temporaryFolder(t);
    const { first, data, index, dataBytes, indexBytes } = twoSegments(folder);
    const known = readIndex(indexBytes).entries;
    for (let length = dataBytes.length; length >= 0; length--) {
      writeFileSync(data, dataBytes.subarray(0, length));
      writeFileSync(index, indexBytes);
      checkRecovered(folder, dataBytes.subarray(0, length), first, data);
      // Batches that are still whole keep their entries as they were.
      const entries = readIndex(readFileSync(index)).entries;
      const kept = known.filter((entry) => entry.offsetBytes + entry.lengthBytes <= length);
      assert.deepEqual(entries.slice(0, kept.length), kept);
    }
  });

  it('of an index cut off anywhere makes it again from the data', (t) => {
    const folder = temporaryFolder(t);
    const { first, data, index, dataBytes, indexBytes } = twoSegments(folder);
    for (let length = 0; length <= indexBytes.length; length++) {
      writeFileSync(index, indexBytes.subarray(0, length));
      checkRecovered(folder, dataBytes, first, data);
    }
    rmSync(index);
    checkRecovered(folder, dataBytes, first, data);
  });

  it('of an index with any byte changed loses nothing', (t) => {
    const folder = temporaryFolder(t);
    const { first, data, index, dataBytes, indexBytes } = twoSegments(folder);
    for (let at = 0; at < indexBytes.length; at += 5) {
      const changed = Buffer.from(indexBytes);
      changed[at]! ^= 0x11;
      writeFileSync(index, changed);
      checkRecovered(folder, dataBytes, first, data);
    }
  });

  it('of an index whose entries do not follow each other believes those that do', (t) => {
    const folder = temporaryFolder(t);
    const { first, data, index, dataBytes, indexBytes } = twoSegments(folder);
    const { entries } = readIndex(indexBytes);
    for (const [i, entry] of entries.entries()) {
      const at = INDEX_HEADER_BYTES + i * INDEX_ENTRY_BYTES;
      for (const wrong of [{ baseSeq: entry.baseSeq + 5 }, { offsetBytes: entry.offsetBytes + 1 }]) {
        const changed = Buffer.from(indexBytes);
        encodeIndexEntry({ ...entry, ...wrong }, changed, at);
        writeFileSync(index, changed);
        checkRecovered(folder, dataBytes, first, data);
      }
      writeFileSync(
        index,
        Buffer.concat([indexBytes.subarray(0, at), indexBytes.subarray(at + INDEX_ENTRY_BYTES)]),
      );
      checkRecovered(folder, dataBytes, first, data);
    }
  });

  it('of both cut off, at random, keeps every whole line', (t) => {
    const folder = temporaryFolder(t);
    const { first, data, index, dataBytes, indexBytes } = twoSegments(folder);
    const random = seeded(SEED);
    for (let run = 0; run < 60; run++) {
      const length = Math.floor(random() * (dataBytes.length + 1));
      writeFileSync(data, dataBytes.subarray(0, length));
      writeFileSync(index, indexBytes.subarray(0, Math.floor(random() * (indexBytes.length + 1))));
      checkRecovered(folder, dataBytes.subarray(0, length), first, data);
    }
  });

  it('of data whose last bytes never reached the disk cuts them, however many batches they were', (t) => {
    const folder = temporaryFolder(t);
    const { first, data, index, dataBytes, indexBytes } = twoSegments(folder);
    const { entries } = readIndex(indexBytes);
    for (const lost of [1, 2, 3, entries.length]) {
      const from = entries.at(-lost)!.offsetBytes;
      const holed = Buffer.from(dataBytes);
      holed.fill(0, from);
      writeFileSync(data, holed);
      writeFileSync(index, indexBytes);
      const recovered = recoverLog(folder);
      assert.equal(recovered.nextSeq, entries.at(-lost)!.baseSeq, `${lost} batches of zeros`);
      assert.deepEqual(readFileSync(data), dataBytes.subarray(0, from));
      assert.equal(checkLog(folder).text, text(recovered.nextSeq - 1));
      assert.equal(recovered.nextSeq > first, lost < entries.length);
    }
  });

  it('takes up lines that came behind the index, and writes on behind them', (t) => {
    const folder = temporaryFolder(t);
    const { next, data, dataBytes } = twoSegments(folder);
    const segments = dataFiles(folder).length;
    const more = linesOf(next, 3);
    writeFileSync(data, Buffer.concat([dataBytes, more, Buffer.from('{"torn":')]));
    const writer = openWriter(folder, 1 << 20, undefined);
    assert.deepEqual(
      { ...writer.recovered },
      { nextSeq: next + 3, segments, tornBytes: 8, reindexedRecords: 3 },
    );
    const end = write(writer, 2, next + 3);
    writer.close();
    const log = checkLog(folder);
    assert.equal(log.text, text(end - 1));
    assert.deepEqual([log.nextSeq, log.segments], [end, segments + 1]);
  });

  it('reads lines longer than its chunks', (t) => {
    const folder = temporaryFolder(t);
    const writer = openWriter(folder, 1 << 30, undefined);
    const long = (length: number) => Buffer.from(`{"s":"${'x'.repeat(length)}"}\n`);
    const lines = [long(10), long(3 << 20), long(1 << 20), long(5)];
    for (const line of lines) writer.append(line, 1, 1);
    writer.close();
    rmSync(join(folder, `${segmentName(1)}.idx`));
    truncateSync(join(folder, `${segmentName(1)}.ndjson`), Buffer.concat(lines).length - 1);
    const recovered = recoverLog(folder);
    assert.deepEqual([recovered.nextSeq, recovered.tornBytes], [4, lines[3]!.length - 1]);
    assert.equal(checkLog(folder).nextSeq, 4);
  });

  it('counts a segment once that never got a record', (t) => {
    const folder = temporaryFolder(t);
    const first = openWriter(folder, 1 << 20, undefined);
    write(first, 2);
    first.close();
    const second = openWriter(folder, 1 << 20, undefined);
    write(second, 2);
    second.close();
    truncateSync(join(folder, `${segmentName(4)}.ndjson`), 5);
    const third = openWriter(folder, 1 << 20, undefined);
    assert.equal(third.nextSeq, 4);
    const end = write(third, 2);
    third.close();
    assert.equal(third.segmentCount, dataFiles(folder).length);
    assert.equal(checkLog(folder).text, text(end - 1));
    assert.ok(end <= RECORDS);
  });
});
