/**
 * Whether seals follow each other: fed with the segments of a log from the oldest to the newest, it answers what does not fit.
 * Pure, but for the files it is given.
 */
import type { KeyObject } from 'node:crypto';
import type { FoundSegment } from './found-segment.js';
import {
  CHAIN_START,
  chainOf,
  isRetentionSigned,
  isSealSigned,
  type RetentionSeal,
  type Seal,
} from './seal.js';
import type { Fault, FaultKind } from './segment-report.js';

export interface ChainCheckOptions {
  /** What retention says it deleted; undefined: nothing. */
  readonly deleted: RetentionSeal | undefined;
  /** Public keys: every seal must be signed with one of them. None: signatures are not looked at. */
  readonly keys: readonly KeyObject[];
  /** A chain that was noted elsewhere: it must be among the seals, or be that of what retention has deleted. */
  readonly expected: string | undefined;
}

export class ChainCheck {
  readonly holes: { first_seq: number; next_seq: number }[] = [];
  /** Of the newest seal, hexadecimal. */
  chain: string | null;
  readonly #options: ChainCheckOptions;
  /** Of the seal before; undefined: it could not be read, so nothing can be said of the next one. */
  #previous: string | undefined;
  /** Behind the last record so far; undefined: not known. */
  #nextSeq: number | undefined;
  /** Segments in a row, up to here, without a seal. */
  #unsealed: FoundSegment[] = [];
  #expectedFound: boolean;
  #first = true;

  constructor(options: ChainCheckOptions) {
    const { deleted, expected } = options;
    this.#options = options;
    this.#previous = deleted?.chain ?? CHAIN_START;
    this.#nextSeq = deleted?.nextSeq ?? 1;
    this.chain = deleted === undefined || deleted.chain === CHAIN_START ? null : deleted.chain;
    this.#expectedFound = expected === undefined || expected === deleted?.chain;
  }

  /** What retention says of itself. */
  *begin(): Generator<Fault> {
    const { deleted, keys } = this.#options;
    if (deleted !== undefined && keys.length > 0 && !isRetentionSigned(deleted, keys))
      yield fault(
        'signature',
        null,
        'retention.seal is not signed with the key: what it says was deleted is not proven',
      );
  }

  /** The next segment, and where its records end. */
  *take(found: FoundSegment, nextSeq: number | undefined): Generator<Fault> {
    const { segment, seal } = found;
    const linked =
      typeof seal === 'object' && seal.previous === this.#previous && this.#unsealed.length === 0;
    yield* this.#checkNumbers(segment, linked);
    this.#nextSeq = nextSeq;
    if (seal === undefined) {
      this.#unsealed.push(found);
      return;
    }
    for (const { segment: missing } of this.#unsealed)
      yield fault(
        'seal',
        missing,
        'has no seal, though a later segment has one: it was removed, or never made',
      );
    this.#unsealed = [];
    if (seal === 'broken') {
      yield fault('seal', segment, 'the seal cannot be read');
      this.#previous = undefined;
      return;
    }
    yield* this.#checkSeal(seal);
  }

  /** Retention went on while the log was looked at: it begins here by now. */
  deletedMeanwhile({ chain, nextSeq }: RetentionSeal): void {
    this.#previous = chain;
    this.#nextSeq = nextSeq;
    this.#unsealed = [];
    this.#first = true;
  }

  /** What can be said when all have been seen. */
  *end(): Generator<Fault> {
    if (!this.#expectedFound)
      yield fault(
        'chain',
        null,
        `no segment has the chain ${this.#options.expected}: the log is not the one it was noted of`,
      );
  }

  *#checkNumbers(segment: number, linked: boolean): Generator<Fault> {
    const { deleted } = this.#options;
    const expected = this.#nextSeq;
    const first = this.#first;
    this.#first = false;
    if (expected === undefined || expected === segment) return;
    if (segment < expected) {
      if (first)
        yield fault(
          'sequence',
          segment,
          `retention.seal says that everything before ${expected} was deleted`,
        );
      else
        yield fault(
          'sequence',
          segment,
          `its numbers begin before those of the segment before end, at ${expected}`,
        );
      return;
    }
    if (first && deleted === undefined && !linked)
      yield fault(
        'sequence',
        null,
        `the records before ${segment} are missing, and retention has not deleted them`,
      );
    // Numbers that were never given to a record that lasted; if it was a segment, its seal is missed below.
    else this.holes.push({ first_seq: expected, next_seq: segment });
  }

  *#checkSeal(seal: Seal): Generator<Fault> {
    const { segment, chain, previous } = seal;
    const { keys, expected } = this.#options;
    const before = this.#previous;
    this.#previous = chain;
    this.chain = chain;
    if (expected === chain) this.#expectedFound = true;
    if (chainOf(seal) !== chain)
      yield fault('seal', segment, 'the seal was changed: its chain is not that of what it says');
    if (before !== undefined && before !== previous)
      yield fault(
        'chain',
        segment,
        'does not follow the segment before it: one was removed, exchanged, or sealed again',
      );
    if (keys.length === 0) return;
    if (seal.signature === undefined) yield fault('signature', segment, 'the seal is not signed');
    else if (!isSealSigned(seal, keys))
      yield fault('signature', segment, 'the signature is not that of the key, or not of this seal');
  }
}

function fault(kind: FaultKind, segment: number | null, message: string): Fault {
  return { kind, segment, message };
}
