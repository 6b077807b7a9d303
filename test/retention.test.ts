/**
 * Retention: by size, age and free disk, the oldest segments first, never what a consumer needs unless it is forced, never the
 * newest. What is left can still be verified, back to what was deleted.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bytesOf, type KeptSegment } from '../src/keeper/log-folder.js';
import { judge, type RetentionRules } from '../src/keeper/retention.js';
import { type LogFiles, REAL_FILES } from '../src/log/files.js';
import { decodeRetentionSeal, decodeSeal, keyIdOf, RETENTION_SEAL, sealFileName } from '../src/log/seal.js';
import { AGGREGATOR } from '../src/memory/counters.js';
import { SEED } from './frames.js';
import { KeeperStage } from './keeper-stage.js';
import { dataFiles } from './log-files.js';

const HOUR_MS = 3_600_000;

function sizeOf(folder: string): number {
  return readdirSync(folder)
    .filter((name) => /^\d{20}\./.test(name))
    .reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

function seqsOf(folder: string): number[] {
  return dataFiles(folder).map((name) => Number(name.slice(0, 20)));
}

describe('retention', () => {
  it('by size: deletes whole segments, the oldest first, until the log is small enough', (t) => {
    const stage = new KeeperStage(t);
    stage.write(900);
    const before = seqsOf(stage.folder);
    const limit = Math.floor(sizeOf(stage.folder) / 2);
    const { state } = stage.keep({ retention_bytes: limit });
    const after = seqsOf(stage.folder);
    assert.deepEqual(after, before.slice(-after.length), 'the newest are kept');
    assert.ok(after.length < before.length && after.length > 1);
    assert.ok(sizeOf(stage.folder) <= limit);
    assert.ok(sizeOf(stage.folder) + stage.toldOf('deleted').at(-1)!.bytes > limit, 'and no more than that');
    const deleted = stage.toldOf('deleted');
    assert.deepEqual(
      deleted.map(({ segment, why, forced }) => ({ segment, why, forced })),
      before.slice(0, -after.length).map((segment) => ({ segment, why: 'retention_bytes', forced: null })),
    );
    assert.equal(state.firstSeq, after[0]);
    assert.equal(state.deletedSegments, deleted.length);
    assert.equal(state.deletedRecords, after[0]! - 1);
    assert.equal(
      state.deletedBytes,
      deleted.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    // Nothing of them is left beside.
    for (const name of readdirSync(stage.folder))
      assert.ok(!/^\d{20}\./.test(name) || Number(name.slice(0, 20)) >= after[0]!, name);
  });

  it('by age: what is older than the limit, told by its newest record', (t) => {
    const stage = new KeeperStage(t);
    const nowMs = Date.now();
    stage.write(300, nowMs - 3 * HOUR_MS);
    const old = stage.writer.nextSeq;
    stage.write(300, nowMs - HOUR_MS);
    const before = seqsOf(stage.folder);
    stage.keep({ retention_seconds: 2 * 3600 });
    const after = seqsOf(stage.folder);
    // The segment with the first of the younger ones stays.
    assert.equal(
      after[0],
      before.findLast((seq) => seq <= old),
    );
    assert.ok(stage.toldOf('deleted').every(({ why }) => why === 'retention_seconds'));
  });

  it('by free disk: everything goes but the newest, where nothing else helps', (t) => {
    const stage = new KeeperStage(t);
    stage.write(600);
    stage.end();
    stage.keep({ retention_free_bytes: Number.MAX_SAFE_INTEGER });
    assert.equal(dataFiles(stage.folder).length, 1);
    assert.ok(stage.toldOf('deleted').every(({ why }) => why === 'retention_free_bytes'));
    // And a Core that starts on it goes on where it was.
    const next = stage.writer.nextSeq;
    stage.restart();
    assert.equal(stage.writer.nextSeq, next);
  });

  it('deletes nothing before it knows what consumers need', (t) => {
    const stage = new KeeperStage(t);
    stage.write(600);
    const before = dataFiles(stage.folder);
    const keeper = stage.keeper({ retention_bytes: 1 });
    stage.run(keeper);
    assert.deepEqual(dataFiles(stage.folder), before);
    keeper.useCursor(null);
    stage.run(keeper);
    assert.equal(dataFiles(stage.folder).length, 1);
  });

  it('is held by the oldest cursor, says by whose, and goes on when it moves', (t) => {
    const stage = new KeeperStage(t);
    stage.write(900);
    const before = seqsOf(stage.folder);
    const keeper = stage.keeper({ retention_bytes: 1 });
    // Somewhere in the third segment.
    keeper.useCursor({ name: 'siem', nextSeq: before[2]! + 3 });
    stage.run(keeper);
    assert.deepEqual(seqsOf(stage.folder), before.slice(2));
    assert.equal(keeper.state.heldBy, 'siem');
    assert.equal(stage.toldOf('state').at(-1)!.state.heldBy, 'siem');
    // The last record of it is acknowledged.
    keeper.useCursor({ name: 'siem', nextSeq: before[3]! });
    stage.run(keeper);
    assert.deepEqual(seqsOf(stage.folder), before.slice(3));
    keeper.useCursor(null);
    stage.run(keeper);
    assert.equal(dataFiles(stage.folder).length, 1);
    assert.equal(keeper.state.heldBy, null);
    assert.equal(keeper.state.forcedRecords, 0);
  });

  it('where it is forced it deletes what a consumer needs, and counts it', (t) => {
    const stage = new KeeperStage(t);
    stage.write(900);
    const before = seqsOf(stage.folder);
    const keeper = stage.keeper({ retention_bytes: 1, retention_force: true });
    keeper.useCursor({ name: 'siem', nextSeq: before[1]! + 5 });
    stage.run(keeper);
    const newest = before.at(-1)!;
    assert.deepEqual(seqsOf(stage.folder), [newest]);
    assert.equal(keeper.state.forcedRecords, newest - before[1]! - 5);
    const forced = stage.toldOf('deleted').map(({ forced }) => forced);
    assert.deepEqual(forced, [null, ...before.slice(1, -1).map(() => 'siem')]);
  });

  it('deletes what the disk cannot read any more, too, and seals what comes behind it', (t) => {
    const stage = new KeeperStage(t);
    stage.write(900);
    const before = seqsOf(stage.folder);
    const broken = new Set<number>();
    const files: LogFiles = {
      ...REAL_FILES,
      open(path, flags, mode) {
        const file = REAL_FILES.open(path, flags, mode);
        if (path.endsWith(dataFiles(stage.folder)[0]!) && seqsOf(stage.folder)[0] === before[0])
          broken.add(file);
        else broken.delete(file);
        return file;
      },
      read(file, ...rest) {
        if (broken.has(file)) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
        return REAL_FILES.read(file, ...rest);
      },
    };
    const keeper = stage.keep({}, { files });
    assert.equal(stage.toldOf('trouble').length, 1, 'it says so once');
    assert.deepEqual(
      stage.toldOf('sealed').map(({ segment }) => segment),
      before.slice(1, -1),
    );
    assert.equal(keeper.state.trouble, null);
    stage.keep({ retention_bytes: 1 }, { files });
    assert.deepEqual(seqsOf(stage.folder), before.slice(-1));
  });

  it('leaves a chain that begins at what was deleted, signed as the seals are', (t) => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const key = { privateKey, keyId: keyIdOf(publicKey) };
    const stage = new KeeperStage(t);
    stage.write(600);
    stage.keep({}, { key });
    const before = seqsOf(stage.folder);
    const seals = before.slice(0, -1).map((seq) => {
      return decodeSeal(readFileSync(join(stage.folder, sealFileName(seq)), 'utf8'))!;
    });
    stage.keep({ retention_bytes: Math.floor(sizeOf(stage.folder) / 2) }, { key });
    stage.write(300);
    stage.end();
    stage.keep({ retention_bytes: Math.floor(sizeOf(stage.folder) / 2) }, { key });
    const [oldest] = seqsOf(stage.folder);
    const path = join(stage.folder, RETENTION_SEAL);
    const gone = decodeRetentionSeal(readFileSync(path, 'utf8'))!;
    assert.equal(gone.nextSeq, oldest);
    const known = seals.find(({ nextSeq }) => nextSeq === oldest);
    if (known !== undefined) assert.equal(gone.chain, known.chain);
    assert.equal(gone.segments, stage.toldOf('deleted').length);
    const report = stage.verify([publicKey]);
    assert.deepEqual(report.faults, []);
    assert.deepEqual(report.deleted, { segments: gone.segments, next_seq: oldest, bytes: gone.bytes });
    // Somebody deletes more, and says that it was retention.
    writeFileSync(path, readFileSync(path, 'utf8').replace('"segments":', '"segments":1'));
    assert.deepEqual(
      stage.verify([publicKey]).faults.map(({ kind }) => kind),
      ['signature'],
    );
  });

  it('seals a segment before it goes, also while so much comes in that sealing waits', (t) => {
    const stage = new KeeperStage(t);
    stage.write(900);
    const waiting = stage.keeper();
    stage.counters[AGGREGATOR.bytes_logged]! += 2 ** 40;
    stage.run(waiting, () => stage.told.length > 0);
    assert.ok(!waiting.step(0), 'it waits');
    const keeper = stage.keeper({ retention_bytes: 8_000 });
    keeper.useCursor(null);
    stage.counters[AGGREGATOR.bytes_logged]! += 2 ** 40;
    stage.run(keeper, () => stage.toldOf('deleted').length === 3);
    const deleted = stage.toldOf('deleted').map(({ segment }) => segment);
    const sealed = stage.toldOf('sealed').map(({ segment }) => segment);
    assert.equal(deleted.length, 3);
    assert.deepEqual(sealed, deleted, 'only what goes is sealed');
    assert.deepEqual(stage.verify().faults, []);
  });

  it('does not believe a retention.seal that would have it delete more than one segment', (t) => {
    const stage = new KeeperStage(t);
    stage.write(600);
    stage.keep({ retention_bytes: sizeOf(stage.folder) - 1 });
    const path = join(stage.folder, RETENTION_SEAL);
    assert.ok(existsSync(path));
    const before = dataFiles(stage.folder);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"next_seq":\d+/, '"next_seq":100000'));
    stage.keep();
    assert.deepEqual(dataFiles(stage.folder), before);
    assert.match(stage.toldOf('trouble').at(-1)!.message, /left as it is/);
  });

  it('judges as its rules say, whatever the log', () => {
    const segment = fc.record({
      bytes: fc.nat(1000),
      ageSeconds: fc.nat(1000),
      records: fc.integer({ min: 1, max: 50 }),
    });
    const log = fc.array(segment, { maxLength: 8 });
    const limit = fc.oneof(fc.constant(0), fc.nat(4000));
    const rules = fc.record({
      retention_bytes: limit,
      retention_seconds: limit,
      retention_free_bytes: limit,
      retention_force: fc.boolean(),
    });
    const cursor = fc.option(fc.nat(400));
    fc.assert(
      fc.property(log, rules, cursor, fc.nat(4000), (some, given: RetentionRules, at, freeBytes) => {
        let seq = 1;
        const ends = new Map<KeptSegment, { nextSeq: number; lastMs: number }>();
        const segments = some.map(({ bytes, ageSeconds, records }) => {
          const kept: KeptSegment = {
            firstSeq: seq,
            plainBytes: bytes,
            gzipBytes: undefined,
            besideBytes: 0,
            seal: undefined,
            firstMs: null,
            lastMs: null,
            unsealable: false,
          };
          seq += records;
          ends.set(kept, { nextSeq: seq, lastMs: -ageSeconds * 1000 });
          return kept;
        });
        const totalBytes = segments.reduce((sum, kept) => sum + bytesOf(kept), 0);
        const verdict = judge(given, {
          deletable: segments.slice(0, -1),
          totalBytes,
          freeBytes,
          nowMs: 0,
          cursor: at === null ? null : { name: 'c', nextSeq: at },
          lastMsOf: (kept) => ends.get(kept)!.lastMs,
          nextSeqOf: (kept) => ends.get(kept)!.nextSeq,
        });
        const [oldest] = segments.slice(0, -1);
        const due =
          oldest !== undefined &&
          ((given.retention_bytes > 0 && totalBytes > given.retention_bytes) ||
            (given.retention_free_bytes > 0 && freeBytes < given.retention_free_bytes) ||
            (given.retention_seconds > 0 && -ends.get(oldest)!.lastMs > given.retention_seconds * 1000));
        const needed = oldest !== undefined && at !== null && at < ends.get(oldest)!.nextSeq;
        const expected = !due ? 'nothing' : needed && !given.retention_force ? 'hold' : 'delete';
        assert.equal(verdict.do, expected);
        if (verdict.do === 'delete') {
          assert.equal(verdict.segment, oldest);
          assert.equal(verdict.forced !== undefined, needed);
        }
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});
