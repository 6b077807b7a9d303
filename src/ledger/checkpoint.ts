/**
 * Checkpoints of the ledger: all rows as they were when the log was written up to a sequence number, in two files that take
 * turns, so that one is always whole. Written and read by the aggregator.
 *
 *   <dir>/ledger/checkpoint-0, checkpoint-1
 *   header  (64 bytes)   "HBLG" | u16 version = 1 | u16 numbers per row | u32 rows | u32 0 | f64 generation
 *                        | f64 next sequence number of the log | f64 created, ms since 1970 | f64 number of the next dead letter
 *                        | 16 bytes 0
 *   rows                 float64 each, the fields of memory/ledger-table.ts in their order
 *   the end (8 bytes)    u32 CRC-32 of everything before | u32 0
 *
 * All little-endian. Fields are only ever added behind the others: a row that has fewer is filled with zeros.
 */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { LEDGER_FIELDS } from '../memory/ledger-table.js';

export interface Checkpoint {
  readonly generation: number;
  /** Everything before it in the log is counted in the rows. */
  readonly nextSeq: number;
  /** And everything before it of the dead letters. */
  readonly nextLetter: number;
  readonly rows: readonly Float64Array[];
}

const MAGIC = 0x474c4248; // "HBLG" read little-endian
const VERSION = 1;
const HEADER_BYTES = 64;
const END_BYTES = 8;
const FIELDS = LEDGER_FIELDS.length;
const FILES = ['checkpoint-0', 'checkpoint-1'] as const;

export class CheckpointFiles {
  readonly #folder: string;
  #generation = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The newest good one that is not ahead of the log. */
  read(logNextSeq: number): Checkpoint | undefined {
    let best: Checkpoint | undefined;
    for (const name of FILES) {
      const found = decode(this.#bytesOf(name));
      if (found === undefined) continue;
      this.#generation = Math.max(this.#generation, found.generation);
      if (found.nextSeq <= logNextSeq && (best === undefined || found.generation > best.generation))
        best = found;
    }
    return best;
  }

  /** Written, and fsynced, off the calling thread. Rejects with what the file system says; then the one before stands. */
  async write(checkpoint: Uint8Array): Promise<void> {
    const { temporary, target } = this.#next(checkpoint);
    const file = await open(temporary, 'w', 0o640);
    try {
      await writeFile(file, checkpoint);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  writeNow(checkpoint: Uint8Array): void {
    const { temporary, target } = this.#next(checkpoint);
    const file = openSync(temporary, 'w', 0o640);
    try {
      writeFileSync(file, checkpoint);
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, target);
    const folder = openSync(this.#folder, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }

  #next(checkpoint: Uint8Array): { readonly temporary: string; readonly target: string } {
    this.#generation++;
    seal(checkpoint, this.#generation);
    const target = join(this.#folder, FILES[this.#generation % FILES.length]!);
    return { temporary: `${target}.tmp`, target };
  }

  #bytesOf(name: string): Buffer | undefined {
    try {
      return readFileSync(join(this.#folder, name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** Room for a checkpoint of so many rows; `cells` are to be filled with the rows, one behind the other. */
export function makeCheckpoint(rows: number): { readonly bytes: Uint8Array; readonly cells: Float64Array } {
  const bytes = new Uint8Array(HEADER_BYTES + rows * FIELDS * 8 + END_BYTES);
  return { bytes, cells: new Float64Array(bytes.buffer, HEADER_BYTES, rows * FIELDS) };
}

/** Says what it is of. Only the first `rows` rows count. The part of it that is to be written. */
export function describeCheckpoint(
  bytes: Uint8Array,
  rows: number,
  nextSeq: number,
  nextLetter: number,
): Uint8Array {
  const part = bytes.subarray(0, HEADER_BYTES + rows * FIELDS * 8 + END_BYTES);
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, FIELDS, true);
  view.setUint32(8, rows, true);
  view.setUint32(12, 0, true);
  view.setFloat64(24, nextSeq, true);
  view.setFloat64(32, Date.now(), true);
  view.setFloat64(40, nextLetter, true);
  return part;
}

function seal(part: Uint8Array, generation: number): void {
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
  view.setFloat64(16, generation, true);
  const end = part.length - END_BYTES;
  view.setUint32(end, crc32(part.subarray(0, end)), true);
  view.setUint32(end + 4, 0, true);
}

function decode(bytes: Buffer | undefined): Checkpoint | undefined {
  if (bytes === undefined || bytes.length < HEADER_BYTES + END_BYTES) return undefined;
  if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt16LE(4) !== VERSION) return undefined;
  const fields = bytes.readUInt16LE(6);
  const count = bytes.readUInt32LE(8);
  const end = HEADER_BYTES + count * fields * 8;
  if (fields > FIELDS || bytes.length !== end + END_BYTES) return undefined;
  if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) return undefined;
  const rows = Array.from({ length: count }, (_, row) => {
    const cells = new Float64Array(FIELDS);
    for (let field = 0; field < fields; field++)
      cells[field] = bytes.readDoubleLE(HEADER_BYTES + (row * fields + field) * 8);
    return cells;
  });
  return {
    generation: bytes.readDoubleLE(16),
    nextSeq: bytes.readDoubleLE(24),
    nextLetter: bytes.readDoubleLE(40),
    rows,
  };
}
