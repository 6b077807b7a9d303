/**
 * A consumer that keeps the books: a checksum of each record it was given, and, where Core tells it, the sequence number it
 * had. It breaks off, stalls and comes back; what it claims to have is judged at the end, against the log (judge.ts).
 *
 *   live      no position: each connection is given a part of the stream without a hole
 *   resuming  ?from=N: goes on where the last StreamPosition was; what came behind that is thrown away, and must come again
 *   named     ?consumer=NAME: Core remembers; acknowledges now and then, so some of it comes twice, and nothing is left out
 */

import { setTimeout as pause } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { WebSocket } from 'ws';
import type { Random } from '../../bench/random.js';

export interface ConsumerPlan {
  readonly name: string;
  readonly kind: 'live' | 'resuming' | 'named';
  readonly batch: boolean;
  /** Stops reading for a while now and then. */
  readonly stalls: boolean;
  /** Of the query, `pot_type=cowrie` for instance; and which lines pass. */
  readonly filter?: { readonly query: string; readonly passes: (line: string) => boolean };
}

/** Records one behind the other, as checksums. */
export interface Stretch {
  /** Sequence number of the first; undefined: nobody said. */
  readonly firstSeq: number | undefined;
  /** Everything before it was given; undefined: nobody said. */
  nextSeq: number | undefined;
  readonly checksums: number[];
}

const RECONNECT_MS = 40;
const STALL_MS = 1500;
const POSITION = '{"version":2,"message":{"StreamPosition":{"next_seq":';
const GAP = '{"version":2,"message":{"StreamGap":';

export class OracleConsumer {
  readonly plan: ConsumerPlan;
  readonly stretches: Stretch[] = [];
  readonly complaints: string[] = [];
  /** Everything before it has been given. */
  position = 1;
  records = 0;
  connections = 0;
  positions = 0;
  readonly #random: Random;
  readonly #port: number;
  #state: 'running' | 'stopped' = 'running';
  #socket: WebSocket | undefined;
  /** Of a named consumer: what it acknowledged last. */
  #acknowledged: number | undefined;
  readonly #ended: Promise<void>;

  constructor(plan: ConsumerPlan, random: Random, port: number) {
    this.plan = plan;
    this.#random = random;
    this.#port = port;
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#socket?.terminate();
    await this.#ended;
  }

  /** Does not read for a while. */
  stall(): void {
    const socket = this.#socket;
    if (!this.plan.stalls || socket === undefined || socket.readyState !== WebSocket.OPEN || socket.isPaused)
      return;
    socket.pause();
    setTimeout(() => socket.resume(), this.#random.below(STALL_MS));
  }

  async #run(): Promise<void> {
    while (this.#state === 'running') {
      await this.#connection();
      await pause(this.#random.below(RECONNECT_MS));
    }
  }

  #connection(): Promise<void> {
    const { plan } = this;
    const query = [
      ...(plan.batch ? ['batch=1'] : []),
      ...(plan.kind === 'resuming' ? [`from=${this.position}`] : []),
      ...(plan.kind === 'named'
        ? [`consumer=${plan.name}`, ...(this.#acknowledged === undefined ? ['from=1'] : [])]
        : []),
      ...(plan.filter === undefined ? [] : [plan.filter.query]),
    ].join('&');
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}/?${query}`, { perMessageDeflate: false });
    this.#socket = socket;
    const stretch: Stretch = { firstSeq: undefined, nextSeq: undefined, checksums: [] };
    const connection = new Connection(stretch, (message) => this.complaints.push(`${plan.name}: ${message}`));
    socket.on('error', () => {});
    socket.on('open', () => this.connections++);
    socket.on('message', (data: Buffer) => {
      const before = stretch.checksums.length;
      const lines = data.toString('utf8').split('\n');
      if (plan.batch && lines.pop() !== '') connection.complain('a batch that does not end with a newline');
      for (const line of lines) connection.take(line);
      this.records += stretch.checksums.length - before;
      if (connection.nextSeq !== undefined && connection.nextSeq !== this.position)
        this.#onPosition(connection.nextSeq);
    });
    return new Promise((resolve) => {
      socket.on('close', () => {
        this.#keep(connection);
        resolve();
      });
    });
  }

  #onPosition(nextSeq: number): void {
    this.positions++;
    this.position = Math.max(this.position, nextSeq);
    if (this.plan.kind !== 'named' || this.#random.below(4) > 0) return;
    this.#acknowledged = Math.max(this.#acknowledged ?? 0, nextSeq);
    this.#socket!.send(`{"version":2,"message":{"StreamAck":{"next_seq":${nextSeq}}}}`);
  }

  /** What the connection was good for. Behind the last position nobody knows how far it got, and it comes again. */
  #keep({ stretch, kept, nextSeq }: Connection): void {
    const { kind, filter } = this.plan;
    if (kind === 'live') {
      if (stretch.checksums.length > 0) this.stretches.push(stretch);
      return;
    }
    if (nextSeq === undefined) return;
    stretch.checksums.length = kept;
    const firstSeq = filter === undefined ? nextSeq - kept : undefined;
    this.stretches.push({ ...stretch, firstSeq, nextSeq });
  }
}

/** Tells records from what Core says about the stream. */
class Connection {
  readonly stretch: Stretch;
  /** The last StreamPosition, and how many records stood in front of it. */
  nextSeq: number | undefined;
  kept = 0;
  readonly complain: (message: string) => void;

  constructor(stretch: Stretch, complain: (message: string) => void) {
    this.stretch = stretch;
    this.complain = complain;
  }

  take(line: string): void {
    if (line.startsWith(POSITION)) {
      const nextSeq = Number(/^\d+/.exec(line.slice(POSITION.length))?.[0]);
      if (!(nextSeq >= (this.nextSeq ?? 1))) this.complain(`position ${nextSeq} behind ${this.nextSeq}`);
      this.nextSeq = nextSeq;
      this.kept = this.stretch.checksums.length;
    } else if (line.startsWith(GAP)) this.complain(`a gap: ${line}`);
    else this.stretch.checksums.push(crc32(line));
  }
}
