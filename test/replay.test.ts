/**
 * The reader thread: every feed gives exactly what is in the log, in order and with its numbers, or says what is missing. The log
 * is written by the real writer in this thread, and damaged, compressed and deleted under the reader's feet.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MessagePort } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { LIMITS } from '../src/limits.js';
import { Catalog } from '../src/log/catalog.js';
import { type LogFiles, REAL_FILES } from '../src/log/files.js';
import { decodeIndexEntry, INDEX_ENTRY_BYTES, INDEX_HEADER_BYTES, segmentName } from '../src/log/format.js';
import { encodeGzipIndex, gzipFileName, gzipIndexFileName } from '../src/log/gzip-index.js';
import { LogCursor, OpenSegments } from '../src/log/log-cursor.js';
import type { Filter } from '../src/query/filter.js';
import type { FeedItem } from '../src/replay/log-reader.js';
import type { NodeName } from '../src/replay/messages.js';
import { ReaderThread } from '../src/replay/reader-thread.js';
import { poll, within } from './deadline.js';
import { makeEvent, makeFilter, wants } from './event-maker.js';
import { seeded } from './framer-run.js';
import { EVERYTHING, LogStage, linesOf, MODE, splitLines } from './log-stage.js';

const NO_FILTER: Filter = {
  nodes: undefined,
  pots: undefined,
  potTypes: undefined,
  eventTypes: undefined,
  text: undefined,
  sinceMs: undefined,
  untilMs: undefined,
  eventsOnly: false,
};

function line(i: number): string {
  return `{"version":2,"message":{"PotEvent":{"node_id":${1 + (i % 3)},"n":${i},"pad":"${'x'.repeat(i % 97)}"}}}`;
}

async function withStage(segmentBytes: number, work: (stage: LogStage) => Promise<void>): Promise<void> {
  const stage = new LogStage(segmentBytes);
  try {
    await work(stage);
  } finally {
    await stage.close();
  }
}

/** Batches of a few lines, up to `count` lines in all. */
function fill(stage: LogStage, count: number, make: (i: number) => string = line): void {
  while (stage.lines.length < count) {
    const batch = [];
    const size = 1 + (stage.lines.length % 7);
    for (let n = 0; n < size && stage.lines.length + n < count; n++) batch.push(make(stage.lines.length + n));
    stage.append(batch);
  }
}

function firstSeqs(stage: LogStage): number[] {
  return readdirSync(stage.folder)
    .filter((name) => name.endsWith('.ndjson'))
    .map((name) => Number(name.slice(0, 20)))
    .sort((a, b) => a - b);
}

/** Every chunk and gap begins where the one before ended; what is not told as missing is there, under its number. */
function check(stage: LogStage, items: readonly FeedItem[], from: number, to: number): Map<number, string> {
  const got = new Map<number, string>();
  let at = from;
  for (const item of items) {
    if (item.type === 'fault') assert.fail(item.message);
    if (item.type === 'idle' || item.type === 'end') continue;
    assert.equal(item.firstSeq, at, 'begins where the one before ended');
    if (item.type === 'chunk') {
      const lines = splitLines(item.lines);
      assert.equal(lines.length, item.nextSeq - item.firstSeq);
      assert.equal(item.records, lines.length);
      for (const [i, text] of lines.entries()) {
        assert.equal(text, stage.lines[at - 1 + i], `record ${at + i}`);
        got.set(at + i, text);
      }
    }
    at = item.nextSeq;
  }
  assert.equal(at, to);
  return got;
}

function gapsOf(items: readonly FeedItem[]): [number, number, string][] {
  return items.flatMap((item) =>
    item.type === 'gap' ? [[item.firstSeq, item.nextSeq, item.reason] as [number, number, string]] : [],
  );
}

