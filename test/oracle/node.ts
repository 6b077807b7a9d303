/**
 * A node that takes Core at its word: it numbers its events, sends everything that is not acknowledged again after each
 * break, and remembers what was acknowledged. That is what Core owes.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../../bench/random.js';
import { frame } from '../node-frames.js';
import { eventFrame } from './events.js';

export interface Habits {
  /** Registers with another id each time, under its name. */
  readonly changesId: boolean;
  /** Leaves a number out now and then. */
  readonly skips: boolean;
  /** Says things that Core must refuse. */
  readonly babbles: boolean;
}

const BURST_EVENTS = 12;
const PAUSE_MS = 25;
const RECONNECT_MS = 30;
/** Events that may be under way: about as many as a small node has in its buffers. */
const AHEAD_EVENTS = 2_000;
const ID_BASE = 2n ** 63n;

export class OracleNode {
  readonly number: number;
  readonly name: string;
  /** Everything up to it is Core's obligation. */
  acked = 0;
  /** The highest number that was ever sent. */
  highest = 0;
  /** Ids that it used. */
  readonly ids = new Set<bigint>();
  /** What Core must not do. */
  readonly complaints: string[] = [];
  acks = 0;
  resent = 0;
  babbled = 0;
  /** The features that Core offered last. */
  acknowledged: boolean | undefined;
  readonly #seed: number;
  readonly #random: Random;
  readonly #port: number;
  readonly #habits: Habits;
  #state: 'running' | 'draining' | 'stopped' = 'running';
  #socket: Socket | undefined;
  #sessions = 0;
  readonly #ended: Promise<void>;

  constructor(number: number, seed: number, random: Random, port: number, habits: Habits) {
    this.number = number;
    this.name = `oracle ${number}`;
    this.#seed = seed;
    this.#random = random;
    this.#port = port;
    this.#habits = habits;
    this.#ended = this.#run();
  }

  /** No new events; resolves when all are acknowledged. */
  async drain(): Promise<void> {
    if (this.#state === 'running') this.#state = 'draining';
    await this.#ended;
  }

  stop(): void {
    this.#state = 'stopped';
    this.#socket?.destroy();
  }

  skipped(seq: number): boolean {
    return this.#habits.skips && seq % 97 === 0;
  }

  /** What has this number is no valid event: Core refuses it, keeps it, and must not want it again. */
  refused(seq: number): boolean {
    return this.#habits.babbles && seq % 53 === 0;
  }

  get isDone(): boolean {
    return this.acked >= this.highest;
  }

  async #run(): Promise<void> {
    while (this.#state === 'running' || (this.#state === 'draining' && !this.isDone)) {
      await this.#session();
      await pause(this.#random.below(RECONNECT_MS));
    }
  }

  get #id(): bigint {
    const change = this.#habits.changesId ? BigInt(this.#sessions * 1000) : 0n;
    return ID_BASE + BigInt(this.number) + change;
  }

  #session(): Promise<void> {
    this.#sessions++;
    const id = this.#id;
    this.ids.add(id);
    const socket = connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
    this.#socket = socket;
    let rest = '';
    let accepted = false;
    socket.on('error', () => {});
    const registration =
      `{"node_id":${id},"node_name":"${this.name}","address":"192.0.2.7","port":7000,"node_type":"Full",` +
      '"features":["something_else","event_ack"]}';
    socket.write(`${frame('NodeRegistration', registration)}\n`);
    socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (!accepted && line.includes('"RegistrationAck"')) {
          accepted = line.includes('"accepted":true');
          if (accepted) this.#begin(socket, id, line);
        } else if (line.includes('"EventAck"')) this.#onAck(id, line);
      }
    });
    return new Promise((resolve) => socket.on('close', () => resolve()));
  }

  #begin(socket: Socket, id: bigint, ack: string): void {
    this.acknowledged = /"features":\[[^\]]*"event_ack"/.test(ack);
    if (this.acknowledged) {
      const lastSeq = Number(/"last_seq":(\d+)/.exec(ack)?.[1] ?? Number.NaN);
      if (!(lastSeq >= this.acked))
        this.complaints.push(
          `${this.name}: acknowledged up to ${this.acked}, then Core knows only ${lastSeq}`,
        );
      this.#raise(lastSeq);
    } else {
      // Nothing can be known; what was sent is not sent again.
      this.acked = this.highest;
    }
    void this.#send(socket, id, this.acked + 1);
  }

  #frame(id: bigint, seq: number): string {
    if (this.refused(seq)) return frame('PotEvent', `{"node_id":${id},"seq":${seq},"pot_id":"p"}`);
    return eventFrame(this.#seed, { node: this.number, id, seq });
  }

  #onAck(id: bigint, line: string): void {
    const { EventAck } = JSON.parse(line).message;
    if (!line.includes(`"node_id":${id},`))
      this.complaints.push(`${this.name}: an EventAck for somebody else: ${line}`);
    this.acks++;
    this.#raise(EventAck.seq);
    if (this.#state === 'draining' && this.isDone) this.#socket?.end();
  }

  #raise(seq: number): void {
    if (seq > this.highest) this.complaints.push(`${this.name}: ${seq} acknowledged, ${this.highest} sent`);
    this.acked = Math.max(this.acked, Math.min(seq, this.highest));
  }

  async #send(socket: Socket, id: bigint, first: number): Promise<void> {
    for (let next = first; !socket.destroyed; ) {
      if (this.#state === 'stopped') return void socket.destroy();
      if (this.#state === 'draining' && next > this.highest) {
        if (this.isDone) socket.end();
        return;
      }
      let text = '';
      for (let count = 1 + this.#random.below(BURST_EVENTS); count > 0; count--) {
        if (this.#state === 'draining' && next > this.highest) break;
        if (next > this.highest && next - this.acked > AHEAD_EVENTS) break;
        if (this.skipped(next)) next++;
        if (next <= this.highest) this.resent++;
        text += `${this.#frame(id, next)}\n`;
        this.highest = Math.max(this.highest, next);
        next++;
        if (this.#habits.babbles && this.#random.below(40) === 0) {
          this.babbled++;
          text += `${frame('PotEvent', `{"node_id":${id},"pot_id":"p"}`)}\n`;
        }
      }
      // Cut somewhere, as networks do.
      const bytes = Buffer.from(text);
      const at = this.#random.below(bytes.length + 1);
      await write(socket, bytes.subarray(0, at));
      await write(socket, bytes.subarray(at));
      // What is sent again goes at full speed: Core must not be the one that cannot take it.
      if (next > this.highest) await pause(this.#random.below(PAUSE_MS));
    }
  }
}

function write(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (bytes.length === 0 || socket.destroyed) resolve();
    else socket.write(bytes, () => resolve());
  });
}
