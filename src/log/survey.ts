/**
 * What a segment holds, told from its data and whatever there is of its index: the one place that decides which bytes are
 * which records. Recovery, `log repair` and `log verify` stand on it. Changes nothing.
 *
 * The index is believed entry by entry: each has its own checksum, and says where its batch lies and which numbers it has. What
 * lies between two entries, or behind the last, is read line by line. Where lines and numbers do not agree, the numbers of
 * the entries hold, and the bytes between are damaged: a record is never given another number than it had.
 */
import type { LogFiles } from './files.js';
import { readWhole } from './files.js';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  type IndexEntry,
  indexCreatedMs,
} from './format.js';
import type { Crc32 } from './open-segment.js';

/** The bytes of a segment, wherever they come from. */
export interface SegmentContent {
  readonly sizeBytes: number;
  /** Reads up to `lengthBytes` to the start of `target`; fewer only at the end. */
  read(target: Buffer, lengthBytes: number, offsetBytes: number): number;
  /** When its records were received at the latest, where that is known. */
  readonly writtenMs?: number;
}

export function fileContent(files: LogFiles, file: number): SegmentContent {
  const sizeBytes = files.size(file);
  return {
    sizeBytes,
    read: (target, lengthBytes, offsetBytes) => readWhole(files, file, target, lengthBytes, offsetBytes),
  };
}

export interface SurveyOptions {
  readonly firstSeq: number;
  readonly content: SegmentContent;
  readonly index: Buffer | undefined;
  readonly crc32: Crc32;
  /** Batches that end behind this offset are checked; those before are believed. */
  readonly checkFromBytes: number;
  /** The record that starts at this offset has this number: known from elsewhere. */
  readonly known?: { readonly offsetBytes: number; readonly seq: number } | undefined;
  /** Batches of which pages never reached the disk are taken apart: their lines before that are whole. */
  readonly salvage: boolean;
}

export interface Batch extends IndexEntry {
  /** `damaged`: the bytes are not those that were written. */
  readonly state: 'good' | 'damaged' | 'unchecked';
  /** Stands in the index as it is. */
  readonly indexed: boolean;
}

export interface Survey {
  /** Side by side from the first byte on. */
  readonly batches: Batch[];
  /** The index is there and holds just these. */
  readonly indexWhole: boolean;
  /** Whether there is an index of this segment at all. */
  readonly indexKnown: boolean;
  /** Behind the last batch. */
  readonly endBytes: number;
  readonly nextSeq: number;
  /** The highest number that any entry speaks of, also of those whose bytes are not there. */
  readonly highestSeq: number;
}

const PIECE_BYTES = 1024 * 1024;
/** What one index entry can cover of damaged bytes. */
const DAMAGED_BYTES_MAX = 1024 * 1024 * 1024;
const NEWLINE = 0x0a;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

export function surveySegment(options: SurveyOptions): Survey {
  return new Surveyor(options).survey();
}

