/** Nodes fill the log of a Core until it has so many bytes; then it is somebody else's, with that Core still running. */
import type { Mode } from './core-process.js';
import type { Context } from './settings.js';
import { runStream, type StreamPlan } from './stream-run.js';

export interface FillPlan {
  readonly connections: number;
  readonly bytes: number;
  readonly mode: Mode;
}

/** Slower than this nothing was ever seen: how long a run over so many bytes may take. */
const SLOWEST_BYTES_PER_SECOND = 20e6;
const SHORTEST_MS = 60_000;

export function longestMs(bytes: number): number {
  return Math.max(SHORTEST_MS, (bytes / SLOWEST_BYTES_PER_SECOND) * 1000);
}

export async function fillLog(
  plan: FillPlan,
  context: Context,
  end: NonNullable<StreamPlan['end']>,
): Promise<void> {
  await runStream(
    {
      connections: plan.connections,
      consumer: 'none',
      mode: plan.mode,
      tls: false,
      shards: undefined,
      pace: undefined,
      warmupMs: 0,
      durationMs: longestMs(plan.bytes),
      untilBytes: plan.bytes,
      end,
    },
    context,
  );
}
