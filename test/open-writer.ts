/** A writer of a log, with nobody who listens. */
import { crc32 } from 'node:zlib';
import { REAL_FILES } from '../src/log/files.js';
import { type RecoveredLog, recoverLog } from '../src/log/recovery.js';
import { SegmentWriter, type WriterOptions } from '../src/log/segment-writer.js';
import type { Addon } from '../src/native/addon.js';

/** What recovery finds in a folder. */
export function recover(folder: string): RecoveredLog {
  return recoverLog(folder, REAL_FILES, crc32).recovered;
}

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
