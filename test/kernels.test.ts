/** Every kernel of simdjson that this machine may fall back to gives the same answers as the one it prefers. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { skipped } from './scanner-run.js';

const NOT_HERE = 77;
const PROGRAM = fileURLToPath(new URL('kernel-run.js', import.meta.url));

describe('the native scanner', { skip: skipped('native') }, () => {
  for (const kernel of ['fallback', 'westmere']) {
    it(`agrees with the oracle under the kernel "${kernel}"`, (t) => {
      const { status, stderr } = spawnSync(process.execPath, ['--enable-source-maps', PROGRAM], {
        env: { ...process.env, SIMDJSON_FORCE_IMPLEMENTATION: kernel },
        encoding: 'utf8',
        timeout: 60_000,
      });
      if (status === NOT_HERE) return t.skip('not on this machine');
      assert.equal(status, 0, stderr);
    });
  }
});
