/**
 * Looks at a whole log, segment by segment, without changing anything: at what indexes and seals say, or at every byte. For
 * the command line; a Core may be writing, compressing and deleting meanwhile. A generator, so that the caller can show how
 * far it is: each step does a few milliseconds of work.
 */
import { createHash, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Addon } from '../native/addon.js';
import { Catalog } from './catalog.js';
import { ChainCheck } from './chain-check.js';
import { type Content, openContent } from './content.js';
import { REAL_FILES } from './files.js';
import { type FoundSegment, findSegment, storedBytesOf } from './found-segment.js';
import { decodeGzipIndex, gzipIndexFileName } from './gzip-index.js';
import { type Lines, linesOf } from './lines.js';
import { decodeRetentionSeal, parseSealName, RETENTION_SEAL, type RetentionSeal } from './seal.js';
import type { Fault, FaultKind, LogReport, SegmentReport } from './segment-report.js';
import type { SegmentContent } from './survey.js';
import { checkSegment, type SegmentCheckResult, type SegmentFault } from './verify.js';

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

export function* checkLog(options: LogCheckOptions): Generator<Progress, LogReport> {
  return yield* new LogCheck(options).run();
}

class LogCheck {
  readonly #options: LogCheckOptions;
  readonly #faults: Fault[] = [];
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
    this.#totalBytes = segments.reduce((total, segment) => total + storedBytesOf(folder, segment), 0);
    for (const firstSeq of segments) {
      const segment = findSegment(folder, firstSeq, firstSeq === segments.at(-1));
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
    };
  }

  *#segment(found: FoundSegment): Generator<Progress, SegmentReport | undefined> {
    const { folder, everything } = this.#options;
    const { segment, seal, index } = found;
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
      if (content?.compressed) this.#checkMembers(segment);
      const sealed = typeof seal === 'object' ? seal : undefined;
      let nextSeq = sealed?.nextSeq ?? index?.nextSeq ?? segment;
      let damagedRecords = sealed?.damagedRecords ?? 0;
      if (content !== undefined && everything) {
        const result = yield* this.#content(found, content, sizeBytes);
        nextSeq = sealed?.nextSeq ?? result.nextSeq;
        damagedRecords = result.damagedRecords;
      } else if (content !== undefined) nextSeq += this.#checkIndex(found, content, sizeBytes);
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

  /** Whether the index seems to fit the data; answers how many whole lines are behind it, in a segment that is being written. */
  #checkIndex(found: FoundSegment, content: Content, sizeBytes: number): number {
    const { segment, index, newest, seal } = found;
    const grows = newest && seal === undefined;
    if (index === undefined) this.#fault('index', segment, 'the index is missing, or is of something else');
    else if (index.contentBytes > sizeBytes)
      this.#fault(
        'index',
        segment,
        `the index speaks of ${index.contentBytes} bytes, the segment has ${sizeBytes}`,
      );
    else if (grows) return this.#linesBehind(content, index.contentBytes, sizeBytes);
    else if (!index.whole || index.contentBytes < sizeBytes)
      this.#fault('index', segment, `the index covers ${index.contentBytes} of ${sizeBytes} bytes`);
    return 0;
  }

  #linesBehind(content: Content, fromBytes: number, toBytes: number): number {
    let lines = 0;
    for (let at = fromBytes; at < toBytes; ) {
      const read = content.read(this.#slice, 0, Math.min(SLICE_BYTES, toBytes - at), at);
      if (read === 0) break;
      lines += this.#lines.count(this.#slice, 0, read);
      at += read;
    }
    return lines;
  }

  #checkMembers(segment: number): void {
    let bytes: Buffer | undefined;
    try {
      bytes = readFileSync(join(this.#options.folder, gzipIndexFileName(segment)));
    } catch {}
    if (bytes === undefined || decodeGzipIndex(bytes) === undefined)
      this.#fault('compressed', segment, 'the index of its members (.gzi) is missing or cannot be read');
  }

  /** Every byte. */
  *#content(
    found: FoundSegment,
    content: Content,
    sizeBytes: number,
  ): Generator<Progress, SegmentCheckResult> {
    const { addon } = this.#options;
    const { segment, seal, newest } = found;
    const hashed = new HashedContent(content, sizeBytes);
    const check = checkSegment({
      firstSeq: segment,
      content: hashed,
      index: found.indexBytes,
      growing: newest && seal === undefined,
      ...(addon?.crc32 === undefined ? {} : { crc32: addon.crc32 }),
    });
    while (check.step())
      yield this.#progress((check.checkedBytes / Math.max(1, sizeBytes)) * found.storedBytes);
    const { result } = check;
    const sha256 = hashed.finish();
    if (hashed.bytes < sizeBytes)
      this.#fault('compressed', segment, `cannot be read behind byte ${hashed.bytes} of ${sizeBytes}`);
    if (typeof seal === 'object') {
      if (seal.sha256 !== sha256 || seal.bytes !== sizeBytes)
        this.#fault('content', segment, 'the content is not what was sealed');
      if (seal.nextSeq !== result.nextSeq)
        this.#fault('index', segment, `the records end at ${result.nextSeq}, by the seal at ${seal.nextSeq}`);
    }
    for (const fault of result.faults) this.#faults.push(faultOf(segment, fault));
    return result;
  }

  /** Seals whose segments are gone, though retention does not say so. */
  #orphans(segments: ReadonlySet<number>, deleted: RetentionSeal | undefined): void {
    for (const name of REAL_FILES.list(this.#options.folder)) {
      const segment = parseSealName(name);
      if (segment === undefined || segments.has(segment) || segment < (deleted?.nextSeq ?? 0)) continue;
      if (this.#isDeletedMeanwhile(segment)) continue;
      // One that was made since we looked has its data.
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

function faultOf(segment: number, fault: SegmentFault): Fault {
  const { kind, offsetBytes, lengthBytes, firstSeq, nextSeq, text } = fault;
  const isDamage = kind === 'batch-checksum' || kind === 'batch-records' || kind === 'torn';
  return {
    kind: isDamage ? 'damaged' : 'index',
    segment,
    message: text,
    ...(nextSeq > firstSeq ? { first_seq: firstSeq, next_seq: nextSeq } : {}),
    ...(isDamage ? { offset_bytes: offsetBytes, length_bytes: lengthBytes } : {}),
  };
}

/** Content that is hashed while it is read from its beginning to its end. */
class HashedContent implements SegmentContent {
  readonly sizeBytes: number;
  /** Hashed so far. */
  bytes = 0;
  readonly #content: Content;
  readonly #hash = createHash('sha256');

  constructor(content: Content, sizeBytes: number) {
    this.#content = content;
    this.sizeBytes = sizeBytes;
  }

  read(target: Buffer, lengthBytes: number, offsetBytes: number): number {
    const read = this.#content.read(
      target,
      0,
      Math.min(lengthBytes, this.sizeBytes - offsetBytes),
      offsetBytes,
    );
    if (offsetBytes <= this.bytes && offsetBytes + read > this.bytes) {
      this.#hash.update(target.subarray(this.bytes - offsetBytes, read));
      this.bytes = offsetBytes + read;
    }
    return read;
  }

  /** The SHA-256, hexadecimal, also of what was not read. */
  finish(): string {
    const rest = Buffer.allocUnsafeSlow(this.bytes < this.sizeBytes ? SLICE_BYTES : 0);
    while (this.bytes < this.sizeBytes && this.read(rest, rest.length, this.bytes) > 0);
    return this.#hash.digest('hex');
  }
}

function isoTime(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
