/**
 * Scenario `replay`: nodes fill the log, then one WebSocket consumer takes all of it from the earliest record on, four times: the first
 * time from the disk, then with what the page cache kept; the figure is the median of those. Every event is verified each time.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { nowMs } from './clock.js';
import type { Core } from './core-process.js';
import { type FillPlan, fillLog } from './fill-log.js';
import type { EventBlocks } from './generator.js';
import { memoryOf } from './proc.js';
import { RecordStream } from './record-stream.js';
import { problemsOf, type ScenarioResult, verifiedOf } from './result.js';
import type { Context } from './settings.js';
import { Verifier, type VerifierSummary } from './verifier.js';
import { connectWebSocket } from './websocket-client.js';

interface Pass {
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly summary: VerifierSummary;
  readonly residentBytes: number | undefined;
}

const STALL_MS = 10_000;
const LOOK_MS = 20;
/** For what is finished to be sealed; where it takes longer it is measured as it is. */
const SEAL_MS = 60_000;

export const replayTitle = ({ bytes, mode }: FillPlan): string =>
  `replay, a log of ${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 0)} GB to one consumer${mode === 'auto' ? '' : `, ${mode}`}`;

export async function runReplay(plan: FillPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  if (settings.external) throw new Error('replay fills the log of a Core of its own');
  const passes: Pass[] = [];
  let mode: string | undefined;
  await fillLog(plan, context, async (core, blocks, sent) => {
    mode = core.mode;
    // Who reads what was just written competes with nobody who seals it, and finds the page cache as he left it.
    await sealed(core);
    for (const what of ['cold', 'warm', 'warm', 'warm']) {
      context.onProgress(0.8, `replay, ${what}`);
      passes.push(await replay(core, blocks, sent));
    }
    await core.stop();
  });
  const warm = passes.slice(1).sort((a, b) => a.eventsPerSecond - b.eventsPerSecond)[1]!;
  const problems = passes.flatMap(({ summary }, at) => problemsOf(`pass ${at + 1}`, summary));
  return {
    scenario: replayTitle(plan),
    ok: problems.length === 0,
    problems,
    ...(mode !== undefined && { mode }),
    parameters: { connections: plan.connections, gigabytes: plan.bytes / 1e9, mix: settings.mix },
    seconds: warm.seconds,
    events_per_second: warm.eventsPerSecond,
    megabytes_per_second: warm.summary.bytes / warm.seconds / 1e6,
    received: passes.map(({ summary }) => verifiedOf(summary)),
    replay: passes.map(({ eventsPerSecond }) => Math.round(eventsPerSecond)),
    ...(warm.residentBytes !== undefined && { resident_bytes: warm.residentBytes }),
  };
}

async function sealed(core: Core): Promise<void> {
  const deadlineMs = nowMs() + SEAL_MS;
  while (nowMs() < deadlineMs) {
    const response = await fetch(`${core.rest}/api/v1/log`);
    const { unsealed_bytes: bytes } = (await response.json()) as { unsealed_bytes: number | null };
    if (bytes === 0) return;
    await pause(LOOK_MS);
  }
}

/** From the upgrade to the last event. */
async function replay(core: Core, blocks: EventBlocks, sent: Float64Array): Promise<Pass> {
  const wanted = sent.reduce((sum, count) => sum + count, 0);
  // The bench alone writes here: notices and positions are all that comes besides.
  const verifier = new Verifier(blocks, { framed: false, othersAllowed: false });
  let done!: () => void;
  const complete = new Promise<void>((resolve) => {
    done = resolve;
  });
  let ended = false;
  const stream = new RecordStream('batch', verifier, {
    ping: (payload) => socket.pong(payload),
    close: (code, reason) => verifier.faults.add('protocol', `closed with ${code} ${reason}`),
  });
  const startMs = nowMs();
  let endMs = startMs;
  const socket = await connectWebSocket(core.proxy, '/?batch=1&from=earliest', {
    bytes: (buffer, start, end) => {
      stream.read(buffer, start, end);
      endMs = nowMs();
      if (verifier.events >= wanted) done();
    },
    ended: () => {
      if (!ended) verifier.faults.add('protocol', 'the stream ended');
      done();
    },
  });
  await Promise.race([complete, stalled(() => verifier.events)]);
  ended = true;
  socket.destroy();
  verifier.finish(sent);
  const seconds = (endMs - startMs) / 1000;
  return {
    seconds,
    eventsPerSecond: verifier.events / seconds,
    summary: verifier.summary(),
    residentBytes: memoryOf(core.pid)?.residentBytes,
  };
}

/** Resolves when nothing has come for a while. */
async function stalled(events: () => number): Promise<void> {
  let seen = -1;
  let sinceMs = nowMs();
  while (nowMs() - sinceMs < STALL_MS) {
    if (events() !== seen) sinceMs = nowMs();
    seen = events();
    await pause(LOOK_MS, undefined, { ref: false });
  }
}
