/**
 * The registry over restarts: what was committed is there, what changed since is there after an end in order, and what the
 * store holds of it that is damaged costs only itself. The store is a real one.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { createSessionTable, SESSION, SESSION_STRIDE } from '../src/memory/session-table.js';
import { REGISTRY_LIMITS } from '../src/registry/limits.js';
import type { NodeRecord } from '../src/registry/record.js';
import { NodeRegistry } from '../src/registry/registry.js';
import { type Restored, restoreRegistry } from '../src/registry/restore.js';
import { RegistrySaver } from '../src/registry/saver.js';
import { openStateStore, type StateChange, type StateStore } from '../src/state/store.js';
import { afterwards, temporaryFolder } from './core-process.js';
import { poll } from './deadline.js';

const SESSIONS = 64;

/** A registry with its keeper on a store; each start is a new one on the same folder. */
class Life {
  readonly table = createSessionTable(SESSIONS);
  readonly registry: NodeRegistry;
  readonly saver: RegistrySaver;
  readonly store: StateStore;
  restored!: Restored;
  #ended = false;

  static async start(folder: string, limits = REGISTRY_LIMITS): Promise<Life> {
    const store = await openStateStore(join(folder, 'state'), {
      onTrouble: (one) => assert.fail(String(one)),
    });
    const life = new Life(store, limits);
    life.restored = await restoreRegistry(store, life.registry, limits);
    life.registry.assertInvariants();
    return life;
  }

  private constructor(store: StateStore, limits: typeof REGISTRY_LIMITS) {
    this.store = store;
    this.saver = new RegistrySaver(store, this.table);
    this.registry = new NodeRegistry(limits, this.saver);
  }

  async register(id: bigint, name: string, session: number, nowMs = 1000): Promise<NodeRecord> {
    const decision = this.registry.register({
      nodeId: id,
      nodeName: name,
      address: '10.0.0.1',
      port: 8080,
      nodeType: 'Agent',
      session,
      shard: 0,
      remote: '192.0.2.1:4000',
      nowMs,
    });
    assert.equal(decision.kind, 'accept');
    const { record } = decision as Extract<typeof decision, { kind: 'accept' }>;
    await this.saver.commit(record);
    return record;
  }

  pot(session: number, potId: string, message: string | null = null, nowMs = 2000): void {
    this.registry.pot(session, { potId, potType: 'cowrie', status: 'Running', message, nowMs });
  }

  leave(session: number, status: 'Stopped' | 'Unknown', nowMs = 3000): void {
    this.registry.disconnected(session, { status, nowMs });
  }

  /** As a process does that is killed: nothing more is written than what was on its way. */
  async kill(): Promise<void> {
    this.#ended = true;
    await this.store.close(Date.now() + 1000);
    this.store.write = () => Promise.resolve();
    await this.saver.close();
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.saver.close();
    await this.store.close(Date.now() + 1000);
  }
}

function shown(record: NodeRecord | undefined): unknown {
  if (record === undefined) return undefined;
  const { ageLink, nameLink, potTable, session, shard, changed, pots, ...rest } = record as NodeRecord &
    Record<string, unknown>;
  return { ...rest, pots: [...pots.values()].sort((a, b) => (a.potId < b.potId ? -1 : 1)) };
}

async function lives(t: TestContext): Promise<() => Promise<Life>> {
  const folder = temporaryFolder(t);
  let last: Life | undefined;
  afterwards(t, () => last?.end());
  return async () => {
    last = await Life.start(folder);
    return last;
  };
}

test('after an end in order everything is as it was, but nobody is connected', async (t) => {
  const start = await lives(t);
  const first = await start();
  await first.register(2n ** 64n - 1n, 'gone', 1);
  first.pot(1, 'p/1 \u{1f41d}', 'half \ud800');
  first.pot(1, '__proto__');
  first.leave(1, 'Stopped', 5000);
  await first.register(2n ** 53n + 1n, 'still there', 2, 6000);
  first.registry.status(2, 'Running');
  first.pot(2, 'p');
  first.table[2 * SESSION_STRIDE + SESSION.last_seen_ms] = 9000;
  const gone = shown(first.registry.byId(2n ** 64n - 1n));
  first.registry.disconnected(2, { status: 'Unknown', nowMs: 9000 });
  const left = shown(first.registry.byId(2n ** 53n + 1n));
  await first.end();

  const second = await start();
  assert.deepEqual(second.restored, { nodes: 2, damaged: 0, dropped: 0 });
  assert.deepEqual(shown(second.registry.byId(2n ** 64n - 1n)), gone);
  assert.deepEqual(shown(second.registry.byId(2n ** 53n + 1n)), left);
  assert.deepEqual(second.registry.counts().byStatus.Stopped, 1);
  assert.equal(second.registry.counts().connected, 0);
  const back = await second.register(5n, 'gone', 3, 10_000);
  assert.deepEqual([back.registrations, back.pots.size, back.firstSeenMs], [2, 2, 1000]);
  assert.equal(second.registry.byId(2n ** 64n - 1n), undefined);
  await second.end();
  const third = await start();
  assert.equal(third.registry.size, 2, 'the old id left nothing behind');
  assert.equal(third.registry.byId(5n)?.pots.size, 2);
  assert.equal(third.registry.byId(5n)?.status, 'Unknown');
});

