/**
 * The end of the log, read back out of the page cache from any sequence number near it: for consumers that are nearly there.
 * Needs no index: it remembers where the newest records lie. Runs in the aggregator.
 */
import { LIMITS } from '../limits.js';
import { type LogFiles, readWhole } from './files.js';
import type { OpenSegment } from './open-segment.js';
import { RecentEnds } from './recent-ends.js';

/** A segment to which nothing more comes. */
interface Finished {
  readonly firstSeq: number;
  readonly path: string;
  readonly sizeBytes: number;
}

/** Finished segments that are remembered. */
const SEGMENTS = 64;
const NEWLINE = 0x0a;
const NOTHING = Buffer.alloc(0);

export class LogTail {
  readonly #files: LogFiles;
  readonly #recent = new RecentEnds();
  #finished: Finished[] = [];

  constructor(files: LogFiles) {
    this.#files = files;
  }

  /** The newest one that is finished. */
  get last(): Finished | undefined {
    return this.#finished.at(-1);
  }

  appended(seq: number, segment: number, offsetBytes: number): void {
    this.#recent.add(seq, segment, offsetBytes);
  }

  finished({ firstSeq, path, sizeBytes }: OpenSegment): void {
    this.#finished.push({ firstSeq, path, sizeBytes });
    if (this.#finished.length > SEGMENTS) this.#finished.shift();
  }

  /** The whole lines [fromSeq, nextSeq); undefined where they are more than `maxBytes`, or not at hand. */
  read(
    open: OpenSegment | undefined,
    fromSeq: number,
    nextSeq: number,
    maxBytes: number,
  ): Buffer | undefined {
    if (fromSeq >= nextSeq) return fromSeq === nextSeq ? NOTHING : undefined;
    const place = this.#recent.before(fromSeq);
    if (place === undefined) return undefined;
    const segments: (Finished | OpenSegment)[] = this.#finished.filter(
      ({ firstSeq }) => firstSeq >= place.segment,
    );
    if (open !== undefined) segments.push(open);
    if (segments[0]?.firstSeq !== place.segment) return undefined;
    const pieces: Buffer[] = [];
    let roomBytes = maxBytes;
    let skip = fromSeq - place.seq;
    let { offsetBytes } = place;
    try {
      for (const segment of segments) {
        const lengthBytes = segment.sizeBytes - offsetBytes;
        // What stands before the first line is not counted: no more than one append, and what places are apart.
        if (lengthBytes > roomBytes + (skip === 0 ? 0 : 2 * LIMITS.batchBytes)) return undefined;
        const bytes = this.#lines(segment, segment === open, offsetBytes, lengthBytes, skip);
        if (bytes === undefined) return undefined;
        roomBytes -= bytes.length;
        if (roomBytes < 0) return undefined;
        pieces.push(bytes);
        skip = 0;
        offsetBytes = 0;
      }
    } catch {
      // Somebody has deleted it, or it cannot be read: then the reader thread finds out.
      return undefined;
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  #lines(
    segment: Finished | OpenSegment,
    isOpen: boolean,
    offsetBytes: number,
    lengthBytes: number,
    skip: number,
  ): Buffer | undefined {
    const bytes = Buffer.allocUnsafeSlow(lengthBytes);
    const file = isOpen ? (segment as OpenSegment).data : this.#files.open(segment.path, 'r', 0);
    try {
      if (readWhole(this.#files, file, bytes, lengthBytes, offsetBytes) < lengthBytes) return undefined;
    } finally {
      if (!isOpen) this.#files.close(file);
    }
    let start = 0;
    for (let left = skip; left > 0; left--) {
      start = bytes.indexOf(NEWLINE, start) + 1;
      if (start === 0) return undefined;
    }
    return bytes.subarray(start);
  }
}
