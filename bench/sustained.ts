/**
 * Scenario `sustained`: many gigabytes in one go, through the log and to one consumer, until the page cache cannot help any more. Is it as
 * fast at the end as at the beginning, and does Core stay as small?
 */
import { type FillPlan, fillingPlan } from './fill-log.js';
import { streamResult } from './ingest.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';
import { runStream, type Sample } from './stream-run.js';

/** The window is told in so many parts. */
const PARTS = 12;

export const sustainedTitle = ({ bytes, connections }: FillPlan): string =>
  `sustained, ${(bytes / 1e9).toFixed(bytes < 1e9 ? 2 : 0)} GB, ${connections} connections, batches`;

export async function runSustained(plan: FillPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const samples: Sample[] = [];
  const outcome = await runStream(
    { ...fillingPlan(plan), consumer: 'batch', onSample: (sample) => samples.push(sample) },
    context,
  );
  const parts = ratesOf(samples, plan.bytes);
  const lags = samples.map(({ durableLag }) => durableLag).filter((lag) => lag !== undefined);
  const resident = samples.map(({ residentBytes }) => residentBytes).filter((bytes) => bytes !== undefined);
  return {
    scenario: sustainedTitle(plan),
    parameters: {
      connections: plan.connections,
      gigabytes: plan.bytes / 1e9,
      mix: settings.mix,
      event_bytes: settings.mix === 'uniform' ? settings.eventBytes : undefined,
    },
    ...streamResult(outcome),
    sustained: {
      events_per_second: parts.map(Math.round),
      resident_bytes: thinned(resident),
      durable_lag_max: lags.length === 0 ? null : Math.max(...lags),
    },
  };
}

/** Events a second in each part of the run, parts of as many bytes. */
function ratesOf(samples: readonly Sample[], bytes: number): number[] {
  const rates: number[] = [];
  let from = samples[0];
  for (const sample of samples) {
    if (from === undefined || sample.atMs === from.atMs) continue;
    if (sample.writtenBytes < (bytes / PARTS) * (rates.length + 1)) continue;
    rates.push(((sample.verifiedEvents - from.verifiedEvents) / (sample.atMs - from.atMs)) * 1000);
    from = sample;
  }
  return rates;
}

/** One in a few, so that a line of JSON stays one. */
function thinned(values: readonly number[]): number[] {
  const every = Math.max(1, Math.floor(values.length / PARTS));
  return values.filter((_, at) => at % every === 0 || at === values.length - 1);
}
