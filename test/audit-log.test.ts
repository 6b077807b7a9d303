/** The audit trail on disk: nothing done is lost, nothing in it acts on a terminal, and it stays within its bounds. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEntry } from '../src/access/audit.js';
import { auditFiles } from '../src/access/audit-files.js';
import { AuditLog } from '../src/access/audit-log.js';
import { type AuditQuery, AuditReader, TooManyReaders } from '../src/access/audit-reader.js';
import { LOCAL } from '../src/access/principals.js';
import { LIMITS } from '../src/limits.js';
import { afterwards, temporaryFolder } from './core-process.js';
import { poll } from './deadline.js';
import { SmallDisk } from './small-disk.js';

interface Row {
  readonly seq: number;
  readonly target: string;
  readonly [field: string]: unknown;
}

class Trail {
  readonly troubles: (string | null)[] = [];
  readonly losses: number[] = [];
  readonly reader: AuditReader;
  readonly folder: string;
  log: AuditLog;
  nowMs = Date.UTC(2026, 10, 21);

  constructor(t: TestContext, folder = join(temporaryFolder(t), 'audit')) {
    this.folder = folder;
    this.reader = new AuditReader(folder);
    this.log = this.open();
    afterwards(t, () => this.log.close());
  }

  open(): AuditLog {
    return new AuditLog(
      this.folder,
      {
        onTrouble: (trouble) => void this.troubles.push(trouble && (trouble as NodeJS.ErrnoException).code!),
        onLost: (entries) => void this.losses.push(entries),
      },
      () => this.nowMs,
    );
  }

  async reopen(): Promise<void> {
    await this.log.close();
    this.log = this.open();
  }

  record(target: string, change: Partial<AuditEntry> = {}): void {
    const actor = { principal: LOCAL, from: 'local', requestId: 'r-1' };
    this.log.record({ actor, action: 'test.do', target, outcome: 'done', ...change });
  }

  async all(query: Partial<AuditQuery> = {}): Promise<Row[]> {
    const rows: Row[] = [];
    for (let before: number | undefined; ; ) {
      const page = await this.reader.page({
        limit: 7,
        ...query,
        ...(before === undefined ? {} : { before }),
      });
      rows.push(...page.lines.map((line) => JSON.parse(line) as Row));
      if (page.next === null) return rows;
      before = page.next;
    }
  }

  get current(): string {
    return auditFiles(this.folder)[0]!;
  }
}

test('an entry is in its file before the turn that made it is over, whole, and for its owner only', async (t) => {
  const trail = new Trail(t);
  trail.record('one', { detail: { a: 1, b: 'x', c: null, d: true } });
  await null;
  const text = readFileSync(trail.current, 'utf8');
  assert.deepEqual(JSON.parse(text), {
    seq: 1,
    time: '2026-11-21T00:00:00.000Z',
    principal: 'local',
    kind: 'local',
    token_id: null,
    from: 'local',
    request_id: 'r-1',
    action: 'test.do',
    target: 'one',
    outcome: 'done',
    detail: { a: 1, b: 'x', c: null, d: true },
  });
  assert.equal(statSync(trail.current).mode & 0o777, 0o600);
  assert.equal(statSync(trail.folder).mode & 0o777, 0o700);
});

test('whatever a name holds, a line stays a line, and nothing in it acts on a terminal', async (t) => {
  const trail = new Trail(t);
  const wild = [
    '\n{"seq":9}\n',
    '\u001b[2J\u0007',
    '\u009b31m',
    '\u202eabc',
    '\u2028',
    '\ud800',
    '\u{e0041}',
    '"\\',
  ];
  for (const name of wild) trail.record(name, { action: name, detail: { name } });
  trail.record('x'.repeat(100_000));
  await null;
  const lines = readFileSync(trail.current, 'utf8').split('\n');
  assert.equal(lines.pop(), '');
  assert.equal(lines.length, wild.length + 1);
  for (const line of lines) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u);
  const rows = (await trail.all()).reverse();
  assert.deepEqual(
    rows.slice(0, wild.length).map(({ target }) => target),
    wild,
  );
  assert.ok(lines.at(-1)!.length < 2 * LIMITS.auditTextLength);
});

test('a torn last line is cut off at the start, and counting goes on', async (t) => {
  const trail = new Trail(t);
  trail.record('one');
  trail.record('two');
  await trail.reopen();
  appendFileSync(trail.current, '{"seq":3,"time":"20');
  await trail.reopen();
  assert.equal(trail.log.tornBytes, 19);
  trail.record('three');
  assert.deepEqual(
    (await trail.all()).map(({ seq, target }) => [seq, target]),
    [
      [3, 'three'],
      [2, 'two'],
      [1, 'one'],
    ],
  );
});

test('a full file moves on, numbers go on over it and over restarts, the oldest file goes', async (t) => {
  const trail = new Trail(t);
  // Files as full ones would be, without writing 128 MiB: padding in front of an entry that is read.
  const names = auditFiles(trail.folder);
  await trail.log.close();
  for (const [age, name] of names.entries())
    writeFileSync(name, `{"seq":${100 - age * 10},"action":"old","target":"age ${age}","principal":"p"}\n`);
  trail.log = trail.open();
  trail.record('a');
  await trail.reopen();
  const room = LIMITS.auditFileBytes - 50_000 - statSync(names[0]!).size;
  appendFileSync(
    names[0]!,
    `${'x'.repeat(1023)}
`.repeat(Math.floor(room / 1024)),
  );
  appendFileSync(names[0]!, '{"seq":101,"action":"old","target":"last","principal":"p"}\n');
  await trail.reopen();
  for (let n = 0; n < 400; n++) trail.record('b'.repeat(900));
  await trail.reopen();
  trail.record('c');
  assert.deepEqual(
    names.map((name) => existsSync(name)),
    names.map(() => true),
  );
  assert.ok(statSync(names[1]!).size <= LIMITS.auditFileBytes);
  assert.match(readFileSync(names.at(-1)!, 'utf8'), /"target":"age 6"/, 'age 7 is gone, age 6 is the last');
  const rows = await trail.all({ limit: 1000 });
  const seqs = rows.map(({ seq }) => seq);
  assert.deepEqual(
    seqs,
    [...seqs].sort((x, y) => y - x),
  );
  assert.equal(seqs[0], 502);
  assert.equal(new Set(seqs).size, seqs.length);
});

test('a rotation that fails half way and is tried again pushes nothing out', async (t) => {
  const disk = SmallDisk.mount(t, 4, ',nr_inodes=20');
  if (disk === undefined) return t.skip('mounting a tmpfs is not permitted here');
  const folder = join(disk.path, 'audit');
  mkdirSync(folder);
  // One less than may be: none has to go, so no room is made for a new one.
  const names = auditFiles(folder).slice(0, -1);
  for (const [age, name] of names.slice(0, -1).entries())
    writeFileSync(name, `{"seq":${100 - age},"action":"old","target":"age ${age}"}\n`);
  // Full to the last byte, without a byte on the disk.
  truncateSync(names[0]!, LIMITS.auditFileBytes - 1);
  appendFileSync(names[0]!, '\n');
  const trail = new Trail(t, folder);
  const fillers: string[] = [];
  // The others can be renamed, a new one cannot be made.
  for (let n = 0; ; n++) {
    try {
      writeFileSync(join(disk.path, `filler-${n}`), '');
      fillers.push(join(disk.path, `filler-${n}`));
    } catch {
      break;
    }
  }
  trail.record('waits');
  await null;
  assert.deepEqual(trail.troubles, ['ENOSPC']);
  assert.equal(existsSync(names[0]!), false, 'it failed half way');
  const kept = () => names.slice(1).map((name) => readFileSync(name).length);
  const after = kept();
  await pause(LIMITS.diskRetryMs * 3);
  assert.deepEqual(kept(), after, 'the next tries move nothing');
  for (const filler of fillers) rmSync(filler);
  await poll('it goes on', () => (trail.troubles.length === 2 ? true : undefined));
  assert.deepEqual(kept(), after);
  assert.match(readFileSync(names[0]!, 'utf8'), /"target":"waits"/);
});

test('pages of any size show every entry that fits once, the newest first', async (t) => {
  const trail = new Trail(t);
  const filler = (n: number) => 'y'.repeat((n * 37) % 900);
  for (let n = 0; n < 300; n++)
    trail.record(`t-${n % 7}`, { action: n % 2 === 0 ? 'a.b' : 'a.c', detail: { filler: filler(n) } });
  const queries: [Partial<AuditQuery>, (n: number) => boolean][] = [
    [{}, () => true],
    [{ action: 'a.b' }, (n) => n % 2 === 0],
    [{ action: 'a.*', target: 't-3' }, (n) => n % 7 === 3],
    [{ target: 't-*', principal: 'loc*' }, () => true],
    [{ principal: 'nobody' }, () => false],
  ];
  for (const [query, fits] of queries) {
    const expected = Array.from({ length: 300 }, (_, n) => 299 - n).filter(fits);
    for (const limit of [17, 100, 299, 300, 1000]) {
      const rows = await trail.all({ ...query, limit });
      assert.deepEqual(
        rows.map(({ seq }) => seq - 1),
        expected,
        JSON.stringify({ query, limit }),
      );
    }
  }
  assert.equal((await trail.all({ limit: 1, target: 't-3' })).length, 43);
});

test('entries that come while pages are read show on none of them', async (t) => {
  const trail = new Trail(t);
  for (let n = 1; n <= 60; n++) trail.record('old');
  const seqs: number[] = [];
  for (let before: number | null = Number.MAX_SAFE_INTEGER; before !== null; ) {
    const page = await trail.reader.page({ limit: 7, before });
    seqs.push(...page.lines.map((line) => (JSON.parse(line) as Row).seq));
    before = page.next;
    for (let n = 0; n < 5; n++) trail.record('new');
  }
  assert.deepEqual(
    seqs,
    Array.from({ length: 60 }, (_, n) => 60 - n),
  );
});

test('a page that ends exactly at the end of the trail says that there is no other', async (t) => {
  const trail = new Trail(t);
  for (let n = 0; n < 4; n++) trail.record(`${n}`);
  assert.equal((await trail.reader.page({ limit: 4 })).next, null);
  assert.equal((await trail.reader.page({ limit: 3 })).next, 2);
  assert.deepEqual(await trail.reader.page({ limit: 3, before: 1 }), { lines: [], next: null });
});

test('lines longer than what is read at once are read whole', async (t) => {
  const trail = new Trail(t);
  const detail = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`k${n}`, 'é'.repeat(1000)]));
  for (let n = 0; n < 5; n++) trail.record(`long ${n}`, { detail });
  trail.record('short');
  assert.deepEqual(
    (await trail.all()).map(({ target }) => target),
    ['short', 'long 4', 'long 3', 'long 2', 'long 1', 'long 0'],
  );
});

test('only so many read at once', async (t) => {
  const trail = new Trail(t);
  trail.record('x');
  const open = Array.from({ length: LIMITS.auditReaders }, () => trail.reader.page({ limit: 1 }));
  await assert.rejects(trail.reader.page({ limit: 1 }), TooManyReaders);
  await Promise.all(open);
  assert.equal((await trail.reader.page({ limit: 1 })).lines.length, 1);
});

test('refusals cannot push out what was done: so many a minute are written, the others counted', async (t) => {
  const trail = new Trail(t);
  for (let n = 0; n < LIMITS.auditRefusalsPerMinute + 25; n++) trail.record('no', { outcome: 'refused' });
  trail.record('yes');
  trail.nowMs += 60_000;
  trail.record('no', { outcome: 'refused', detail: { needs: 'admin' } });
  const rows = await trail.all();
  assert.equal(rows.filter(({ outcome }) => outcome === 'refused').length, LIMITS.auditRefusalsPerMinute + 1);
  assert.equal(rows[1]!.target, 'yes');
  assert.deepEqual(rows[0]!.detail, { needs: 'admin', refusals_not_written: 25 });
});

test('a full disk: entries wait, are written when there is room, and what is too much is counted', async (t) => {
  const disk = SmallDisk.mount(t, 12);
  if (disk === undefined) return t.skip('mounting a tmpfs is not permitted here');
  const trail = new Trail(t, join(disk.path, 'audit'));
  trail.record('before');
  await null;
  disk.leave(0);
  const detail = { filler: 'z'.repeat(1000) };
  // More than the last page of the file still holds.
  for (let n = 0; n < 50; n++) trail.record(`waits ${n}`, { detail });
  await null;
  assert.deepEqual(trail.troubles, ['ENOSPC']);
  assert.deepEqual(
    (await trail.all()).map(({ target }) => target),
    ['before'],
    'nothing of what waits shows before it is whole',
  );
  for (let n = 50; n < 100; n++) trail.record(`waits ${n}`, { detail });
  disk.makeRoom();
  await poll('there is room again', () => (trail.troubles.length === 2 ? true : undefined));
  assert.deepEqual(trail.troubles, ['ENOSPC', null], 'said once, and that it is over');
  assert.deepEqual(trail.losses, []);
  const rows = (await trail.all()).reverse();
  assert.deepEqual(
    rows.map(({ seq, target }) => [seq, target]),
    [[1, 'before'], ...Array.from({ length: 100 }, (_, n) => [n + 2, `waits ${n}`])],
  );
  disk.leave(0);
  const perEntry = Buffer.byteLength(JSON.stringify(rows[5])) + 1;
  const tooMany = Math.ceil(LIMITS.auditWaitingBytes / perEntry) + 50;
  for (let n = 0; n < tooMany; n++) trail.record(`waits ${n}`, { detail });
  await null;
  assert.ok(trail.log.lost >= 40 && trail.log.lost < 150, `${trail.log.lost} lost`);
  assert.equal(trail.losses[0], 1, 'said at once');
  disk.makeRoom();
  await poll('what waited is written', () => (trail.troubles.length === 4 ? true : undefined));
  trail.record('after');
  const [newest, last] = await trail.all({ limit: 1000 });
  assert.equal(newest!.target, 'after');
  assert.equal(newest!.seq - last!.seq, trail.log.lost + 1, 'the gap says how many are missing');
});
