/**
 * A REST server over a real log: LogStage writes it in this thread, and has the real reader thread beside it. Records
 * are of several nodes, kinds and types, made of a seed; what is asked for is also worked out from the records alone.
 */
import assert from 'node:assert/strict';
import { Random } from '../bench/random.js';
import type { Feed, LogReader } from '../src/replay/log-reader.js';
import type { FeedRequest } from '../src/replay/messages.js';
import { afterwards, type Cleanup } from './core-process.js';
import { LogStage } from './log-stage.js';
import { type RestCore, startRest } from './rest-core.js';

export interface StoredRecord {
  readonly seq: number;
  readonly receivedMs: number;
  readonly line: string;
  readonly isEvent: boolean;
  readonly node: string;
  readonly nodeId: string;
  readonly pot: string;
  readonly potType: string;
  readonly eventType: string;
  /** Every text and number in `data`. */
  readonly texts: readonly string[];
}

export const NODES = [
  { id: '18446744073709551615', name: 'eu-west-1' },
  { id: '9007199254740993', name: 'eu-west-2' },
  { id: '7', name: 'us-1' },
];
const POTS = [
  { id: 'cowrie-1', type: 'cowrie' },
  { id: 'cowrie-2', type: 'cowrie' },
  { id: 'dionaea-1', type: 'dionaea' },
];
const TYPES = ['cowrie.login.failed', 'cowrie.login.success', 'cowrie.command', 'http', 'é.*'];
export const STARTED_MS = Date.UTC(2026, 10, 20, 12, 0, 0);

/** Counts the feeds that are open. */
export class CountingReader implements LogReader {
  open_ = 0;
  most = 0;
  chunkBytes = 0;
  readonly #reader: LogReader;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  open(request: FeedRequest): Feed {
    const feed = this.#reader.open(request);
    let isOpen = true;
    this.open_ += 1;
    this.most = Math.max(this.most, this.open_);
    const counts = this;
    const over = () => {
      if (isOpen) this.open_ -= 1;
      isOpen = false;
    };
    return {
      async next() {
        const item = await feed.next();
        if (item.type === 'chunk') counts.chunkBytes += item.lines.length;
        if (item.type === 'end' || item.type === 'fault') over();
        return item;
      },
      close() {
        over();
        feed.close();
      },
    };
  }
}

export class EventStage {
  readonly log: LogStage;
  readonly reader: CountingReader;
  readonly random: Random;
  readonly records: StoredRecord[] = [];
  core!: RestCore;
  #timeMs = STARTED_MS;

  static async start(cleanup: Cleanup, seed: number, segmentBytes = 8_000): Promise<EventStage> {
    const stage = new EventStage(seed, segmentBytes);
    afterwards(cleanup, () => stage.log.close());
    stage.core = await startRest({ log: { reader: stage.reader } });
    stage.log.names = NODES.map(({ id, name }) => ({ id, name, sinceSeq: 1 }));
    stage.count();
    return stage;
  }

  private constructor(seed: number, segmentBytes: number) {
    this.random = new Random(seed);
    this.log = new LogStage(segmentBytes);
    this.reader = new CountingReader(this.log.reader);
  }

  get nextSeq(): number {
    return this.records.length + 1;
  }

  /** Appends so many records, in batches of their own times. */
  append(count: number): void {
    for (let left = count; left > 0; ) {
      const batch = Math.min(left, this.random.between(1, 9));
      left -= batch;
      this.#timeMs += this.random.between(1, 2_000);
      const made = Array.from({ length: batch }, (_, at) => this.#record(this.nextSeq + at));
      this.records.push(...made);
      this.log.append(
        made.map(({ line }) => line),
        this.#timeMs,
      );
      // What stands in one entry of the index was received at one time.
      this.log.writer.flushIndex();
    }
    this.count();
  }

  /** REST sees in shared memory how far the log is. */
  count(): void {
    this.core.aggregator.set(this.log.counters);
  }

  #record(seq: number): StoredRecord {
    const { random } = this;
    const node = random.pick(NODES);
    const common = { seq, receivedMs: this.#timeMs, node: node.name, nodeId: node.id };
    if (random.below(5) === 0) {
      const line = `{"version":2,"message":{"NodeStatusUpdate":{"node_id":${node.id},"status":"Running","n":${seq}}}}`;
      return { ...common, line, isEvent: false, pot: '', potType: '', eventType: '', texts: [] };
    }
    const pot = random.pick(POTS);
    const eventType = random.pick(TYPES);
    const source = `203.0.113.${random.below(20)}`;
    const user = random.pick(['root', 'admin', 'a"b\\c', 'zoë', 'x\u2028y']);
    // What comes between tokens is the node's: blanks of every kind, and a carriage return.
    const blank = random.pick(['', '', '', ' ', '\t', '\r']);
    const line = `{"version":2,"message":{"PotEvent":{"node_id":${node.id},${blank}"pot_id":"${pot.id}","pot_type":"${pot.type}","event_type":${JSON.stringify(eventType)},"timestamp":"2026-11-20T12:00:00Z","data":{"n":${seq},"src":"${source}","user":${JSON.stringify(user)}}}}}`;
    const texts = ['n', 'src', 'user', String(seq), source, user];
    return { ...common, line, isEvent: true, pot: pot.id, potType: pot.type, eventType, texts };
  }
}

/** Texts are long: says where they differ. */
export function assertSameText(actual: string, expected: string, told: string): void {
  if (actual === expected) return;
  let at = 0;
  while (actual[at] === expected[at]) at++;
  const from = Math.max(0, at - 200);
  assert.fail(`${told}: ${actual.slice(from, at + 80)}\n  instead of\n${expected.slice(from, at + 80)}`);
}
