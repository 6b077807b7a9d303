/**
 * What `honeybee-core log verify` and `log stat` say of a log. Plain data; made by log-check.ts.
 */

/** What is wrong. Each kind is one word for scripts; the text is for people. */
export type FaultKind =
  /** A batch's bytes are not those that were written. */
  | 'damaged'
  /** The index is missing, of something else, or does not fit the data. `log repair` makes it again. */
  | 'index'
  /** The compressed file, or the index of its members, cannot be read. */
  | 'compressed'
  /** The content is not what was sealed. */
  | 'content'
  /** The seal cannot be read, contradicts itself, or is missing where others follow. */
  | 'seal'
  /** It does not follow the segment before: one was removed, exchanged, or sealed again. */
  | 'chain'
  | 'signature'
  /** Sequence numbers are used twice, or segments are missing. */
  | 'sequence';

export interface Fault {
  readonly kind: FaultKind;
  /** First sequence number of the segment it was found in; null: it concerns the log as a whole. */
  readonly segment: number | null;
  readonly message: string;
  /** Of the records that it concerns, where that is known: [first_seq, next_seq). */
  readonly first_seq?: number;
  readonly next_seq?: number;
  /** Of the bytes in the uncompressed segment. */
  readonly offset_bytes?: number;
  readonly length_bytes?: number;
}

export interface SegmentReport {
  readonly segment: number;
  /** Behind its last record, as far as index and seal know; for the newest also what is behind the index. */
  readonly next_seq: number;
  readonly records: number;
  /** Of content. */
  readonly bytes: number;
  /** What its files take on the disk. */
  readonly stored_bytes: number;
  /** When the first and the last batch were received, ISO 8601; null: nobody knows. */
  readonly first_received: string | null;
  readonly last_received: string | null;
  readonly compressed: boolean;
  readonly sealed: boolean;
  /** Of the key that signed it. */
  readonly key_id: string | null;
  /** It is the newest and not sealed: Core may be writing it. */
  readonly open: boolean;
  /** As far as anybody looked: the seal, or now. */
  readonly damaged_records: number;
}

export interface LogReport {
  readonly segments: readonly SegmentReport[];
  readonly records: number;
  readonly bytes: number;
  readonly stored_bytes: number;
  readonly damaged_records: number;
  readonly sealed_segments: number;
  readonly unsealed_bytes: number;
  /** Of the newest seal. */
  readonly chain: string | null;
  /** What retention has deleted. */
  readonly deleted: { readonly segments: number; readonly next_seq: number; readonly bytes: number } | null;
  /** Numbers that no record has: Core lost power before they were on the disk. */
  readonly holes: readonly { readonly first_seq: number; readonly next_seq: number }[];
  readonly faults: readonly Fault[];
}
