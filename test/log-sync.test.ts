/**
 * Group commit: what one fsync covers, in which order, and when the next is due; segments that get old; numbers that are
 * reserved; the end of the log read back; and what happens when the disk says no.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { REAL_FILES } from '../src/log/files.js';
import { readState } from '../src/log/reservation.js';
import { isDiskFull, type SegmentWriter, SyncError, type WriterOptions } from '../src/log/segment-writer.js';
import type { Addon } from '../src/native/addon.js';
import { FaultFiles } from './fault-files.js';
import { seeded } from './framer-run.js';
import { SEED } from './frames.js';
import { linesOf, temporaryFolder } from './log-files.js';
import { openWriter } from './open-writer.js';

/** A writer on a file system in memory, and what it told its owner. */
function stage(t: TestContext, options: Partial<WriterOptions> = {}, segmentBytes = 1 << 20) {
  const folder = join(temporaryFolder(t), 'log');
  const files = new FaultFiles(() => 0.5);
  const told: string[] = [];
  const writer: SegmentWriter = openWriter(folder, segmentBytes, undefined, {
    files,
    bootId: Buffer.alloc(16, 7),
    onSyncStart: () => told.push(`start ${writer.nextSeq}`),
    onDurable: () => told.push(`durable ${writer.durableSeq}`),
    onSyncFailed: (error) => told.push(`failed ${error.message}`),
    ...options,
  });
  const append = (count: number) => writer.append(linesOf(writer.nextSeq, count), count, 1_000);
  const settle = () => {
    while (files.finishOne());
  };
  return { folder, files, writer, told, append, settle };
}

describe('group commit', () => {
  it('covers what was appended before it began, and nothing later', (t) => {
    const { writer, told, append, settle } = stage(t);
    append(3);
    writer.sync(1_000);
    append(2);
    assert.equal(writer.durableSeq, 1);
    settle();
    assert.deepEqual(told, ['start 4', 'durable 4']);
    assert.equal(writer.dueInMs(1_010), 40);
    writer.sync(1_049);
    settle();
    assert.equal(told.length, 2, 'not before the interval is over');
    writer.sync(1_050);
    settle();
    assert.deepEqual(told.slice(2), ['start 6', 'durable 6']);
    assert.equal(writer.dueInMs(1_060), Number.POSITIVE_INFINITY, 'nothing waits');
    assert.equal(writer.times.count, 2);
    assert.ok(writer.times.longestMs > 0);
    writer.close();
  });

  it('with "always" goes on as soon as the one before is over', (t) => {
    const { writer, told, append, settle } = stage(t, { fsync: 'always' });
    append(1);
    writer.sync(1_000);
    append(1);
    writer.sync(1_000);
    assert.deepEqual(told, ['start 2'], 'one at a time');
    settle();
    writer.sync(1_000);
    settle();
    assert.deepEqual(told, ['start 2', 'durable 2', 'start 3', 'durable 3']);
    writer.close();
  });

  it('with "never" promises nothing, but finished segments get to the disk', (t) => {
    const { writer, append, settle, files } = stage(t, { fsync: 'never' }, 40);
    const synced: string[] = [];
    files.fault = (call, path) => {
      if (call === 'syncData' && !path.endsWith('.state'))
        synced.push(path.split('/').at(-1)!.replace(/^0+/, ''));
      return undefined;
    };
    append(3);
    append(3);
    append(3);
    writer.sync(1_000);
    assert.equal(writer.durableSeq, writer.nextSeq);
    settle();
    assert.deepEqual(synced, ['1.ndjson', '1.idx', '4.ndjson', '4.idx']);
    writer.close();
  });

  it('does not move past a segment that is finished and not on the disk, however many there are', (t) => {
    const { writer, append, files } = stage(t, {}, 20);
    for (let i = 0; i < 5; i++) append(2);
    const order: string[] = [];
    files.fault = (call, path) => {
      if (call.startsWith('sync')) order.push(path.split('/').at(-1)!.replace(/^0+/, ''));
      return undefined;
    };
    writer.sync(1_000);
    // A roll in the middle of the group.
    append(2);
    append(2);
    for (let before = writer.durableSeq; writer.durableSeq === 1; before = writer.durableSeq) {
      assert.equal(before, 1);
      assert.ok(files.finishOne());
    }
    assert.equal(writer.durableSeq, 11);
    assert.deepEqual(order, [
      ...['1', '3', '5', '7'].flatMap((name) => [`${name}.ndjson`, `${name}.idx`]),
      // By the time its turn came it was finished too.
      ...['9.ndjson', '9.idx', 'log'],
    ]);
    writer.close();
  });

  it('waits for the oldest where too many segments are not on the disk', (t) => {
    const { writer, append, files } = stage(t, {}, 20);
    for (let i = 0; i < LIMITS.unsyncedSegments + 20; i++) append(1);
    const open = files.openFiles.filter((path) => path.endsWith('.ndjson')).length;
    assert.ok(open <= LIMITS.unsyncedSegments + 2, `${open} files are open`);
    writer.close();
    while (files.finishOne());
    assert.deepEqual(files.openFiles, []);
  });

  it('begins the next segment when this one is old, also while nothing comes in, but none that is empty', (t) => {
    const { writer, append } = stage(t, { segmentMs: 1_000 });
    writer.sync(performance.now() + 5_000);
    assert.equal(writer.finishedCount, 0);
    append(2);
    writer.sync(performance.now() + 900);
    assert.deepEqual([writer.segmentCount, writer.finishedCount], [1, 0]);
    writer.sync(performance.now() + 1_000);
    assert.deepEqual([writer.segmentCount, writer.finishedCount], [1, 1]);
    writer.sync(performance.now() + 9_000);
    assert.deepEqual([writer.segmentCount, writer.finishedCount], [1, 1]);
    append(1);
    assert.deepEqual([writer.segmentCount, writer.finishedCount], [2, 1]);
    writer.close();
  });
});

