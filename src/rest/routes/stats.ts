/** `GET /api/v1/stats`: how much, how fast, and what went wrong. */
import type { RestApp } from '../app.js';
import { isoTime } from '../iso-time.js';
import { StatsAnswer } from '../schemas-stats.js';
import type { CoreView } from '../view.js';

const STATS_ROUTE = {
  config: { access: 'read', scope: 'counts' },
  schema: {
    operationId: 'getStats',
    tags: ['operation'],
    summary: 'rates, totals, errors by code, shards, log and consumers',
    description: 'Everything that is counted, as it is now. Totals never go back while Core runs.',
    response: { 200: StatsAnswer },
  },
} as const;

export function statsRoute(app: RestApp, view: CoreView): void {
  app.get('/api/v1/stats', STATS_ROUTE, async (_request, reply) => {
    const { version, mode, startedAtMs, uptimeMs } = view.about();
    const { known, connected, byStatus } = view.nodeCounts();
    const { waiting, mostWaiting, admitted, turnedAway } = view.admission();
    const { totals, refused, errors, shards, aggregator, rates } = view.stats();
    return reply.send({
      version,
      mode,
      started: isoTime(startedAtMs),
      uptime_seconds: Math.round(uptimeMs) / 1000,
      health: view.health(),
      nodes: { known, connected, by_status: byStatus },
      admission: { waiting, most_waiting: mostWaiting, admitted, turned_away: turnedAway },
      rates_per_second: { last_1s: rates.last1s, last_10s: rates.last10s, last_60s: rates.last60s },
      totals: { ...totals, refused },
      errors,
      dead_letters: { ...view.deadLetters() },
      shards: shards.map(({ shard, alive, deaths, counters, refused }) => ({
        shard,
        alive,
        deaths,
        ...counters,
        refused,
      })),
      aggregator: {
        next_seq: aggregator.next_seq,
        durable_seq: aggregator.durable_seq,
        records: aggregator.records,
        bytes_logged: aggregator.bytes_logged,
        batches: aggregator.batches,
        segments: aggregator.segments,
        heap_used_bytes: aggregator.heap_used_bytes,
        consumers: {
          open: aggregator.consumers_open,
          total: aggregator.consumers_total,
          cut_off: aggregator.consumers_cut_off,
          messages_sent: aggregator.messages_sent,
          bytes_sent: aggregator.bytes_sent,
          bytes_buffered: aggregator.bytes_buffered,
        },
        disk: { waits: aggregator.disk_waits, wait_ms: aggregator.disk_wait_ms },
      },
    });
  });
}
