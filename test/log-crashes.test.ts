/**
 * The log on a file system that does its worst (fault-files.ts): what was acknowledged is there, no number is given
 * twice, and where only the process ended nothing at all is missing. And that these histories would notice if it were not so.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { FaultFiles } from './fault-files.js';
import { seeded } from './framer-run.js';
import { SEED } from './frames.js';
import { temporaryFolder } from './log-files.js';
import { type HistoryOptions, LogHistory } from './log-history.js';

const ROUNDS = Number(process.env.HONEYBEE_CRASH_ROUNDS ?? 40);
const STEPS = 250;

function history(t: TestContext, seed: number, options: Partial<HistoryOptions>): LogHistory {
  const folder = join(temporaryFolder(t), 'log');
  return new LogHistory({ folder, random: seeded(seed), fsync: 'interval', steps: STEPS, ...options });
}

describe('the log, whatever happens to the disk', () => {
  for (const fsync of ['interval', 'always', 'never'] as const) {
    it(`keeps what it promised, with fsync "${fsync}"`, (t) => {
      const total = {
        starts: 0,
        powerLosses: 0,
        syncFailures: 0,
        damaged: 0,
        saved: 0,
        skipped: 0,
        fullDisks: 0,
      };
      for (let round = 0; round < ROUNDS; round++) {
        const seed = SEED + round;
        const life = history(t, seed, { fsync });
        try {
          life.run();
        } catch (error) {
          throw new Error(`seed ${seed}, fsync ${fsync}: ${(error as Error).message}`, { cause: error });
        }
        for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += life.counts[key];
      }
      // It was not all sunshine.
      for (const [what, count] of Object.entries(total)) {
        if (fsync === 'never' && ['syncFailures', 'damaged'].includes(what)) continue;
        assert.ok(count > 0, `${what} never happened in ${ROUNDS} lives`);
      }
      t.diagnostic(JSON.stringify(total));
    });
  }

  const plants: [string, Partial<HistoryOptions>][] = [
    [
      'an fsync that does nothing',
      {
        plant: (files: FaultFiles) => {
          files.lies.syncData = true;
        },
      },
    ],
    [
      'a folder that is never fsynced',
      {
        plant: (files: FaultFiles) => {
          files.lies.syncFolder = true;
        },
      },
    ],
    [
      'a start that does not know what was reserved',
      {
        beforeStart: (files: FaultFiles) => {
          for (const path of files.paths) if (path.endsWith('log.state')) files.forget(path);
        },
      },
    ],
  ];
  for (const [what, plant] of plants) {
    it(`would not be kept by ${what}, and that is noticed`, (t) => {
      for (let round = 0; round < ROUNDS; round++) {
        try {
          history(t, SEED + round, plant).run();
        } catch (error) {
          assert.match((error as Error).message, /record|number/);
          return;
        }
      }
      assert.fail(`nothing was noticed in ${ROUNDS} lives`);
    });
  }
});
