/** Cursors of named consumers where the disk takes nothing: what is held for whom, and that Core can still end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Actor } from '../src/access/principal.js';
import { ANONYMOUS_OPEN } from '../src/access/principals.js';
import { Cursors } from '../src/consumers/cursors.js';
import { LIMITS } from '../src/limits.js';
import { StateBacklogFull } from '../src/state/store.js';

const ACTOR: Actor = { principal: ANONYMOUS_OPEN, from: 'test' };

/** A state whose disk is full: nothing that is written ever gets there. */
class FullState {
  isFull = false;
  writes = 0;

  async *read() {}

  write(): Promise<void> {
    if (this.isFull) throw new StateBacklogFull();
    this.writes++;
    return new Promise(() => {});
  }
}

test('a disk that takes nothing does not keep Core from ending', async () => {
  const state = new FullState();
  const cursors = await Cursors.open(state, { record() {} });
  cursors.claim('siem', 1, ACTOR);
  cursors.started(1, 5);
  assert.equal(state.writes, 1);
  cursors.acked(1, 9);
  cursors.close();
  assert.equal(state.writes, 2, 'what was acknowledged last is on its way');
});

test('nothing is written behind the end', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const state = new FullState();
  const cursors = await Cursors.open(state, { record() {} });
  cursors.claim('siem', 1, ACTOR);
  state.isFull = true;
  cursors.started(1, 5);
  cursors.close();
  state.isFull = false;
  cursors.acked(1, 9);
  t.mock.timers.tick(10 * LIMITS.cursorSaveMs);
  assert.equal(state.writes, 0);
});

/** A state whose writes become durable when the test says so, in their order. */
class SlowState {
  readonly #waiting: (() => void)[] = [];

  async *read() {}

  write(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async settle(): Promise<void> {
    this.#waiting.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('who is replaced has acknowledged until the next one begins, also where that never does', async () => {
  const cursors = await Cursors.open(new FullState(), { record() {} });
  cursors.claim('siem', 1, ACTOR);
  cursors.started(1, 5);
  cursors.claim('siem', 2, ACTOR);
  // It was on its way when the other came.
  cursors.acked(1, 9);
  cursors.gone(1);
  cursors.gone(2);
  assert.equal(cursors.get('siem')!.connected, false);
  const claim = cursors.claim('siem', 3, ACTOR);
  assert.equal(claim.kind === 'granted' && claim.cursor, 9);
  cursors.started(3, 9);
  cursors.claim('siem', 4, ACTOR);
  cursors.started(4, 7);
  cursors.acked(3, 20);
  assert.equal(cursors.get('siem')!.nextSeq, 7, 'another one has begun');
  cursors.gone(3);
  assert.equal(cursors.get('siem')!.connected, true);
});

test('a new name that changed hands at once begins with the first stream that did, and leaves nothing where none did', async () => {
  const cursors = await Cursors.open(new FullState(), { record() {} });
  cursors.claim('siem', 1, ACTOR);
  cursors.claim('siem', 2, ACTOR);
  cursors.gone(2);
  cursors.started(1, 5);
  cursors.gone(1);
  const claim = cursors.claim('siem', 3, ACTOR);
  assert.equal(claim.kind === 'granted' && claim.cursor, 5);
  for (let name = 1; name < 2 * LIMITS.namedConsumers; name++) {
    assert.equal(cursors.claim(`n${name}`, 10 * name, ACTOR).kind, 'granted');
    cursors.claim(`n${name}`, 10 * name + 1, ACTOR);
    cursors.gone(10 * name + (name % 2));
    cursors.gone(10 * name + 1 - (name % 2));
  }
});

test('a name that is removed stays so, whatever was on its way', async () => {
  const state = new FullState();
  const cursors = await Cursors.open(state, { record() {} });
  cursors.claim('siem', 1, ACTOR);
  cursors.started(1, 5);
  cursors.claim('siem', 2, ACTOR);
  void cursors.remove('siem', ACTOR);
  const { writes } = state;
  cursors.acked(1, 9);
  cursors.started(2, 9);
  cursors.gone(1);
  cursors.gone(2);
  cursors.close();
  assert.equal(state.writes, writes);
  assert.equal(cursors.get('siem'), undefined);
});

test('retention is held by every cursor that a crash may leave', async () => {
  const state = new SlowState();
  const cursors = await Cursors.open(state, { record() {} });
  let held = 0;
  cursors.onOldest = (oldest) => {
    held = oldest?.nextSeq ?? 0;
  };
  cursors.claim('other', 1, ACTOR);
  cursors.started(1, 1_000);
  cursors.claim('siem', 2, ACTOR);
  cursors.started(2, 100);
  cursors.acked(2, 200);
  await state.settle();
  assert.equal(held, 100, 'the state may have it already, and has not said so');
  await state.settle();
  cursors.started(1, 2_000);
  // Back on purpose, and forwards again before that is on the disk.
  cursors.claim('siem', 3, ACTOR);
  cursors.started(3, 50);
  cursors.acked(3, 300);
  await state.settle();
  assert.equal(held, 50);
  await state.settle();
  assert.equal(held, 50);
  cursors.close();
  await state.settle();
  assert.equal(held, 300);
});
