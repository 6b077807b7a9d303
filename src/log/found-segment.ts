/** What stands in the log's folder under the name of one segment, read without its data. Any thread; changes nothing. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { segmentName } from './format.js';
import { decodeSeal, type Seal } from './seal.js';
import { WholeIndex } from './whole-index.js';

export interface FoundSegment {
  readonly segment: number;
  readonly newest: boolean;
  readonly compressed: boolean;
  /** What its files take on the disk. */
  readonly storedBytes: number;
  /** Undefined: there is none, or it is of something else. */
  readonly index: WholeIndex | undefined;
  /** `broken`: there is one, and it cannot be read or is of another segment. */
  readonly seal: Seal | 'broken' | undefined;
}

const ENDINGS = ['ndjson', 'ndjson.gz', 'idx', 'gzi', 'seal'] as const;

export function findSegment(folder: string, segment: number, newest: boolean): FoundSegment {
  const base = join(folder, segmentName(segment));
  const size = (ending: string) => statSync(`${base}.${ending}`, { throwIfNoEntry: false })?.size;
  return {
    segment,
    newest,
    compressed: size('ndjson') === undefined && size('ndjson.gz') !== undefined,
    storedBytes: ENDINGS.reduce((sum, ending) => sum + (size(ending) ?? 0), 0),
    index: WholeIndex.read(`${base}.idx`, segment),
    seal: readSeal(`${base}.seal`, segment),
  };
}

function readSeal(path: string, segment: number): Seal | 'broken' | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const seal = decodeSeal(text);
  return seal?.segment === segment ? seal : 'broken';
}
