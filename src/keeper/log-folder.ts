/**
 * The log's folder as the keeper sees it: which segments there are, how large, and which of them are sealed and
 * compressed. Looked at again when something may have changed; what stands in the files is read once.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LogFiles } from '../log/files.js';
import { parseSegmentName, segmentName } from '../log/format.js';
import { parseGzipName } from '../log/gzip-index.js';
import {
  decodeRetentionSeal,
  decodeSeal,
  RETENTION_SEAL,
  type RetentionSeal,
  type Seal,
  sealFileName,
} from '../log/seal.js';
import { WholeIndex } from '../log/whole-index.js';

export interface KeptSegment {
  readonly firstSeq: number;
  /** Size of the plain file; undefined where there is none (any more). */
  plainBytes: number | undefined;
  gzipBytes: number | undefined;
  /** Of the other files of its name. */
  besideBytes: number;
  /** `broken`: the file is there and is none. */
  seal: Seal | 'broken' | undefined;
  /** When its first and its last batch were received; null: nobody has looked. */
  firstMs: number | null | undefined;
  lastMs: number | null | undefined;
  /** It could not be sealed, and is not tried again before Core starts again. */
  unsealable: boolean;
}

const BESIDE = ['idx', 'gzi', 'seal'] as const;

export class LogFolder {
  readonly path: string;
  readonly files: LogFiles;
  /** Oldest first. */
  segments: readonly KeptSegment[] = [];
  /** What retention has deleted so far; undefined: nothing. */
  deleted: RetentionSeal | undefined;

  constructor(path: string, files: LogFiles) {
    this.path = path;
    this.files = files;
  }

  /** Looks at the folder. */
  refresh(): void {
    const known = new Map(this.segments.map((segment) => [segment.firstSeq, segment]));
    const names = new Set(this.files.list(this.path));
    const firstSeqs = new Set<number>();
    for (const name of names) {
      const firstSeq = parseSegmentName(name) ?? parseGzipName(name);
      if (firstSeq !== undefined) firstSeqs.add(firstSeq);
    }
    this.segments = [...firstSeqs]
      .sort((a, b) => a - b)
      .map((firstSeq) => this.#look(known.get(firstSeq) ?? newSegment(firstSeq), names));
    this.deleted = names.has(RETENTION_SEAL) ? this.#readRetentionSeal() : undefined;
  }

  /** Looks at the size of the segment that may be growing: the newest. */
  refreshNewest(): void {
    const newest = this.segments.at(-1);
    if (newest?.plainBytes !== undefined) newest.plainBytes = sizeOf(this.pathOf(newest, 'ndjson'));
  }

  /** Looks how large the files beside a segment are now. */
  refreshBeside(segment: KeptSegment): void {
    segment.besideBytes = BESIDE.reduce(
      (sum, ending) => sum + (sizeOf(this.pathOf(segment, ending)) ?? 0),
      0,
    );
  }

  pathOf({ firstSeq }: KeptSegment, ending: 'ndjson' | 'ndjson.gz' | 'idx' | 'gzi' | 'seal'): string {
    return join(this.path, `${segmentName(firstSeq)}.${ending}`);
  }

  /** Undefined where it is missing or of something else. */
  readIndex(segment: KeptSegment): WholeIndex | undefined {
    return WholeIndex.read(this.pathOf(segment, 'idx'), segment.firstSeq);
  }

  /** When its oldest record was received, as far as its index knows. */
  firstMsOf(segment: KeptSegment): number | undefined {
    // Of the one that is being written there may be nothing in the index yet.
    segment.firstMs ??= this.readIndex(segment)?.firstMs;
    return segment.firstMs;
  }

  /** The same of its newest; of a finished segment. */
  lastMsOf(segment: KeptSegment): number | undefined {
    if (segment.lastMs === null) segment.lastMs = this.readIndex(segment)?.lastMs;
    return segment.lastMs ?? undefined;
  }

  #look(segment: KeptSegment, names: ReadonlySet<string>): KeptSegment {
    const base = segmentName(segment.firstSeq);
    const size = (ending: string) =>
      names.has(`${base}.${ending}`) ? sizeOf(join(this.path, `${base}.${ending}`)) : undefined;
    segment.plainBytes = size('ndjson');
    segment.gzipBytes = size('ndjson.gz');
    this.refreshBeside(segment);
    if (!names.has(sealFileName(segment.firstSeq))) segment.seal = undefined;
    else if (segment.seal === undefined) {
      const seal = decodeSeal(readFileSync(this.pathOf(segment, 'seal'), 'utf8'));
      segment.seal = seal?.segment === segment.firstSeq ? seal : 'broken';
    }
    return segment;
  }

  #readRetentionSeal(): RetentionSeal | undefined {
    return decodeRetentionSeal(readFileSync(join(this.path, RETENTION_SEAL), 'utf8'));
  }
}

/** All that the segment takes on the disk. */
export function bytesOf({ plainBytes, gzipBytes, besideBytes }: KeptSegment): number {
  return (plainBytes ?? 0) + (gzipBytes ?? 0) + besideBytes;
}

function newSegment(firstSeq: number): KeptSegment {
  return {
    firstSeq,
    plainBytes: undefined,
    gzipBytes: undefined,
    besideBytes: 0,
    seal: undefined,
    firstMs: null,
    lastMs: null,
    unsealable: false,
  };
}

/** Undefined where it is gone: somebody may delete while the keeper looks. */
function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
