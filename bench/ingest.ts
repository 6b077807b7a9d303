/** Scenario `ingest`: how many events a second go the whole way, verified. */

import type { Mode } from './core-process.js';
import { problemsOf, type ScenarioResult, verifiedOf } from './result.js';
import type { ConsumerKind, Context } from './settings.js';
import { defaultWriteBytes, runStream, type StreamOutcome } from './stream-run.js';

export interface IngestPlan {
  readonly connections: number;
  readonly consumer: ConsumerKind;
  readonly mode: Mode;
  readonly tls: boolean;
  /** As many as Core chooses, when undefined. */
  readonly shards: number | undefined;
}

export function ingestTitle(plan: IngestPlan): string {
  const consumer =
    plan.consumer === 'event'
      ? 'one message per event'
      : plan.consumer === 'none'
        ? 'no consumer'
        : 'batches';
  const mode = plan.mode === 'auto' ? '' : `, ${plan.mode}`;
  const shards = plan.shards === undefined ? '' : `, ${plan.shards} shard${plan.shards === 1 ? '' : 's'}`;
  return `ingest${plan.tls ? ' over TLS' : ''}, ${plan.connections} connections, ${consumer}${shards}${mode}`;
}

export async function runIngest(plan: IngestPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const { warmupMs, durationMs } = settings;
  const outcome = await runStream({ ...plan, pace: undefined, warmupMs, durationMs }, context);
  return {
    scenario: ingestTitle(plan),
    parameters: {
      connections: plan.connections,
      tls: plan.tls,
      shards: outcome.shards,
      load_threads: outcome.loadCpu?.length,
      consumer: plan.consumer,
      consumers: plan.consumer === 'none' ? 0 : settings.consumers,
      mix: settings.mix,
      event_bytes: settings.mix === 'uniform' ? settings.eventBytes : undefined,
      write_bytes: settings.writeBytes ?? defaultWriteBytes(plan.connections),
      warmup_seconds: warmupMs / 1000,
    },
    ...streamResult(outcome),
  };
}

/** What every run over the stream reports. */
export function streamResult(outcome: StreamOutcome): Omit<ScenarioResult, 'scenario' | 'parameters'> {
  const problems = [
    ...outcome.problems,
    ...outcome.received.flatMap((summary, consumer) => problemsOf(`consumer ${consumer}`, summary)),
    ...(outcome.log ? problemsOf('log', outcome.log.summary) : []),
  ];
  if (outcome.eventsPerSecond === 0) problems.push('not one event came through while the clock ran');
  const { log, latency, sendLag, coreCpu, loadCpu } = outcome;
  return {
    ok: problems.length === 0,
    problems,
    seconds: outcome.seconds,
    events_per_second: outcome.eventsPerSecond,
    megabytes_per_second: outcome.bytesPerSecond / 1e6,
    events_sent: outcome.eventsSent,
    received: outcome.received.map(verifiedOf),
    ...(outcome.mode !== undefined && { mode: outcome.mode }),
    ...(latency && { latency }),
    ...(sendLag && { send_lag: sendLag }),
    ...(log && {
      log: {
        bytes: log.bytes,
        segments: log.segments,
        crc32: log.checksum,
        verified: verifiedOf(log.summary),
      },
    }),
    ...(coreCpu && { core_cpu: coreCpu }),
    ...(loadCpu !== undefined && { bench_cpu: { load: sum(loadCpu), consumers: outcome.consumerCpu } }),
    ...(outcome.heapGrowthBytes !== undefined && { heap_growth_bytes: outcome.heapGrowthBytes }),
    ...(outcome.residentStartBytes !== undefined && { resident_start_bytes: outcome.residentStartBytes }),
    ...(outcome.residentBytes !== undefined && { resident_bytes: outcome.residentBytes }),
    ...(outcome.residentPeakBytes !== undefined && { resident_peak_bytes: outcome.residentPeakBytes }),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
