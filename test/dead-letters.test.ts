/** The dead-letter log and its reader, on real files. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DeadLetterLog } from '../src/log/dead-letter-log.js';
import { newestDeadLetters } from '../src/log/dead-letter-reader.js';

const root = mkdtempSync(join(tmpdir(), 'honeybee-dead-letters-'));
after(() => rmSync(root, { recursive: true }));

const line = (n: number) => Buffer.from(`{"n":${n},"pad":"${'x'.repeat(100)}"}\n`);
const numbers = (lines: readonly string[]) => lines.map((text) => (JSON.parse(text) as { n: number }).n);

test('the newest lines come first, across both generations, and no more than asked for', async () => {
  const folder = join(root, 'generations');
  const log = new DeadLetterLog(folder, 2 * 10 * line(10).length);
  for (let n = 10; n < 35; n++) log.append(line(n));
  assert.deepEqual(numbers(await newestDeadLetters(folder, 7)), [34, 33, 32, 31, 30, 29, 28]);
  const all = numbers(await newestDeadLetters(folder, 1000));
  assert.deepEqual(
    all,
    Array.from({ length: all.length }, (_, i) => 34 - i),
  );
  assert.ok(all.length > 10 && all.length <= 20, 'both generations, within the bound');
  log.close();
});

test('a folder without any file has no dead letters', async () => {
  assert.deepEqual(await newestDeadLetters(join(root, 'nowhere'), 10), []);
});

test('a line torn by a crash is cut at the next start and never read', async () => {
  const folder = join(root, 'torn');
  const first = new DeadLetterLog(folder, 1 << 20);
  first.append(line(1));
  first.close();
  appendFileSync(join(folder, 'dead-letters.ndjson'), '{"n":2,"pa');
  assert.deepEqual(numbers(await newestDeadLetters(folder, 10)), [1]);
  const second = new DeadLetterLog(folder, 1 << 20);
  second.append(line(3));
  second.close();
  assert.deepEqual(numbers(await newestDeadLetters(folder, 10)), [3, 1]);
  const text = readFileSync(join(folder, 'dead-letters.ndjson'), 'utf8');
  assert.ok(
    text.split('\n').every((one) => one === '' || JSON.parse(one)),
    'every line is JSON',
  );
});
