/**
 * The log after a crash, or after somebody has touched its files: whatever was cut off or changed, what is delivered is right
 * and has its number, what is not is known to be missing, numbers go on behind, and what is written next follows.
 */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import { type LogFiles, REAL_FILES, readFile } from '../src/log/files.js';
import { encodeIndexEntry, INDEX_ENTRY_BYTES, INDEX_HEADER_BYTES, segmentName } from '../src/log/format.js';
import { recoverLog } from '../src/log/recovery.js';
import { STATE_FILE } from '../src/log/reservation.js';
import { listSegments } from '../src/log/segments.js';
import { fileContent, surveySegment } from '../src/log/survey.js';
import { checkSegment, rebuildIndex, type SegmentCheckResult } from '../src/log/verify.js';
import { FaultFiles } from './fault-files.js';
import { seeded } from './framer-run.js';
import { SEED } from './frames.js';
import { KeeperStage } from './keeper-stage.js';
import { dataFiles, lineOf, linesOf, readIndex, temporaryFolder } from './log-files.js';
import { openWriter } from './open-writer.js';

/** A log in memory: two segments, the second of which is tried. Batches of it: 2, 3, 1, 4 records. */
class Stage {
  readonly folder: string;
  readonly files = new FaultFiles(() => 0.5);
  readonly first = 4;
  readonly next: number;
  readonly data: string;
  readonly index: string;
  readonly state: string;
  readonly whole: { readonly data: Buffer; readonly index: Buffer; readonly state: Buffer };

  constructor(t: TestContext) {
    this.folder = join(temporaryFolder(t), 'log');
    const before = this.open();
    before.append(linesOf(1, 3), 3, 1_000);
    before.close();
    const writer = this.open();
    let record = this.first;
    for (const [i, count] of [2, 3, 1, 4].entries()) {
      writer.append(linesOf(record, count), count, 5_000 + i * 1_000);
      record += count;
    }
    this.next = record;
    writer.close();
    const base = join(this.folder, segmentName(this.first));
    this.data = `${base}.ndjson`;
    this.index = `${base}.idx`;
    this.state = join(this.folder, 'log.state');
    this.whole = {
      data: this.files.content(this.data),
      index: this.files.content(this.index),
      state: this.files.content(this.state),
    };
    assert.equal(readIndex(this.whole.index).entries.length, 4);
  }

  /** As it was, but for what is given; `state: false`: a log of a Core that wrote none. */
  set(data: Buffer, index: Buffer | undefined, state = true): void {
    for (const path of this.files.paths)
      if (path.startsWith(join(this.folder, segmentName(this.first))) || path.includes('.cut-'))
        this.files.forget(path);
    for (const path of this.files.paths)
      if (Number(path.slice(this.folder.length + 1).slice(0, 20)) > this.first) this.files.forget(path);
    this.files.replace(this.data, data);
    if (index !== undefined) this.files.replace(this.index, index);
    if (state) this.files.replace(this.state, this.whole.state);
    else this.files.forget(this.state);
  }

  open() {
    return openWriter(this.folder, 1 << 20, undefined, { files: this.files });
  }

  recover() {
    return recoverLog(this.folder, this.files, crc32).recovered;
  }

  verify(): SegmentCheckResult {
    const index = this.files.paths.includes(this.index) ? this.files.content(this.index) : undefined;
    const bytes = this.files.content(this.data);
    const content = {
      sizeBytes: bytes.length,
      read: (target: Buffer, length: number, offset: number) =>
        bytes.subarray(offset, offset + length).copy(target),
    };
    return checkSegment({ firstSeq: this.first, content, index }).run();
  }

  /** Appends, closes, and reads everything back. */
  goOn(): void {
    const writer = this.open();
    const from = writer.nextSeq;
    writer.append(linesOf(from, 3), 3, 9_000);
    writer.close();
    const read = delivered(this.files, this.folder);
    for (let seq = from; seq < from + 3; seq++) assert.equal(read.get(seq), lineOf(seq));
  }
}

/** As a reader does: batches whose checksum is right. Asserts that each record is the one that was written under its number. */
function delivered(files: LogFiles, folder: string): Map<number, string> {
  const found = new Map<number, string>();
  for (const { base, firstSeq, plain } of listSegments(files, folder)) {
    if (!plain) continue;
    const data = files.open(`${base}.ndjson`, 'r', 0);
    const content = fileContent(files, data);
    const { batches } = surveySegment({
      firstSeq,
      content,
      index: readFile(files, `${base}.idx`),
      crc32,
      checkFromBytes: 0,
      salvage: false,
    });
    const bytes = Buffer.alloc(content.sizeBytes);
    content.read(bytes, bytes.length, 0);
    for (const { state, offsetBytes, lengthBytes, baseSeq } of batches) {
      if (state !== 'good') continue;
      const lines = bytes.toString('utf8', offsetBytes, offsetBytes + lengthBytes).split(/(?<=\n)/);
      lines.forEach((line, i) => {
        assert.equal(line, lineOf(baseSeq + i), `record ${baseSeq + i}`);
        found.set(baseSeq + i, line);
      });
    }
    files.close(data);
  }
  return found;
}

