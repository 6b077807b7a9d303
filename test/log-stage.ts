/** A log that is written in this thread, and the real reader thread beside it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import type { SegmentWriter, WriterOptions } from '../src/log/segment-writer.js';
import { AGGREGATOR, createAggregatorCounters } from '../src/memory/counters.js';
import { loadAddon, type Mode, resolveMode } from '../src/native/addon.js';
import type { FeedItem } from '../src/replay/log-reader.js';
import type { FeedRequest, FromReader, NodeName, ToReader } from '../src/replay/messages.js';
import { ReaderThread } from '../src/replay/reader-thread.js';
import { within } from './deadline.js';
import { openWriter } from './open-writer.js';

export const MODE: Mode = resolveMode(
  (process.env.HONEYBEE_INGEST_MODE as 'auto' | 'portable' | undefined) ?? 'auto',
).mode;

export const EVERYTHING: FeedRequest = {
  from: { kind: 'earliest' },
  filter: undefined,
  scope: undefined,
  follow: false,
  durableOnly: false,
  numbered: false,
  maxRecords: 0,
  backwards: false,
};

export class LogStage {
  readonly dir = mkdtempSync(join(tmpdir(), 'honeybee-replay-'));
  readonly folder = join(this.dir, 'log');
  readonly counters = createAggregatorCounters();
  readonly segmentBytes: number;
  readonly reader: ReaderThread;
  writer: SegmentWriter;
  /** What was written, line by line; the first has the number 1. */
  readonly lines: string[] = [];
  /** The aggregator's end, of the reader that runs now. */
  port: MessagePort | undefined;
  deaths = 0;
  names: readonly NodeName[] = [];
  #awake = false;

  constructor(segmentBytes: number, options: Partial<WriterOptions> = {}) {
    this.segmentBytes = segmentBytes;
    this.writer = this.open(options);
    this.reader = new ReaderThread(this.folder, MODE, this.counters, {
      useReader: (port) => {
        this.port = port;
        port.on('message', (message: FromReader) => {
          if (message.type === 'wake') this.#awake = true;
        });
        port.unref();
      },
      nodeNames: () => [this.names],
      onDeath: () => {
        this.deaths++;
      },
    });
    this.count();
  }

  open(options: Partial<WriterOptions> = {}): SegmentWriter {
    return openWriter(this.folder, this.segmentBytes, MODE === 'native' ? loadAddon() : undefined, options);
  }

  /** Appends lines as one batch. */
  append(lines: readonly string[], receivedMs = Date.now()): void {
    const text = lines.map((line) => `${line}\n`).join('');
    this.writer.append(Buffer.from(text), lines.length, receivedMs);
    this.lines.push(...lines);
    this.count();
  }

  /** What the aggregator tells in shared memory, and whom it was asked to wake. */
  count(): void {
    this.counters[AGGREGATOR.next_seq] = this.writer.nextSeq;
    this.counters[AGGREGATOR.durable_seq] = this.writer.nextSeq;
    if (!this.#awake) return;
    this.#awake = false;
    this.port?.postMessage({ type: 'written', end: this.writer.end } satisfies ToReader);
  }

  /** The log is written up to here, by whomever. */
  setNext(nextSeq: number): void {
    this.counters[AGGREGATOR.next_seq] = nextSeq;
    this.counters[AGGREGATOR.durable_seq] = nextSeq;
  }

  /** Everything that a feed without `follow` gives. */
  async all(request: Partial<FeedRequest> = {}): Promise<FeedItem[]> {
    const feed = this.reader.open({ ...EVERYTHING, ...request });
    const items: FeedItem[] = [];
    for (;;) {
      const item = await within('an item of a feed', feed.next());
      items.push(item);
      if (item.type === 'end' || item.type === 'fault') return items;
    }
  }

  async close(): Promise<void> {
    await this.reader.close();
    this.writer.close();
    this.port?.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The lines of all chunks, in order. */
export function linesOf(items: readonly FeedItem[]): string[] {
  return items.flatMap((item) => (item.type === 'chunk' ? splitLines(item.lines) : []));
}

export function splitLines(lines: Uint8Array): string[] {
  const text = Buffer.from(lines).toString('utf8');
  return text === '' ? [] : text.slice(0, -1).split('\n');
}
