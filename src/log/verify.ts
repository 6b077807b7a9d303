/**
 * Checks one segment to the last byte, and makes its index again: what `log verify` and `log repair` stand on. Any process,
 * also while Core runs: nothing here touches data, and an index is replaced whole.
 *
 *   const check = checkSegment({ firstSeq, content, index, crc32 });
 *   for (let more = true; more; ) more = check.step();        a piece at a time, so that it can be interrupted and shown
 *   check.result
 *
 * The content may come from anywhere (SegmentContent): K's compressed segments have one too.
 */
import { crc32 as zlibCrc32 } from 'node:zlib';
import { LIMITS } from '../limits.js';
import { type LogFiles, REAL_FILES, readFile, replaceFile } from './files.js';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  encodeIndex,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  type IndexEntry,
  indexCreatedMs,
} from './format.js';
import type { Crc32 } from './open-segment.js';
import { fileContent, type SegmentContent, surveySegment, wholeLines } from './survey.js';

export type FaultKind =
  /** There is no index, or one of another segment, or its header is damaged. */
  | 'index-missing'
  | 'index-header'
  /** An entry whose checksum is wrong, or half of one. */
  | 'index-entry'
  /** An entry that does not follow the one before, or speaks of bytes that are not there. */
  | 'index-order'
  /** The bytes of a batch are not those that were written. */
  | 'batch-checksum'
  /** They are, but are not as many records as the entry says, or not records: a fault of whoever wrote them. */
  | 'batch-records'
  /** Whole records behind the last entry: the index is too short. */
  | 'not-indexed'
  /** Bytes behind the last record that are none. */
  | 'torn';

export interface SegmentFault {
  readonly kind: FaultKind;
  /** In the data; of `index-entry` and `index-header` in the index. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Records it is about: [firstSeq, nextSeq); the same where it is about none, or nobody knows. */
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly text: string;
}

export interface SegmentCheckResult {
  readonly firstSeq: number;
  /** Behind the last record that the index, or else the data, tells of. */
  readonly nextSeq: number;
  readonly bytes: number;
  readonly records: number;
  readonly batches: number;
  /** When the first and the last batch was received, ms since 1970; undefined where there is none. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
  readonly damagedRecords: number;
  readonly faults: readonly SegmentFault[];
  /** `log repair` would make another index than there is. */
  readonly indexGood: boolean;
}

export interface SegmentCheckOptions {
  readonly firstSeq: number;
  readonly content: SegmentContent;
  /** Undefined: there is none. */
  readonly index: Buffer | undefined;
  readonly crc32?: Crc32;
  /** The segment is being written: what is behind its index, or half a record at its end, is no fault. */
  readonly growing?: boolean;
}

const INDEX_FAULTS: ReadonlySet<FaultKind> = new Set([
  'index-missing',
  'index-header',
  'index-entry',
  'index-order',
  'not-indexed',
]);

export function checkSegment(options: SegmentCheckOptions): SegmentCheck {
  return new SegmentCheck(options);
}

export class SegmentCheck {
  readonly #options: SegmentCheckOptions;
  readonly #crc32: Crc32;
  readonly #faults: SegmentFault[] = [];
  #entries: IndexEntry[] = [];
  #at = 0;
  #records = 0;
  #damagedRecords = 0;
  /** Batches side by side so far: where the next one has to start. */
  #offset = 0;
  #seq: number;
  #rested = false;
  #piece = Buffer.alloc(0);

  constructor(options: SegmentCheckOptions) {
    this.#options = options;
    this.#crc32 = options.crc32 ?? zlibCrc32;
    this.#seq = options.firstSeq;
    this.#readIndex();
  }

  /** Bytes of the data that have been looked at. */
  get checkedBytes(): number {
    return this.#offset;
  }