function flipped(bytes: Buffer, bit: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[bit >> 3]! ^= 1 << (bit & 7);
  return changed;
}

describe('recovery', () => {
  it('of data cut off anywhere keeps every whole record, and gives no number twice', (t) => {
    const stage = new Stage(t);
    for (const state of [true, false]) {
      for (let length = stage.whole.data.length; length >= 0; length--) {
        const data = stage.whole.data.subarray(0, length);
        stage.set(data, stage.whole.index, state);
        if (length < stage.whole.data.length)
          assert.ok(stage.verify().faults.length > 0, `${length} bytes: detected`);
        const lines = data.filter((byte) => byte === 10).length;
        const recovered = stage.recover();
        // The index, or what the Core before left written, tells which numbers were used.
        assert.equal(recovered.nextSeq, stage.next, `${length} bytes`);
        assert.equal(
          delivered(stage.files, stage.folder).size,
          3 + lines,
          `${length} bytes: every whole record`,
        );
        if (length % 16 === 0) stage.goOn();
      }
    }
  });

  it('of data cut off anywhere, with nothing that tells of more, goes on behind the last whole record', (t) => {
    const stage = new Stage(t);
    for (let length = stage.whole.data.length; length >= 0; length--) {
      const data = stage.whole.data.subarray(0, length);
      const whole = data.subarray(0, data.lastIndexOf(10) + 1);
      const lines = whole.filter((byte) => byte === 10).length;
      stage.set(data, undefined, false);
      const recovered = stage.recover();
      assert.equal(recovered.nextSeq, stage.first + lines);
      assert.equal(recovered.tornBytes, data.length - whole.length);
      assert.equal(recovered.segments, lines === 0 ? 1 : 2);
      assert.deepEqual(recovered.savedFiles, [], 'half a record is nobody’s');
      if (lines > 0) assert.deepEqual(stage.files.content(stage.data), whole);
      assert.equal(delivered(stage.files, stage.folder).size, 3 + lines);
      if (lines > 0) assert.deepEqual(stage.verify().faults, []);
      if (length % 16 === 0) stage.goOn();
    }
  });

  it('of an index cut off anywhere, or missing, makes it again from the data', (t) => {
    const stage = new Stage(t);
    const { data, index } = stage.whole;
    for (const state of [true, false]) {
      for (let length = -1; length <= index.length; length++) {
        stage.set(data, length < 0 ? undefined : index.subarray(0, length), state);
        assert.equal(stage.verify().faults.length > 0, length < index.length, `${length} bytes: detected`);
        assert.equal(stage.recover().nextSeq, stage.next);
        assert.equal(delivered(stage.files, stage.folder).size, stage.next - 1, 'everything is delivered');
        assert.deepEqual(stage.verify().faults, [], 'and the index is right');
        if (length % 16 === 0) stage.goOn();
      }
    }
  });

  it('of an index with any bit changed loses nothing', (t) => {
    const stage = new Stage(t);
    const { data, index } = stage.whole;
    for (let bit = 0; bit < index.length * 8; bit++) {
      stage.set(data, flipped(index, bit), bit % 2 === 0);
      assert.ok(stage.verify().faults.length > 0, `bit ${bit}: detected`);
      assert.equal(stage.recover().nextSeq, stage.next);
      assert.equal(
        delivered(stage.files, stage.folder).size,
        stage.next - 1,
        `bit ${bit}: everything is delivered`,
      );
      assert.deepEqual(stage.verify().faults, []);
    }
  });

  it('of data with any bit changed delivers nothing that is wrong, and everything else', (t) => {
    const stage = new Stage(t);
    const { data, index } = stage.whole;
    const { entries } = readIndex(index);
    for (let bit = 0; bit < data.length * 8; bit++) {
      stage.set(flipped(data, bit), index, bit % 2 === 0);
      const hit = entries.find(({ offsetBytes, lengthBytes }) => bit >> 3 < offsetBytes + lengthBytes)!;
      const { faults, damagedRecords } = stage.verify();
      assert.deepEqual(
        faults.map(({ kind, firstSeq, nextSeq }) => [kind, firstSeq, nextSeq]),
        [['batch-checksum', hit.baseSeq, hit.baseSeq + hit.recordCount]],
        `bit ${bit}`,
      );
      assert.equal(damagedRecords, hit.recordCount);
      const recovered = stage.recover();
      assert.equal(recovered.nextSeq, stage.next);
      assert.equal(delivered(stage.files, stage.folder).size, stage.next - 1 - hit.recordCount, `bit ${bit}`);
      assert.deepEqual(stage.files.content(stage.data), flipped(data, bit), 'nothing was deleted');
      // A log whose end is not known to be in order is looked at.
      if (bit % 2 === 1) assert.equal(recovered.damagedRecords, hit.recordCount);
      rebuildIndex(stage.folder, join(stage.folder, segmentName(stage.first)), stage.first, {
        files: stage.files,
      });
      assert.equal(stage.verify().damagedRecords, hit.recordCount, 'repair does not make it good');
    }
  });

  it('of an index whose entries do not follow each other believes those that do', (t) => {
    const stage = new Stage(t);
    const { data, index } = stage.whole;
    for (const [i, entry] of readIndex(index).entries.entries()) {
      const at = INDEX_HEADER_BYTES + i * INDEX_ENTRY_BYTES;
      const wrongs = [
        { baseSeq: entry.baseSeq + 500 },
        { offsetBytes: entry.offsetBytes + 1 },
        { offsetBytes: entry.offsetBytes + 1_000_000 },
        { lengthBytes: 0, recordCount: 0 },
      ];
      for (const wrong of wrongs) {
        const changed = Buffer.from(index);
        encodeIndexEntry({ ...entry, ...wrong }, changed, at);
        stage.set(data, changed);
        assert.ok(stage.verify().faults.length > 0);
        assert.ok(stage.recover().nextSeq >= stage.next);
        assert.equal(delivered(stage.files, stage.folder).size, stage.next - 1, JSON.stringify(wrong));
      }
      stage.set(data, Buffer.concat([index.subarray(0, at), index.subarray(at + INDEX_ENTRY_BYTES)]));
      assert.equal(stage.recover().nextSeq, stage.next);
      assert.equal(delivered(stage.files, stage.folder).size, stage.next - 1);
    }
    // And one that is of another segment altogether.
    stage.set(data, stage.files.content(join(stage.folder, `${segmentName(1)}.idx`)));
    assert.match(stage.verify().faults[0]!.text, /of segment 1/);
    stage.recover();
    assert.equal(delivered(stage.files, stage.folder).size, stage.next - 1);
  });

  it('saves what is more than half a record before it cuts it off', (t) => {
    const stage = new Stage(t);
    const { data } = stage.whole;
    const junk = Buffer.concat([Buffer.alloc(20), linesOf(90, 2), Buffer.from('{"half":')]);
    stage.set(Buffer.concat([data, junk]), stage.whole.index);
    const recovered = stage.recover();
    assert.deepEqual(recovered.savedFiles, [`${stage.data.replace('.ndjson', '')}.cut-${data.length}`]);
    assert.deepEqual([recovered.savedBytes, recovered.tornBytes], [junk.length, junk.length]);
    assert.deepEqual(stage.files.content(recovered.savedFiles[0]!), junk);
    assert.deepEqual(stage.files.content(stage.data), data);
    assert.deepEqual(stage.verify().faults, []);
    stage.goOn();
  });

  it('of both cut off and changed, at random, delivers nothing that is wrong and gives no number twice', (t) => {
    const stage = new Stage(t);
    const random = seeded(SEED);
    for (let run = 0; run < 400; run++) {
      const spoil = (bytes: Buffer) => {
        const cut = random() < 0.5 ? bytes : bytes.subarray(0, Math.floor(random() * (bytes.length + 1)));
        const changed = Buffer.from(cut);
        const from = Math.floor(random() * (cut.length + 1));
        if (random() < 0.5)
          changed.fill(0, from, Math.min(changed.length, from + Math.floor(random() * 200)));
        return changed;
      };
      stage.set(spoil(stage.whole.data), spoil(stage.whole.index));
      assert.ok(stage.recover().nextSeq >= stage.next, `run ${run}`);
      delivered(stage.files, stage.folder);
      if (run % 8 === 0) stage.goOn();
    }
  });
});

