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

export async function coreCounts(restUrl: string): Promise<CoreCounts> {
  const url = new URL('/api/v1/stats', restUrl);
  const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}`);
  const { totals, aggregator } = (await response.json()) as StatsAnswer;
  if (typeof totals?.events !== 'number') throw new Error(`${url.href} does not say totals.events`);
  return {
    acceptedEvents: totals.events,
    heapBytes: (totals.heap_used_bytes ?? 0) + (aggregator?.heap_used_bytes ?? 0),
  };
}
