/** Nodes fill the log of a Core until it has so many bytes: that many in one go, or first, for somebody else to read. */
import type { Mode } from './core-process.js';
import type { Context } from './settings.js';
import { runStream, type StreamPlan } from './stream-run.js';

export interface FillPlan {
  readonly connections: number;
  readonly bytes: number;
  readonly mode: Mode;
}

/** Slower than this nothing was ever seen. */
const SLOWEST_BYTES_PER_SECOND = 20e6;
const SHORTEST_MS = 60_000;

/** A run from start to end: everything counts, the first second too, and it is given up where it takes far too long. */
export function fillingPlan({ connections, bytes, mode }: FillPlan) {
  return {
    connections,
    mode,
    tls: false,
    shards: undefined,
    pace: undefined,
    warmupMs: 0,
    durationMs: Math.max(SHORTEST_MS, (bytes / SLOWEST_BYTES_PER_SECOND) * 1000),
    untilBytes: bytes,
  } as const;
}

/** `end` is called with the Core still running. */
export async function fillLog(
  plan: FillPlan,
  context: Context,
  end: NonNullable<StreamPlan['end']>,
): Promise<void> {
  await runStream({ ...fillingPlan(plan), consumer: 'none', end }, context);
}