  /** Checks about a MiB more; false: that was all. Throws what reading throws. */
  step(): boolean {
    let budget = LIMITS.indexBatchBytes;
    while (budget > 0 && this.#at < this.#entries.length) {
      const entry = this.#entries[this.#at++]!;
      this.#checkBatch(entry);
      budget -= entry.lengthBytes;
    }
    if (this.#at < this.#entries.length) return true;
    if (!this.#rested) this.#checkRest();
    return false;
  }

  /** All at once. */
  run(): SegmentCheckResult {
    while (this.step());
    return this.result;
  }

  /** Once step() has said that it was all. */
  get result(): SegmentCheckResult {
    return {
      firstSeq: this.#options.firstSeq,
      nextSeq: this.#seq,
      bytes: this.#options.content.sizeBytes,
      records: this.#records,
      batches: this.#entries.length,
      firstMs: this.#entries[0]?.receivedMs,
      lastMs: this.#entries.at(-1)?.receivedMs,
      damagedRecords: this.#damagedRecords,
      faults: this.#faults,
      indexGood: !this.#faults.some(({ kind }) => INDEX_FAULTS.has(kind)),
    };
  }

  #fault(kind: FaultKind, offsetBytes: number, lengthBytes: number, nextSeq: number, text: string): void {
    this.#faults.push({ kind, offsetBytes, lengthBytes, firstSeq: this.#seq, nextSeq, text });
  }

  #readIndex(): void {
    const { index, firstSeq, growing } = this.#options;
    if (index === undefined) return this.#fault('index-missing', 0, 0, this.#seq, 'there is no index');
    const of = decodeIndexHeader(index);
    if (of !== firstSeq) {
      const text = of === undefined ? 'the header of the index is damaged' : `the index is of segment ${of}`;
      return this.#fault('index-header', 0, INDEX_HEADER_BYTES, this.#seq, text);
    }
    let offset = 0;
    let seq = firstSeq;
    for (let at = INDEX_HEADER_BYTES; at < index.length; at += INDEX_ENTRY_BYTES) {
      const entry = decodeIndexEntry(index, at);
      if (entry === undefined) {
        const half = at + INDEX_ENTRY_BYTES > index.length;
        // One that is being written.
        if (half && growing === true) return;
        const text = half ? 'the index ends inside an entry' : 'an entry of the index is damaged';
        this.#fault('index-entry', at, Math.min(INDEX_ENTRY_BYTES, index.length - at), seq, text);
        continue;
      }
      const { offsetBytes, lengthBytes, baseSeq, recordCount } = entry;
      const end = offsetBytes + lengthBytes;
      if (
        offsetBytes < offset ||
        baseSeq < seq ||
        lengthBytes === 0 ||
        end > this.#options.content.sizeBytes
      ) {
        const next = baseSeq + recordCount;
        const text =
          end > this.#options.content.sizeBytes
            ? `records ${baseSeq} to ${next - 1} are in the index and not in the data, which is shorter`
            : `the entry of records ${baseSeq} to ${next - 1} does not follow the one before`;
        this.#fault('index-order', offsetBytes, lengthBytes, next, text);
        continue;
      }
      this.#entries.push(entry);
      offset = end;
      seq = baseSeq + recordCount;
    }
  }

