/**
 * Scenario `latency`: from the node's socket to the WebSocket.
 *
 *   idle      closed loop: one event on its way at a time
 *   offered   open loop: bursts on a schedule that does not care how Core is doing; an event's time counts from when
 *             it was due, so a stall of Core is charged to every event that was due meanwhile
 */
import { type Mode, startCore } from './core-process.js';
import { makeBlocks } from './generator.js';
import { streamResult } from './ingest.js';
import type { Pace } from './load.js';
import type { ProbeMessage, ProbeSettings } from './probe.js';
import { problemsOf, type ScenarioResult, verifiedOf } from './result.js';
import type { Context } from './settings.js';
import { runStream } from './stream-run.js';
import { BenchThread } from './threads.js';

export interface OfferedPlan {
  readonly connections: number;
  readonly eventsPerSecond: number;
  readonly mode: Mode;
}

const KiB = 1024;
/** Nodes hand over what happened in about this time in one write. */
const BURST_MS = 1;
const DISK_BYTES = 64 * 1024 * KiB;
const RESULT_SLACK_MS = 60_000;

export const IDLE_TITLE = 'latency, idle, one event at a time';

export async function runIdleLatency(mode: Mode, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const { warmupMs, durationMs } = settings;
  const blocks = makeBlocks({
    nodes: 1,
    seed: settings.seed,
    mix: settings.mix,
    eventBytes: settings.eventBytes,
    blockBytes: 256 * KiB,
  });
  const external = settings.external;
  if (external && !external.proxy) throw new Error('latency needs the WebSocket port: --proxy HOST:PORT');
  const core = external
    ? undefined
    : await startCore({
        entry: settings.coreEntry,
        dir: settings.dir,
        mode,
        connections: 1,
        diskBytes: DISK_BYTES,
      });
  const data: ProbeSettings = {
    blocks,
    target: (external ?? core)!.target,
    proxy: (external?.proxy ?? core?.proxy)!,
    othersAllowed: core === undefined,
    warmupMs,
    durationMs,
  };
  const probe = new BenchThread<ProbeMessage, never>('probe', new URL('./probe.js', import.meta.url), data);
  const startMs = performance.now();
  const ticker = setInterval(() => {
    context.onProgress((performance.now() - startMs) / (warmupMs + durationMs), 'measuring');
  }, 100);
  try {
    const result = await Promise.race([
      probe.receive('result', warmupMs + durationMs + RESULT_SLACK_MS),
      core?.failed ?? new Promise<never>(() => {}),
    ]);
    await core?.stop();
    const problems = problemsOf('probe', result.summary);
    if (result.latency.samples === 0) problems.push('not one event came through while the clock ran');
    return {
      scenario: IDLE_TITLE,
      ok: problems.length === 0,
      problems,
      parameters: { mix: settings.mix, warmup_seconds: warmupMs / 1000 },
      ...(core && { mode: core.mode }),
      seconds: result.seconds,
      events_per_second: result.latency.samples / result.seconds,
      events_sent: result.sent,
      received: [verifiedOf(result.summary)],
      latency: result.latency,
    };
  } finally {
    clearInterval(ticker);
    await probe.end();
    core?.remove();
  }
}

/** Bursts of whole events per connection, as close to {@link BURST_MS} apart as gives exactly the offered rate. */
export function paceOf(plan: OfferedPlan): Pace {
  const perConnection = plan.eventsPerSecond / plan.connections;
  const burstEvents = Math.max(1, Math.round((perConnection * BURST_MS) / 1000));
  return { burstEvents, periodMs: (burstEvents / perConnection) * 1000 };
}

export function offeredTitle(plan: OfferedPlan): string {
  return `latency, ${plan.eventsPerSecond.toLocaleString('en')} events/s offered, ${plan.connections} connections`;
}

export async function runOfferedLatency(plan: OfferedPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const { warmupMs, durationMs } = settings;
  const pace = paceOf(plan);
  const outcome = await runStream(
    {
      connections: plan.connections,
      consumer: 'event',
      mode: plan.mode,
      tls: false,
      shards: undefined,
      pace,
      warmupMs,
      durationMs,
    },
    context,
  );
  return {
    scenario: offeredTitle(plan),
    parameters: {
      connections: plan.connections,
      burst_events: pace.burstEvents,
      burst_period_ms: pace.periodMs,
      mix: settings.mix,
      warmup_seconds: warmupMs / 1000,
    },
    offered_per_second: plan.eventsPerSecond,
    ...streamResult(outcome),
  };
}
