/**
 * The dead-letter log and its reader, on real files: numbers, bounds, crashes, pages. The bytes of the letters are made
 * here as shards make them.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { matchesPattern } from '../src/access/pattern.js';
import { letterFileName, numberOf, readHead, readLetter } from '../src/dead-letters/line.js';
import { DeadLetterLog, type DeadLetterOptions } from '../src/dead-letters/log.js';
import { DeadLetterReader, type LetterQuery, TooManyReaders } from '../src/dead-letters/reader.js';
import { LIMITS } from '../src/limits.js';
import { type LogFiles, REAL_FILES } from '../src/log/files.js';
import { temporaryFolder } from './core-process.js';
import { SEED } from './frames.js';

interface Given {
  readonly code?: string;
  readonly node?: string | null;
  readonly timeMs?: number;
  readonly bytes?: Buffer;
  readonly reason?: string;
}

/** A line as a shard passes it on. */
function unnumbered({
  code = 'MESSAGE_PARSE_FAILED',
  node = 'n',
  timeMs = 1e12,
  bytes,
  reason,
}: Given = {}): Buffer {
  const frame = bytes ?? Buffer.from('nonsense');
  return Buffer.from(
    `{"time":"${new Date(timeMs).toISOString()}","code":"${code}","reason":${JSON.stringify(reason ?? 'r')},` +
      `"node_id":${node === null ? null : '18446744073709551615'},"node_name":${JSON.stringify(node)},` +
      `"remote":"192.0.2.1:1","size":${frame.length},"truncated":false,"masked":false,` +
      `"bytes":"${frame.toString('base64')}"}\n`,
  );
}

function openLog(folder: string, options: Partial<DeadLetterOptions> = {}): DeadLetterLog {
  return new DeadLetterLog({
    folder,
    maxBytes: 1 << 24,
    fsync: 'interval',
    fsyncIntervalMs: 50,
    boot: 'this one',
    onDropped() {},
    onSyncFailed: (error) => assert.fail(error),
    ...options,
  });
}

const readerOf = (folder: string) => new DeadLetterReader(folder, matchesPattern);
const fileNames = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();

/** Every number in the files, in order; checks that none is missing within a file. */
function numbers(folder: string): number[] {
  return fileNames(folder).flatMap((name) => {
    const lines = readFileSync(join(folder, name), 'utf8').split('\n');
    assert.equal(lines.pop(), '', 'whole lines');
    return lines.map((line, n) => {
      const { id } = readLetter(line)!;
      assert.equal(id, Number.parseInt(name, 10) + n);
      return id;
    });
  });
}

