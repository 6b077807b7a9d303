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
