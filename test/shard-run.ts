/**
 * A shard without threads and sockets: real sessions, framers, scanners and a real ring, on transports that the test
 * reads from and writes to. What the ring holds is taken out and taken apart.
 */
import assert from 'node:assert/strict';
import { LIMITS } from '../src/limits.js';
import { createShardCounters, SHARD, type ShardField } from '../src/memory/counters.js';
import {
  createLedgerTable,
  isBalanced,
  LEDGER,
  LEDGER_STRIDE,
  type LedgerField,
  refusedOf,
} from '../src/memory/ledger-table.js';
import { createRingMemory, RingConsumer, RingObserver, RUN } from '../src/memory/ring.js';
import { createSessionTable } from '../src/memory/session-table.js';
import { loadAddon, type Mode } from '../src/native/addon.js';
import { createScanner } from '../src/native/scanner.js';
import { FrameReader } from '../src/protocol/frame-reader.js';
import { EventAcks } from '../src/shard/event-acks.js';
import { ShardBuffer } from '../src/shard/framer.js';
import type { EndReason, ShardStart, ShardToMain } from '../src/shard/messages.js';
import { ShardOutput } from '../src/shard/output.js';
import { Session, type ShardContext } from '../src/shard/session.js';
import type { Transport } from '../src/shard/transport.js';
import { frame, NODE_ID, registration } from './frame-table.js';
import { linesOf } from './scanner-run.js';

export interface DeadLetter {
  readonly time: string;
  readonly code: string;
  readonly reason: string;
  readonly node_name: string | null;
  readonly remote: string;
  readonly size: number;
  readonly bytes: string;
}

/** How nodes separate their frames. */
export const HABITS = { lines: '\n', 'CRLF lines': '\r\n', 'back to back': '' } as const;

/** An event that does not say of which type its pot is. */
export const untyped = (potId: string) =>
  frame(
    'PotEvent',
    `{"node_id":${NODE_ID},"pot_id":"${potId}","event_type":"e","timestamp":"2026-11-20T00:00:00Z","data":{}}`,
  );

export function codes(letters: readonly DeadLetter[]): string[] {
  return letters.map(({ code }) => code);
}

export interface ShardOptions {
  readonly ringBytes?: number;
  readonly maxFrameBytes?: number;
  readonly errorReplies?: boolean;
  readonly maxErrorsPerMinute?: number;
}

/** Connections that one test shard may have in its life. */
const SESSIONS = 4096;

export class TestShard {
  readonly counters = createShardCounters();
  readonly table = createSessionTable(SESSIONS);
  readonly ledger = createLedgerTable(SESSIONS);
  readonly acks = new EventAcks((work) => work());
  readonly buffer = new ShardBuffer();
  readonly output: ShardOutput;
  readonly observer: RingObserver;
  readonly posts: ShardToMain[] = [];
  readonly context: ShardContext;
  /** Taken out of the ring so far. */
  readonly #records: string[] = [];
  readonly #letters: DeadLetter[] = [];
  readonly #consumer: RingConsumer;
  #sessions = 0;

