/**
 * Looks at a whole log, segment by segment, without changing anything: at what indexes and seals say, or at every byte. For
 * the command line; a Core may be writing, compressing and deleting meanwhile. A generator, so that the caller can show how
 * far it is: each step does a few milliseconds of work.
 */
import type { KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon } from '../native/addon.js';
import { Catalog } from './catalog.js';
import { ChainCheck } from './chain-check.js';
import { type Content, openContent } from './content.js';
import { ContentCheck, type DamagedBatch } from './content-check.js';
import { REAL_FILES } from './files.js';
import { type FoundSegment, findSegment } from './found-segment.js';
import { decodeGzipIndex, gzipIndexFileName } from './gzip-index.js';
import { type Lines, linesOf } from './lines.js';
import { decodeRetentionSeal, parseSealName, RETENTION_SEAL, type RetentionSeal } from './seal.js';
import type { Fault, FaultKind, LogReport, SegmentReport } from './segment-report.js';

export interface LogCheckOptions {
  /** `<storage.dir>/log` */
  readonly folder: string;
  /** Every byte is read; else what indexes and seals say. */
  readonly everything: boolean;
  /** Public keys: every seal must be signed with one of them. */
  readonly keys: readonly KeyObject[];
  /** A chain that was noted elsewhere, and must be part of the log. */
  readonly chain: string | undefined;
  readonly addon: Addon | undefined;
}

/** How far it is. */
export interface Progress {
  readonly bytes: number;
  readonly totalBytes: number;
}

const SLICE_BYTES = 4 * 1024 * 1024;
const NEWLINE = 0x0a;

export function* checkLog(options: LogCheckOptions): Generator<Progress, LogReport> {
  return yield* new LogCheck(options).run();
}

class LogCheck {
  readonly #options: LogCheckOptions;
  readonly #faults: Fault[] = [];
  readonly #notes: string[] = [];
  readonly #segments: SegmentReport[] = [];
  readonly #lines: Lines;
  readonly #slice = Buffer.allocUnsafeSlow(SLICE_BYTES);
  #bytes = 0;
  #totalBytes = 0;

  constructor(options: LogCheckOptions) {
    this.#options = options;
    this.#lines = linesOf(options.addon);
  }

  *run(): Generator<Progress, LogReport> {
    const { folder, keys, chain: expected } = this.#options;
    const { segments } = new Catalog(folder);
    const deleted = this.#readRetentionSeal();
    const chain = new ChainCheck({ deleted, keys, expected });
    this.#faults.push(...chain.begin());
    const found = segments.map((segment, at) => findSegment(folder, segment, at === segments.length - 1));
    this.#totalBytes = found.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    for (const segment of found) {
      const report = yield* this.#segment(segment);
      if (report === undefined) {
        chain.deletedMeanwhile(this.#readRetentionSeal()!);
        continue;
      }
      this.#segments.push(report);
      this.#faults.push(...chain.take(segment, report.next_seq));
    }
    this.#faults.push(...chain.end());
    this.#orphans(new Set(segments), deleted);
    const sum = (value: (report: SegmentReport) => number) =>
      this.#segments.reduce((total, report) => total + value(report), 0);
    return {
      segments: this.#segments,
      records: sum(({ records }) => records),
      bytes: sum(({ bytes }) => bytes),
      stored_bytes: sum(({ stored_bytes }) => stored_bytes),
      damaged_records: sum(({ damaged_records }) => damaged_records),
      sealed_segments: this.#segments.filter(({ sealed }) => sealed).length,
      unsealed_bytes: sum(({ sealed, bytes }) => (sealed ? 0 : bytes)),
      chain: chain.chain,
      deleted:
        deleted === undefined
          ? null
          : { segments: deleted.segments, next_seq: deleted.nextSeq, bytes: deleted.bytes },
      holes: chain.holes,
      faults: this.#faults,
      notes: this.#notes,
    };
  }

