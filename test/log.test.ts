/**
 * The log on disk: its format, and its writer: what is appended stands there under the numbers it got, in segments of
 * the size asked for, also after a restart and after a write that failed. Dead letters are kept within their bound.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  encodeIndexEntry,
  encodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  parseSegmentName,
  segmentName,
} from '../src/log/format.js';
import { isDiskFull } from '../src/log/segment-writer.js';
import { loadAddon } from '../src/native/addon.js';
import { SEED } from './frames.js';
import { checkLog, dataFiles, linesOf, readIndex, temporaryFolder, text, write } from './log-files.js';
import { openWriter, recover } from './open-writer.js';
import { skipped } from './scanner-run.js';

const seq = fc.nat(Number.MAX_SAFE_INTEGER);
const u32 = fc.nat(2 ** 32 - 1);

describe('the format of the log', () => {
  it('gives back every index entry, and finds every changed byte', () => {
    const entry = fc.record(
      {
        baseSeq: seq,
        offsetBytes: seq,
        lengthBytes: u32,
        recordCount: u32,
        receivedMs: fc.double({ noNaN: true }),
        crc: u32,
      },
      { noNullPrototype: true },
    );
    const bytes = Buffer.alloc(3 * INDEX_ENTRY_BYTES, 0xee);
    fc.assert(
      fc.property(
        entry,
        fc.nat(INDEX_ENTRY_BYTES - 1),
        fc.integer({ min: 1, max: 255 }),
        (some, at, flip) => {
          encodeIndexEntry(some, bytes, INDEX_ENTRY_BYTES);
          assert.deepEqual(decodeIndexEntry(bytes, INDEX_ENTRY_BYTES), some);
          bytes[INDEX_ENTRY_BYTES + at]! ^= flip;
          assert.equal(decodeIndexEntry(bytes, INDEX_ENTRY_BYTES), undefined);
        },
      ),
      { seed: SEED, numRuns: 500 },
    );
    assert.equal(bytes[INDEX_ENTRY_BYTES - 1], 0xee);
    assert.equal(bytes[2 * INDEX_ENTRY_BYTES], 0xee);
    assert.equal(decodeIndexEntry(Buffer.alloc(INDEX_ENTRY_BYTES), 0), undefined, 'zeros are no entry');
    assert.equal(decodeIndexEntry(bytes, bytes.length - 1), undefined);
  });

  it('gives back the number of an index, and knows what is no index', () => {
    for (const firstSeq of [1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const header = encodeIndexHeader(firstSeq, 5);
      assert.equal(header.length, INDEX_HEADER_BYTES);
      assert.equal(header.toString('latin1', 0, 4), 'HBIX');
      assert.equal(decodeIndexHeader(header), firstSeq);
      assert.equal(decodeIndexHeader(header.subarray(0, INDEX_HEADER_BYTES - 1)), undefined);
      for (const at of [0, 3, 4, 6]) {
        const changed = Buffer.from(header);
        changed[at]! ^= 1;
        assert.equal(decodeIndexHeader(changed), undefined, `byte ${at}`);
      }
    }
  });

  it('names segments so that their order is that of their numbers', () => {
    assert.equal(segmentName(1), '00000000000000000001');
    for (const number of [1, 99, 2 ** 32, Number.MAX_SAFE_INTEGER])
      assert.equal(parseSegmentName(`${segmentName(number)}.ndjson`), number);
    const others = [
      '1.ndjson',
      `${segmentName(1)}.idx`,
      `${segmentName(1)}.ndjson~`,
      `x${segmentName(1)}.ndjson`,
    ];
    for (const name of [...others, '99999999999999999999.ndjson', '0000000000000000000a.ndjson'])
      assert.equal(parseSegmentName(name), undefined, name);
  });
});

for (const mode of ['portable', 'native'] as const) {
  describe(`the segment writer, ${mode}`, { skip: skipped(mode) }, () => {
    const addon = mode === 'native' ? loadAddon() : undefined;

    it('writes every line under its number, in segments of the size asked for, with indexes that are right', (t) => {
      const folder = join(temporaryFolder(t), 'deep', 'log');
      const writer = openWriter(folder, 1_500, addon);
      assert.equal(writer.nextSeq, 1);
      // More batches than the writer collects index entries for.
      const next = write(writer, 300);
      assert.equal(writer.nextSeq, next);
      writer.close();
      const log = checkLog(folder);
      assert.equal(log.text, text(next - 1));
      assert.equal(log.nextSeq, next);
      assert.equal(log.segments, writer.segmentCount);
      const sizes = dataFiles(folder).map((file) => statSync(join(folder, file)).size);
      for (const size of sizes.slice(0, -1)) assert.ok(size >= 1_500 && size < 1_500 + 200, `${size} bytes`);
      assert.ok(sizes.length > 10);
    });

    it('keeps what the index says of a batch: when it came, how much it was', (t) => {
      const folder = temporaryFolder(t);
      const writer = openWriter(folder, 1 << 20, addon);
      let record = 1;
      // What comes together is one entry; what comes later, or earlier because a clock was set back, is another.
      for (const receivedMs of [1_000, 1_001, 1_249, 1_250, 1_251, 1_600, 900, 1_149]) {
        writer.append(linesOf(record, 3), 3, receivedMs);
        record += 3;
      }
      writer.flushIndex();
      const { entries } = readIndex(readFileSync(join(folder, `${segmentName(1)}.idx`)));
      assert.deepEqual(
        entries.map(({ receivedMs, recordCount }) => [receivedMs, recordCount]),
        [
          [1_000, 9],
          [1_250, 6],
          [1_600, 3],
          [900, 6],
        ],
      );
      writer.close();
    });

    it('lets no index entry cover much more than a MiB', (t) => {
      const folder = temporaryFolder(t);
      const writer = openWriter(folder, 1 << 30, addon);
      const lines = Buffer.from(`{"s":"${'x'.repeat(300_000)}"}\n`);
      for (let i = 0; i < 20; i++) writer.append(lines, 1, 1);
      writer.close();
      const { entries } = readIndex(readFileSync(join(folder, `${segmentName(1)}.idx`)));
      assert.deepEqual(
        entries.map(({ recordCount }) => recordCount),
        [3, 3, 3, 3, 3, 3, 2],
      );
      checkLog(folder);
    });

    it('goes on after every restart where it stopped', (t) => {
      const folder = temporaryFolder(t);
      let next = 1;
      for (let start = 0; start < 6; start++) {
        const writer = openWriter(folder, 700, addon);
        assert.ok(writer.recovered.clean);
        assert.deepEqual(
          [writer.recovered.nextSeq, writer.recovered.segments, writer.recovered.tornBytes],
          [next, dataFiles(folder).length, 0],
        );
        next = write(writer, start * 7, next);
        writer.close();
        assert.equal(writer.segmentCount, dataFiles(folder).length);
        assert.equal(checkLog(folder).text, text(next - 1));
      }
    });

    it('that was not closed loses nothing that was appended', (t) => {
      const folder = temporaryFolder(t);
      const writer = openWriter(folder, 1 << 20, addon);
      const next = write(writer, 70);
      // The index is only in memory: as when the process is killed.
      const recovered = recover(folder);
      assert.equal(recovered.nextSeq, next);
      assert.equal(recovered.tornBytes, 0);
      assert.ok(recovered.reindexedRecords > 0);
      assert.equal(checkLog(folder).text, text(next - 1));
      writer.close();
    });
  });
}

describe('a write that fails', {
  skip: existsSync('/dev/full') ? false : 'no /dev/full on this system',
}, () => {
  it('changes nothing, and the same call works when there is room', (t) => {
    const folder = temporaryFolder(t);
    const full = (name: string) => symlinkSync('/dev/full', join(folder, name));
    const isFull = (error: unknown) => isDiskFull(error);
    const writer = openWriter(folder, 300, undefined);
    full(`${segmentName(1)}.idx`);
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.throws(() => writer.append(linesOf(1, 2), 2, 1), isFull);
      assert.deepEqual([writer.nextSeq, writer.segmentCount], [1, 0]);
    }
    rmSync(join(folder, `${segmentName(1)}.idx`));
    let next = write(writer, 8);
    // The next segment finds no room for its index either; until then nothing was lost.
    while (statSync(join(folder, dataFiles(folder).at(-1)!)).size < 300) next = write(writer, 1, next);
    full(`${segmentName(next)}.idx`);
    assert.throws(() => writer.append(linesOf(next, 1), 1, 1), isFull);
    assert.equal(writer.nextSeq, next);
    rmSync(join(folder, `${segmentName(next)}.idx`));
    next = write(writer, 3, next);
    writer.close();
    assert.equal(checkLog(folder).text, text(next - 1));
  });

  it('is told from one that will never work', () => {
    assert.ok(isDiskFull(Object.assign(new Error(), { code: 'ENOSPC' })));
    assert.ok(isDiskFull(Object.assign(new Error(), { code: 'EDQUOT' })));
    assert.ok(!isDiskFull(Object.assign(new Error(), { code: 'EIO' })));
    assert.ok(!isDiskFull(new Error('ENOSPC')));
  });
});
