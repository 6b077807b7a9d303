/** A writer of a log, with nobody who listens. */
import { SegmentWriter, type WriterOptions } from '../src/log/segment-writer.js';
import type { Addon } from '../src/native/addon.js';

export function openWriter(
  folder: string,
  segmentBytes: number,
  addon: Addon | undefined,
  options: Partial<WriterOptions> = {},
): SegmentWriter {
  return new SegmentWriter({
    folder,
    segmentBytes,
    segmentMs: 0,
    fsync: 'interval',
    fsyncIntervalMs: 50,
    addon,
    onSyncStart() {},
    onDurable() {},
    onSyncFailed(error) {
      throw error;
    },
    ...options,
  });
}