describe('a log as it is found on a disk', () => {
  const recover = (folder: string) => recoverLog(folder, REAL_FILES, crc32).recovered;

  function written(t: TestContext): { folder: string; next: number } {
    const folder = join(temporaryFolder(t), 'log');
    const writer = openWriter(folder, 200, undefined);
    let record = 1;
    for (let batch = 0; batch < 9; batch++, record += 2) writer.append(linesOf(record, 2), 2, 1_000);
    writer.close();
    return { folder, next: record };
  }

  const newest = (folder: string, ending: string) =>
    join(
      folder,
      readdirSync(folder)
        .filter((name) => name.endsWith(ending))
        .sort()
        .at(-1)!,
    );

  function goOn(folder: string, next: number): void {
    const writer = openWriter(folder, 200, undefined);
    assert.equal(writer.nextSeq, next);
    writer.append(linesOf(next, 2), 2, 2_000);
    writer.close();
    const read = delivered(REAL_FILES, folder);
    assert.equal(read.get(next + 1), lineOf(next + 1));
    assert.ok(recover(folder).clean);
  }

  it('starts at 1 where there is none, whatever else lies there', (t) => {
    const folder = join(temporaryFolder(t), 'log');
    mkdirSync(folder);
    for (const name of [
      'notes.txt',
      '7.ndjson',
      `${segmentName(5)}.idx`,
      `${segmentName(5)}.ndjson~`,
      'x.seal',
    ])
      writeFileSync(join(folder, name), 'nobody’s\n');
    const { nextSeq, segments, clean, skippedNumbers } = recover(folder);
    assert.deepEqual(
      { nextSeq, segments, clean, skippedNumbers },
      { nextSeq: 1, segments: 0, clean: true, skippedNumbers: 0 },
    );
    goOn(folder, 1);
    assert.equal(readFileSync(join(folder, 'notes.txt'), 'utf8'), 'nobody’s\n');
  });

  it('goes on without a state file, as a Core before wrote none, and without an index', (t) => {
    const { folder, next } = written(t);
    rmSync(join(folder, 'log.state'));
    rmSync(newest(folder, '.idx'));
    goOn(folder, next);
    assert.equal(delivered(REAL_FILES, folder).size, next + 1);
  });

  it('goes on behind a newest segment that is empty, and takes it away', (t) => {
    const { folder, next } = written(t);
    const empty = join(folder, `${segmentName(next)}.ndjson`);
    writeFileSync(empty, '');
    const recovered = recover(folder);
    assert.equal(recovered.nextSeq, next);
    assert.ok(!existsSync(empty));
    writeFileSync(empty, '{"half":');
    goOn(folder, next);
  });

  it('goes on behind segments that are only there compressed', (t) => {
    const { folder, next } = written(t);
    const plain = newest(folder, '.ndjson');
    const base = plain.replace('.ndjson', '');
    rmSync(plain);
    // What is in it does not matter here: it is sealed, so nobody looks.
    writeFileSync(`${base}.ndjson.gz`, 'gzip');
    writeFileSync(`${base}.seal`, JSON.stringify({ next_seq: next }));
    for (const gone of ['log.state', undefined]) {
      if (gone !== undefined) rmSync(join(folder, gone));
      assert.equal(recover(folder).nextSeq, next);
    }
    rmSync(`${base}.idx`);
    goOn(folder, next);
  });

  it('reads lines longer than its pieces', (t) => {
    const folder = join(temporaryFolder(t), 'log');
    const writer = openWriter(folder, 1 << 30, undefined);
    const long = (length: number) => Buffer.from(`{"s":"${'x'.repeat(length)}"}\n`);
    const lines = [long(10), long(3 << 20), long(1 << 20), long(5)];
    for (const line of lines) writer.append(line, 1, 1);
    writer.close();
    rmSync(newest(folder, '.idx'));
    rmSync(join(folder, 'log.state'));
    truncateSync(newest(folder, '.ndjson'), Buffer.concat(lines).length - 1);
    const recovered = recover(folder);
    assert.deepEqual([recovered.nextSeq, recovered.tornBytes], [4, lines[3]!.length - 1]);
  });

  it('takes up records that came behind the index, and writes on behind them', (t) => {
    const { folder, next } = written(t);
    const data = newest(folder, '.ndjson');
    appendFileSync(data, Buffer.concat([linesOf(next, 3), Buffer.from('{"torn":')]));
    const recovered = recover(folder);
    assert.deepEqual([recovered.nextSeq, recovered.tornBytes, recovered.reindexedRecords], [next + 3, 8, 3]);
    goOn(folder, next + 3);
  });
});

it('a newest segment that is sealed counts, also where an older one could not be sealed and is looked at again', (t) => {
  const stage = new KeeperStage(t);
  stage.write(300);
  // The last that the crashed Core got to write down of itself.
  const state = readFileSync(join(stage.folder, STATE_FILE));
  stage.write(300);
  const { nextSeq } = stage.writer;
  stage.end();
  stage.keep();
  const seals = readdirSync(stage.folder).filter((name) => name.endsWith('.seal'));
  assert.equal(seals.length, dataFiles(stage.folder).length, 'all are sealed');
  rmSync(join(stage.folder, seals.sort().at(-2)!));
  writeFileSync(join(stage.folder, STATE_FILE), state);
  assert.equal(recoverLog(stage.folder, REAL_FILES, crc32).recovered.nextSeq, nextSeq);
});