test('from every record on, over segments, forwards and backwards: everything, nothing else', () =>
  withStage(2_000, async (stage) => {
    fill(stage, 120);
    for (let seq = 1; seq <= 121; seq += 3) {
      const from = { kind: 'seq', seq } as const;
      check(stage, await stage.all({ from }), seq, 121);
      const pages = await stage.all({ from, backwards: true, maxRecords: 1 + (seq % 9), numbered: true });
      assert.deepEqual(linesOf(pages), stage.lines.slice(0, seq - 1).reverse(), `before ${seq}`);
      const seqs = pages.flatMap((item) => (item.type === 'chunk' ? [...item.seqs!] : []));
      assert.deepEqual(
        seqs,
        Array.from({ length: seq - 1 }, (_, i) => seq - 1 - i),
      );
    }
  }));

test('by time: from the first batch that may hold what was received then or later', () =>
  withStage(1_500, async (stage) => {
    for (let i = 0; i < 60; i++) stage.append([line(i)], 1_000_000 + i * 5_000);
    stage.writer.flushIndex();
    for (const at of [0, 1, 17, 42, 59]) {
      for (const [timeMs, first] of [
        [1_000_000 + at * 5_000, at],
        [1_000_000 + at * 5_000 - 1, at],
        // Records of a batch have the time of its first one.
        [1_000_000 + at * 5_000 + LIMITS.indexBatchMs, at],
        [1_000_000 + at * 5_000 + LIMITS.indexBatchMs + 1, at + 1],
      ] as const) {
        const items = await stage.all({ from: { kind: 'time', timeMs } });
        assert.deepEqual(linesOf(items), stage.lines.slice(first), `from ${timeMs}`);
      }
    }
    const filter = { ...NO_FILTER, sinceMs: 1_000_000 + 20 * 5_000, untilMs: 1_000_000 + 31 * 5_000 };
    for (const backwards of [false, true]) {
      const items = await stage.all({ filter, backwards, from: { kind: backwards ? 'latest' : 'earliest' } });
      const wanted = stage.lines.slice(20, 31);
      assert.deepEqual(linesOf(items), backwards ? wanted.reverse() : wanted);
    }
  }));

test('a client that asks when it likes, while more is written: no gap, no duplicate', () =>
  withStage(20_000, async (stage) => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = seeded(seed);
      const from = stage.writer.nextSeq;
      const feed = stage.reader.open({ ...EVERYTHING, from: { kind: 'seq', seq: from }, follow: true });
      const items: FeedItem[] = [];
      const target = from + 2_000;
      let reached = from;
      while (reached < target) {
        if (stage.writer.nextSeq < target && random() < 0.7)
          stage.append(Array.from({ length: 1 + Math.floor(random() * 60) }, (_, i) => line(i)));
        if (reached < stage.writer.nextSeq && random() < 0.6) {
          const item = await within(`more than ${reached} of ${stage.writer.nextSeq}`, feed.next());
          items.push(item);
          if (item.type !== 'fault') reached = item.nextSeq;
        }
      }
      feed.close();
      check(stage, items, from, reached);
    }
  }));

test('filters: what a naive reader would let pass, numbered, in chunks of any size, both ways', () =>
  withStage(30_000, async (stage) => {
    const random = seeded(7);
    const events = Array.from({ length: 700 }, () => makeEvent(random));
    fill(stage, events.length, (i) => events[i]!.line);
    let passed = 0;
    for (let round = 0; round < 60; round++) {
      const filter = makeFilter(random);
      const maxRecords = random() < 0.5 ? 1 + Math.floor(random() * 20) : 0;
      const backwards = random() < 0.4;
      const items = await stage.all({
        filter,
        maxRecords,
        backwards,
        numbered: true,
        from: { kind: backwards ? 'latest' : 'earliest' },
      });
      const wanted = events.flatMap((event, i) => (wants(filter, event) ? [i + 1] : []));
      if (backwards) wanted.reverse();
      const seqs = items.flatMap((item) => (item.type === 'chunk' ? [...item.seqs!] : []));
      const told = `round ${round} ${JSON.stringify(filter)}`;
      assert.deepEqual(seqs, wanted, told);
      assert.deepEqual(
        linesOf(items),
        wanted.map((seq) => stage.lines[seq - 1]),
        told,
      );
      for (const item of items)
        if (item.type === 'chunk') assert.ok(maxRecords === 0 || item.records <= maxRecords);
      passed += seqs.length;
    }
    assert.ok(passed > 1_000, `only ${passed}`);
  }));

