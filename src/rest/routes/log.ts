/** `GET /api/v1/log`: how far the log is, what of it is safe, what is kept and what is deleted. */
import type { RestApp } from '../app.js';
import { isoTime } from '../iso-time.js';
import type { LogView } from '../log-view.js';
import { LogAnswer } from '../schemas-ledger.js';
import type { CoreView } from '../view.js';

export function logRoute(app: RestApp, view: CoreView, log: LogView): void {
  app.get(
    '/api/v1/log',
    {
      config: { access: 'read', scope: 'counts' },
      schema: {
        operationId: 'getLog',
        tags: ['operation'],
        summary: 'the log: how far it is, what is durable, kept and deleted',
        description: 'As it is now; what is on the disk, as Core saw it last, less than a second ago.',
        response: { 200: LogAnswer },
      },
    },
    async (_request, reply) => {
      const { aggregator } = view.stats();
      const { storage } = log;
      const state = log.state();
      return reply.send({
        next_seq: aggregator.next_seq,
        durable_seq: aggregator.durable_seq,
        fsync: {
          mode: storage.fsync,
          interval_ms: storage.fsync_interval_ms,
          count: aggregator.syncs,
          seconds: aggregator.sync_ms / 1000,
          longest_ms: aggregator.sync_longest_ms,
        },
        written: {
          records: aggregator.records,
          bytes: aggregator.bytes_logged,
          disk_waits: aggregator.disk_waits,
          disk_wait_seconds: aggregator.disk_wait_ms / 1000,
        },
        kept: {
          first_seq: state?.firstSeq ?? null,
          first_received: isoTime(state?.firstMs ?? null),
          segments: state?.segments ?? null,
          sealed_segments: state?.sealedSegments ?? null,
          compressed_segments: state?.compressedSegments ?? null,
          bytes: state?.bytes ?? null,
          unsealed_bytes: state?.unsealedBytes ?? null,
          damaged_records: state?.damagedRecords ?? null,
          free_bytes: state?.freeBytes ?? null,
          chain: state?.chain ?? null,
        },
        retention: {
          bytes: storage.retention_bytes,
          seconds: storage.retention_seconds,
          free_bytes: storage.retention_free_bytes,
          force: storage.retention_force,
          deleted_segments: state?.deletedSegments ?? null,
          deleted_bytes: state?.deletedBytes ?? null,
          deleted_records: state?.deletedRecords ?? null,
          forced_records: state?.forcedRecords ?? null,
          held_by: state?.heldBy ?? null,
        },
      });
    },
  );
}
