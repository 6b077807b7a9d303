/** The little that the bench asks Core over REST: how many events it has accepted. For runs without a consumer. */

const REQUEST_TIMEOUT_MS = 5_000;

export async function acceptedEvents(restUrl: string): Promise<number> {
  const url = new URL('/api/v1/stats', restUrl);
  const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}`);
  const { totals } = (await response.json()) as { totals?: { events?: unknown } };
  if (typeof totals?.events !== 'number') throw new Error(`${url.href} does not say totals.events`);
  return totals.events;
}
