/**
 * Which segments there are, as the folder says: by sequence number, plain or compressed. Whoever reads the log has one and
 * refreshes it when it comes to the end of what it knows, or to a file that is gone: segments come at one end and
 * retention takes them away at the other, in other threads.
 */
import { type LogFiles, REAL_FILES } from './files.js';
import { parseSegmentName } from './format.js';
import { parseGzipName } from './gzip-index.js';
import { parseSealName } from './seal.js';

export class Catalog {
  readonly folder: string;
  readonly #files: LogFiles;
  /** First sequence numbers, ascending. */
  #segments: number[] = [];

  constructor(folder: string, files: LogFiles = REAL_FILES) {
    this.folder = folder;
    this.#files = files;
    this.refresh();
  }

  /** True where the segments are not the same as before. */
  refresh(): boolean {
    const before = this.#segments;
    let { found, sealed } = this.#look();
    // A long listing is not of one instant: of a segment that is compressed meanwhile it may have neither name, only its
    // seal. Whoever believed that would tell its readers that the records are gone.
    if ([...before, ...sealed].some((seq) => !found.has(seq))) ({ found } = this.#look());
    this.#segments = [...found].sort((a, b) => a - b);
    return before.length !== this.#segments.length || before.some((seq, at) => seq !== this.#segments[at]);
  }

  #look(): { found: Set<number>; sealed: number[] } {
    const found = new Set<number>();
    const sealed: number[] = [];
    for (const name of this.#files.list(this.folder)) {
      const seq = parseSegmentName(name) ?? parseGzipName(name);
      const seal = parseSealName(name);
      if (seq !== undefined) found.add(seq);
      else if (seal !== undefined) sealed.push(seal);
    }
    return { found, sealed };
  }

  get segments(): readonly number[] {
    return this.#segments;
  }

  get first(): number | undefined {
    return this.#segments[0];
  }

  /** Place in `segments` of the one that a record of this number would be in; -1 where it would be before all of them. */
  find(seq: number): number {
    let low = -1;
    let high = this.#segments.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]! <= seq) low = middle;
      else high = middle;
    }
    return low;
  }
}