test('what was acknowledged is there after kill -9, connected nodes as Unknown', async (t) => {
  const start = await lives(t);
  const first = await start();
  await first.register(1n, 'a', 1);
  first.registry.status(1, 'Stopped');
  await first.kill();
  const second = await start();
  assert.equal(second.registry.byId(1n)?.status, 'Unknown', 'it never said goodbye');
  assert.equal(second.registry.byId(1n)?.registrations, 1);
  // Under another id the record goes on, in one write.
  await second.register(2n, 'a', 1);
  await second.register(3n, 'b', 2);
  await second.kill();
  const third = await start();
  assert.deepEqual(
    third.registry.list().map(({ id, name }) => [id, name]),
    [
      [2n, 'a'],
      [3n, 'b'],
    ],
  );
});

test('pots and goodbyes reach the disk by themselves soon, and repetitions cost nothing', async (t) => {
  const start = await lives(t);
  const first = await start();
  const writes: StateChange[] = [];
  const write = first.store.write.bind(first.store);
  first.store.write = (changes) => {
    writes.push(...changes);
    return write(changes);
  };
  await first.register(1n, 'a', 1);
  writes.length = 0;
  for (let n = 0; n < 50; n++) first.pot(1, 'p', null, 2000 + n);
  await poll('the pot is written', () => (writes.length > 0 ? true : undefined));
  for (let n = 0; n < 50; n++) first.pot(1, 'p', null, 3000 + n);
  first.pot(1, 'q');
  await poll('the other pot is written', () => (writes.length > 1 ? true : undefined));
  assert.equal(writes.length, 2, 'one write for all of a pot, and none without news');
  await first.kill();
  const second = await start();
  assert.equal(second.registry.byId(1n)?.pots.get('p')?.potType, 'cowrie');
});

test('a node that is removed, or gives way, leaves nothing on the disk', async (t) => {
  const start = await lives(t);
  const first = await start();
  await first.register(1n, 'removed', 1);
  first.pot(1, 'p');
  first.pot(1, 'q');
  first.leave(1, 'Unknown');
  await first.register(2n, 'loses its id', 2);
  first.pot(2, 'p');
  first.leave(2, 'Unknown');
  await first.end();
  const second = await start();
  assert.equal(second.registry.remove(1n), true);
  assert.equal(second.registry.remove(1n), false);
  await second.saver.commitForgotten();
  await second.register(2n, 'has it now', 3);
  assert.throws(() => second.registry.remove(2n), /while it was connected/);
  await second.kill();
  const third = await start();
  assert.deepEqual(
    third.registry.list().map(({ name, pots }) => [name, pots.size]),
    [['has it now', 0]],
  );
  const keys: string[] = [];
  for await (const [key] of third.store.read('node')) keys.push(key);
  assert.equal(keys.length, 1, keys.join());
});

test('the serial number of a record that is gone is not given again, however Core ends', async (t) => {
  const start = await lives(t);
  const given: number[] = [];
  for (let round = 0; round < 4; round++) {
    const life = await start();
    for (const id of [1n, 2n]) given.push((await life.register(id, `node ${id}`, Number(id))).serial);
    for (const session of [1, 2]) life.leave(session, 'Unknown');
    // The newest first: of what is left none is as high.
    for (const id of [2n, 1n]) life.registry.remove(id);
    await life.saver.commitForgotten();
    await (round % 2 === 0 ? life.kill() : life.end());
  }
  assert.equal(new Set(given).size, given.length, given.join());
});

test('values that are damaged are counted and left where they are; what belongs to nobody is dropped', async (t) => {
  const start = await lives(t);
  const first = await start();
  await first.register(1n, 'good', 1);
  first.pot(1, 'p');
  await first.register(2n, 'damaged', 2);
  first.pot(2, 'of the damaged');
  await first.end();
  const second = await start();
  const { serial } = second.registry.byId(2n)!;
  const good = second.registry.byId(1n)!.serial;
  const damage: [string, string][] = [
    [`n/${serial}`, '{"v":1,"id":"0"}'],
    [`p/${good}/torn`, '{"v":1,"id":"torn","ty'],
    ['n/99', ''],
    ['n/abc', '{}'],
    ['n/100', '{"v":2}'],
    ['p/100/x', 'null'],
    ['p/700/x', '{"v":1,"id":"x","type":"t","status":"Running","message":null,"updated":1}'],
  ];
  await second.store.write(damage.map(([key, value]) => ({ section: 'node', key, value })));
  await second.kill();
  const third = await start();
  assert.deepEqual(third.restored, { nodes: 1, damaged: 6, dropped: 1 });
  assert.equal(third.registry.byId(1n)?.pots.size, 1);
  const young = await third.register(3n, 'young', 1);
  assert.ok(young.serial > 700, 'no serial number of what is kept is given again');
  await third.end();
  const fourth = await start();
  assert.deepEqual(fourth.restored, { nodes: 2, damaged: 6, dropped: 0 });
});

