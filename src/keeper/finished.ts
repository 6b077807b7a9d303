/**
 * Which segments nothing more is written to: all that have a newer one beside them, and the newest where the aggregator's
 * counters say that none is being written. They are several numbers, read while they change, so they have to say it twice.
 */
import { AGGREGATOR } from '../memory/counters.js';
import type { KeptSegment } from './log-folder.js';

export class FinishedSegments {
  readonly #counters: Float64Array;
  /** The newest segment and the next sequence number, when the counters said that it is finished. */
  #said = '';
  #newest = -1;

  constructor(counters: Float64Array) {
    this.#counters = counters;
  }

  /** To be called now and then, some time apart. */
  look(segments: readonly KeptSegment[]): void {
    const newest = segments.at(-1)?.firstSeq ?? -1;
    const nextSeq = this.#counters[AGGREGATOR.next_seq]!;
    const written = this.#counters[AGGREGATOR.segments]! - this.#counters[AGGREGATOR.segments_finished]!;
    // One without a record is opened again when there is one.
    const says = written === 0 && newest >= 0 && newest < nextSeq ? `${newest} ${nextSeq}` : '';
    this.#newest = says !== '' && says === this.#said ? newest : -1;
    this.#said = says;
  }

  of(segments: readonly KeptSegment[]): readonly KeptSegment[] {
    return segments.at(-1)?.firstSeq === this.#newest ? segments : segments.slice(0, -1);
  }
}
