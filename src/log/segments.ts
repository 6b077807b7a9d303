/** Which segments are in a log's folder, by their names. Any thread. */
import { join } from 'node:path';
import { type LogFiles, readFile } from './files.js';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  segmentName,
} from './format.js';

export interface SegmentNames {
  readonly firstSeq: number;
  /** Path without an ending. */
  readonly base: string;
  /** `.ndjson` and `.ndjson.gz`; for a moment, both. */
  readonly plain: boolean;
  readonly compressed: boolean;
  readonly sealed: boolean;
}

/** In order. What only has an index, or another name, is none. */
export function listSegments(files: LogFiles, folder: string): SegmentNames[] {
  const endings = new Map<number, Set<string>>();
  for (const name of files.list(folder)) {
    const match = /^(\d{20})\.(ndjson|ndjson\.gz|seal)$/.exec(name);
    const firstSeq = Number(match?.[1]);
    if (match === null || !Number.isSafeInteger(firstSeq)) continue;
    const known = endings.get(firstSeq);
    if (known === undefined) endings.set(firstSeq, new Set([match[2]!]));
    else known.add(match[2]!);
  }
  return [...endings]
    .map(([firstSeq, known]) => ({
      firstSeq,
      base: join(folder, segmentName(firstSeq)),
      plain: known.has('ndjson'),
      compressed: known.has('ndjson.gz'),
      sealed: known.has('seal'),
    }))
    .filter(({ plain, compressed }) => plain || compressed)
    .sort((a, b) => a.firstSeq - b.firstSeq);
}

/** The number behind a finished segment, as its index and its seal say; at least that of its name. */
export function finishedNextSeq(files: LogFiles, { firstSeq, base }: SegmentNames): number {
  let nextSeq = firstSeq;
  const index = readFile(files, `${base}.idx`);
  if (index !== undefined && decodeIndexHeader(index) === firstSeq) {
    for (let at = INDEX_HEADER_BYTES; at < index.length; at += INDEX_ENTRY_BYTES) {
      const entry = decodeIndexEntry(index, at);
      if (entry !== undefined) nextSeq = Math.max(nextSeq, entry.baseSeq + entry.recordCount);
    }
  }
  try {
    const seal = JSON.parse(readFile(files, `${base}.seal`)?.toString('utf8') ?? '{}') as {
      next_seq?: unknown;
    };
    if (Number.isSafeInteger(seal.next_seq)) nextSeq = Math.max(nextSeq, seal.next_seq as number);
  } catch {
    // `log verify` tells of a seal that is none.
  }
  return nextSeq;
}
