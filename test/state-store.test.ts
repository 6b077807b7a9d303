/** The small state: what was durable is there, in the order it was written, whole, and nobody is told what is not true. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ClassicLevel } from 'classic-level';
import { LIMITS } from '../src/limits.js';
import { openStateStore, StateBacklogFull, type StateChange, type StateStore } from '../src/state/store.js';
import { temporaryFolder } from './core-process.js';
import { poll } from './deadline.js';

const change = (key: string, value?: string): StateChange =>
  value === undefined ? { section: 'node', key } : { section: 'node', key, value };

async function all(store: StateStore): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  for await (const [key, value] of store.read('node')) entries.set(key, value);
  return entries;
}

test('more than fits a batch: writes are durable in their order, and nothing is torn or lost', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const store = await openStateStore(folder, { onTrouble: (one) => assert.fail(String(one)) });
  const finished: number[] = [];
  const writes: Promise<void>[] = [];
  const WRITES = 3 * LIMITS.stateBatchChanges;
  for (let n = 0; n < WRITES; n++) {
    const changes = [
      change(`k${n}`, `${n}`),
      change('last', `${n}`),
      ...(n % 2 === 1 ? [change(`k${n - 1}`)] : []),
    ];
    writes.push(store.write(changes).then(() => void finished.push(n)));
  }
  await store.write([]);
  await Promise.all(writes);
  assert.deepEqual(
    finished,
    [...finished].sort((a, b) => a - b),
  );
  await store.close(Date.now() + 10_000);
  const again = await openStateStore(folder, { onTrouble: (one) => assert.fail(String(one)) });
  const found = await all(again);
  assert.equal(found.size, WRITES / 2 + 1);
  assert.equal(found.get('last'), `${WRITES - 1}`);
  await again.close(Date.now() + 1000);
});

test('a backlog that is full refuses at once and takes nothing of the write', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const store = await openStateStore(folder, { onTrouble: (one) => assert.fail(String(one)) });
  const most = Array.from({ length: LIMITS.stateBacklogChanges }, (_, n) => change(`k${n}`, 'x'));
  const written = store.write(most);
  assert.throws(() => store.write([change('one more', 'x')]), StateBacklogFull);
  await written;
  await store.write([change('later', 'x')]);
  const found = await all(store);
  assert.deepEqual([found.size, found.has('one more')], [LIMITS.stateBacklogChanges + 1, false]);
  await store.close(Date.now() + 1000);
});

test('a disk that refuses is asked again, in order; given up at the deadline, nobody is told that it worked', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const troubles: (Error | null)[] = [];
  let refuse = false;
  const { batch } = ClassicLevel.prototype;
  t.mock.method(ClassicLevel.prototype, 'batch', function (this: unknown, ...args: unknown[]) {
    if (refuse) throw new Error('no space left on device');
    return (batch as (...all: unknown[]) => unknown).apply(this, args);
  });
  const store = await openStateStore(folder, { onTrouble: (trouble) => troubles.push(trouble) });
  refuse = true;
  const first = store.write([change('a', '1')]);
  await poll('the disk refuses', () => (troubles.length === 1 ? true : undefined));
  const second = store.write([change('a', '2')]);
  refuse = false;
  await Promise.all([first, second]);
  assert.equal(troubles.length, 2);
  assert.equal(troubles[1], null);
  assert.equal((await all(store)).get('a'), '2');
  refuse = true;
  let told = false;
  void store.write([change('a', '3')]).then(() => {
    told = true;
  });
  await poll('it refuses again', () => (troubles.length === 3 ? true : undefined));
  await store.close(Date.now());
  assert.equal(told, false);
});
