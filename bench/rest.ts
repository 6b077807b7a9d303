/** The little that the bench asks Core over REST: how many events it has accepted, and the heap of its data plane. */

const REQUEST_TIMEOUT_MS = 5_000;

export interface CoreCounts {
  readonly acceptedEvents: number;
  /** JavaScript heap in use by the shards and the aggregator, as of the last second. */
  readonly heapBytes: number;
}

interface StatsAnswer {
  readonly totals?: { readonly events?: unknown; readonly heap_used_bytes?: number };
  readonly aggregator?: { readonly heap_used_bytes?: number };
}

/** What `/api/v1/log` says. */
interface LogAnswer {
  readonly next_seq?: number;
  readonly durable_seq?: number;
}

async function ask<Answer>(restUrl: string, path: string): Promise<Answer> {
  const url = new URL(path, restUrl);
  const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}`);
  return (await response.json()) as Answer;
}

/** Records that are in the log and not forced to the disk yet. */
export async function durableLag(restUrl: string): Promise<number | undefined> {
  const { next_seq, durable_seq } = await ask<LogAnswer>(restUrl, '/api/v1/log');
  return next_seq === undefined || durable_seq === undefined ? undefined : next_seq - durable_seq;
}

/** The sequence number of the next record. */
export async function nextSeqOf(restUrl: string): Promise<number> {
  const { next_seq } = await ask<LogAnswer>(restUrl, '/api/v1/log');
  if (next_seq === undefined) throw new Error('Core does not say next_seq');
  return next_seq;
}

export async function coreCounts(restUrl: string): Promise<CoreCounts> {
  const { totals, aggregator } = await ask<StatsAnswer>(restUrl, '/api/v1/stats');
  if (typeof totals?.events !== 'number') throw new Error(`${restUrl} does not say totals.events`);
  return {
    acceptedEvents: totals.events,
    heapBytes: (totals.heap_used_bytes ?? 0) + (aggregator?.heap_used_bytes ?? 0),
  };
}