class Surveyor {
  readonly #options: SurveyOptions;
  readonly #batches: Batch[] = [];
  readonly #size: number;
  #offset = 0;
  #seq: number;
  #receivedMs: number;
  #piece = Buffer.alloc(0);

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#size = options.content.sizeBytes;
    this.#seq = options.firstSeq;
    this.#receivedMs =
      (options.index && indexCreatedMs(options.index)) ?? options.content.writtenMs ?? Date.now();
  }

  survey(): Survey {
    const { index, firstSeq, checkFromBytes, known } = this.#options;
    const entries =
      index !== undefined && decodeIndexHeader(index) === firstSeq ? entriesOf(index) : undefined;
    let highestSeq = firstSeq;
    for (const entry of entries?.found ?? []) {
      highestSeq = Math.max(highestSeq, entry.baseSeq + entry.recordCount);
      if (!this.#fits(entry)) continue;
      if (entry.offsetBytes > this.#offset) this.#between(entry.offsetBytes, entry.baseSeq);
      const end = entry.offsetBytes + entry.lengthBytes;
      if (end <= checkFromBytes) this.#push({ ...entry, state: 'unchecked', indexed: true });
      else if (this.#crc(entry.offsetBytes, end) === entry.crc)
        this.#push({ ...entry, state: 'good', indexed: true });
      else if (!this.#parted(entry)) this.#push({ ...entry, state: 'damaged', indexed: true });
    }
    if (this.#options.salvage) this.#dropLostTail(checkFromBytes);
    if (known !== undefined && known.offsetBytes > this.#offset) this.#upToKnown(known);
    this.#lines(this.#size);
    const kept = this.#batches.filter(({ indexed }) => indexed).length;
    return {
      batches: this.#batches,
      indexKnown: entries !== undefined,
      indexWhole:
        (entries?.whole ?? false) && kept === entries!.found.length && kept === this.#batches.length,
      endBytes: this.#offset,
      nextSeq: this.#seq,
      highestSeq,
    };
  }

  /** Can this entry follow? A record has at least one byte, and numbers and bytes go on together. */
  #fits({ offsetBytes, lengthBytes, baseSeq, recordCount }: IndexEntry): boolean {
    const bytes = offsetBytes - this.#offset;
    const records = baseSeq - this.#seq;
    if (lengthBytes === 0 || recordCount === 0 || offsetBytes + lengthBytes > this.#size) return false;
    return bytes === 0 ? records === 0 : records > 0 && records <= bytes;
  }

  /** A damaged batch of which pages were lost may have been durable up to its middle: the lines before are what they were. */
  #parted({ offsetBytes, lengthBytes, baseSeq, recordCount }: IndexEntry): boolean {
    const toBytes = offsetBytes + lengthBytes;
    const toSeq = baseSeq + recordCount;
    if (!this.#options.salvage || !this.#lost(offsetBytes, toBytes)) return false;
    const before = this.#batches.length;
    this.#lines(toBytes);
    if (this.#offset > offsetBytes && this.#offset < toBytes && this.#seq < toSeq) {
      this.#damaged(toBytes, toSeq);
      return true;
    }
    this.#batches.length = before;
    this.#offset = offsetBytes;
    this.#seq = baseSeq;
    return false;
  }

  /** Nothing that is whole stands behind them. */
  #dropLostTail(fromBytes: number): void {
    for (let last = this.#batches.at(-1); last?.state === 'damaged'; last = this.#batches.at(-1)) {
      if (last.offsetBytes < fromBytes || !this.#lost(last.offsetBytes, this.#offset)) return;
      this.#batches.pop();
      this.#offset = last.offsetBytes;
      this.#seq = last.baseSeq;
    }
  }

  /** Pages that never reached the disk read as zeros. */
  #lost(fromBytes: number, toBytes: number): boolean {
    for (let at = fromBytes; at < toBytes; at += PIECE_BYTES) {
      if (this.#read(at, Math.min(PIECE_BYTES, toBytes - at)).includes(0)) return true;
    }
    return false;
  }

  /** What no entry covers, up to where one goes on with `toSeq`. */
  #between(toBytes: number, toSeq: number): void {
    const { known } = this.#options;
    if (known !== undefined && known.offsetBytes > this.#offset && known.offsetBytes < toBytes) {
      const bytes = known.offsetBytes - this.#offset;
      const records = known.seq - this.#seq;
      if (records > 0 && records <= bytes && known.seq < toSeq) this.#stretch(known.offsetBytes, known.seq);
    }
    this.#stretch(toBytes, toSeq);
  }

  #stretch(toBytes: number, toSeq: number): void {
    const before = { offset: this.#offset, seq: this.#seq, batches: this.#batches.length };
    const whole = this.#lines(toBytes);
    if (whole && this.#seq === toSeq) return;
    if (whole || this.#seq >= toSeq) {
      // They do not tell where the fault is: none of them is believed.
      this.#batches.length = before.batches;
      this.#offset = before.offset;
      this.#seq = before.seq;
    }
    this.#damaged(toBytes, toSeq);
  }

  /** It was durable up to there; if the file is shorter by now, its last numbers stay taken. */
  #upToKnown(known: { readonly offsetBytes: number; readonly seq: number }): void {
    const records = known.seq - this.#seq;
    if (records <= 0 || records > known.offsetBytes - this.#offset) return;
    if (known.offsetBytes <= this.#size) return this.#stretch(known.offsetBytes, known.seq);
    this.#lines(this.#size);
    if (this.#offset < this.#size && this.#seq < known.seq) this.#damaged(this.#size, known.seq);
  }

  /** Takes up whole lines as batches; false where it came upon something else before `toBytes`. */
  #lines(toBytes: number): boolean {
    let want = PIECE_BYTES;
    while (this.#offset < toBytes) {
      const piece = this.#read(this.#offset, Math.min(want, toBytes - this.#offset));
      const last = piece.length < want || this.#offset + piece.length >= toBytes;
      const { lengthBytes, count } = wholeLines(piece);
      if (lengthBytes > 0) {
        const { crc32 } = this.#options;
        this.#push({
          baseSeq: this.#seq,
          offsetBytes: this.#offset,
          lengthBytes,
          recordCount: count,
          receivedMs: this.#receivedMs,
          crc: crc32(piece.subarray(0, lengthBytes), 0),
          state: 'good',
          indexed: false,
        });
        want = PIECE_BYTES;
        if (lengthBytes < piece.length && piece.indexOf(NEWLINE, lengthBytes) >= 0) return false;
        continue;
      }
      // A line longer than the piece, or none.
      if (last || piece.includes(NEWLINE) || piece.includes(0)) return false;
      want *= 2;
    }
    return true;
  }

  #damaged(toBytes: number, toSeq: number): void {
    while (this.#offset < toBytes) {
      const lengthBytes = Math.min(toBytes - this.#offset, DAMAGED_BYTES_MAX);
      const last = this.#offset + lengthBytes === toBytes;
      const recordCount = last ? toSeq - this.#seq : Math.min(1, toSeq - this.#seq - 1);
      this.#push({
        baseSeq: this.#seq,
        offsetBytes: this.#offset,
        lengthBytes,
        recordCount,
        receivedMs: this.#receivedMs,
        // Another one than these bytes have, so that every reader sees it.
        crc: ~this.#crc(this.#offset, this.#offset + lengthBytes) >>> 0,
        state: 'damaged',
        indexed: false,
      });
    }
  }

  #push(batch: Batch): void {
    this.#batches.push(batch);
    this.#offset = batch.offsetBytes + batch.lengthBytes;
    this.#seq = batch.baseSeq + batch.recordCount;
    this.#receivedMs = batch.receivedMs;
  }

  #crc(fromBytes: number, toBytes: number): number {
    let crc = 0;
    for (let at = fromBytes; at < toBytes; ) {
      const piece = this.#read(at, Math.min(PIECE_BYTES, toBytes - at));
      if (piece.length === 0) return ~crc;
      crc = this.#options.crc32(piece, crc);
      at += piece.length;
    }
    return crc;
  }

  #read(offsetBytes: number, lengthBytes: number): Buffer {
    if (this.#piece.length < lengthBytes)
      this.#piece = Buffer.allocUnsafeSlow(Math.max(lengthBytes, PIECE_BYTES));
    const read = this.#options.content.read(this.#piece, lengthBytes, offsetBytes);
    return this.#piece.subarray(0, read);
  }
}

