/**
 * One segment for reading: where a record is, and with which others it is read. A segment is a row of pieces:
 *
 *   |  piece  |  piece  |  piece  | lines that no entry covers ... |
 *      entries of its index          cut into pieces by reading them
 *
 * A piece of the index has a checksum; whoever reads it checks it. Where the index has a hole (a damaged entry), is
 * missing, or is behind the data (the segment that is being written), lines are counted instead: the n-th line of a segment
 * has the number of its name + n. So a segment can be read whatever has become of its index.
 */
import { type Content, openContent } from './content.js';
import { type LogFiles, REAL_FILES } from './files.js';
import { IndexFile } from './index-file.js';
import type { Lines } from './lines.js';

export interface Piece {
  readonly baseSeq: number;
  readonly recordCount: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** When Core received it: of lines without an entry, when the file was written to last. */
  readonly receivedMs: number;
  /** Core received it then or later: for what must not be taken to be younger than it is. */
  readonly notBeforeMs: number;
  /** Undefined: no entry covers it. */
  readonly crc: number | undefined;
}

export type Found =
  | { readonly kind: 'piece'; readonly piece: Piece }
  /** These records are in the segment and cannot be told apart, or read. */
  | { readonly kind: 'damaged'; readonly firstSeq: number; readonly nextSeq: number }
  /** It holds nothing (more): its last record is the one before `seq`. */
  | { readonly kind: 'end'; readonly seq: number }
  /** Lines are being counted, which takes long: ask again. */
  | { readonly kind: 'working' };

/** A piece of lines without an entry is about so long. */
const PIECE_BYTES = 1024 * 1024;
/** A segment without an index is looked at again after so long. */
const LOOK_AGAIN_MS = 500;
/** Counted before somebody else has his turn. */
const COUNT_BYTES = 8 * 1024 * 1024;

/** Lines without entries: where every so many bytes of them begin, as far as they have been counted. */
interface Stretch {
  readonly startSeq: number;
  readonly startBytes: number;
  readonly notBeforeMs: number;
  readonly seqs: number[];
  readonly offsets: number[];
  seq: number;
  bytes: number;
}

export class SegmentReader {
  readonly firstSeq: number;
  /** In performance.now(). */
  usedMs = 0;
  readonly #content: Content;
  readonly #folder: string;
  readonly #files: LogFiles;
  readonly #lines: Lines;
  #index: IndexFile | undefined;
  /** When the index was looked for last. */
  #lookedMs = 0;
  readonly #stretches = new Map<number, Stretch>();
  /** For counting; there only while it counts. */
  #scratch: Uint8Array | undefined;

  /** Undefined where there is no such segment (any more). */
  static open(folder: string, firstSeq: number, lines: Lines, files = REAL_FILES): SegmentReader | undefined {
    const content = openContent(folder, firstSeq, files);
    if (content === undefined) return undefined;
    try {
      return new SegmentReader(folder, firstSeq, content, lines, files);
    } catch (error) {
      // Most of all where there are no descriptors left.
      content.close();
      throw error;
    }
  }

  private constructor(folder: string, firstSeq: number, content: Content, lines: Lines, files: LogFiles) {
    this.#folder = folder;
    this.firstSeq = firstSeq;
    this.#content = content;
    this.#lines = lines;
    this.#files = files;
    this.#index = IndexFile.open(folder, firstSeq, files);
  }

  get compressed(): boolean {
    return this.#content.compressed;
  }

  close(): void {
    this.#content.close();
    this.#index?.close();
    this.#index = undefined;
  }

  /** Bytes read; 0 where the disk gives an error for them: then they are damaged. */
  read(target: Uint8Array, start: number, length: number, positionBytes: number): number {
    try {
      return this.#content.read(target, start, length, positionBytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EIO') return 0;
      throw error;
    }
  }