test('a changed byte costs its batch, which is named; all else is there', () =>
  withStage(3_000, async (stage) => {
    fill(stage, 150);
    stage.writer.flushIndex();
    const seqs = firstSeqs(stage);
    const victim = join(stage.folder, `${segmentName(seqs[1]!)}.ndjson`);
    const good = readFileSync(victim);
    const damaged = Buffer.from(good);
    damaged[Math.floor(good.length / 2)]! ^= 1;
    writeFileSync(victim, damaged);
    const items = await stage.all();
    const gaps = gapsOf(items);
    assert.equal(gaps.length, 1);
    const [first, next, reason] = gaps[0]!;
    assert.equal(reason, 'damaged');
    assert.ok(first >= seqs[1]! && next <= seqs[2]!, `${first} to ${next}`);
    const got = check(stage, items, 1, 151);
    assert.equal(got.size, 150 - (next - first));
    const back = await stage.all({ backwards: true, from: { kind: 'latest' } });
    assert.deepEqual(gapsOf(back), [[next, first, 'damaged']]);
    assert.equal(linesOf(back).length, got.size);
  }));

test('an index that is missing, cut off, or has holes: the lines are counted instead', () =>
  withStage(3_000, async (stage) => {
    fill(stage, 200);
    stage.writer.flushIndex();
    const seqs = firstSeqs(stage);
    const index = (at: number) => join(stage.folder, `${segmentName(seqs[at]!)}.idx`);
    rmSync(index(0));
    const cut = readFileSync(index(1));
    writeFileSync(index(1), cut.subarray(0, INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES + 11));
    const holed = readFileSync(index(2));
    holed[INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES * 0 + 3]! ^= 0x40;
    writeFileSync(index(2), holed);
    writeFileSync(index(3), 'no index at all');
    for (const seq of [1, 2, seqs[1]! + 1, seqs[2]!, seqs[2]! + 1, seqs[3]! + 3, 199, 201])
      assert.equal(check(stage, await stage.all({ from: { kind: 'seq', seq } }), seq, 201).size, 201 - seq);
    const back = await stage.all({ backwards: true, from: { kind: 'latest' } });
    assert.deepEqual(linesOf(back), [...stage.lines].reverse());
  }));

test('deleted under its feet: the range is named, and it goes on behind it', () =>
  withStage(3_000, async (stage) => {
    fill(stage, 300);
    const seqs = firstSeqs(stage);
    const feed = stage.reader.open({ ...EVERYTHING, from: { kind: 'seq', seq: 1 }, maxRecords: 5 });
    const items = [await within('a chunk', feed.next())];
    for (const seq of seqs.slice(0, 4))
      for (const ending of ['ndjson', 'idx']) rmSync(join(stage.folder, `${segmentName(seq)}.${ending}`));
    // Open files are closed a moment after they were last read.
    await poll('the first segment is not open any more', async () => {
      const [first] = await stage.all({ from: { kind: 'seq', seq: 1 } });
      return first?.type === 'gap' ? true : undefined;
    });
    for (;;) {
      const item = await within('an item', feed.next());
      items.push(item);
      if (item.type === 'end') break;
    }
    check(stage, items, 1, 301);
    const gaps = gapsOf(items);
    assert.deepEqual(
      gaps.map(([, next, reason]) => [next, reason]),
      [[seqs[4], 'retention']],
    );
    const [earliest] = await stage.all();
    assert.ok(earliest?.type === 'chunk' && earliest.firstSeq === seqs[4]);
  }));