/** How much of the bytes, from their start, is whole lines that can be records: objects, without what a lost page reads as. */
export function wholeLines(bytes: Buffer): { lengthBytes: number; count: number } {
  const zero = bytes.indexOf(0);
  const end = zero < 0 ? bytes.length : zero;
  let lengthBytes = 0;
  let count = 0;
  for (let newline = bytes.indexOf(NEWLINE); newline >= 0 && newline < end; ) {
    if (bytes[lengthBytes] !== OPENING_BRACE || bytes[newline - 1] !== CLOSING_BRACE) break;
    lengthBytes = newline + 1;
    count++;
    newline = bytes.indexOf(NEWLINE, lengthBytes);
  }
  return { lengthBytes, count };
}

/** Every entry that can be read, wherever in the file; `whole`: nothing else stands there. */
function entriesOf(index: Buffer): { found: IndexEntry[]; whole: boolean } {
  const found: IndexEntry[] = [];
  const rest = (index.length - INDEX_HEADER_BYTES) % INDEX_ENTRY_BYTES;
  let whole = rest === 0;
  for (let at = INDEX_HEADER_BYTES; at + INDEX_ENTRY_BYTES <= index.length; at += INDEX_ENTRY_BYTES) {
    const entry = decodeIndexEntry(index, at);
    if (entry === undefined) whole = false;
    else found.push(entry);
  }
  return { found, whole };
}
