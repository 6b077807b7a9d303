/**
 * Makes the indexes of a segment again that are missing or wrong, `.idx` and `.gzi`. Never touches data or seals. Any process,
 * also while Core runs, but not for the segment that is being written.
 */
import { join } from 'node:path';
import { membersOf, openContent } from './content.js';
import { type LogFiles, REAL_FILES, readFile, replaceFile } from './files.js';
import { segmentName } from './format.js';
import type { FoundSegment } from './found-segment.js';
import { decodeGzipIndex, encodeGzipIndex, gzipIndexFileName } from './gzip-index.js';
import type { Crc32 } from './open-segment.js';
import { rebuildIndex } from './verify.js';

export interface Repaired {
  readonly segment: number;
  /** What was made again, for people; empty: all was good. */
  readonly done: readonly string[];
  /** Why something could not be made again. */
  readonly failed: readonly string[];
}

export function repairSegment(
  folder: string,
  { segment, compressed, seal }: FoundSegment,
  crc32: Crc32 | undefined,
  files: LogFiles = REAL_FILES,
): Repaired {
  const done: string[] = [];
  const failed: string[] = [];
  try {
    if (compressed && repairMembers(folder, segment, files)) done.push('the index of its gzip members');
    const content = openContent(folder, segment, files);
    if (content === undefined) return { segment, done, failed: ['is gone'] };
    try {
      const { changed, addedRecords } = rebuildIndex(folder, join(folder, segmentName(segment)), segment, {
        files,
        ...(crc32 === undefined ? {} : { crc32 }),
        content: {
          sizeBytes: content.size(),
          writtenMs: writtenBefore(content.writtenMs(), seal),
          read: (target, lengthBytes, offsetBytes) => content.read(target, 0, lengthBytes, offsetBytes),
        },
      });
      if (changed) done.push(`its index: ${addedRecords} records were not in it`);
    } finally {
      content.close();
    }
    if (seal === 'broken')
      failed.push('its seal cannot be read, and only the Core that made it could make it again');
  } catch (error) {
    failed.push((error as Error).message);
  }
  return { segment, done, failed };
}

/** A compressed file was written later than its records, and so was a copy: they are never younger than their seal. */
function writtenBefore(writtenMs: number, seal: FoundSegment['seal']): number {
  return typeof seal === 'object' ? Math.min(writtenMs, Date.parse(seal.sealedAt)) : writtenMs;
}

function repairMembers(folder: string, segment: number, files: LogFiles): boolean {
  const path = join(folder, gzipIndexFileName(segment));
  const there = readFile(files, path);
  if (there !== undefined && decodeGzipIndex(there) !== undefined) return false;
  replaceFile(files, folder, path, encodeGzipIndex(membersOf(folder, segment, files)));
  return true;
}