  constructor(mode: Mode, options: ShardOptions = {}) {
    const { ringBytes = 8 << 20, maxFrameBytes = LIMITS.frameBytes } = options;
    const { errorReplies = true, maxErrorsPerMinute = 0 } = options;
    const ring = createRingMemory(ringBytes);
    const start = { ring, counters: this.counters, aggregatorPort: { postMessage() {} } };
    this.output = new ShardOutput(
      start as unknown as ShardStart,
      mode === 'native' ? loadAddon() : undefined,
    );
    this.#consumer = new RingConsumer(ring);
    this.observer = new RingObserver(ring);
    // Where a shard would block on a full ring, here the other end takes something out.
    this.output.ring.wait = () => {
      if (new Int32Array(ring.control)[49] === 1) return false;
      assert.ok(this.#take(3), 'the shard waits on an empty ring');
      return true;
    };
    this.context = {
      buffer: this.buffer,
      output: this.output,
      scanner: createScanner(
        mode,
        { source: this.buffer.bytes, target: this.output.ring.data },
        maxFrameBytes,
      ),
      reader: new FrameReader(),
      counters: this.counters,
      table: this.table,
      ledger: this.ledger,
      acks: this.acks,
      maxFrameBytes,
      errorReplies,
      maxErrorsPerMinute,
      post: (message) => this.posts.push(message),
      logRefused() {},
      ended() {},
    };
  }

  open(): TestNode {
    return new TestNode(this, this.#sessions++);
  }

  /** A connection that has registered; what that put into the ring is taken out. */
  registered(
    nodeId = NODE_ID,
    separator = '\n',
    potTypes: readonly (readonly [string, string])[] = [],
  ): TestNode {
    const node = this.open();
    node.send(`${registration(nodeId)}${separator}`);
    node.accept(potTypes);
    this.drain();
    node.transport.written.length = 0;
    return node;
  }

  counter(field: ShardField): number {
    return this.counters[SHARD[field]]!;
  }

  /** What came since the last drain, in order. */
  drain(): { records: string[]; letters: DeadLetter[] } {
    while (this.#take(100));
    return { records: this.#records.splice(0), letters: this.#letters.splice(0) };
  }

  /** Takes up to so many runs. */
  #take(runs: number): boolean {
    const consumer = this.#consumer;
    let taken = 0;
    for (; taken < runs && consumer.peek(); taken++) {
      const { kind, offset, runLength, count } = consumer;
      const lines = linesOf(Buffer.from(consumer.data.slice(offset, offset + runLength)));
      assert.equal(lines.length, count, 'lines in a run');
      for (const line of lines) {
        if (kind !== RUN.deadLetter) this.#records.push(line.toString('utf8'));
        else this.#letters.push(JSON.parse(line.toString('utf8')) as DeadLetter);
      }
      consumer.take();
    }
    consumer.release();
    consumer.invariants();
    return taken > 0;
  }
}

class TestTransport implements Transport {
  readonly written: string[] = [];
  backlogBytes = 0;
  paused = false;
  closed = false;

  write(text: string): void {
    assert.ok(!this.closed, 'written to a closed transport');
    this.written.push(text);
  }

  writeCommand(_command: string, text: string): void {
    this.write(text);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  close(): void {
    assert.ok(!this.closed, 'closed twice');
    this.closed = true;
  }
}

/** A node's end of a connection. */
export class TestNode {
  readonly session: Session;
  /** Of the node in the ledger: its own, unless it is one that was there before. */
  row: number;
  readonly transport = new TestTransport();
  readonly #shard: TestShard;
  /** Sent, but not read yet: the session does not read while it waits for a verdict. */
  #unread: Buffer[] = [];

  constructor(shard: TestShard, number: number) {
    this.#shard = shard;
    this.row = number + 1;
    this.session = new Session(number, `192.0.2.1:${40_000 + number}`, shard.context);
    this.session.transport = this.transport;
  }

  /** Sends bytes, read in pieces that end at `cuts`. */
  send(bytes: string | Buffer, cuts: readonly number[] = []): void {
    const all = Buffer.from(bytes);
    let at = 0;
    for (const cut of [...cuts, all.length]) {
      for (; at < cut; at = Math.min(cut, at + LIMITS.readBytes))
        this.#unread.push(all.subarray(at, Math.min(cut, at + LIMITS.readBytes)));
    }
    this.#read();
  }

  /** Main's verdict. */
  accept(potTypes: readonly (readonly [string, string])[] = []): void {
    this.session.accepted({ message: 'welcome', potTypes, row: this.row, serial: this.row });
    this.#read();
  }

  end(reason: EndReason = 'node closed the connection'): void {
    this.session.onEnd(reason);
  }

  /** In the ledger; all that was refused with `refused`. */
  count(field: LedgerField | 'refused'): number {
    const at = this.row * LEDGER_STRIDE;
    if (field === 'refused') return refusedOf(this.#shard.ledger.subarray(at, at + LEDGER_STRIDE));
    return this.#shard.ledger[at + LEDGER[field]]!;
  }

  /** In the ledger: the equation holds. */
  get isBalanced(): boolean {
    const at = this.row * LEDGER_STRIDE;
    return isBalanced(this.#shard.ledger.subarray(at, at + LEDGER_STRIDE));
  }

  /** The messages Core has written since the last call. */
  answers(): Record<string, Record<string, unknown>>[] {
    return this.transport.written.splice(0).map((text) => {
      assert.ok(text.endsWith('\n') && text.indexOf('\n') === text.length - 1, 'an answer is one line');
      return (JSON.parse(text) as { message: Record<string, Record<string, unknown>> }).message;
    });
  }

  /** How the session ended, as main was told. */
  closed(): Extract<ShardToMain, { type: 'closed' }> | undefined {
    const ends = this.#shard.posts.filter(
      (post) => post.type === 'closed' && post.session === this.session.number,
    );
    assert.ok(ends.length <= 1, 'ended twice');
    return ends[0] as Extract<ShardToMain, { type: 'closed' }> | undefined;
  }

  #read(): void {
    while (this.#unread.length > 0 && !this.transport.paused && !this.transport.closed) {
      const piece = this.#unread.shift()!;
      this.#shard.buffer.readArea.set(piece);
      this.session.onData(piece.length);
    }
  }
}