describe('numbers', () => {
  it('are on the disk as reserved before they are used, and renewed ahead', (t) => {
    const { writer, append, folder, files, settle } = stage(t, { reservationBlock: 100 });
    const reserved = () => readState(files, folder)!.reservedSeq;
    for (let i = 0; i < 60; i++) {
      append(7);
      assert.ok(reserved() >= writer.nextSeq, `${reserved()} are reserved, ${writer.nextSeq} is next`);
      writer.sync(1_000 + i * 10);
      if (i % 3 === 0) settle();
    }
    writer.close();
    assert.equal(reserved(), writer.nextSeq, 'after an end in order none is wasted');
  });

  it('that find no room to be reserved hold the append back, and nothing has changed', (t) => {
    const { writer, append, files } = stage(t, { reservationBlock: 10 });
    append(8);
    files.fault = (call, path) => (call === 'write' && path.endsWith('.state') ? 'ENOSPC' : undefined);
    assert.throws(() => append(8), isDiskFull);
    assert.equal(writer.nextSeq, 9);
    files.fault = () => undefined;
    append(8);
    writer.close();
  });
});

describe('the end of the log', () => {
  it('is read from any number on, over segments and out of the middle of batches', (t) => {
    const { writer } = stage(t, {}, 1_500);
    const random = seeded(SEED);
    const all: string[] = [''];
    for (let i = 0; i < 400; i++) {
      const count = 1 + Math.floor(random() * 30);
      const lines = linesOf(writer.nextSeq, count);
      all.push(...lines.toString().split(/(?<=\n)/));
      writer.append(lines, count, 1_000);
      const from = Math.max(1, writer.nextSeq - Math.floor(random() * 200));
      const expected = all.slice(from).join('');
      const bytes = Buffer.byteLength(expected);
      assert.equal(writer.readTail(from, 1 << 20)?.toString(), expected);
      assert.equal(writer.readTail(from, bytes)?.length, bytes);
      if (bytes > 0) assert.equal(writer.readTail(from, bytes - 1), undefined);
    }
    assert.equal(writer.readTail(writer.nextSeq, 0)?.length, 0);
    assert.equal(writer.readTail(writer.nextSeq + 1, 1 << 20), undefined);
    assert.equal(writer.readTail(1, 1 << 20), undefined, 'too far back');
    writer.close();
  });

  it('is not there where a segment was deleted, or came from the Core before', (t) => {
    const first = stage(t, {}, 200);
    for (let i = 0; i < 6; i++) first.append(3);
    first.files.forget(
      first.files.paths
        .filter((path) => path.endsWith('.ndjson'))
        .sort()
        .at(-2)!,
    );
    assert.equal(first.writer.readTail(8, 1 << 20), undefined);
    assert.equal(first.writer.readTail(10, 1 << 20)?.toString(), linesOf(10, 9).toString());
    first.writer.close();
    const second = openWriter(first.folder, 200, undefined, { files: first.files });
    assert.equal(second.readTail(18, 1 << 20), undefined);
    assert.equal(second.readTail(19, 1 << 20)?.length, 0);
    second.close();
  });
});

