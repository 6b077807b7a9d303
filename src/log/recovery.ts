/**
 * What the log holds when Core starts. Looks at the last segment only: it alone may have been cut off. Its torn tail
 * is cut at a line's end, lines that the index does not know yet are added to it, and the next sequence number
 * follows from what is there. Runs in the aggregator before anything is written.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  decodeIndexEntry,
  decodeIndexHeader,
  encodeIndexEntry,
  encodeIndexHeader,
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  type IndexEntry,
  parseSegmentName,
  segmentName,
} from './format.js';

export interface RecoveredLog {
  /** The sequence number the next record gets. */
  readonly nextSeq: number;
  readonly segments: number;
  /** Bytes behind the last whole line, cut off. */
  readonly tornBytes: number;
  /** Whole lines that were in the data but not in the index. */
  readonly reindexedRecords: number;
}

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

export function recoverLog(folder: string): RecoveredLog {
  const firstSeqs = readdirSync(folder)
    .map(parseSegmentName)
    .filter((seq) => seq !== undefined)
    .sort((a, b) => a - b);
  const last = firstSeqs.at(-1);
  if (last === undefined) return { nextSeq: 1, segments: 0, tornBytes: 0, reindexedRecords: 0 };
  const base = join(folder, segmentName(last));
  const data = openSync(`${base}.ndjson`, 'r+');
  try {
    const size = fstatSync(data).size;
    const indexed = readIndex(`${base}.idx`, last);
    const entries = indexed.entries.filter((entry) => entry.offsetBytes + entry.lengthBytes <= size);
    // The newest batches are those whose bytes may not have reached the disk.
    for (let newest = entries.at(-1); newest !== undefined; newest = entries.at(-1)) {
      if (checksum(data, newest.offsetBytes, newest.lengthBytes) === newest.crc) break;
      entries.pop();
    }
    const known = entries.at(-1);
    const knownBytes = known === undefined ? 0 : known.offsetBytes + known.lengthBytes;
    const knownSeq = known === undefined ? last : known.baseSeq + known.recordCount;
    const tail = readLines(data, knownBytes, size);
    const end = knownBytes + tail.lengthBytes;
    if (end < size) {
      ftruncateSync(data, end);
      fsyncSync(data);
    }
    let seq = knownSeq;
    for (const batch of tail.batches) {
      entries.push({ ...batch, baseSeq: seq });
      seq += batch.recordCount;
    }
    const unchanged = tail.batches.length === 0 && entries.length === indexed.entries.length;
    if (!indexed.whole || !unchanged) writeIndex(`${base}.idx`, last, entries);
    return {
      nextSeq: seq,
      // One without a record is opened again, under the same name.
      segments: firstSeqs.length - (seq === last ? 1 : 0),
      tornBytes: size - end,
      reindexedRecords: seq - knownSeq,
    };
  } finally {
    closeSync(data);
  }
}

interface ReadIndex {
  /** Up to the first that is damaged or does not follow. */
  readonly entries: IndexEntry[];
  /** There is an index, and nothing else stands in it. */
  readonly whole: boolean;
}

function readIndex(file: string, firstSeq: number): ReadIndex {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { entries: [], whole: false };
    throw error;
  }
  if (decodeIndexHeader(bytes) !== firstSeq) return { entries: [], whole: false };
  const entries: IndexEntry[] = [];
  let seq = firstSeq;
  let offsetBytes = 0;
  for (let at = INDEX_HEADER_BYTES; ; at += INDEX_ENTRY_BYTES) {
    const entry = decodeIndexEntry(bytes, at);
    if (entry === undefined || entry.baseSeq !== seq || entry.offsetBytes !== offsetBytes) {
      return { entries, whole: at === bytes.length };
    }
    entries.push(entry);
    seq += entry.recordCount;
    offsetBytes += entry.lengthBytes;
  }
}

function writeIndex(file: string, firstSeq: number, entries: readonly IndexEntry[]): void {
  const bytes = Buffer.alloc(entries.length * INDEX_ENTRY_BYTES);
  entries.forEach((entry, i) => {
    encodeIndexEntry(entry, bytes, i * INDEX_ENTRY_BYTES);
  });
  // Whole or not at all: an index that a crash cuts off would have to be made again.
  const temporary = `${file}.tmp`;
  writeFileSync(temporary, Buffer.concat([encodeIndexHeader(firstSeq, Date.now()), bytes]), {
    flush: true,
    mode: 0o640,
  });
  renameSync(temporary, file);
}

function checksum(file: number, offsetBytes: number, lengthBytes: number): number {
  const bytes = Buffer.alloc(lengthBytes);
  const read = readSync(file, bytes, 0, lengthBytes, offsetBytes);
  return crc32(bytes.subarray(0, read));
}

/** Batches of whole lines in [start, size) of a file. */
function readLines(
  file: number,
  start: number,
  size: number,
): { lengthBytes: number; batches: Omit<IndexEntry, 'baseSeq'>[] } {
  const batches: Omit<IndexEntry, 'baseSeq'>[] = [];
  let at = start;
  let chunkBytes = CHUNK_BYTES;
  while (at < size) {
    const bytes = Buffer.alloc(Math.min(chunkBytes, size - at));
    const read = readSync(file, bytes, 0, bytes.length, at);
    if (read === 0) break;
    const end = bytes.subarray(0, read).lastIndexOf(NEWLINE) + 1;
    if (end === 0) {
      if (at + read >= size) break;
      chunkBytes *= 2; // a line longer than the chunk
      continue;
    }
    const lines = bytes.subarray(0, end);
    batches.push({
      offsetBytes: at,
      lengthBytes: end,
      recordCount: countLines(lines),
      receivedMs: Date.now(),
      crc: crc32(lines),
    });
    at += end;
    chunkBytes = CHUNK_BYTES;
  }
  return { lengthBytes: at - start, batches };
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}