test('two records that claim an id, and more than there is room for: those seen last stay', async (t) => {
  const folder = temporaryFolder(t);
  const limits = { ...REGISTRY_LIMITS, nodes: 3, potsInAll: 3 };
  const first = await Life.start(folder);
  for (let n = 1; n <= 5; n++) {
    await first.register(BigInt(n), `node ${n}`, n);
    first.pot(n, 'p');
    first.leave(n, 'Unknown', 10_000 + n);
  }
  await first.end();
  const second = await Life.start(folder, limits);
  assert.deepEqual(
    second.registry.list().map(({ id }) => id),
    [3n, 4n, 5n],
  );
  assert.equal(second.restored.dropped, 4);
  const texts: [string, string][] = [];
  for await (const [key, value] of second.store.read('node')) texts.push([key, value]);
  const twin = texts.find(([, value]) => value.includes('"node 4"'))![1].replace('"last":10004', '"last":1');
  await second.store.write([{ section: 'node', key: 'n/50', value: twin.replace('node 4', 'twin') }]);
  await second.end();
  const third = await Life.start(folder);
  assert.equal(third.registry.byId(4n)?.name, 'node 4');
  assert.equal(third.registry.size, 3);
  await third.end();
});

type Step =
  | { kind: 'register'; id: bigint; name: string; session: number }
  | { kind: 'leave'; session: number; status: 'Stopped' | 'Unknown' }
  | { kind: 'pot'; session: number; potId: string; message: string | null }
  | { kind: 'remove'; id: bigint }
  | { kind: 'restart'; how: 'end' | 'kill' };

const session = fc.integer({ min: 0, max: 7 });
const id = fc.constantFrom(1n, 2n, 3n, 4n, 2n ** 63n);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('register' as const),
        id,
        name: fc.constantFrom('a', 'b', 'c'),
        session,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('leave' as const),
        session,
        status: fc.constantFrom('Stopped' as const, 'Unknown' as const),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('pot' as const),
        session,
        potId: fc.constantFrom('p', 'q'),
        message: fc.constantFrom(null, 'x', 'y'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), id }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('restart' as const),
        how: fc.constantFrom('end' as const, 'kill' as const),
      }),
    },
  ),
  { maxLength: 60, size: 'max' },
);

test('whatever happens and however Core ends: no acknowledged node is lost, none comes back that was removed', async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, async (run) => {
      const folder = temporaryFolder(t);
      let life = await Life.start(folder, { ...REGISTRY_LIMITS, nodes: 3 });
      const identity = () =>
        life.registry
          .list()
          .map(({ id, name, registrations }) => ({ id, name, registrations }))
          .sort(byId);
      let nowMs = 10_000;
      for (const step of [...run, { kind: 'restart', how: 'end' } as const]) {
        nowMs += 1000;
        switch (step.kind) {
          case 'register': {
            if (life.registry.bySession(step.session) !== undefined) break;
            const holder = life.registry.byId(step.id);
            if (holder !== undefined && holder.session !== null) break;
            if (life.registry.counts().connected === 3) break;
            await life.register(step.id, step.name, step.session, nowMs);
            break;
          }
          case 'leave':
            life.leave(step.session, step.status, nowMs);
            break;
          case 'pot':
            life.pot(step.session, step.potId, step.message, nowMs);
            break;
          case 'remove': {
            const record = life.registry.byId(step.id);
            if (record === undefined || record.session !== null) break;
            life.registry.remove(step.id);
            await life.saver.commitForgotten();
            break;
          }
          case 'restart': {
            const before = identity();
            const wholeBefore = life.registry
              .list()
              .filter(({ session }) => session === null)
              .map(shown)
              .sort(byId as never);
            await life[step.how]();
            life = await Life.start(folder, { ...REGISTRY_LIMITS, nodes: 3 });
            assert.deepEqual(identity(), before);
            assert.deepEqual([life.restored.damaged, life.restored.dropped], [0, 0]);
            if (step.how === 'end') {
              const whole = life.registry.list().map(shown) as { id: bigint }[];
              for (const one of wholeBefore as { id: bigint }[])
                assert.deepEqual(
                  whole.find(({ id }) => id === one.id),
                  one,
                );
            }
          }
        }
        life.registry.assertInvariants();
      }
      await life.end();
    }),
    { seed: 20_261_121, numRuns: 25 },
  );
});

function byId(a: { id: bigint }, b: { id: bigint }): number {
  return a.id < b.id ? -1 : 1;
}