test('numbers that nobody got are told as lost', () =>
  withStage(1_000_000, async (stage) => {
    fill(stage, 20);
    stage.writer.close();
    const hole = 1_000;
    // As after a loss of power: the next number is the reserved one.
    writeFileSync(join(stage.folder, `${segmentName(hole)}.ndjson`), `${line(1)}\n${line(2)}\n`);
    stage.setNext(hole + 2);
    const items = await stage.all();
    assert.deepEqual(gapsOf(items), [[21, hole, 'lost']]);
    assert.deepEqual(linesOf(items), [...stage.lines, line(1), line(2)]);
    const back = await stage.all({ backwards: true, from: { kind: 'latest' } });
    assert.deepEqual(gapsOf(back), [[hole, 21, 'lost']]);
  }));

test('compressed segments read as before, with their member index and without', () =>
  withStage(400_000, async (stage) => {
    fill(stage, 12_000);
    stage.writer.flushIndex();
    const seqs = firstSeqs(stage);
    assert.ok(seqs.length >= 3);
    for (const [at, seq] of seqs.slice(0, 2).entries()) {
      const plain = join(stage.folder, `${segmentName(seq)}.ndjson`);
      const content = readFileSync(plain);
      const cuts = entryOffsets(join(stage.folder, `${segmentName(seq)}.idx`)).filter(
        (_, i, all) => i === 0 || i % 50 === 0 || i === all.length - 1,
      );
      const members = cuts.map((offset, i) =>
        gzipSync(content.subarray(offset, cuts[i + 1] ?? content.length)),
      );
      let packed = 0;
      const compressedOffsets = members.map((member) => {
        packed += member.length;
        return packed - member.length;
      });
      writeFileSync(join(stage.folder, gzipFileName(seq)), Buffer.concat(members));
      if (at === 0)
        writeFileSync(
          join(stage.folder, gzipIndexFileName(seq)),
          encodeGzipIndex({
            offsets: Float64Array.from(cuts),
            compressedOffsets: Float64Array.from(compressedOffsets),
            uncompressedBytes: content.length,
            compressedBytes: packed,
          }),
        );
      rmSync(plain);
    }
    for (const seq of [1, 77, seqs[1]! - 1, seqs[1]!, seqs[1]! + 500, seqs[2]! + 1])
      check(stage, await stage.all({ from: { kind: 'seq', seq } }), seq, 12_001);
  }));

test('a reader that dies: its feeds say so, the next one serves', () =>
  withStage(100_000, async (stage) => {
    fill(stage, 50);
    const feed = stage.reader.open({ ...EVERYTHING, follow: true });
    await within('a chunk', feed.next());
    stage.reader.die();
    const port = stage.port;
    for (;;) {
      const item = await within('a fault', feed.next());
      if (item.type !== 'fault') continue;
      assert.equal(item.kind, 'failed');
      break;
    }
    await poll('the next reader', () => (stage.deaths === 1 && stage.port !== port ? true : undefined));
    check(stage, await stage.all(), 1, 51);
  }));

function entryOffsets(file: string): number[] {
  const bytes = readFileSync(file);
  const offsets: number[] = [];
  for (let at = INDEX_HEADER_BYTES; at + INDEX_ENTRY_BYTES <= bytes.length; at += INDEX_ENTRY_BYTES)
    offsets.push(decodeIndexEntry(bytes, at)!.offsetBytes);
  return offsets;
}

test('as many as there may be consumers have a place, and who comes when all are taken is told so', () =>
  withStage(100_000, async (stage) => {
    fill(stage, 5);
    const reader = new ReaderThread(
      stage.folder,
      MODE,
      stage.counters,
      { useReader: (port) => port.unref(), nodeNames: () => [], onDeath: assert.fail },
      700,
    );
    try {
      const items = [];
      for (let feed = 0; feed < 700 + LIMITS.rawBackends + LIMITS.restFeeds + 1; feed++)
        items.push(reader.open({ ...EVERYTHING, filter: NO_FILTER, follow: true }).next());
      const last = await within('the last one', items.pop()!);
      assert.ok(last.type === 'fault' && last.kind === 'busy');
      for (const item of await within('the others', Promise.all(items))) assert.equal(item.type, 'chunk');
    } finally {
      await reader.close();
    }
  }));