describe('a disk that says no', () => {
  it('to an fsync ends the log: nothing more is said to be durable, and the next start knows', (t) => {
    for (const code of ['EIO', 'ENOSPC']) {
      const { writer, append, files, told, settle, folder } = stage(t);
      append(3);
      writer.sync(1_000);
      files.fault = (call) => (call === 'syncData' ? code : undefined);
      settle();
      files.fault = () => undefined;
      append(1);
      writer.sync(9_000);
      settle();
      assert.deepEqual(told, ['start 4', `failed fsync: ${code}: injected`]);
      assert.equal(writer.durableSeq, 1);
      writer.close();
      const state = readState(files, folder)!;
      assert.deepEqual([state.clean, state.fsyncFailed], [false, true]);
    }
  });

  it('to pages that are written back for the page cache is heard: an fsync would not tell of it again', (t) => {
    const addon = {
      trim: (_file: number, _offset: number, _length: number, done: (errno: number) => void) => done(5),
    } as unknown as Addon;
    const { writer, told } = stage(t, { addon, files: REAL_FILES }, 1 << 30);
    const lines = Buffer.from(`{"s":"${'x'.repeat(4 << 20)}"}\n`);
    for (let i = 0; i < 9; i++) writer.append(lines, 1, 1);
    assert.match(told.join(), /failed fsync: .*errno 5/);
    assert.equal(writer.durableSeq, 1);
  });

  it('to an fsync at the end is not an end in order', (t) => {
    const { writer, append, files, folder } = stage(t);
    append(3);
    files.fault = (call) => (call === 'syncDataNow' ? 'ENOSPC' : undefined);
    assert.throws(
      () => writer.close(),
      (error) => error instanceof SyncError && !isDiskFull(error),
    );
    assert.ok(!readState(files, folder)!.clean);
  });

  it('to half of an append leaves nothing of it behind, where something shorter comes in its place', (t) => {
    const { writer, append, files, folder } = stage(t);
    append(1);
    files.fault = (call, path) => (call === 'write' && path.endsWith('.ndjson') ? 'ENOSPC' : undefined);
    assert.throws(() => append(100), isDiskFull);
    files.fault = () => undefined;
    append(1);
    const data = files.open(join(folder, '00000000000000000001.ndjson'), 'r');
    assert.equal(files.size(data), writer.end.bytes);
    files.close(data);
    writer.close();
  });

  it('to the index is no reason to keep data from the disk, and passes', (t) => {
    const { writer, append, files, told, settle } = stage(t, {}, 1 << 20);
    append(200);
    files.fault = (call, path) => (call === 'write' && path.endsWith('.idx') ? 'ENOSPC' : undefined);
    writer.sync(1_000);
    settle();
    assert.deepEqual(told, ['start 201', 'durable 201']);
    assert.throws(() => writer.flushIndex(), isDiskFull);
    files.fault = () => undefined;
    writer.flushIndex();
    writer.close();
  });
});
