/**
 * The aggregator: the worker thread that drains the rings of all shards, gives every record its sequence number,
 * writes it to the log and then to the consumers. Nothing slow ever runs here.
 *
 *   rings --> batch (neighbouring runs, up to LIMITS.batchBytes) --> segment file --> consumers --> ring space freed
 *
 * A batch that cannot be written (disk full) stays in its ring: the ring fills, its shard waits, TCP holds the nodes
 * back. It is tried again until it fits. While it sleeps, a message from any shard wakes it; while there is work it
 * calls itself from setImmediate, so that sockets are served between slices.
 */

import { join } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { DeadLetterLog } from '../dead-letters/log.js';
import { numberedLetters } from '../dead-letters/numbered.js';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import { isDiskFull, SegmentWriter, SyncError } from '../log/segment-writer.js';
import { AGGREGATOR } from '../memory/counters.js';
import { RingConsumer, RUN } from '../memory/ring.js';
import { loadAddon } from '../native/addon.js';
import { Bookkeeping } from './bookkeeping.js';
import { Consumers } from './consumers.js';
import type { AggregatorStart, AggregatorToMain, MainToAggregator } from './messages.js';

const CLOCK_MS = 250;

class Aggregator {
  readonly #counters: Float64Array;
  readonly #segments: SegmentWriter;
  readonly #ledger: Bookkeeping;
  readonly #deadLetters: DeadLetterLog;
  readonly #consumers: Consumers;
  /** Per slot the rings to read, the oldest first: a dead shard's is emptied before its successor's. */
  readonly #slots: RingConsumer[][] = [];
  /** Per slot the port of its shard, which is told when events became durable. */
  readonly #shardPorts: MessagePort[] = [];
  #scheduled = false;
  #diskFullSinceMs = 0;
  #finishBy: number | undefined;
  #renewingTls: NodeJS.Timeout | undefined;
  #ended = false;
  readonly #clock: NodeJS.Timeout;
  #syncTimer: NodeJS.Timeout | undefined;

