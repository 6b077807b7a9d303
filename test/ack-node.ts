/**
 * A node that numbers its events, keeps each until Core has acknowledged it, and sends what is left again on its next
 * connection: what EventAck asks of a node, in memory. It checks what Core says as it comes.
 */
import assert from 'node:assert/strict';
import type { ConnectionOptions } from 'node:tls';
import { poll } from './deadline.js';
import { NodeClient } from './node-client.js';
import { frame, messageName, type NodeIdentity } from './node-frames.js';

/** An event with a number; its `data` tells which one it is over all ids of the node. */
export function ackEvent(id: bigint, seq: number, name: string, filler = ''): string {
  return frame(
    'PotEvent',
    `{"node_id":${id},"seq":${seq},"pot_id":"p","pot_type":"cowrie","event_type":"e",` +
      `"timestamp":"2026-11-20T12:00:00Z","data":{"node":"${name}","n":${seq},"filler":"${filler}"}}`,
  );
}

export function ackRegistration({ id, name }: NodeIdentity, features = '["event_ack"]'): string {
  return frame(
    'NodeRegistration',
    `{"node_id":${id},"node_name":"${name}","address":"192.0.2.7","port":1,"node_type":"Agent","features":${features}}`,
  );
}

export class AckNode {
  id: bigint;
  readonly name: string;
  lastSeq = 0;
  /** Core says that everything up to it is on the disk. */
  acked = 0;
  /** Acknowledgements that came. */
  acks = 0;
  client!: NodeClient;
  /** Answers of the present connection that were looked at. */
  #heard = 0;
  /** Of events that are not acknowledged, by their number: the frame, for the id that the node has by then. */
  readonly #kept = new Map<number, (id: bigint) => string>();

  constructor(id: bigint, name: string) {
    this.id = id;
    this.name = name;
  }

  get unacked(): number {
    return this.lastSeq - this.acked;
  }

  /** Connects, registers, under another id if one is given, and sends what is not acknowledged. What Core said was on
   *  the disk last. */
  async connect(port: number, tls?: ConnectionOptions, id: bigint = this.id): Promise<number> {
    const client = tls ? await NodeClient.connectTls(port, tls) : await NodeClient.connect(port);
    this.client = client;
    this.id = id;
    await client.send(`${ackRegistration({ id: this.id, name: this.name })}\n`);
    const ack = JSON.parse(await client.answer('RegistrationAck')).message.RegistrationAck;
    assert.equal(ack.accepted, true, JSON.stringify(ack));
    assert.deepEqual(ack.features, ['event_ack']);
    this.#said(ack.last_seq);
    client.socket.on('data', () => this.#listen(client));
    this.#heard = 0;
    this.#listen(client);
    await client.send([...this.#kept].map(([, make]) => `${make(this.id)}\n`).join(''));
    return ack.last_seq;
  }

  /** Sends events, each with the next number. */
  async send(count: number, filler = ''): Promise<void> {
    const texts: string[] = [];
    for (let i = 0; i < count; i++) {
      const seq = ++this.lastSeq;
      const make = (id: bigint) => ackEvent(id, seq, this.name, filler);
      this.#kept.set(seq, make);
      texts.push(`${make(this.id)}\n`);
    }
    await this.client.send(texts.join(''));
  }

  /** Sends something that Core refuses, under the next number. */
  async sendBad(): Promise<void> {
    const seq = ++this.lastSeq;
    const make = (id: bigint) => frame('PotEvent', `{"node_id":${id},"seq":${seq},"pot_id":7}`);
    this.#kept.set(seq, make);
    await this.client.send(`${make(this.id)}\n`);
  }

  allAcked(): Promise<unknown> {
    return poll(
      `${this.name}: everything up to ${this.lastSeq} is acknowledged`,
      () => (this.unacked === 0 ? true : undefined),
      undefined,
      () => `${this.acked} is; ${this.client.answers.all.slice(-3).join('\n')}`,
    );
  }

  /** A connection that was given up may still say something: it is not listened to. */
  #listen(client: NodeClient): void {
    if (client !== this.client) return;
    const { all } = client.answers;
    for (; this.#heard < all.length; this.#heard++) {
      const line = all[this.#heard]!;
      if (messageName(line) !== 'EventAck') continue;
      assert.equal(/"node_id":(\d+)/.exec(line)![1], String(this.id));
      this.acks++;
      this.#said(JSON.parse(line).message.EventAck.seq);
    }
  }

  #said(seq: number): void {
    assert.ok(
      seq >= this.acked,
      `${this.name}: ${seq} after ${this.acked}: an acknowledgement was taken back`,
    );
    assert.ok(seq <= this.lastSeq, `${this.name}: ${seq} of ${this.lastSeq} that were sent`);
    for (let at = this.acked + 1; at <= seq; at++) this.#kept.delete(at);
    this.acked = seq;
  }
}

/** The numbers of a node's events in the log, in their order. */
export function loggedSeqs(lines: readonly string[], name: string): number[] {
  const own = `"data":{"node":"${name}","n":`;
  return lines.flatMap((line) => {
    const at = line.indexOf(own);
    return at < 0 ? [] : [Number.parseInt(line.slice(at + own.length), 10)];
  });
}
