/**
 * Which segment goes next, and how it goes. Whole segments, the oldest first; never the newest one, whose name tells Core
 * its next sequence number. Before anything is deleted `retention.seal` says what is gone (log/seal.ts), so that the chain
 * of what is left begins somewhere, and so that a crash in the middle is finished at the next start: everything older than
 * what that file names is left over.
 */

import { isMissing } from '../log/files.js';
import {
  CHAIN_START,
  encodeRetentionSeal,
  makeRetentionSeal,
  RETENTION_SEAL,
  type Seal,
} from '../log/seal.js';
import { isDiskFull } from '../log/segment-writer.js';
import { bytesOf, type KeptSegment } from './log-folder.js';
import type { KeeperToMain } from './messages.js';
import type { SealingParts } from './sealing.js';
import { removeIfThere } from './whole-file.js';

export interface RetentionRules {
  /** 0: no limit, as in the others. */
  readonly retention_bytes: number;
  readonly retention_seconds: number;
  readonly retention_free_bytes: number;
  readonly retention_force: boolean;
}

export type Reason = Extract<KeeperToMain, { readonly type: 'deleted' }>['why'];

/** The named consumer that needs the oldest record. */
export type Cursor = { readonly name: string; readonly nextSeq: number } | null;

export interface Situation {
  /** Oldest first; without the newest, and without those that are still written. */
  readonly deletable: readonly KeptSegment[];
  /** What the whole log takes. */
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly nowMs: number;
  readonly cursor: Cursor;
  /** When the newest record of a segment was received; undefined: nobody knows. */
  lastMsOf(segment: KeptSegment): number | undefined;
  /** First sequence number behind a segment. */
  nextSeqOf(segment: KeptSegment): number;
}

export type Verdict =
  | { readonly do: 'nothing' }
  /** It is due, and a consumer needs it. */
  | { readonly do: 'hold'; readonly heldBy: string }
  | {
      readonly do: 'delete';
      readonly segment: KeptSegment;
      readonly why: Reason;
      /** The consumer that still needs it, and how many records of it. */
      readonly forced: { readonly by: string; readonly records: number } | undefined;
    };

export function judge(rules: RetentionRules, situation: Situation): Verdict {
  const [segment] = situation.deletable;
  if (segment === undefined) return { do: 'nothing' };
  const why = reasonFor(rules, situation, segment);
  if (why === undefined) return { do: 'nothing' };
  const { cursor } = situation;
  const nextSeq = situation.nextSeqOf(segment);
  if (cursor === null || cursor.nextSeq >= nextSeq) return { do: 'delete', segment, why, forced: undefined };
  if (!rules.retention_force) return { do: 'hold', heldBy: cursor.name };
  const records = nextSeq - Math.max(segment.firstSeq, cursor.nextSeq);
  return { do: 'delete', segment, why, forced: { by: cursor.name, records } };
}

function reasonFor(rules: RetentionRules, situation: Situation, segment: KeptSegment): Reason | undefined {
  const { retention_bytes, retention_seconds, retention_free_bytes } = rules;
  if (retention_free_bytes > 0 && situation.freeBytes < retention_free_bytes) return 'retention_free_bytes';
  if (retention_bytes > 0 && situation.totalBytes > retention_bytes) return 'retention_bytes';
  if (retention_seconds === 0) return undefined;
  const lastMs = situation.lastMsOf(segment);
  const isOld = lastMs !== undefined && situation.nowMs - lastMs > retention_seconds * 1000;
  return isOld ? 'retention_seconds' : undefined;
}

/** Deletes the oldest segment; answers how many bytes it had. */
export function deleteOldest(parts: SealingParts, segment: KeptSegment, nextSeq: number): number {
  const { folder } = parts;
  const before = folder.deleted;
  const seal = segment.seal === 'broken' ? undefined : segment.seal;
  const content = {
    nextSeq,
    segments: (before?.segments ?? 0) + 1,
    bytes: (before?.bytes ?? 0) + contentBytesOf(segment, seal),
    // One that could not be sealed leaves no trace in the chain.
    chain: seal?.chain ?? before?.chain ?? CHAIN_START,
    deletedAt: new Date().toISOString(),
  };
  const text = Buffer.from(encodeRetentionSeal(makeRetentionSeal(content, parts.key)));
  try {
    parts.wholeFiles.write(RETENTION_SEAL, text, true);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    // Core has started on a full disk, so there is no spare file. The index can be made again, and goes now anyway.
    removeBeside(parts, segment, 'idx');
    parts.wholeFiles.write(RETENTION_SEAL, text, true);
  }
  const bytes = bytesOf(segment);
  removeFiles(parts, segment);
  folder.files.syncFolderNow(folder.path);
  return bytes;
}

/** The data first: without it the rest is nothing to anybody who reads. */
export function removeFiles(parts: SealingParts, segment: KeptSegment): void {
  const { folder } = parts;
  for (const ending of ['ndjson', 'ndjson.gz', 'gzi'] as const)
    removeIfThere(folder.files, folder.pathOf(segment, ending));
  removeBeside(parts, segment, 'idx');
  removeBeside(parts, segment, 'seal');
}

function removeBeside(
  { folder, wholeFiles }: SealingParts,
  segment: KeptSegment,
  ending: 'idx' | 'seal',
): void {
  try {
    wholeFiles.removeOrSpare(folder.pathOf(segment, ending));
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

function contentBytesOf(segment: KeptSegment, seal: Seal | undefined): number {
  return seal?.bytes ?? segment.plainBytes ?? 0;
}
