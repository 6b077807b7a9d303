/**
 * Scenario `durability`: what it costs that events are forced to the disk. The same load with `fsync = interval` and with
 * `never`, in turns, because the machine's speed changes from minute to minute: pairs side by side can be compared,
 * runs an hour apart cannot.
 */
import type { Mode } from './core-process.js';
import { streamResult } from './ingest.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';
import { runStream } from './stream-run.js';

export interface DurabilityPlan {
  readonly connections: number;
  readonly mode: Mode;
  readonly pairs: number;
  readonly intervalMs: number;
}

export const durabilityTitle = ({ intervalMs, pairs }: DurabilityPlan): string =>
  `durability, fsync every ${intervalMs} ms against never, ${pairs} pairs`;

type Policy = 'interval' | 'never';

export async function runDurability(plan: DurabilityPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const rates: Record<Policy, number[]> = { interval: [], never: [] };
  const problems: string[] = [];
  let last: Omit<ScenarioResult, 'scenario' | 'parameters'> | undefined;
  for (let pair = 0; pair < plan.pairs; pair++) {
    // The one that comes first finds another disk than the one behind it: they take turns at that, too.
    const order: readonly Policy[] = pair % 2 === 0 ? ['interval', 'never'] : ['never', 'interval'];
    for (const [at, policy] of order.entries()) {
      const result = await runOne(plan, policy, {
        settings,
        onProgress: (fraction, text) =>
          context.onProgress((2 * pair + at + fraction) / (2 * plan.pairs), `${policy}: ${text}`),
      });
      problems.push(...result.problems.map((problem) => `${policy}, pair ${pair}: ${problem}`));
      rates[policy].push(result.events_per_second ?? 0);
      if (policy === 'interval') last = result;
    }
  }
  const costs = rates.interval.map((rate, pair) => 1 - rate / rates.never[pair]!);
  return {
    ...last!,
    scenario: durabilityTitle(plan),
    parameters: {
      connections: plan.connections,
      fsync_interval_ms: plan.intervalMs,
      pairs: plan.pairs,
      mix: settings.mix,
      event_bytes: settings.mix === 'uniform' ? settings.eventBytes : undefined,
    },
    ok: problems.length === 0,
    problems,
    events_per_second: median(rates.interval),
    durability: {
      interval_events_per_second: rates.interval.map(Math.round),
      never_events_per_second: rates.never.map(Math.round),
      cost: median(costs),
      costs: costs.map((cost) => Number(cost.toFixed(4))),
    },
  };
}

async function runOne(plan: DurabilityPlan, policy: Policy, context: Context): Promise<ScenarioResult> {
  const { warmupMs, durationMs } = context.settings;
  const outcome = await runStream(
    {
      connections: plan.connections,
      consumer: 'batch',
      mode: plan.mode,
      tls: false,
      shards: undefined,
      pace: undefined,
      warmupMs,
      durationMs,
      storage: { fsync: policy, fsync_interval_ms: plan.intervalMs },
    },
    context,
  );
  return { scenario: policy, parameters: {}, ...streamResult(outcome) };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