  *#segment(found: FoundSegment): Generator<Progress, SegmentReport | undefined> {
    const { folder } = this.#options;
    const { segment, seal } = found;
    let content: Content | undefined;
    try {
      content = openContent(folder, segment, REAL_FILES);
    } catch (error) {
      this.#fault('compressed', segment, `cannot be opened: ${(error as Error).message}`);
    }
    if (content === undefined) {
      if (this.#isDeletedMeanwhile(segment)) return undefined;
      if (this.#faults.at(-1)?.segment !== segment) this.#fault('sequence', segment, 'is gone');
    }
    try {
      const sizeBytes = content?.size() ?? 0;
      const tail = content === undefined ? undefined : this.#checkIndex(found, content, sizeBytes);
      if (content?.compressed) this.#checkMembers(segment);
      const damagedRecords =
        this.#options.everything && content !== undefined
          ? yield* this.#content(found, content, sizeBytes)
          : typeof seal === 'object'
            ? seal.damagedRecords
            : 0;
      const { index } = found;
      const nextSeq =
        typeof seal === 'object' ? seal.nextSeq : (index?.nextSeq ?? segment) + (tail?.records ?? 0);
      return {
        segment,
        next_seq: nextSeq,
        records: nextSeq - segment,
        bytes: sizeBytes,
        stored_bytes: found.storedBytes,
        first_received: isoTime(index?.firstMs),
        last_received: isoTime(index?.lastMs),
        compressed: content?.compressed ?? found.compressed,
        sealed: typeof seal === 'object',
        key_id: typeof seal === 'object' ? (seal.signature?.keyId ?? null) : null,
        open: found.newest && seal === undefined,
        damaged_records: damagedRecords,
      };
    } finally {
      content?.close();
      this.#bytes += found.storedBytes;
      yield this.#progress(0);
    }
  }

  /** Whether the index fits the data; answers the whole lines behind it, which in the newest segment are no fault. */
  #checkIndex(found: FoundSegment, content: Content, sizeBytes: number): { records: number } | undefined {
    const { segment, index, newest, seal } = found;
    if (index === undefined) {
      this.#fault('index', segment, 'the index is missing, or is of something else');
      return undefined;
    }
    if (index.contentBytes > sizeBytes)
      this.#fault(
        'index',
        segment,
        `the index speaks of ${index.contentBytes} bytes, the segment has ${sizeBytes}`,
      );
    if (!index.whole && !(newest && seal === undefined))
      this.#fault('index', segment, `the index cannot be read behind its entry ${index.count}`);
    const behindBytes = sizeBytes - index.contentBytes;
    if (behindBytes <= 0) return undefined;
    if (!newest || seal !== undefined) {
      this.#fault('index', segment, `${behindBytes} bytes at the end are not in the index`);
      return undefined;
    }
    const records = this.#linesBehind(content, index.contentBytes, sizeBytes);
    this.#notes.push(
      `segment ${segment}: ${records.whole} records at its end are not in its index yet` +
        (records.tornBytes > 0 ? `, and ${records.tornBytes} bytes are the beginning of one` : ''),
    );
    return { records: records.whole };
  }

  #linesBehind(content: Content, fromBytes: number, toBytes: number): { whole: number; tornBytes: number } {
    let whole = 0;
    let endBytes = fromBytes;
    for (let at = fromBytes; at < toBytes; ) {
      const read = content.read(this.#slice, 0, Math.min(SLICE_BYTES, toBytes - at), at);
      if (read === 0) break;
      whole += this.#lines.count(this.#slice, 0, read);
      const newline = this.#slice.lastIndexOf(NEWLINE, read - 1);
      if (newline >= 0) endBytes = at + newline + 1;
      at += read;
    }
    return { whole, tornBytes: toBytes - endBytes };
  }

  #checkMembers(segment: number): void {
    let bytes: Buffer | undefined;
    try {
      bytes = readFileSync(join(this.#options.folder, gzipIndexFileName(segment)));
    } catch {}
    if (bytes === undefined || decodeGzipIndex(bytes) === undefined)
      this.#fault('compressed', segment, 'the index of its members (.gzi) is missing or cannot be read');
  }

  /** Every byte; answers how many records cannot be read. */
  *#content(found: FoundSegment, content: Content, sizeBytes: number): Generator<Progress, number> {
    const { segment, index, seal } = found;
    if (index === undefined) return 0;
    const check = new ContentCheck(index, this.#options.addon, true);
    while (check.bytes < sizeBytes) {
      const wanted = Math.min(SLICE_BYTES, sizeBytes - check.bytes);
      const read = content.read(this.#slice, 0, wanted, check.bytes);
      check.take(this.#slice.subarray(0, read));
      if (read < wanted) {
        this.#fault('compressed', segment, `cannot be read behind byte ${check.bytes} of ${sizeBytes}`);
        break;
      }
      yield this.#progress((check.bytes / Math.max(1, sizeBytes)) * found.storedBytes);
    }
    const sha256 = check.finish();
    if (typeof seal === 'object' && (seal.sha256 !== sha256 || seal.bytes !== sizeBytes))
      this.#fault('content', segment, 'the content is not what was sealed');
    if (typeof seal === 'object' && seal.nextSeq !== index.nextSeq)
      this.#fault('index', segment, `the index ends at ${index.nextSeq}, the seal at ${seal.nextSeq}`);
    for (const batch of check.damage) this.#faults.push(damageOf(segment, batch));
    const left = check.damagedBatches - check.damage.length;
    if (left > 0) this.#fault('damaged', segment, `and ${left} batches more`);
    return check.damagedRecords;
  }

  /** Seals whose segments are gone, though retention does not say so. */
  #orphans(segments: ReadonlySet<number>, deleted: RetentionSeal | undefined): void {
    for (const name of REAL_FILES.list(this.#options.folder)) {
      const segment = parseSealName(name);
      if (segment === undefined || segments.has(segment) || segment < (deleted?.nextSeq ?? 0)) continue;
      if (this.#isDeletedMeanwhile(segment)) continue;
      // One that was made since we looked has its data.
      if (findSegment(this.#options.folder, segment, false).storedBytes === 0) continue;
      if (statSync(join(this.#options.folder, name), { throwIfNoEntry: false }) === undefined) continue;
      const content = openContent(this.#options.folder, segment, REAL_FILES);
      content?.close();
      if (content === undefined) this.#fault('sequence', segment, 'was sealed, and its data is gone');
    }
  }

  #readRetentionSeal(): RetentionSeal | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.#options.folder, RETENTION_SEAL), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const seal = decodeRetentionSeal(text);
    if (seal === undefined) this.#fault('seal', null, 'retention.seal cannot be read');
    return seal;
  }

  #isDeletedMeanwhile(segment: number): boolean {
    const before = this.#faults.length;
    const deleted = this.#readRetentionSeal();
    this.#faults.length = before;
    return segment < (deleted?.nextSeq ?? 0);
  }

  #fault(kind: FaultKind, segment: number | null, message: string): void {
    this.#faults.push({ kind, segment, message });
  }

  #progress(moreBytes: number): Progress {
    return { bytes: this.#bytes + moreBytes, totalBytes: this.#totalBytes };
  }
}

const DAMAGE_TEXT: Readonly<Record<DamagedBatch['reason'], string>> = {
  checksum: 'the checksum is wrong',
  lines: 'it does not have the lines its index entry says',
  'cut off': 'it is cut off',
};

function damageOf(segment: number, batch: DamagedBatch): Fault {
  const { firstSeq, nextSeq, offsetBytes, lengthBytes, reason } = batch;
  return {
    kind: 'damaged',
    segment,
    message: `records ${firstSeq} to ${nextSeq - 1}, ${lengthBytes} bytes at ${offsetBytes}: ${DAMAGE_TEXT[reason]}`,
    first_seq: firstSeq,
    next_seq: nextSeq,
    offset_bytes: offsetBytes,
    length_bytes: lengthBytes,
  };
}

function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
