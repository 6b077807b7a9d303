/** What stands in the log's folder under the name of one segment, read without its data. Any thread; changes nothing. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { REAL_FILES, readFile } from './files.js';
import { segmentName } from './format.js';
import { decodeSeal, type Seal } from './seal.js';
import { WholeIndex } from './whole-index.js';

export interface FoundSegment {
  readonly segment: number;
  readonly newest: boolean;
  readonly compressed: boolean;
  /** What its files take on the disk. */
  readonly storedBytes: number;
  /** Undefined: there is none. */
  readonly indexBytes: Buffer | undefined;
  /** Undefined: there is none, or it is of something else. */
  readonly index: WholeIndex | undefined;
  /** `broken`: there is one, and it cannot be read or is of another segment. */
  readonly seal: Seal | 'broken' | undefined;
}

/** What it takes on the disk; 0 where there is no such segment. */
export function storedBytesOf(folder: string, segment: number): number {
  const base = join(folder, segmentName(segment));
  return ENDINGS.reduce(
    (sum, ending) => sum + (statSync(`${base}.${ending}`, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

const ENDINGS = ['ndjson', 'ndjson.gz', 'idx', 'gzi', 'seal'] as const;

export function findSegment(folder: string, segment: number, newest: boolean): FoundSegment {
  const base = join(folder, segmentName(segment));
  const isThere = (ending: string) => statSync(`${base}.${ending}`, { throwIfNoEntry: false }) !== undefined;
  // Before anybody looks how long the data is: in a segment that grows the index must not speak of more.
  const indexBytes = readFile(REAL_FILES, `${base}.idx`);
  return {
    segment,
    newest,
    compressed: !isThere('ndjson') && isThere('ndjson.gz'),
    storedBytes: storedBytesOf(folder, segment),
    indexBytes,
    index: WholeIndex.of(indexBytes, segment),
    seal: readSeal(`${base}.seal`, segment),
  };
}

function readSeal(path: string, segment: number): Seal | 'broken' | undefined {
  const text = readFile(REAL_FILES, path)?.toString('utf8');
  if (text === undefined) return undefined;
  const seal = decodeSeal(text);
  return seal?.segment === segment ? seal : 'broken';
}