  /** The piece that holds record `seq`. `limitSeq`: where the next segment begins, or how far the log may be read. */
  locate(seq: number, limitSeq: number): Found {
    if (seq >= limitSeq) return { kind: 'end', seq };
    this.#refresh(seq);
    const index = this.#index;
    const at = index?.findLast((entry) => entry.baseSeq, seq) ?? -1;
    const entry = index?.at(at);
    if (entry !== undefined && seq < entry.baseSeq + entry.recordCount) {
      if (entry.offsetBytes + entry.lengthBytes > this.#content.size())
        return this.#damaged(entry.baseSeq, Math.min(limitSeq, entry.baseSeq + entry.recordCount));
      return { kind: 'piece', piece: { ...entry, notBeforeMs: entry.receivedMs } };
    }
    const behind = index?.goodFrom(at + 1) ?? -1;
    const stretch = this.#stretch(at);
    if (behind === -1) return this.#inTail(stretch, seq, limitSeq);
    const next = index!.at(behind)!;
    return this.#inHole(stretch, seq, next.baseSeq, next.offsetBytes);
  }

  /** The piece whose last record is the one before `seq`, or holds it. */
  locateBefore(seq: number, limitSeq: number): Found {
    if (seq <= this.firstSeq) return { kind: 'end', seq: this.firstSeq };
    return this.locate(seq - 1, limitSeq);
  }

  /** Number behind the last record: `end`. Else it is still counted, or is not the last segment's to say. */
  end(limitSeq: number): Found {
    this.#refresh(limitSeq);
    const index = this.#index;
    const at = index?.goodBefore(index.length) ?? -1;
    const stretch = this.#stretch(at);
    if (!this.#count(stretch, limitSeq - 1, limitSeq, this.#content.size())) return { kind: 'working' };
    return { kind: 'end', seq: Math.min(limitSeq, stretch.seq) };
  }

  /** The first record that was received at `timeMs` or later, as far as the index says; else the first without an entry. */
  findTime(timeMs: number): number {
    this.#refresh(Number.MAX_SAFE_INTEGER);
    const index = this.#index;
    if (index === undefined) return this.firstSeq;
    let at = Math.max(
      0,
      index.findLast((entry) => entry.receivedMs, timeMs - TIME_SLACK_MS),
    );
    let behind = this.firstSeq;
    for (; at < index.length; at++) {
      const entry = index.at(at);
      if (entry === undefined) continue;
      if (entry.receivedMs >= timeMs) return entry.baseSeq;
      behind = entry.baseSeq + entry.recordCount;
    }
    return behind;
  }

  /** When its first record was received, or it was made; undefined where nothing says so. */
  get startedMs(): number | undefined {
    const index = this.#index;
    if (index === undefined) return undefined;
    return index.at(index.goodFrom(0))?.receivedMs ?? index.createdMs;
  }

  #refresh(seq: number): void {
    if (this.#index === undefined) {
      // It comes a moment after the data, and may be made again.
      const nowMs = performance.now();
      if (nowMs - this.#lookedMs < LOOK_AGAIN_MS) return;
      this.#lookedMs = nowMs;
      this.#index = IndexFile.open(this.#folder, this.firstSeq, this.#files);
      if (this.#index !== undefined) this.#stretches.clear();
      return;
    }
    const before = this.#index.length;
    const last = this.#index.at(before - 1);
    if (last !== undefined && seq < last.baseSeq + last.recordCount) return;
    this.#index.refresh();
    // Entries have come: lines that they cover need not be counted any more.
    if (this.#index.length !== before) this.#stretches.clear();
  }

  /** The lines behind entry `at`; -1: from the start. */
  #stretch(at: number): Stretch {
    const entry = this.#index?.at(at);
    const startSeq = entry === undefined ? this.firstSeq : entry.baseSeq + entry.recordCount;
    const known = this.#stretches.get(startSeq);
    if (known !== undefined) return known;
    const startBytes = entry === undefined ? 0 : entry.offsetBytes + entry.lengthBytes;
    const stretch: Stretch = {
      startSeq,
      startBytes,
      notBeforeMs: entry?.receivedMs ?? this.#index?.createdMs ?? 0,
      seqs: [],
      offsets: [],
      seq: startSeq,
      bytes: startBytes,
    };
    this.#stretches.set(startSeq, stretch);
    return stretch;
  }

  #inTail(stretch: Stretch, seq: number, limitSeq: number): Found {
    if (!this.#count(stretch, seq, limitSeq, this.#content.size())) return { kind: 'working' };
    if (seq >= stretch.seq) return { kind: 'end', seq: stretch.seq };
    return { kind: 'piece', piece: this.#pieceOf(stretch, seq) };
  }

  /** Between two entries: their lines are good where they are as many as the entries leave room for. */
  #inHole(stretch: Stretch, seq: number, endSeq: number, endBytes: number): Found {
    if (endBytes <= stretch.startBytes || endSeq <= stretch.startSeq || endBytes > this.#content.size())
      return this.#damaged(Math.max(seq, stretch.startSeq), Math.max(seq + 1, endSeq));
    if (!this.#count(stretch, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, endBytes))
      return { kind: 'working' };
    if (stretch.seq !== endSeq || stretch.bytes !== endBytes) return this.#damaged(stretch.startSeq, endSeq);
    return { kind: 'piece', piece: this.#pieceOf(stretch, seq) };
  }

  #damaged(firstSeq: number, nextSeq: number): Found {
    return { kind: 'damaged', firstSeq, nextSeq };
  }

  #pieceOf(stretch: Stretch, seq: number): Piece {
    const { seqs, offsets } = stretch;
    let low = 0;
    let high = seqs.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (seqs[middle]! <= seq) low = middle;
      else high = middle;
    }
    return {
      baseSeq: seqs[low]!,
      recordCount: (seqs[low + 1] ?? stretch.seq) - seqs[low]!,
      offsetBytes: offsets[low]!,
      lengthBytes: (offsets[low + 1] ?? stretch.bytes) - offsets[low]!,
      receivedMs: Math.max(stretch.notBeforeMs, this.#content.writtenMs()),
      notBeforeMs: stretch.notBeforeMs,
      crc: undefined,
    };
  }

  /** Counts lines until `seq` is among them, or they end; never beyond `limitSeq`. False: it needs more time. */
  #count(stretch: Stretch, seq: number, limitSeq: number, endBytes: number): boolean {
    let budget = COUNT_BYTES;
    let pieceBytes = PIECE_BYTES;
    while (stretch.seq <= seq && stretch.seq < limitSeq && stretch.bytes < endBytes) {
      if (budget <= 0) return false;
      const wanted = Math.min(pieceBytes, endBytes - stretch.bytes);
      if (this.#scratch === undefined || this.#scratch.length < wanted)
        this.#scratch = new Uint8Array(wanted);
      const bytes = this.#scratch;
      const read = this.read(bytes, 0, wanted, stretch.bytes);
      budget -= read;
      let end = bytes.subarray(0, read).lastIndexOf(0x0a) + 1;
      if (end === 0) {
        // A line that is longer, or is not whole.
        if (read < wanted || stretch.bytes + read >= endBytes) break;
        pieceBytes *= 2;
        continue;
      }
      let records = this.#lines.count(bytes, 0, end);
      if (stretch.seq + records > limitSeq) {
        records = limitSeq - stretch.seq;
        end = this.#lines.skip(bytes, 0, end, records);
      }
      const last = stretch.seqs.length - 1;
      // What came a little at a time becomes one piece.
      if (last < 0 || stretch.bytes - stretch.offsets[last]! + end > PIECE_BYTES) {
        stretch.seqs.push(stretch.seq);
        stretch.offsets.push(stretch.bytes);
      }
      stretch.seq += records;
      stretch.bytes += end;
      pieceBytes = PIECE_BYTES;
    }
    this.#scratch = undefined;
    return true;
  }
}

/** Neighbouring entries are of several shards, whose times may be in another order by so much; a clock may be set back. */
export const TIME_SLACK_MS = 2_000;
