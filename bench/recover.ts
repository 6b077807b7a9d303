/**
 * Scenario `recover`: how long Core takes to start on a large log, after an end in order, after it was killed, and with a
 * torn tail. Everything that was sent is still there afterwards, and the next number follows.
 */
import { appendFileSync, closeSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Core, startCore } from './core-process.js';
import { type FillPlan, fillLog } from './fill-log.js';
import type { EventBlocks } from './generator.js';
import { checkLog, type LogCheck } from './log-check.js';
import { durableLag, nextSeqOf } from './rest.js';
import { problemsOf, type ScenarioResult, verifiedOf } from './result.js';
import type { Context } from './settings.js';

interface Start {
  readonly what: string;
  readonly ms: number;
}

const INDEX_ENTRY_PART = 17;
/** For Core to write what it has taken, and to force it to the disk. */
const SETTLE_MS = 60_000;

export const recoverTitle = ({ bytes }: FillPlan): string =>
  `recover, a log of ${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 0)} GB with a torn tail`;

export async function runRecover(plan: FillPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  if (settings.external) throw new Error('recover starts and kills a Core of its own');
  const starts: Start[] = [];
  const problems: string[] = [];
  let log: LogCheck | undefined;
  let mode: string | undefined;
  await fillLog(plan, context, async (core, blocks, sent) => {
    mode = core.mode;
    starts.push({ what: 'empty', ms: core.startMs });
    log = await restarts(core, blocks, sent, plan, context, starts, problems);
  });
  if (log) problems.push(...problemsOf('log', log.summary));
  const torn = starts.filter(({ what }) => what.startsWith('torn'));
  return {
    scenario: recoverTitle(plan),
    ok: problems.length === 0,
    problems,
    ...(mode !== undefined && { mode }),
    parameters: { connections: plan.connections, gigabytes: plan.bytes / 1e9, mix: settings.mix },
    seconds: Math.max(...torn.map(({ ms }) => ms)) / 1000,
    ...(log && {
      log: {
        bytes: log.bytes,
        segments: log.segments,
        crc32: log.checksum,
        verified: verifiedOf(log.summary),
      },
    }),
    recover: starts.map(({ what, ms }) => ({ what, seconds: Number((ms / 1000).toFixed(3)) })),
  };
}

async function restarts(
  first: Core,
  blocks: EventBlocks,
  sent: Float64Array,
  plan: FillPlan,
  context: Context,
  starts: Start[],
  problems: string[],
): Promise<LogCheck> {
  const { settings } = context;
  let core = first;
  /** Starts on the same data, after `damage`; the next number must be what the log says. */
  const again = async (what: string, end: () => Promise<unknown>, damage: () => void): Promise<void> => {
    await end();
    damage();
    const wanted = nextSeqOnDisk(core.logDir);
    core = await startCore({
      entry: settings.coreEntry,
      dir: settings.dir,
      mode: plan.mode,
      connections: plan.connections,
      diskBytes: 0,
      folder: core.folder,
    });
    starts.push({ what, ms: core.startMs });
    context.onProgress(0.9, what);
    const nextSeq = await nextSeqOf(core.rest);
    if (nextSeq !== wanted)
      problems.push(`${what}: the next number is ${nextSeq}, and the log ends before ${wanted}`);
  };
  const nothing = (): void => {};
  // What is still on its way inside Core dies with it, and nobody was promised anything about that.
  const events = sent.reduce((sum, count) => sum + count, 0);
  const deadlineMs = performance.now() + SETTLE_MS;
  for (;;) {
    if ((await nextSeqOf(core.rest)) > events && (await durableLag(core.rest)) === 0) break;
    if (performance.now() > deadlineMs) throw new Error('Core did not write all that it took');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await again('after it was killed', () => core.kill(), nothing);
  await again(
    'torn: half a record, half an entry of the index',
    () => core.kill(),
    () => tearBehind(core.logDir),
  );
  await again(
    'torn: no index of the newest segment',
    () => core.kill(),
    () => {
      rmSync(newest(core.logDir, '.idx'));
      tearBehind(core.logDir);
    },
  );
  await again('after an end in order', () => core.stop(), nothing);
  await core.stop();
  return checkLog(core.logDir, blocks, sent, (bytes) =>
    context.onProgress(0.95, `verifying the log, ${(bytes / 1e9).toFixed(1)} GB`),
  );
}

function newest(logDir: string, ending: string): string {
  const names = readdirSync(logDir).filter((name) => name.endsWith(ending));
  return join(logDir, names.sort().at(-1)!);
}

/** By counting lines: what is behind the last newline is no record. */
function nextSeqOnDisk(logDir: string): number {
  const path = newest(logDir, '.ndjson');
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  const fd = openSync(path, 'r');
  let seq = Number(/(\d{20})\.ndjson$/.exec(path)![1]);
  for (;;) {
    const bytes = readSync(fd, buffer, 0, buffer.length, null);
    if (bytes === 0) break;
    for (let at = buffer.indexOf(10); at >= 0 && at < bytes; at = buffer.indexOf(10, at + 1)) seq++;
  }
  closeSync(fd);
  return seq;
}

/** A write that was under way: half a record, half an entry. What was whole is not touched: that would be damage. */
function tearBehind(logDir: string): void {
  appendFileSync(newest(logDir, '.ndjson'), '{"version":2,"message":{"PotEvent":{"node_id":1844674407370955');
  try {
    appendFileSync(newest(logDir, '.idx'), Buffer.alloc(INDEX_ENTRY_PART, 0x5a));
  } catch {
    // There is none.
  }
}
