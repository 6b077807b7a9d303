/**
 * What Core must know about the log after it ended without order, in a small file beside the segments: which sequence
 * numbers may have been given to a record, up to where the log was durable, and whether the end was in order. Runs in
 * the aggregator; `log stat` reads it.
 *
 *   <dir>/log/log.state    three slots, each at the start of a page of 4096 bytes, all little-endian
 *
 *   slot 0, 1   reservations, written in turn and fsynced before a number of the new block is given: one of them is whole
 *   slot 2      how far the log is durable: written after each fsync of the log, itself fsynced once a second
 *
 *   u32 "HBLS" | u16 version = 1 | u16 flags | u64 generation | u64 numbers below it may be in use
 *   | u64 durable up to: first sequence number of the segment (0: none) | u64 byte offset | u64 sequence number
 *   | u64 numbers below it were in use when this Core began | 16 bytes boot id | u32 CRC-32 of the 72 bytes before
 *
 *   flags   1 ended in order, everything is durable   2 an fsync failed   4 storage.fsync was "never"
 *
 * The slot with the highest generation is how things were last; where it is lost, an older one says less, but nothing wrong.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { LIMITS } from '../limits.js';
import { type LogFiles, readFile, replaceFile, writeWhole } from './files.js';
import { readU64, writeU64 } from './format.js';

export const STATE_FILE = 'log.state';

const PAGE_BYTES = 4096;
const SLOTS = 3;
const SLOT_BYTES = 76;
const MARK_SLOT = 2;
const MAGIC = 0x534c4248; // "HBLS" read little-endian
const VERSION = 1;
const FLAG = { clean: 1, failed: 2, never: 4 } as const;

/** A place in the log, and the number of the record that starts there, or would in this segment. */
export interface LogPlace {
  /** First sequence number of the segment; 0: there is none. */
  readonly segment: number;
  readonly offsetBytes: number;
  readonly seq: number;
}

/** How the Core before left the log. */
export interface SavedState {
  readonly clean: boolean;
  readonly fsyncFailed: boolean;
  readonly fsyncNever: boolean;
  /** The machine has not been started anew since: what was written is still there, on the disk or in the page cache. */
  readonly sameBoot: boolean;
  /** Numbers below it may have been given to a record; after an end in order: were given. */
  readonly reservedSeq: number;
  /** The first one that it could give: those before may be used up without a record to show for it. */
  readonly startSeq: number;
  /** Everything before it was fsynced. */
  readonly durable: LogPlace;
  readonly generation: number;
}

/** 16 bytes that are others after every start of the machine; undefined where the system does not say. */
function bootId(): Buffer | undefined {
  try {
    const text = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim().replaceAll('-', '');
    const bytes = Buffer.from(text, 'hex');
    return bytes.length === 16 ? bytes : undefined;
  } catch {
    return undefined;
  }
}

interface Slot {
  readonly flags: number;
  readonly generation: number;
  readonly reservedSeq: number;
  readonly startSeq: number;
  readonly durable: LogPlace;
  readonly boot: Buffer;
}

function decodeSlot(bytes: Buffer, slot: number): Slot | undefined {
  const at = slot * PAGE_BYTES;
  if (bytes.length < at + SLOT_BYTES) return undefined;
  if (bytes.readUInt32LE(at) !== MAGIC || bytes.readUInt16LE(at + 4) !== VERSION) return undefined;
  if (crc32(bytes.subarray(at, at + SLOT_BYTES - 4)) !== bytes.readUInt32LE(at + SLOT_BYTES - 4))
    return undefined;
  return {
    flags: bytes.readUInt16LE(at + 6),
    generation: readU64(bytes, at + 8),
    reservedSeq: readU64(bytes, at + 16),
    durable: {
      segment: readU64(bytes, at + 24),
      offsetBytes: readU64(bytes, at + 32),
      seq: readU64(bytes, at + 40),
    },
    startSeq: readU64(bytes, at + 48),
    boot: Buffer.from(bytes.subarray(at + 56, at + 72)),
  };
}

/** Undefined: there is no such file, or nothing in it can be read. */
export function readState(files: LogFiles, folder: string, boot = bootId()): SavedState | undefined {
  const bytes = readFile(files, join(folder, STATE_FILE));
  if (bytes === undefined) return undefined;
  let last: Slot | undefined;
  let reservedSeq = 1;
  for (let number = 0; number < SLOTS; number++) {
    const slot = decodeSlot(bytes, number);
    if (slot === undefined) continue;
    reservedSeq = Math.max(reservedSeq, slot.reservedSeq);
    if (last === undefined || slot.generation > last.generation) last = slot;
  }
  if (last === undefined) return undefined;
  const clean = (last.flags & FLAG.clean) !== 0;
  return {
    clean,
    fsyncFailed: (last.flags & FLAG.failed) !== 0,
    fsyncNever: (last.flags & FLAG.never) !== 0,
    sameBoot: boot?.equals(last.boot) ?? false,
    reservedSeq: clean ? last.reservedSeq : reservedSeq,
    startSeq: last.startSeq,
    durable: last.durable,
    generation: last.generation,
  };
}

