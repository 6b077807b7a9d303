/**
 * What the log holds when Core starts. Runs in the aggregator before anything is written.
 *
 * How the Core before ended says what is to be looked at (reservation.ts):
 *
 *   in order          everything is durable; of the newest segment the index is read
 *   otherwise         what is behind the last place that was durable: each batch is checked, lines that the index does
 *                     not know are added to it, a torn end is cut at a record's border. Then it is made durable.
 *     same boot       the page cache has kept what was written. It is written again, so that what a failed fsync dropped
 *                     is really there; the numbers go on behind the last record
 *     another boot, or an fsync had failed
 *                     anything behind that place may be missing, and consumers may have seen it: the numbers go on
 *                     behind all that were reserved, and the hole is told to readers as lost
 *
 * Never deletes on doubt: batches that are damaged stay where they are, with their numbers. What is cut off is half a record,
 * zeros, or was saved before as `<segment>.cut-<offset>`, beside it.
 */
import { isMissing, type LogFiles, readFile, readWhole, replaceFile, writeWhole } from './files.js';
import { encodeIndex, indexCreatedMs } from './format.js';
import type { Crc32 } from './open-segment.js';
import { type LogPlace, readState, type SavedState } from './reservation.js';
import { finishedNextSeq, listSegments, type SegmentNames } from './segments.js';
import { fileContent, type Survey, surveySegment } from './survey.js';

export interface RecoveredLog {
  /** The sequence number the next record gets. */
  readonly nextSeq: number;
  readonly segments: number;
  /** The Core before ended in order, or there was none. */
  readonly clean: boolean;
  /** Bytes behind the last whole record, cut off. */
  readonly tornBytes: number;
  /** Of them: saved in files of their own, because they were more than half a record. */
  readonly savedBytes: number;
  readonly savedFiles: readonly string[];
  /** Whole records that were in the data but not in the index. */
  readonly reindexedRecords: number;
  /** Records and batches that are on the disk and are not what was written, as far as was looked. */
  readonly damagedRecords: number;
  readonly damagedBatches: number;
  /** Sequence numbers that are left out, because they may have been given to records that are lost. */
  readonly skippedNumbers: number;
  /** Bytes that were checked, and made durable. */
  readonly checkedBytes: number;
  readonly durationMs: number;
}

export interface Recovery {
  readonly recovered: RecoveredLog;
  readonly before: SavedState | undefined;
  /** Where the log ends. */
  readonly end: LogPlace;
}

const PIECE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

export function recoverLog(folder: string, files: LogFiles, crc32: Crc32, bootId?: Buffer): Recovery {
  return new Recoverer(folder, files, crc32, bootId).recover();
}

class Recoverer {
  readonly #folder: string;
  readonly #files: LogFiles;
  readonly #crc32: Crc32;
  readonly #before: SavedState | undefined;
  readonly #savedFiles: string[] = [];
  #savedBytes = 0;
  #tornBytes = 0;
  #reindexedRecords = 0;
  #damagedRecords = 0;
  #damagedBatches = 0;
  #checkedBytes = 0;
  /** There are zeros or damaged bytes where only half a record could be: an fsync has failed and nobody could write that down. */
  #pagesLost = false;
  #highestSeq = 1;

  constructor(folder: string, files: LogFiles, crc32: Crc32, bootId: Buffer | undefined) {
    this.#folder = folder;
    this.#files = files;
    this.#crc32 = crc32;
    this.#before = readState(files, folder, bootId);
  }

