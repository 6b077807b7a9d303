/**
 * Where the newest records lie, roughly: a place in the segments for every few KiB that were appended. With it the end of
 * the log can be read from any sequence number near it without an index. Runs in the aggregator.
 */

/** Appends closer together than this share a place. */
const SPACING_BYTES = 16 * 1024;
/** With the spacing: at least 8 MiB of the log's end, more than LIMITS.joinBytes. */
const PLACES = 512;

export interface Place {
  readonly seq: number;
  /** First sequence number of the segment. */
  readonly segment: number;
  readonly offsetBytes: number;
}

export class RecentEnds {
  readonly #seqs = new Float64Array(PLACES);
  readonly #segments = new Float64Array(PLACES);
  readonly #offsets = new Float64Array(PLACES);
  #count = 0;
  #segment = -1;
  #offsetBytes = 0;

  /** The record with this number starts there. */
  add(seq: number, segment: number, offsetBytes: number): void {
    if (segment === this.#segment && offsetBytes - this.#offsetBytes < SPACING_BYTES) return;
    const at = this.#count % PLACES;
    this.#seqs[at] = seq;
    this.#segments[at] = segment;
    this.#offsets[at] = offsetBytes;
    this.#count++;
    this.#segment = segment;
    this.#offsetBytes = offsetBytes;
  }

  /** The last place that is not behind this number. */
  before(seq: number): Place | undefined {
    for (let i = this.#count - 1; i >= 0 && i >= this.#count - PLACES; i--) {
      const at = i % PLACES;
      if (this.#seqs[at]! > seq) continue;
      return { seq: this.#seqs[at]!, segment: this.#segments[at]!, offsetBytes: this.#offsets[at]! };
    }
    return undefined;
  }
}