  #checkBatch({ offsetBytes, lengthBytes, baseSeq, recordCount, crc }: IndexEntry): void {
    if (offsetBytes !== this.#offset || baseSeq !== this.#seq) {
      const bytes = offsetBytes - this.#offset;
      const records = baseSeq - this.#seq;
      this.#fault(
        'index-order',
        this.#offset,
        bytes,
        baseSeq,
        `${bytes} bytes and ${records} records are between two entries of the index`,
      );
      this.#records += records;
    }
    this.#seq = baseSeq;
    const { crc: actual, lines, records } = this.#measure(offsetBytes, lengthBytes);
    const nextSeq = baseSeq + recordCount;
    if (actual !== crc) {
      this.#damagedRecords += recordCount;
      const text = `records ${baseSeq} to ${nextSeq - 1} are damaged: the checksum of their batch is wrong`;
      this.#fault('batch-checksum', offsetBytes, lengthBytes, nextSeq, text);
    } else if (lines !== lengthBytes || records !== recordCount) {
      const text = `the batch of records ${baseSeq} to ${nextSeq - 1} holds ${records} whole records`;
      this.#fault('batch-records', offsetBytes, lengthBytes, nextSeq, text);
    }
    this.#records += recordCount;
    this.#seq = nextSeq;
    this.#offset = offsetBytes + lengthBytes;
  }

  #measure(offsetBytes: number, lengthBytes: number): { crc: number; lines: number; records: number } {
    if (this.#piece.length < lengthBytes) this.#piece = Buffer.allocUnsafeSlow(lengthBytes);
    const read = this.#options.content.read(this.#piece, lengthBytes, offsetBytes);
    const bytes = this.#piece.subarray(0, read);
    const { lengthBytes: lines, count } = wholeLines(bytes);
    return { crc: this.#crc32(bytes, 0), lines, records: count };
  }

  /** What stands behind the last entry. */
  #checkRest(): void {
    this.#rested = true;
    const { content, growing, firstSeq, index } = this.#options;
    if (this.#offset >= content.sizeBytes) return;
    const survey = surveySegment({
      firstSeq,
      content,
      index,
      crc32: this.#crc32,
      checkFromBytes: content.sizeBytes,
      salvage: false,
    });
    const records = survey.nextSeq - this.#seq;
    if (survey.endBytes > this.#offset && records > 0) {
      if (growing !== true || index === undefined) {
        const text = `${records} records behind the last entry of the index`;
        const lengthBytes = survey.endBytes - this.#offset;
        this.#fault('not-indexed', this.#offset, lengthBytes, survey.nextSeq, text);
      }
      this.#records += records;
      this.#seq = survey.nextSeq;
      this.#offset = survey.endBytes;
    }
    const rest = content.sizeBytes - this.#offset;
    if (rest > 0 && growing !== true)
      this.#fault('torn', this.#offset, rest, this.#seq, `${rest} bytes at the end are no record`);
    this.#offset = content.sizeBytes;
  }
}

export interface RebuiltIndex {
  /** Written; false: it was right already. */
  readonly changed: boolean;
  readonly records: number;
  readonly batches: number;
  /** Records that the index did not know, or not where they are. */
  readonly addedRecords: number;
  /** Records of batches that are known to be damaged; they keep the checksum that says so. */
  readonly damagedRecords: number;
}

/**
 * Makes the index of a finished segment again where it is missing or wrong, whole or not at all. Entries that are good are
 * kept as they are: making them anew would give damaged bytes a checksum that fits. `content`: of a segment that is not there
 * as a plain file.
 */
export function rebuildIndex(
  folder: string,
  base: string,
  firstSeq: number,
  {
    files = REAL_FILES,
    crc32 = zlibCrc32,
    content: given,
  }: { files?: LogFiles; crc32?: Crc32; content?: SegmentContent } = {},
): RebuiltIndex {
  const path = `${base}.idx`;
  const data = given === undefined ? files.open(`${base}.ndjson`, 'r', 0) : undefined;
  try {
    const index = readFile(files, path);
    const content = given ?? fileContent(files, data!);
    const { batches, indexWhole } = surveySegment({
      firstSeq,
      content,
      index,
      crc32,
      checkFromBytes: 0,
      salvage: false,
    });
    if (!indexWhole) {
      const createdMs = (index && indexCreatedMs(index)) ?? content.writtenMs ?? Date.now();
      replaceFile(files, folder, path, encodeIndex(firstSeq, createdMs, batches));
    }
    const sum = (some: typeof batches) => some.reduce((records, batch) => records + batch.recordCount, 0);
    return {
      changed: !indexWhole,
      records: sum(batches),
      batches: batches.length,
      addedRecords: sum(batches.filter(({ indexed }) => !indexed)),
      damagedRecords: sum(batches.filter(({ state }) => state === 'damaged')),
    };
  } finally {
    if (data !== undefined) files.close(data);
  }
}