test('a reader that is started again is not told what the one before had asked for', () =>
  withStage(100_000, async (stage) => {
    stage.append(['{"version":2,"message":{"NodeStatusUpdate":{"node_id":7,"status":"Running"}}}']);
    let questions = 0;
    function* nodeNames(): Iterable<readonly NodeName[]> {
      if (++questions === 1) {
        // Goes on until the next reader has asked, under the same number, and is over first.
        while (questions === 1) yield [{ id: '7', name: 'before', sinceSeq: 1 }];
        return;
      }
      for (let part = 0; part < 50; part++) yield [];
      yield [{ id: '7', name: 'now', sinceSeq: 1 }];
    }
    let deaths = 0;
    const useReader = (port: MessagePort) => port.unref();
    const reader = new ReaderThread(stage.folder, MODE, stage.counters, {
      useReader,
      nodeNames,
      onDeath: () => deaths++,
    });
    try {
      const first = reader.open({ ...EVERYTHING, filter: { ...NO_FILTER, nodes: ['before'] } }).next();
      await poll('it asks', () => questions === 1 || undefined);
      reader.die();
      assert.equal((await within('its end', first)).type, 'fault');
      await poll('it has died', () => deaths === 1 || undefined);
      const item = await poll('an answer of the next one', async () => {
        const got = await reader.open({ ...EVERYTHING, filter: { ...NO_FILTER, nodes: ['before'] } }).next();
        return got.type === 'fault' ? undefined : got;
      });
      assert.equal(item.type, 'end', 'there is no such node now');
    } finally {
      await reader.close();
    }
  }));

test('a listing that was made while a segment was compressed does not hide it', () =>
  withStage(1_000, async (stage) => {
    fill(stage, 60);
    const [, compressed] = firstSeqs(stage);
    let listings = 0;
    const catalog = new Catalog(stage.folder, {
      ...REAL_FILES,
      list: (folder) => {
        const names = REAL_FILES.list(folder);
        // The second one is too late for the old name, and too early for the new one.
        return ++listings === 2 ? names.filter((name) => !name.startsWith(segmentName(compressed!))) : names;
      },
    });
    assert.equal(catalog.refresh(), false);
    assert.deepEqual(catalog.segments, firstSeqs(stage));
    rmSync(join(stage.folder, `${segmentName(compressed!)}.ndjson`));
    assert.equal(catalog.refresh(), true);
    assert.deepEqual(catalog.segments, firstSeqs(stage));
  }));

test('nor one that nobody had seen before: its records are not told to be lost', () =>
  withStage(1_000, async (stage) => {
    fill(stage, 60);
    const [first, compressed] = firstSeqs(stage);
    writeFileSync(join(stage.folder, `${segmentName(compressed!)}.seal`), '');
    let listings = 0;
    const catalog = new Catalog(stage.folder, {
      ...REAL_FILES,
      list: (folder) => {
        const names = REAL_FILES.list(folder);
        listings++;
        // Before the others were begun; then while the second one is compressed.
        if (listings === 1) return names.filter((name) => name.startsWith(segmentName(first!)));
        return listings === 2 ? names.filter((name) => name !== `${segmentName(compressed!)}.ndjson`) : names;
      },
    });
    const segments = new OpenSegments(catalog, undefined);
    const cursor = new LogCursor(segments, 1);
    const kinds = new Set<string>();
    for (let kind = ''; kind !== 'end'; kinds.add(kind))
      kind = cursor.next(61, 1_000_000, 0, (bytes) => new Uint8Array(bytes)).kind;
    segments.close();
    assert.deepEqual([...kinds], ['lines', 'end']);
  }));

test('a segment whose index cannot be opened leaves no descriptor behind', () =>
  withStage(100_000, async (stage) => {
    fill(stage, 5);
    const open = new Set<number>();
    const segments = new OpenSegments(new Catalog(stage.folder), undefined, {
      ...REAL_FILES,
      open(path, flags, mode) {
        if (path.endsWith('.idx')) throw Object.assign(new Error('EMFILE: too many'), { code: 'EMFILE' });
        const file = REAL_FILES.open(path, flags, mode);
        open.add(file);
        return file;
      },
      close(file) {
        open.delete(file);
        REAL_FILES.close(file);
      },
    });
    assert.throws(() => segments.get(1), /EMFILE/);
    assert.equal(open.size, 0);
    segments.close();
  }));

