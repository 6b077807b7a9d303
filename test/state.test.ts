/** What the store promised is there: after a kill at any instant, after a full disk, and in the order it was said. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../src/limits.js';
import { openStateStore, StateBacklogFull, type StateSection, type StateStore } from '../src/state/store.js';
import { temporaryFolder } from './core-process.js';
import { within } from './deadline.js';
import { SmallDisk } from './small-disk.js';

const WRITER = fileURLToPath(new URL('./state-writer.js', import.meta.url));
const QUIET = { onTrouble: () => {} };

async function contents(store: StateStore, section: StateSection): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const [key, value] of store.read(section)) found.set(key, value);
  return found;
}

function later(): number {
  return Date.now() + 5_000;
}

/** Runs a writer until it has been promised so much, kills it, and answers what it was promised. */
async function writeAndKill(folder: string, first: number, promises: number): Promise<number[]> {
  const child = spawn(process.execPath, [WRITER, folder, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const promised: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    promised.push(Number(line));
    if (promised.length === promises) child.kill('SIGKILL');
  }
  await within('the writer ends', ended);
  return promised;
}

test('after kill -9 everything promised is there, and every write is there whole or not at all', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const seed = randomInt(1000);
  t.diagnostic(`seed ${seed}`);
  let next = 0;
  const promised = new Set<number>();
  for (let round = 0; round < 6; round++) {
    const numbers = await writeAndKill(folder, next, 20 + ((seed * (round + 1)) % 150));
    for (const number of numbers) promised.add(number);
    // Far behind what may have been written without having been promised.
    next = Math.max(...numbers) + 1000;
  }
  const store = await openStateStore(folder, QUIET);
  const nodes = await contents(store, 'node');
  const commands = await contents(store, 'command');
  for (const number of promised) {
    const key = String(number).padStart(12, '0');
    assert.equal(commands.get(key), `command ${number}`);
    const follower = String(number + 1).padStart(12, '0');
    const deleted = (number + 1) % 3 === 2 && commands.has(follower);
    assert.equal(nodes.get(key), deleted ? undefined : `node ${number}`);
  }
  for (const key of nodes.keys()) assert.ok(commands.has(key), `${key} was written by half`);
  await store.close(later());
});

test('a section holds its own keys only, whatever characters they have, in the order of their bytes', async (t) => {
  const store = await openStateStore(join(temporaryFolder(t), 'state'), QUIET);
  const keys = ['', '/', '0', 'a/b', 'a\u0000b', 'é', '\u{1f41d}', 'node/x', '\uffff'];
  await store.write(keys.map((key) => ({ section: 'node', key, value: `v${key}` })));
  await store.write([{ section: 'enrolment', key: 'a', value: 'other' }]);
  const found = await contents(store, 'node');
  const byBytes = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual([...found.keys()], byBytes);
  for (const key of keys) assert.equal(found.get(key), `v${key}`);
  assert.deepEqual([...(await contents(store, 'enrolment'))], [['a', 'other']]);
  await store.close(later());
});

test('writes are seen in the order they were made, the last one of a key wins', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const store = await openStateStore(folder, QUIET);
  const writes: Promise<void>[] = [];
  for (let number = 0; number < 500; number++) {
    writes.push(store.write([{ section: 'meta', key: `k${number % 3}`, value: String(number) }]));
    if (number % 50 === 0) await writes.at(-1);
  }
  await Promise.all(writes);
  await store.close(later());
  const again = await openStateStore(folder, QUIET);
  assert.deepEqual(Object.fromEntries(await contents(again, 'meta')), { k0: '498', k1: '499', k2: '497' });
  await again.close(later());
});

function smallDisk(t: TestContext): SmallDisk | undefined {
  const disk = SmallDisk.mount(t, 16);
  if (disk === undefined) t.skip('mounting a tmpfs is not permitted here');
  return disk;
}

test('a full disk holds promises back, and they are kept when there is room', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const trouble: (Error | null)[] = [];
  let onTrouble!: () => void;
  const troubled = new Promise<void>((resolve) => {
    onTrouble = resolve;
  });
  const store = await openStateStore(join(disk.path, 'state'), {
    onTrouble: (error) => {
      trouble.push(error);
      onTrouble();
    },
  });
  await store.write([{ section: 'node', key: 'before', value: 'kept' }]);
  disk.leave(0);
  let kept = 0;
  const value = 'x'.repeat(64 * 1024);
  const writes = Array.from({ length: 40 }, async (_, number) => {
    await store.write([{ section: 'node', key: `n${number}`, value }]);
    kept++;
  });
  await within('the disk refuses', troubled);
  assert.ok(trouble[0] instanceof Error);
  const keptWhileFull = kept;
  assert.ok(keptWhileFull < 40);
  disk.makeRoom();
  await within('all are kept', Promise.all(writes));
  assert.equal(trouble.at(-1), null);
  await store.close(later());
  const again = await openStateStore(join(disk.path, 'state'), QUIET);
  const found = await contents(again, 'node');
  assert.equal(found.size, 41);
  assert.equal(found.get('before'), 'kept');
  await again.close(later());
});

test('while the disk is full the backlog is bounded, and closing gives up in time without a false promise', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const store = await openStateStore(join(disk.path, 'state'), QUIET);
  await store.write([{ section: 'node', key: 'before', value: 'kept' }]);
  disk.leave(0);
  let promised = 0;
  const refused = () => {
    const change = { section: 'node', key: 'k', value: 'x'.repeat(256) } as const;
    for (let taken = 0; taken <= LIMITS.stateBacklogChanges; taken++)
      void store.write([change]).then(() => promised++);
  };
  assert.throws(refused, StateBacklogFull);
  await within('it closes', store.close(Date.now() + 300), 5_000);
  assert.equal(promised, 0);
});

test('one store at a time: a second one is told, with the code for a directory that cannot be used', async (t) => {
  const folder = join(temporaryFolder(t), 'state');
  const store = await openStateStore(folder, QUIET);
  await assert.rejects(openStateStore(folder, QUIET), { name: 'FatalError', exitCode: 73 });
  await store.close(later());
});

test('on a disk that was full when Core ended the state opens with the room that was kept for it', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  const folder = join(disk.path, 'state');
  const store = await openStateStore(folder, QUIET);
  await store.write([{ section: 'node', key: 'before', value: 'kept' }]);
  await store.close(later());
  assert.equal(statSync(`${folder}.spare`).size, LIMITS.stateReserveBytes);
  disk.leave(0);
  const again = await openStateStore(folder, QUIET);
  assert.deepEqual([...(await contents(again, 'node'))], [['before', 'kept']]);
  await within('it takes more', again.write([{ section: 'node', key: 'after', value: 'kept' }]));
  await again.close(later());
  disk.makeRoom();
  await (await openStateStore(folder, QUIET)).close(later());
  assert.equal(statSync(`${folder}.spare`).size, LIMITS.stateReserveBytes, 'made again when there is room');
});
