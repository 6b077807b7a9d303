/**
 * Puts in order what a keeper that was ended in the middle of something left in the log's folder. Nothing that anybody
 * could still read is touched, but for the one segment that retention.seal already names as deleted.
 */
import { join } from 'node:path';
import type { LogFolder } from './log-folder.js';
import { removeFiles } from './retention.js';
import type { SealingParts } from './sealing.js';

const TEMPORARY = /^(\d{20}\.(ndjson\.gz|gzi|seal)|retention\.seal|keeper-\d\.spare)\.tmp$/;
const BESIDE = /^(\d{20})\.(idx|gzi|seal)$/;

/** Answers what is wrong and was left as it is. */
export function tidy(parts: SealingParts): string | undefined {
  const { folder } = parts;
  const problem = finishDeletion(parts, folder);
  folder.refresh();
  const there = new Set(folder.segments.map(({ firstSeq }) => firstSeq));
  const compressed = new Set(
    folder.segments.filter(({ gzipBytes }) => gzipBytes !== undefined).map(({ firstSeq }) => firstSeq),
  );
  for (const name of folder.files.list(folder.path)) {
    const [, digits, ending] = BESIDE.exec(name) ?? [];
    const segment = Number(digits);
    const isLeft =
      TEMPORARY.test(name) ||
      // Of a deleted segment. A seal without its segment is evidence otherwise.
      (digits !== undefined && !there.has(segment) && segment < (folder.deleted?.nextSeq ?? 0)) ||
      (ending === 'gzi' && there.has(segment) && !compressed.has(segment));
    if (isLeft) folder.files.unlink(join(folder.path, name));
  }
  folder.files.syncFolderNow(folder.path);
  return problem;
}

function finishDeletion(parts: SealingParts, folder: LogFolder): string | undefined {
  const [oldest, next] = folder.segments;
  if (folder.deleted === undefined || oldest === undefined || oldest.firstSeq >= folder.deleted.nextSeq)
    return undefined;
  // It is deleted one at a time, so there is one at most: more were put there by somebody, and are not ours to delete.
  if (next === undefined || next.firstSeq < folder.deleted.nextSeq)
    return `retention.seal says that everything before ${folder.deleted.nextSeq} was deleted, and it is there: left as it is`;
  removeFiles(parts, oldest);
  return undefined;
}