test('an index that the disk cannot read costs nothing: lines are counted', () =>
  withStage(4_000, async (stage) => {
    fill(stage, 120);
    const bad = new Set<number>();
    const files: LogFiles = {
      ...REAL_FILES,
      open(path, flags, mode) {
        const file = REAL_FILES.open(path, flags, mode);
        if (path.endsWith('.idx')) bad.add(file);
        else bad.delete(file);
        return file;
      },
      read(file, bytes, start, length, position) {
        // Once behind its header, once with it.
        if (bad.has(file) && position >= beginsAt)
          throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
        return REAL_FILES.read(file, bytes, start, length, position);
      },
    };
    let beginsAt = 1;
    for (; beginsAt >= 0; beginsAt--) {
      const segments = new OpenSegments(new Catalog(stage.folder, files), undefined, files);
      const cursor = new LogCursor(segments, 1);
      const got: string[] = [];
      for (;;) {
        let target = new Uint8Array(0);
        const step = cursor.next(121, 1_000_000, 0, (bytes) => {
          target = new Uint8Array(bytes);
          return target;
        });
        if (step.kind === 'end') break;
        assert.equal(step.kind, 'lines');
        if (step.kind === 'lines')
          for (const { start, end } of step.stretches) got.push(...splitLines(target.subarray(start, end)));
      }
      segments.close();
      assert.deepEqual(got, stage.lines);
    }
  }));

test('a place that the disk cannot read costs the batch it is in', () =>
  withStage(1_000_000, async (stage) => {
    for (let batch = 1; batch <= 9; batch++) {
      fill(stage, batch * 10);
      stage.writer.flushIndex();
    }
    const [first] = firstSeqs(stage);
    assert.ok(entryOffsets(join(stage.folder, `${segmentName(first!)}.idx`)).length > 3);
    // A disk with one bad place.
    const bad = 5_000;
    const data = new Set<number>();
    const files: LogFiles = {
      ...REAL_FILES,
      open(path, flags, mode) {
        const file = REAL_FILES.open(path, flags, mode);
        if (path.endsWith('.ndjson')) data.add(file);
        return file;
      },
      close(file) {
        data.delete(file);
        REAL_FILES.close(file);
      },
      read(file, bytes, start, length, position) {
        if (data.has(file) && position <= bad && bad < position + length)
          throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
        return REAL_FILES.read(file, bytes, start, length, position);
      },
    };
    const segments = new OpenSegments(new Catalog(stage.folder, files), undefined, files);
    const cursor = new LogCursor(segments, 1);
    const got: string[] = [];
    const gaps: [number, number, string][] = [];
    for (;;) {
      let target = new Uint8Array(0);
      const step = cursor.next(Number.POSITIVE_INFINITY, 1_000_000, 0, (bytes) => {
        target = new Uint8Array(bytes);
        return target;
      });
      if (step.kind === 'end') break;
      if (step.kind === 'gap') gaps.push([step.firstSeq, step.nextSeq, step.reason]);
      if (step.kind === 'lines')
        for (const { start, end } of step.stretches) got.push(...splitLines(target.subarray(start, end)));
    }
    segments.close();
    assert.equal(gaps.length, 1);
    const [from, to, reason] = gaps[0]!;
    assert.equal(reason, 'damaged');
    assert.deepEqual(got, [...stage.lines.slice(0, from - 1), ...stage.lines.slice(to - 1)]);
    const offsets = [0];
    for (const text of stage.lines) offsets.push(offsets.at(-1)! + text.length + 1);
    assert.ok(offsets[from - 1]! <= bad && bad < offsets[to - 1]!, 'the bad place is in the gap');
  }));