  recover(): Recovery {
    const startedMs = performance.now();
    const before = this.#before;
    const segments = listSegments(this.#files, this.#folder);
    const doubtful = this.#doubtful(segments);
    let end: LogPlace = { segment: 0, offsetBytes: 0, seq: 1 };
    let removed = 0;
    // Not always those before the doubtful ones: behind one that could not be sealed others may be.
    const looked = new Set(doubtful);
    const sure = segments.findLast((segment) => !looked.has(segment));
    if (sure !== undefined) {
      const nextSeq = finishedNextSeq(this.#files, sure);
      end = { segment: sure.firstSeq, offsetBytes: 0, seq: nextSeq };
      if (before?.durable.segment === sure.firstSeq) end = before.durable;
      this.#highestSeq = Math.max(nextSeq, end.seq);
    }
    for (const segment of doubtful) {
      const place = this.#recoverSegment(segment);
      this.#highestSeq = Math.max(this.#highestSeq, segment.firstSeq, place.seq);
      if (place.offsetBytes === 0) removed++;
      else if (place.segment > end.segment) end = place;
    }
    if (doubtful.length > 0) this.#files.syncFolderNow(this.#folder);
    const nextSeq = this.#nextSeq(end.seq);
    return {
      before,
      end,
      recovered: {
        nextSeq,
        segments: segments.length - removed,
        clean: before?.clean ?? segments.length === 0,
        tornBytes: this.#tornBytes,
        savedBytes: this.#savedBytes,
        savedFiles: this.#savedFiles,
        reindexedRecords: this.#reindexedRecords,
        damagedRecords: this.#damagedRecords,
        damagedBatches: this.#damagedBatches,
        skippedNumbers: nextSeq - end.seq,
        checkedBytes: this.#checkedBytes,
        durationMs: Math.round(performance.now() - startedMs),
      },
    };
  }

  /** The segments, the newest ones, of which not all is known to be as it was written. */
  #doubtful(segments: readonly SegmentNames[]): SegmentNames[] {
    const last = segments.at(-1);
    const from = this.#before === undefined ? last?.firstSeq : this.#before.durable.segment;
    return segments.filter(
      (segment) => segment.plain && !segment.sealed && (segment === last || segment.firstSeq >= from!),
    );
  }

  #nextSeq(endSeq: number): number {
    const before = this.#before;
    const found = Math.max(endSeq, this.#highestSeq, before?.durable.seq ?? 1, before?.startSeq ?? 1);
    if (before === undefined) return found;
    // After an end in order these are the numbers in use; otherwise those that may be.
    const nothingLost = before.sameBoot && !before.fsyncFailed && !this.#pagesLost;
    return nothingLost && !before.clean ? found : Math.max(found, before.reservedSeq);
  }

  #recoverSegment(segment: SegmentNames): LogPlace {
    const files = this.#files;
    const before = this.#before;
    const { firstSeq, base } = segment;
    const known = before?.durable.segment === firstSeq ? before.durable : undefined;
    const checkFromBytes = known?.offsetBytes ?? 0;
    const data = files.open(`${base}.ndjson`, 'r+', 0o640);
    try {
      const content = fileContent(files, data);
      const index = readFile(files, `${base}.idx`);
      const survey = surveySegment({
        firstSeq,
        content,
        index,
        crc32: this.#crc32,
        checkFromBytes,
        known,
        salvage: true,
      });
      let { endBytes } = survey;
      if (endBytes < content.sizeBytes) {
        if (endBytes >= checkFromBytes) this.#cut(segment, data, endBytes, content.sizeBytes);
        else endBytes = content.sizeBytes;
      }
      this.#count(survey, checkFromBytes);
      if (endBytes > 0 && before?.clean !== true) this.#makeDurable(data, checkFromBytes, endBytes);
      if (endBytes === 0) this.#remove(segment);
      else if (!survey.indexWhole || before?.clean !== true) {
        // Where data is damaged the index alone tells the numbers behind: it has to be as durable as they are.
        const createdMs = (index && indexCreatedMs(index)) ?? Date.now();
        replaceFile(files, this.#folder, `${base}.idx`, encodeIndex(firstSeq, createdMs, survey.batches));
      }
      return { segment: firstSeq, offsetBytes: endBytes, seq: survey.nextSeq };
    } finally {
      files.close(data);
    }
  }

  #count(survey: Survey, checkFromBytes: number): void {
    this.#highestSeq = Math.max(this.#highestSeq, survey.highestSeq);
    this.#checkedBytes += Math.max(0, survey.endBytes - checkFromBytes);
    for (const { state, indexed, recordCount } of survey.batches) {
      if (state === 'damaged') {
        this.#pagesLost = true;
        this.#damagedBatches++;
        this.#damagedRecords += recordCount;
      } else if (!indexed) this.#reindexedRecords += recordCount;
    }
  }

  /** Cuts off what is no record. */
  #cut({ base }: SegmentNames, data: number, fromBytes: number, toBytes: number): void {
    const files = this.#files;
    this.#tornBytes += toBytes - fromBytes;
    if (this.#has(0, data, fromBytes, toBytes)) this.#pagesLost = true;
    // More than half a record.
    if (this.#has(NEWLINE, data, fromBytes, toBytes)) {
      const path = `${base}.cut-${fromBytes}`;
      const copy = files.open(path, 'w', 0o640);
      try {
        this.#copy(data, fromBytes, toBytes, copy, 0);
        files.syncNow(copy);
      } finally {
        files.close(copy);
      }
      files.syncFolderNow(this.#folder);
      this.#savedBytes += toBytes - fromBytes;
      this.#savedFiles.push(path);
    }
    files.truncate(data, fromBytes);
    files.syncNow(data);
  }

  #has(byte: number, data: number, fromBytes: number, toBytes: number): boolean {
    const piece = Buffer.alloc(PIECE_BYTES);
    for (let at = fromBytes; at < toBytes; at += PIECE_BYTES) {
      const read = readWhole(this.#files, data, piece, Math.min(PIECE_BYTES, toBytes - at), at);
      if (piece.subarray(0, read).includes(byte)) return true;
    }
    return false;
  }

  /** What was not known to be on the disk is written again: after an fsync that failed, pages may be marked as written that
   *  never were, and another fsync would not notice. */
  #makeDurable(data: number, fromBytes: number, toBytes: number): void {
    const before = this.#before;
    if (before?.sameBoot === true && (before.fsyncFailed || this.#pagesLost || !before.fsyncNever))
      this.#copy(data, fromBytes, toBytes, data, fromBytes);
    this.#files.syncDataNow(data);
  }

  #copy(from: number, fromBytes: number, toBytes: number, to: number, offsetBytes: number): void {
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, Math.max(0, toBytes - fromBytes)));
    for (let at = fromBytes; at < toBytes; ) {
      const read = readWhole(this.#files, from, piece, Math.min(PIECE_BYTES, toBytes - at), at);
      if (read === 0) return;
      writeWhole(this.#files, to, piece.subarray(0, read), offsetBytes + at - fromBytes);
      at += read;
    }
  }

  /** A segment that never got a record, or lost all: its name may be needed again. */
  #remove({ base }: SegmentNames): void {
    for (const path of [`${base}.ndjson`, `${base}.idx`]) {
      try {
        this.#files.unlink(path);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }
}
