/**
 * One life of a log on a file system that does its worst: a writer appends, its process ends, the power goes, the disk is
 * full, an fsync fails, and it is started again, many times. Holds what was promised against what is there.
 *
 *   durable     what was before durableSeq is there, byte for byte, whatever happened
 *   numbers     a number that a consumer may have seen is never given to another record
 *   no loss     where only the process ended, everything is there that was appended
 */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { readFile } from '../src/log/files.js';
import { isDiskFull, type SegmentWriter, SyncError, type WriterOptions } from '../src/log/segment-writer.js';
import { listSegments } from '../src/log/segments.js';
import { fileContent, surveySegment } from '../src/log/survey.js';
import { Crash, type FaultCall, FaultFiles } from './fault-files.js';
import { openWriter } from './open-writer.js';

export interface HistoryOptions {
  readonly folder: string;
  readonly random: () => number;
  readonly fsync: WriterOptions['fsync'];
  readonly steps: number;
  /** Plants a fault, which the history has to find. */
  readonly plant?: (files: FaultFiles) => void;
  readonly beforeStart?: (files: FaultFiles) => void;
}

export class LogHistory {
  readonly files: FaultFiles;
  readonly #options: HistoryOptions;
  readonly #random: () => number;
  /** What a consumer may have seen; and what was tried to be appended, without knowing whether it was. */
  readonly #seen = new Map<number, string>();
  /** Of those seen: lost, as a loss of power may. Their numbers stay taken. */
  readonly #lost = new Set<number>();
  readonly #tried = new Map<number, Set<string>>();
  #durableSeq = 1;
  #writer: SegmentWriter | undefined;
  #boot = 0;
  #nowMs = 1_000;
  #unique = 0;
  #pending: { readonly lines: string[]; readonly bytes: Buffer } | undefined;
  #full = false;
  /** An fsync of the log has failed in this life of the process. */
  #syncFailed = false;
  #eio = false;
  readonly counts = {
    starts: 0,
    powerLosses: 0,
    syncFailures: 0,
    damaged: 0,
    saved: 0,
    skipped: 0,
    fullDisks: 0,
  };

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#random = options.random;
    this.files = new FaultFiles(options.random);
    options.plant?.(this.files);
    this.files.fault = (call, path) => this.#fault(call, path);
  }

  run(): void {
    this.#start();
    for (let step = 0; step < this.#options.steps; step++) this.#step();
    this.#full = false;
    this.#eio = false;
    this.files.crashIn = Number.POSITIVE_INFINITY;
    this.#guarded(() => {
      this.#retry();
      this.#writer!.close();
      this.#durableSeq = this.#writer!.durableSeq;
      while (this.files.finishOne());
      assert.deepEqual(this.files.openFiles, [], 'every file was closed');
      this.files.endProcess();
      this.#start();
    });
    this.#check();
  }

  #fault(call: FaultCall, path: string): string | undefined {
    // Its pages are there already; with "never" it is all that says that an fsync has failed.
    const inPlace = path.endsWith('log.state') && this.#options.fsync === 'never';
    if (this.#full && !inPlace && ['open', 'write'].includes(call) && this.#random() < 0.7) return 'ENOSPC';
    if (!this.#eio) return undefined;
    if (call.startsWith('sync') && this.#random() < 0.5) {
      this.#eio = false;
      return path.endsWith('.state') || this.#random() < 0.7 ? 'EIO' : 'ENOSPC';
    }
    return undefined;
  }

  #step(): void {
    const dice = this.#random();
    this.#nowMs += Math.floor(this.#random() * 120);
    if (dice < 0.02) this.files.crashIn = 1 + Math.floor(this.#random() * 12);
    else if (dice < 0.03) this.#eio = true;
    else if (dice < 0.05) this.#full = true;
    else if (dice < 0.1) this.#full = false;
    this.#guarded(() => {
      if (dice < 0.6) this.#append();
      else if (dice < 0.72) this.#writer!.sync(this.#nowMs);
      else if (dice < 0.88) this.files.finishOne();
      else if (dice < 0.97) this.#quietly(() => this.#writer!.flushIndex());
      else if (dice < 0.98) this.#closeAndStart();
      else this.#end();
    });
  }

  #append(): void {
    if (this.#pending === undefined) {
      const lines = Array.from({ length: 1 + Math.floor(this.#random() * 6) }, () => this.#line());
      this.#pending = { lines, bytes: Buffer.from(lines.join('')) };
    }
    this.#retry();
  }

  #retry(): void {
    if (this.#pending === undefined) return;
    const { lines, bytes } = this.#pending;
    const writer = this.#writer!;
    const first = writer.nextSeq;
    lines.forEach((line, i) => {
      const tried = this.#tried.get(first + i) ?? new Set();
      this.#tried.set(first + i, tried.add(line));
    });
    try {
      writer.append(bytes, lines.length, this.#nowMs);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.counts.fullDisks++;
      assert.equal(writer.nextSeq, first, 'an append that failed changed nothing');
      return;
    }
    assert.equal(writer.nextSeq, first + lines.length);
    lines.forEach((line, i) => {
      assert.ok(!this.#seen.has(first + i), `number ${first + i} is given twice`);
      this.#seen.set(first + i, line);
    });
    this.#pending = undefined;
    this.#checkTail();
  }

  #line(): string {
    const number = this.#unique++;
    return `{"unique":${number},"pad":"${'x'.repeat(Math.floor(this.#random() ** 3 * 200))}"}\n`;
  }

  /** What is read from the end is what was appended, from any number on. */
  #checkTail(): void {
    if (this.#random() > 0.1) return;
    const writer = this.#writer!;
    const from = Math.max(1, writer.nextSeq - 1 - Math.floor(this.#random() * 40));
    const crashIn = this.files.crashIn;
    this.files.crashIn = Number.POSITIVE_INFINITY;
    const tail = writer.readTail(from, 1 << 20);
    this.files.crashIn = crashIn;
    if (tail === undefined) return;
    let expected = '';
    for (let seq = from; seq < writer.nextSeq; seq++)
      expected += this.#seen.get(seq) ?? `(${seq} is missing)`;
    assert.equal(tail.toString(), expected);
    assert.equal(writer.readTail(from, tail.length - 1), undefined);
  }

  #quietly(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  #closeAndStart(): void {
    const writer = this.#writer!;
    this.#quietly(() => writer.close());
    // After an end in order a loss of power costs nothing.
    if (!this.#syncFailed && this.#random() < 0.5 && writer.durableSeq === writer.nextSeq) {
      this.#boot++;
      this.files.losePower();
    } else this.files.endProcess();
    this.#start();
  }

  /** Does something that may end the process, and goes on with the next one. */
  #guarded(work: () => void): void {
    try {
      work();
      if (!this.files.crashed && !this.#syncFailed) return;
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      if (error instanceof SyncError) this.#syncFailed = true;
      const { code } = error as NodeJS.ErrnoException;
      if (!this.files.crashed && !this.#syncFailed && code !== 'EIO' && !isDiskFull(error)) throw error;
    }
    this.#end();
  }

  /** The process ends here and now, or all of the machine does. */
  #end(): void {
    let power = this.#random() < 0.5;
    const failed = this.#syncFailed;
    if (power) {
      this.counts.powerLosses++;
      this.#boot++;
      this.files.losePower();
    } else this.files.endProcess();
    this.#eio = false;
    this.#syncFailed = false;
    if (failed) this.counts.syncFailures++;
    // A start that crashes itself, or finds the disk full, is made again.
    for (let attempt = 0; ; attempt++) {
      if (attempt < 3 && this.#random() < 0.2) this.files.crashIn = 1 + Math.floor(this.#random() * 30);
      this.#full = attempt < 3 && this.#random() < 0.1;
      try {
        this.#start(power || failed);
        return;
      } catch (error) {
        if (!(error instanceof Crash) && !this.files.crashed && !isDiskFull(error)) throw error;
        if (this.#random() < 0.3) {
          power = true;
          this.#boot++;
          this.files.losePower();
        } else this.files.endProcess();
      }
    }
  }

  #start(lossy = false): void {
    this.#options.beforeStart?.(this.files);
    const { folder, fsync } = this.#options;
    const boot = Buffer.alloc(16);
    boot.writeUInt32LE(this.#boot + 1);
    const writer = openWriter(folder, 1_500, undefined, {
      fsync,
      fsyncIntervalMs: 50,
      segmentMs: 0,
      files: this.files,
      reservationBlock: 64,
      bootId: boot,
      onDurable: () => {
        this.#durableSeq = Math.max(this.#durableSeq, this.#writer!.durableSeq);
        if (fsync === 'always') this.#writer!.sync(this.#nowMs);
      },
      onSyncFailed: () => {
        this.#syncFailed = true;
      },
    });
    this.files.crashIn = Number.POSITIVE_INFINITY;
    this.#full = false;
    this.#writer = writer;
    this.counts.starts++;
    this.counts.damaged += writer.recovered.damagedRecords;
    this.counts.saved += writer.recovered.savedFiles.length;
    this.counts.skipped += writer.recovered.skippedNumbers > 0 ? 1 : 0;
    this.#check(lossy);
    this.#durableSeq = writer.durableSeq;
  }

  /** Of what is in the log now. */
  #check(lossy = false): void {
    const writer = this.#writer!;
    const found = this.#read();
    for (const [seq, line] of found) {
      const seen = this.#seen.get(seq);
      if (seen !== undefined) assert.equal(line, seen, `record ${seq} is another one`);
      else assert.ok(this.#tried.get(seq)?.has(line), `record ${seq} was never appended: ${line}`);
      assert.ok(
        seq < writer.nextSeq,
        `record ${seq} is in the log and ${writer.nextSeq} is to be given next`,
      );
    }
    for (const [seq, line] of this.#seen) {
      assert.ok(seq < writer.nextSeq, `number ${seq} was seen and would be given again`);
      const promised = seq < this.#durableSeq && (this.#options.fsync !== 'never' || !lossy);
      if ((promised || !lossy) && !this.#lost.has(seq))
        assert.equal(found.get(seq), line, `record ${seq}, durable are those before ${this.#durableSeq}`);
      else if (!found.has(seq)) this.#lost.add(seq);
    }
    for (const [seq, line] of found) this.#seen.set(seq, line);
  }

  /** As a reader does: batches whose checksum is right. */
  #read(): Map<number, string> {
    const found = new Map<number, string>();
    const { files } = this;
    for (const { base, firstSeq } of listSegments(files, this.#options.folder)) {
      const data = files.open(`${base}.ndjson`, 'r');
      const content = fileContent(files, data);
      const index = readFile(files, `${base}.idx`);
      const { batches } = surveySegment({
        firstSeq,
        content,
        index,
        crc32,
        checkFromBytes: 0,
        salvage: false,
      });
      const bytes = files.content(`${base}.ndjson`);
      for (const { state, offsetBytes, lengthBytes, baseSeq, recordCount } of batches) {
        if (state !== 'good') continue;
        const lines = bytes.toString('utf8', offsetBytes, offsetBytes + lengthBytes).split(/(?<=\n)/);
        assert.equal(lines.length, recordCount);
        lines.forEach((line, i) => {
          assert.ok(!found.has(baseSeq + i), `record ${baseSeq + i} is there twice`);
          found.set(baseSeq + i, line);
        });
      }
      files.close(data);
    }
    return found;
  }
}