export class Reservation {
  /** Numbers below it may be given. */
  limit = 0;
  readonly #files: LogFiles;
  readonly #block: number;
  readonly #boot: Buffer;
  readonly #bytes = Buffer.alloc(SLOT_BYTES);
  readonly #file: number;
  readonly #never: boolean;
  readonly #startSeq: number;
  #flags: number;
  #generation: number;
  /** The slot of the reservation that is durable. */
  #slot = 0;
  /** The limit that stands whole in the other slot, and may not be durable yet; 0: none does. */
  #written = 0;
  #durable: LogPlace;
  #busy = false;
  #marked = false;
  #markSyncedMs = 0;
  #closed = false;

  /** Durable when it returns: numbers from `nextSeq` on may be given, up to `limit`. */
  constructor(
    files: LogFiles,
    folder: string,
    before: SavedState | undefined,
    nextSeq: number,
    durable: LogPlace,
    options: {
      readonly never: boolean;
      readonly block?: number | undefined;
      readonly boot?: Buffer | undefined;
    },
  ) {
    this.#files = files;
    this.#block = options.block ?? LIMITS.seqReservation;
    this.#boot = options.boot ?? bootId() ?? Buffer.alloc(16);
    this.#never = options.never;
    this.#startSeq = nextSeq;
    this.#flags = options.never ? FLAG.never : 0;
    this.#generation = before?.generation ?? 0;
    this.#durable = durable;
    const path = join(folder, STATE_FILE);
    const limit = nextSeq + this.#block;
    const content = Buffer.alloc(SLOTS * PAGE_BYTES);
    this.#encode(limit).copy(content, 0);
    // Whole or not at all: until it is renamed, the one before tells how the log was left.
    replaceFile(files, folder, path, content);
    this.#file = files.open(path, 'r+', 0o640);
    this.limit = limit;
  }

  /** Gives a new block at once, for who cannot wait: numbers up to `nextSeq`, and more. Throws what the file system says. */
  renewNow(nextSeq: number): void {
    while (nextSeq > this.limit) {
      // One that is under way must not be written over: half of that would be worse than none.
      if (this.#written === 0) this.#writeReservation(nextSeq + this.#block);
      this.#files.syncDataNow(this.#file);
      this.#isDurable();
    }
  }

  /** To be called often: sees to it that there are always numbers ahead, and that the mark gets to the disk. */
  tick(nextSeq: number, nowMs: number, failed: (error: Error) => void): void {
    if (this.#busy || this.#closed) return;
    const limit = this.limit - nextSeq < this.#block / 2 ? nextSeq + this.#block : 0;
    if (limit === 0 && (!this.#marked || nowMs - this.#markSyncedMs < LIMITS.durableMarkMs)) return;
    if (limit > 0) this.#writeReservation(limit);
    this.#busy = true;
    this.#marked = false;
    this.#markSyncedMs = nowMs;
    this.#files.syncData(this.#file, (error) => {
      this.#busy = false;
      if (this.#closed) return this.#files.close(this.#file);
      if (error !== null) return failed(error);
      // Unless somebody could not wait for it.
      if (limit > 0 && this.#written === limit) this.#isDurable();
    });
  }

  #isDurable(): void {
    this.#slot = 1 - this.#slot;
    this.limit = this.#written;
    this.#written = 0;
  }

  /** The log is durable up to there. Not durable itself until tick() has seen to it. */
  mark(durable: LogPlace): void {
    this.#durable = durable;
    this.#writeMark();
  }

  /** An fsync of the log failed: the next start must not believe what it finds behind the mark. */
  fail(): void {
    this.#flags |= FLAG.failed;
    this.#writeMark();
  }

  /** The log ended in order and all of it is durable, up to there. */
  end(nextSeq: number, durable: LogPlace): void {
    this.#durable = durable;
    this.#flags = FLAG.clean | (this.#never ? FLAG.never : 0);
    this.#writeReservation(nextSeq);
    this.#files.syncDataNow(this.#file);
  }

  close(): void {
    this.#closed = true;
    if (!this.#busy) this.#files.close(this.#file);
  }

  #writeMark(): void {
    this.#marked = true;
    writeWhole(this.#files, this.#file, this.#encode(this.limit), MARK_SLOT * PAGE_BYTES);
  }

  #writeReservation(limit: number): void {
    writeWhole(this.#files, this.#file, this.#encode(limit), (1 - this.#slot) * PAGE_BYTES);
    this.#written = limit;
  }

  #encode(limit: number): Buffer {
    const bytes = this.#bytes;
    bytes.writeUInt32LE(MAGIC, 0);
    bytes.writeUInt16LE(VERSION, 4);
    bytes.writeUInt16LE(this.#flags, 6);
    writeU64(bytes, ++this.#generation, 8);
    writeU64(bytes, limit, 16);
    writeU64(bytes, this.#durable.segment, 24);
    writeU64(bytes, this.#durable.offsetBytes, 32);
    writeU64(bytes, this.#durable.seq, 40);
    writeU64(bytes, this.#startSeq, 48);
    this.#boot.copy(bytes, 56);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, SLOT_BYTES - 4)), SLOT_BYTES - 4);
    return bytes;
  }
}