async function allPages(reader: DeadLetterReader, query: LetterQuery): Promise<number[]> {
  const ids: number[] = [];
  let after = query.after;
  for (let pages = 0; pages < 100_000; pages++) {
    const page = await reader.page({ ...query, after });
    ids.push(...page.rows.map(({ head }) => head.id));
    if (page.next === null) return ids;
    after = page.next;
  }
  assert.fail('pages without end');
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

describe('the dead-letter log', () => {
  it('keeps the newest letters, numbered, within its bound, and says which gave way', (t) => {
    const folder = temporaryFolder(t);
    const dropped: number[] = [];
    const options = { maxBytes: 20_000, onDropped: (a: number, b: number) => dropped.push(...range(a, b)) };
    let log = openLog(folder, options);
    for (let number = 1; number <= 400; number++) {
      log.append(unnumbered({ bytes: Buffer.alloc(number % 30, 7) }));
      if (number % 57 === 56) {
        log.close();
        log = openLog(folder, options);
      }
      const kept = fileNames(folder).reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
      assert.ok(kept <= 20_000, `${kept} bytes`);
      const ids = numbers(folder);
      assert.deepEqual([...dropped, ...ids], range(1, number + 1));
      assert.ok(number < 60 || ids.length >= 60, 'too little is kept');
    }
    log.close();
  });

  it('never gives a number twice: after an end in order, a crash, a loss of power, and files that are gone', (t) => {
    const folder = temporaryFolder(t);
    const reserved = LIMITS.deadLetterReservation;
    let log = openLog(folder);
    log.append(unnumbered());
    log.append(unnumbered());
    log.close();
    // In order, and the files are deleted.
    for (const name of fileNames(folder)) rmSync(join(folder, name));
    log = openLog(folder);
    assert.equal(log.next, 3);
    log.append(unnumbered());
    // A crash of the process: nothing is lost.
    log = openLog(folder);
    assert.equal(log.next, 4);
    log.append(unnumbered());
    // A loss of power: what was written last may not be there.
    log = openLog(folder, { boot: 'another one' });
    const afterPower = log.next;
    assert.ok(afterPower > 4 && afterPower <= 3 + 2 * reserved, String(afterPower));
    log.append(unnumbered());
    assert.deepEqual(numbers(folder), [3, 4, afterPower]);
    // A crash, and somebody deletes the newest file.
    rmSync(join(folder, letterFileName(afterPower)));
    log = openLog(folder, { boot: 'another one' });
    assert.ok(log.next > afterPower, 'the newest file is missed');
    // A crash, and all files are gone.
    log.append(unnumbered());
    const last = log.next - 1;
    for (const name of fileNames(folder)) rmSync(join(folder, name));
    log = openLog(folder, { boot: 'another one' });
    assert.ok(log.next > last);
  });

  it('cuts a torn line at its end, and leaves what is damaged alone', (t) => {
    const folder = temporaryFolder(t);
    let log = openLog(folder);
    log.append(unnumbered());
    log.append(unnumbered());
    const file = join(folder, letterFileName(1));
    appendFileSync(file, '{"id":3,"time":"20');
    log = openLog(folder);
    log.append(unnumbered({ node: 'third' }));
    assert.deepEqual(numbers(folder), [1, 2, 3]);
    log.close();
    // Zeros where the last line was, as a file system may leave them.
    const good = readFileSync(file);
    writeFileSync(
      file,
      Buffer.concat([good.subarray(0, good.length - 40), Buffer.alloc(39), Buffer.from('\n')]),
    );
    const bytes = readFileSync(file);
    log = openLog(folder);
    assert.equal(log.next, 4);
    log.append(unnumbered());
    log.close();
    assert.ok(readFileSync(file).subarray(0, bytes.length).equals(bytes), 'not a byte of it changed');
  });

  it('goes on after any crash at any byte, whatever is left of the newest file (seeded)', async (t) => {
    const folder = temporaryFolder(t);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(400), { minLength: 1, maxLength: 6 }), async (cuts) => {
        rmSync(folder, { recursive: true, force: true });
        const seen = new Set<number>();
        for (const cut of cuts) {
          const log = openLog(folder, { maxBytes: 8_000, fsync: 'never' });
          for (let n = 0; n < 4; n++) {
            assert.ok(!seen.has(log.next), `${log.next} is given twice`);
            seen.add(log.next);
            log.append(unnumbered({ bytes: Buffer.alloc(cut % 7) }));
          }
          // What a write that was under way leaves: a part of the next line.
          const next = Buffer.from(`{"id":${log.next},${unnumbered().toString().slice(1)}`);
          const name = fileNames(folder).at(-1)!;
          appendFileSync(join(folder, name), next.subarray(0, Math.min(cut, next.length - 1)));
        }
        openLog(folder, { maxBytes: 8_000 }).close();
        assert.ok(numbers(folder).every((id) => seen.has(id)));
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('a disk that is full changes nothing: the same letter is written when there is room', (t) => {
    const folder = temporaryFolder(t);
    let room = Number.POSITIVE_INFINITY;
    const files: LogFiles = {
      ...REAL_FILES,
      write(file, bytes, start, length, position) {
        if (room <= 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        const written = REAL_FILES.write(file, bytes, start, Math.min(length, room, 100), position);
        room -= written;
        return written;
      },
    };
    const log = openLog(folder, { files, maxBytes: 8_000 });
    let failures = 0;
    for (let number = 1; number <= 40; number++) {
      room = (number * 37) % 400;
      for (;;) {
        try {
          log.append(unnumbered({ bytes: Buffer.from(`letter ${number}`) }));
          break;
        } catch (error) {
          assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
          failures++;
          room = failures % 3 === 0 ? 10_000 : 150;
        }
      }
    }
    // One of another shard comes first then, and is shorter.
    room = 400;
    assert.throws(() => log.append(unnumbered({ bytes: Buffer.alloc(500) })));
    room = 10_000;
    log.append(unnumbered({ bytes: Buffer.from('short') }));
    const last = readFileSync(join(folder, fileNames(folder).at(-1)!), 'utf8');
    assert.ok(
      last.endsWith('"}\n') &&
        last
          .slice(0, -1)
          .split('\n')
          .every((line) => readLetter(line)),
    );
    log.close();
    assert.ok(failures > 20);
    const ids = numbers(folder);
    assert.deepEqual(ids, range(42 - ids.length, 42));
  });

  it('forces what was written to the disk, one fsync at a time, and closes every file', async (t) => {
    const folder = temporaryFolder(t);
    const open = new Set<number>();
    const waiting: (() => void)[] = [];
    const files: LogFiles = {
      ...REAL_FILES,
      open(path, flags, mode) {
        const file = REAL_FILES.open(path, flags, mode);
        open.add(file);
        return file;
      },
      close(file) {
        assert.ok(open.delete(file), 'closed twice');
        REAL_FILES.close(file);
      },
      syncData(file, done) {
        assert.ok(open.has(file), 'synced after it was closed');
        waiting.push(() => {
          assert.ok(open.has(file), 'closed under a sync');
          done(null);
        });
      },
    };
    const log = openLog(folder, { files, maxBytes: 8_000 });
    let told = 0;
    log.onDurable = () => told++;
    assert.equal(log.dueInMs(1_000), Number.POSITIVE_INFINITY, 'nothing to do');
    log.append(unnumbered());
    assert.ok(log.dueInMs(1_000) <= 0);
    log.sync(1_000);
    assert.deepEqual([waiting.length, log.durableNext], [1, 1]);
    log.append(unnumbered());
    log.sync(2_000);
    assert.equal(waiting.length, 1, 'one at a time');
    waiting.shift()!();
    assert.deepEqual([log.durableNext, told], [2, 1]);
    assert.equal(log.dueInMs(1_010), 40, 'not before the interval is over');
    log.sync(2_000);
    // While that is under way files are finished, each with an fsync of its own; what is durable is what lies in front.
    for (let n = 0; n < 20; n++) log.append(unnumbered());
    assert.ok(waiting.length > 2);
    const last = waiting.pop()!;
    last();
    assert.equal(log.durableNext, 2, 'those before it are not on the disk');
    while (waiting.length > 0) waiting.shift()!();
    assert.ok(log.durableNext > 10 && log.durableNext < log.next);
    log.sync(3_000);
    log.append(unnumbered());
    log.close();
    assert.equal(log.durableNext, log.next);
    for (const done of waiting) done();
    assert.equal(open.size, 0, 'a file stays open');
  });
});

describe('a line of the dead-letter log', () => {
  it('gives back what went in, all digits, whatever strangers wrote', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.uint8Array({ maxLength: 200 }), (reason, node, bytes) => {
        const text = unnumbered({ reason, node, bytes: Buffer.from(bytes) }).toString('utf8');
        const line = `{"id":77,${text.slice(1, -1)}`;
        const letter = readLetter(line)!;
        assert.deepEqual([letter.id, letter.reason, letter.nodeName], [77, reason, node]);
        assert.equal(letter.nodeId, '18446744073709551615');
        assert.ok(letter.bytes.equals(bytes));
        assert.equal(numberOf(Buffer.from(line), 0), 77);
      }),
      { seed: SEED },
    );
    // A reason that looks like the fields behind it.
    const sly = '","node_id":5,"node_name":"x","bytes":"AAAA"}';
    const letter = readLetter(`{"id":1,${unnumbered({ reason: sly, node: null }).toString().slice(1)}`)!;
    assert.deepEqual([letter.reason, letter.nodeId, letter.bytes.toString()], [sly, null, 'nonsense']);
  });

  it('is nothing where it is damaged', () => {
    for (const line of ['', '{', '{"id":1}', '{"id":1,"bytes":"', 'null', '{"id":"1","bytes":""}'])
      assert.equal(readHead(line), undefined, line);
    for (const line of ['{"id":', '{"id":,', '{"id":1', '{"id":99999999999999999,', '["id":1,'])
      assert.equal(numberOf(Buffer.from(line), 0), 0, line);
  });
});

describe('the reader of dead letters', () => {
  function letters(t: TestContext, count: number, given: (n: number) => Given, maxBytes = 1 << 24): string {
    const folder = temporaryFolder(t);
    const log = openLog(folder, { maxBytes });
    for (let n = 1; n <= count; n++) log.append(unnumbered(given(n)));
    log.close();
    return folder;
  }

  it('pages from either end hold every letter once, over all files, however long its lines', async (t) => {
    const folder = letters(t, 3000, (n) => ({ bytes: Buffer.alloc((n * 7919) % 3000, n) }));
    assert.ok(fileNames(folder).length > 3);
    const reader = readerOf(folder);
    for (const limit of [1000, 371]) {
      assert.deepEqual(await allPages(reader, { limit }), range(1, 3001).reverse());
      assert.deepEqual(await allPages(reader, { limit, oldestFirst: true }), range(1, 3001));
    }
    assert.deepEqual(await allPages(reader, { limit: 5, after: 4 }), [3, 2, 1]);
    assert.deepEqual(await allPages(reader, { limit: 5, after: 2998, oldestFirst: true }), [2999, 3000]);
    assert.deepEqual(await allPages(reader, { limit: 5, after: 3000, oldestFirst: true }), []);
    for (const id of [1, 2, 777, 1500, 2999, 3000]) {
      const found = await reader.find(id);
      assert.equal(found?.letter.id, id);
      assert.equal(found.letter.bytes.length, (id * 7919) % 3000);
    }
    for (const id of [0, 3001, Number.MAX_SAFE_INTEGER]) assert.equal(await reader.find(id), undefined);
  });

  it('filters by code, node, and time, and a page that finds little ends short', async (t) => {
    const folder = letters(t, 500, (n) => ({
      code: n % 5 === 0 ? 'INVALID_NODE_ID' : 'MESSAGE_PARSE_FAILED',
      node: n % 7 === 0 ? null : `eu-${n % 3}`,
      timeMs: 1e12 + n * 1000,
    }));
    const reader = readerOf(folder);
    const expected = (fits: (n: number) => boolean) => range(1, 501).filter(fits).reverse();
    const ask = (query: Partial<LetterQuery>) => allPages(reader, { limit: 50, ...query });
    assert.deepEqual(
      await ask({ codes: ['INVALID_NODE_ID'] }),
      expected((n) => n % 5 === 0),
    );
    assert.deepEqual(await ask({ codes: [] }), []);
    assert.deepEqual(
      await ask({ node: 'eu-*' }),
      expected((n) => n % 7 !== 0),
    );
    assert.deepEqual(
      await ask({ node: '18446744073709551615' }),
      expected((n) => n % 7 !== 0),
    );
    assert.deepEqual(
      await ask({ sinceMs: 1e12 + 100_000, untilMs: 1e12 + 110_000 }),
      expected((n) => n >= 100 && n < 110),
    );
  });

  it('reads on past what is damaged or torn, and while files give way', async (t) => {
    const folder = letters(t, 300, () => ({ bytes: Buffer.alloc(200, 1) }), 40_000);
    const reader = readerOf(folder);
    const names = fileNames(folder);
    const ids = numbers(folder);
    const middle = join(folder, names[2]!);
    const bytes = readFileSync(middle);
    bytes.fill(0xff, 10, 30);
    writeFileSync(middle, bytes);
    const first = Number.parseInt(names[2]!, 10);
    const left = ids.filter((id) => id !== first);
    assert.deepEqual(await allPages(reader, { limit: 10 }), left.toReversed());
    assert.deepEqual(await allPages(reader, { limit: 10, oldestFirst: true }), left);
    const newest = join(folder, names.at(-1)!);
    truncateSync(newest, readFileSync(newest).length - 1);
    assert.deepEqual(await allPages(reader, { limit: 10 }), left.slice(0, -1).reverse());
    rmSync(join(folder, names[0]!));
    const page = await reader.page({ limit: 10, oldestFirst: true });
    assert.equal(page.rows[0]!.head.id, Number.parseInt(names[1]!, 10));
    assert.equal(await reader.find(Number.parseInt(names[0]!, 10)), undefined);
  });

  it('finds nothing where there is no folder, and serves a few readers at once', async (t) => {
    const nowhere = readerOf(join(temporaryFolder(t), 'nowhere'));
    assert.deepEqual(await nowhere.page({ limit: 10 }), { rows: [], next: null });
    assert.equal(await nowhere.find(1), undefined);
    const all = range(0, LIMITS.deadLetterReaders + 1).map(() => nowhere.page({ limit: 1 }));
    const results = await Promise.allSettled(all);
    const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    assert.equal(refused.length, 1);
    assert.ok(refused[0]!.reason instanceof TooManyReaders);
  });
});
