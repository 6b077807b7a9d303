/**
 * Scenario `storm`: many nodes lose their connections and come back in the same moment, while others go on sending.
 * What counts is how long it takes until all are back, and what the others' events notice of it: none is lost, and
 * their latency, measured like that of scenario `latency` and over the storm alone, stays.
 */
import type { Mode } from './core-process.js';
import { streamResult } from './ingest.js';
import { paceOf } from './latency.js';
import { openFilesLimit } from './proc.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';
import type { StormCommand, StormMessage, StormReport, StormSettings } from './storm-nodes.js';
import { type Beside, runStream } from './stream-run.js';
import { BenchThread } from './threads.js';

export interface StormPlan {
  readonly nodes: number;
  readonly eventsPerSecond: number;
  readonly totp: boolean;
  readonly mode: Mode;
}

/** Nodes that send events meanwhile. */
const SENDERS = 4;
/** Descriptors of each process besides the nodes' connections. */
const OTHER_FILES = 200;
const PREPARE_TIMEOUT_MS = 120_000;
const STORM_TIMEOUT_MS = 120_000;

export function stormTitle(plan: StormPlan): string {
  const codes = plan.totp ? 'with' : 'without';
  return `storm, ${plan.nodes.toLocaleString('en')} nodes ${codes} TOTP, ${plan.eventsPerSecond.toLocaleString('en')} events/s beside`;
}

export async function runStorm(plan: StormPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const limit = openFilesLimit();
  if (plan.nodes + OTHER_FILES > limit) {
    throw new Error(
      `${plan.nodes} nodes need more open files than the limit of ${limit}: raise it with ulimit -n`,
    );
  }
  const pace = paceOf({ connections: SENDERS, eventsPerSecond: plan.eventsPerSecond, mode: plan.mode });
  let report: StormReport | undefined;
  let nodes: BenchThread<StormMessage, StormCommand> | undefined;
  const beside: Beside = {
    async prepare(target) {
      const data: StormSettings = { nodes: plan.nodes, target, seed: settings.seed, totp: plan.totp };
      nodes = new BenchThread('storm', new URL('./storm-nodes.js', import.meta.url), data);
      await nodes.receive('prepared', PREPARE_TIMEOUT_MS);
    },
    async run() {
      nodes!.send('storm');
      report = await nodes!.receive('back', STORM_TIMEOUT_MS);
    },
    leave: () => nodes?.send('disconnect'),
    end: async () => nodes?.end(),
  };
  const outcome = await runStream(
    {
      connections: SENDERS,
      // Of the nodes that left, some are not noticed before they are back.
      tls: false,
      shards: undefined,
      moreConnections: plan.nodes * 2,
      consumer: 'event',
      mode: plan.mode,
      pace,
      warmupMs: settings.warmupMs,
      durationMs: 0,
      totp: plan.totp ? 'optional' : 'off',
      beside,
    },
    context,
  );
  const { seconds, back, retries, problems } = report!;
  const result = streamResult(outcome);
  return {
    scenario: stormTitle(plan),
    parameters: {
      nodes: plan.nodes,
      totp: plan.totp,
      senders: SENDERS,
      mix: settings.mix,
      warmup_seconds: settings.warmupMs / 1000,
    },
    offered_per_second: plan.eventsPerSecond,
    ...result,
    ok: result.ok && problems.length === 0,
    problems: [...result.problems, ...problems],
    storm: { seconds, back, retries },
  };
}