  constructor({ config, mode, counters, ledger }: AggregatorStart) {
    const addon = mode === 'native' ? loadAddon() : undefined;
    this.#counters = counters;
    try {
      this.#segments = new SegmentWriter({
        folder: join(config.storage.dir, 'log'),
        segmentBytes: config.storage.segment_bytes,
        segmentMs: config.storage.segment_seconds * 1000,
        fsync: config.storage.fsync,
        fsyncIntervalMs: config.storage.fsync_interval_ms,
        addon,
        onSyncStart: () => this.#ledger.syncStarts(),
        onDurable: () => this.#durable(),
        onSyncFailed: (error) => {
          throw logFailure(error);
        },
      });
      this.#deadLetters = new DeadLetterLog({
        folder: join(config.storage.dir, 'dead-letters'),
        maxBytes: config.storage.dead_letter_bytes,
        fsync: config.storage.fsync,
        fsyncIntervalMs: config.storage.fsync_interval_ms,
        onDropped: (first, next) => {
          this.#counters[AGGREGATOR.dead_letters_dropped]! += next - first;
          post({ type: 'dead-letters-dropped', first, next });
        },
        onSyncFailed: (error) => {
          throw new FatalError(
            EXIT.ioError,
            `the dead letters cannot be forced to the disk: ${error.message}`,
          );
        },
      });
      this.#deadLetters.onDurable = () => {
        if (this.#ended) return;
        this.#ledger.settle();
        this.#sync();
      };
      this.#ledger = new Bookkeeping({
        table: ledger,
        folder: join(config.storage.dir, 'ledger'),
        logFolder: join(config.storage.dir, 'log'),
        numberedLetters: (from) => numberedLetters(join(config.storage.dir, 'dead-letters'), from),
        addon,
        log: this.#segments,
        letters: this.#deadLetters,
        bytesLogged: () => counters[AGGREGATOR.bytes_logged]!,
        onProgress: () => post({ type: 'starting' }),
        onTrouble: ({ message }) => post({ type: 'ledger-trouble', message }),
        onDurable: () => {
          for (const port of this.#shardPorts) port?.postMessage('durable');
        },
        onRowFree: (row) => post({ type: 'row-free', row }),
      });
    } catch (error) {
      throw new FatalError(
        EXIT.cannotCreate,
        `cannot use ${config.storage.dir} (storage.dir): ${(error as Error).message}`,
        { cause: error },
      );
    }
    this.#consumers = new Consumers(
      this.#segments,
      { maxConsumers: config.stream.max_consumers, bufferBytes: config.stream.consumer_buffer_bytes },
      counters,
      addon,
      config.tls.proxy && config.tls.cert_file !== '' ? config.tls : undefined,
      { post, readerWanted: () => post({ type: 'reader-wanted' }) },
    );
    this.#count();
    let proxyPort = 0;
    try {
      if (config.proxy.enabled) proxyPort = this.#consumers.listen(config.proxy.host, config.proxy.port);
    } catch (error) {
      this.#consumers.close();
      throw error;
    }
    this.#clock = setInterval(() => {
      this.#consumers.measure();
      this.#counters[AGGREGATOR.heap_used_bytes] = getHeapStatistics().used_heap_size;
      // The index follows the data within a moment even when little comes in.
      if (this.#diskFullSinceMs === 0) this.#quietly(() => this.#segments.flushIndex());
      // And the segment gets old even when nothing comes in.
      if (!this.#ended) this.#sync();
      this.#count();
      if (this.#finishBy !== undefined) this.#finishIfOver();
    }, CLOCK_MS);
    const { recovered } = this.#segments;
    post({ type: 'ready', proxyPort, recovered, recounted: this.#ledger.recounted });
  }

  receive(message: MainToAggregator): void {
    switch (message.type) {
      case 'ring': {
        const rings = this.#slots[message.slot] ?? [];
        this.#slots[message.slot] = rings;
        rings.push(new RingConsumer(message.ring));
        this.#shardPorts[message.slot] = message.wake;
        this.#listen(message.wake);
        this.#drain();
        break;
      }
      case 'forget-row':
        this.#ledger.forget(message.row, this.#slots.flat());
        break;
      case 'tls':
        this.#renewTls(LIMITS.tlsRenewTries);
        break;
      case 'reader':
        if (!this.#ended) this.#consumers.useReader(message.port);
        break;
      case 'finish':
        this.#finishBy = message.deadlineMs;
        this.#drain();
        break;
      case 'die':
        throw new Error('fault injected');
      default:
        if (!this.#ended) this.#consumers.receive(message);
    }
  }

  /** Ends the thread at once; nothing more is written. */
  abort(): void {
    this.#ended = true;
    clearInterval(this.#clock);
    clearTimeout(this.#syncTimer);
    this.#consumers.close();
  }

  /** Main has found the files good; but they are read again here, and may be changing once more. */
  #renewTls(tries: number): void {
    clearTimeout(this.#renewingTls);
    if (this.#ended || this.#consumers.renewTls()) return;
    if (tries <= 1) post({ type: 'tls-failed' });
    else this.#renewingTls = setTimeout(() => this.#renewTls(tries - 1), LIMITS.tlsLookIntervalMs).unref();
  }

  #listen(wake: MessagePort): void {
    wake.on('message', () => this.#drain());
    wake.unref();
  }

  #drain(): void {
    this.#scheduled = false;
    if (this.#ended) return;
    let budgetBytes = LIMITS.aggregatorSliceBytes;
    for (let progress = true; progress && budgetBytes > 0; ) {
      progress = false;
      for (const rings of this.#slots) {
        if (rings === undefined || rings.length === 0) continue;
        const taken = this.#takeBatch(rings[0]!);
        if (taken < 0) return this.#waitForDisk();
        if (taken > 0) {
          progress = true;
          budgetBytes -= taken;
        } else if (rings.length > 1) {
          rings.shift();
          progress = true;
        }
      }
    }
    this.#sync();
    this.#count();
    this.#consumers.written();
    this.#ledger.look();
    if (budgetBytes <= 0 || !this.#slots.every((rings) => rings.every((ring) => ring.sleep())))
      return this.#schedule();
    if (this.#finishBy !== undefined) this.#finish(0);
  }

  /** Starts an fsync that is due, and sees to it that the next one is not forgotten. */
  #sync(): void {
    const nowMs = performance.now();
    this.#onDisk(() => this.#segments.sync(nowMs));
    this.#ledger.sync(nowMs);
    if (this.#syncTimer !== undefined) return;
    const dueInMs = Math.min(this.#segments.dueInMs(nowMs), this.#deadLetters.dueInMs(nowMs));
    if (dueInMs === Number.POSITIVE_INFINITY) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      if (!this.#ended) this.#sync();
    }, dueInMs);
  }

  #durable(): void {
    if (this.#ended) return;
    this.#count();
    this.#consumers.written();
    this.#ledger.logDurable();
    this.#sync();
  }

  #count(): void {
    const segments = this.#segments;
    const counters = this.#counters;
    // First that there is another segment: the keeper must never see one durable that it takes for finished.
    counters[AGGREGATOR.segments] = segments.segmentCount;
    counters[AGGREGATOR.next_seq] = segments.nextSeq;
    counters[AGGREGATOR.durable_seq] = segments.durableSeq;
    counters[AGGREGATOR.segments_finished] = segments.finishedCount;
    counters[AGGREGATOR.syncs] = segments.times.count;
    counters[AGGREGATOR.sync_ms] = segments.times.totalMs;
    counters[AGGREGATOR.sync_longest_ms] = segments.times.longestMs;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#drain());
  }

  /** Deals with the runs at the front of a ring: bytes dealt with, 0 where it is empty, -1 where the disk is full. */
  #takeBatch(ring: RingConsumer): number {
    if (!ring.peek()) return 0;
    const { kind, offset, timeMs } = ring;
    let lengthBytes = ring.runLength;
    let records = ring.count;
    this.#ledger.accounts.note(ring);
    ring.take();
    if (kind !== RUN.deadLetter) {
      while (
        ring.peek() &&
        ring.kind !== RUN.deadLetter &&
        ring.offset === offset + lengthBytes &&
        lengthBytes + ring.runLength <= LIMITS.batchBytes
      ) {
        lengthBytes += ring.runLength;
        records += ring.count;
        this.#ledger.accounts.note(ring);
        ring.take();
      }
    }
    const lines = ring.data.subarray(offset, offset + lengthBytes);
    try {
      if (kind !== RUN.deadLetter) {
        this.#segments.append(lines, records, timeMs);
      } else {
        this.#deadLetters.append(lines);
      }
    } catch (error) {
      if (!isDiskFull(error)) throw logFailure(error);
      ring.untake();
      this.#ledger.accounts.putBack();
      return -1;
    }
    if (this.#diskFullSinceMs > 0) this.#diskHasRoom();
    this.#ledger.accounts.appended();
    if (kind !== RUN.deadLetter) {
      this.#counters[AGGREGATOR.records]! += records;
      this.#counters[AGGREGATOR.bytes_logged]! += lengthBytes;
      this.#counters[AGGREGATOR.batches]!++;
      if (this.#consumers.wanted) this.#consumers.publish(lines, records);
    } else {
      this.#counters[AGGREGATOR.dead_letters]!++;
      this.#counters[AGGREGATOR.dead_letter_bytes]! += lengthBytes;
    }
    // Before the room is free: who knows that a run has been read finds its records below this number.
    this.#counters[AGGREGATOR.next_seq] = this.#segments.nextSeq;
    ring.release();
    return lengthBytes;
  }

  #waitForDisk(): void {
    if (this.#diskFullSinceMs === 0) {
      this.#diskFullSinceMs = performance.now();
      this.#counters[AGGREGATOR.disk_waits]!++;
      post({ type: 'disk', full: true });
    }
    if (this.#finishBy !== undefined && Date.now() >= this.#finishBy) return this.#finish(this.#runsLeft());
    if (this.#scheduled) return;
    this.#scheduled = true;
    setTimeout(() => this.#drain(), LIMITS.diskRetryMs);
  }

  #diskHasRoom(): void {
    this.#counters[AGGREGATOR.disk_wait_ms]! += performance.now() - this.#diskFullSinceMs;
    this.#diskFullSinceMs = 0;
    post({ type: 'disk', full: false });
  }

  #runsLeft(): number {
    return this.#slots.flat().reduce((sum, ring) => sum + ring.length, 0);
  }

  /** A full disk is met again by the next write, and reported. */
  #quietly(work: () => void): void {
    this.#onDisk(() => {
      try {
        work();
      } catch (error) {
        if (!isDiskFull(error)) throw error;
      }
    });
  }

  #onDisk(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw logFailure(error);
    }
  }

  #finish(runsLeft: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#quietly(() => this.#segments.close());
    this.#quietly(() => this.#deadLetters.close());
    // With something left in a ring the next start counts again what is in the log.
    if (runsLeft === 0) this.#ledger.close();
    post({ type: 'finished', runsLeft });
    this.#consumers.finish(() => this.#end());
  }

  #finishIfOver(): void {
    if (Date.now() < this.#finishBy!) return;
    if (!this.#ended) this.#finish(this.#runsLeft());
    this.#end();
  }

  #end(): void {
    clearInterval(this.#clock);
    clearTimeout(this.#syncTimer);
    this.#consumers.close();
    parentPort!.close();
  }
}

/** What the disk does not take is the end: nothing that comes in could be kept. */
function logFailure(error: unknown): FatalError {
  if (error instanceof FatalError) return error;
  const [what, why] =
    error instanceof SyncError
      ? ['cannot be forced to the disk; what was not yet acknowledged may be lost', error.message]
      : ['cannot be written', (error as Error).message];
  return new FatalError(EXIT.ioError, `the event log ${what}: ${why}`, { cause: error });
}

function post(message: AggregatorToMain, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer);
}

let aggregator: Aggregator | undefined;

// A thread with a listening uWebSockets.js app may only end after it was closed, or it takes the process with it.
process.on('uncaughtException', (error) => {
  post(
    error instanceof FatalError
      ? { type: 'failed', exitCode: error.exitCode, message: error.message }
      : {
          type: 'failed',
          exitCode: EXIT.software,
          message: `the aggregator failed: ${error.stack ?? String(error)}`,
        },
  );
  try {
    aggregator?.abort();
  } finally {
    parentPort!.close();
  }
});

try {
  aggregator = new Aggregator(workerData as AggregatorStart);
  const running = aggregator;
  parentPort!.on('message', (message: MainToAggregator) => running.receive(message));
} catch (error) {
  const exitCode = error instanceof FatalError ? error.exitCode : EXIT.software;
  post({
    type: 'failed',
    exitCode,
    message: error instanceof FatalError ? error.message : String((error as Error).stack),
  });
}
