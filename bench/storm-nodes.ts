/**
 * Worker thread: the nodes of a storm. First each registers, a few at a time, and takes the key that Core issues; then,
 * when told, all lose their connections and come back in the same moment. A node that is turned away tries again, as
 * nodes do. Their addresses are many, as those of nodes in the field.
 *
 * Cheap on purpose, because it shares the machine with Core: frames are made before the clock starts, an answer is
 * looked at, not parsed.
 */
import { connect, type Socket } from 'node:net';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Address } from './address.js';
import { makeNodeIds } from './generator.js';
import { Histogram, type LatencySummary } from './histogram.js';
import { connectAll } from './node-connection.js';
import { Random } from './random.js';
import { totpCode } from './totp.js';

export interface StormSettings {
  readonly nodes: number;
  readonly target: Address;
  readonly seed: number;
  /** Nodes send one-time codes; the first one, with which they ask for a key, may be any. */
  readonly totp: boolean;
}

export type StormCommand = 'storm' | 'disconnect';

export interface StormReport {
  /** From the first reconnect until the last node was accepted. */
  readonly seconds: number;
  /** From the start of the storm until the node was accepted. */
  readonly back: LatencySummary;
  /** Connections that were turned away or broke before the answer; the node tried again. */
  readonly retries: number;
  readonly problems: readonly string[];
}

export type StormMessage =
  | { readonly type: 'prepared'; readonly registeredWithin: number }
  | ({ readonly type: 'back' } & StormReport)
  | { readonly type: 'failed'; readonly message: string };

/** Loopback has sixteen million addresses; nodes share some, as they do behind a gateway. */
const SOURCES = 200;
const RETRY_MS = 500;
const GIVE_UP_MS = 60_000;
const FIRST_CODE = '000000';
const PROBLEMS_MAX = 10;

class Storm {
  readonly #settings: StormSettings;
  readonly #port: MessagePort;
  readonly #ids: readonly string[];
  readonly #sockets: Socket[] = [];
  readonly #keys: (string | undefined)[] = [];
  readonly #problems: string[] = [];
  #frames: Buffer[] = [];
  #retries = 0;
  #leaving = false;

  constructor(settings: StormSettings, port: MessagePort) {
    this.#settings = settings;
    this.#port = port;
    this.#ids = makeNodeIds(settings.nodes, new Random(settings.seed + 1));
  }

  async prepare(): Promise<void> {
    const { nodes, totp } = this.#settings;
    const startMs = performance.now();
    this.#frames = this.#ids.map((_, node) => this.#frame(node, totp ? FIRST_CODE : undefined));
    await connectAll(nodes, (node) => this.#register(node));
    if (totp) {
      const without = this.#keys.filter((key) => key === undefined).length;
      if (without > 0) throw new Error(`Core issued no key to ${without} of ${nodes} nodes`);
    }
    this.#port.on('message', (command: StormCommand) => {
      if (command === 'disconnect') this.#disconnect();
      else this.#storm().catch((error: Error) => this.#send({ type: 'failed', message: error.message }));
    });
    this.#send({ type: 'prepared', registeredWithin: (performance.now() - startMs) / 1000 });
  }

  async #storm(): Promise<void> {
    const { nodes } = this.#settings;
    const nowMs = Date.now();
    this.#frames = this.#ids.map((_, node) => this.#frame(node, this.#code(node, nowMs)));
    const back = new Histogram();
    this.#leaving = true;
    const gone = this.#sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(gone);
    this.#leaving = false;
    const startMs = performance.now();
    await Promise.all(
      Array.from({ length: nodes }, async (_, node) => {
        await this.#register(node);
        back.record((performance.now() - startMs) * 1000);
      }),
    );
    const seconds = (performance.now() - startMs) / 1000;
    const retries = this.#retries;
    this.#send({ type: 'back', seconds, back: back.summary(), retries, problems: this.#problems });
  }

  /** Resolves when Core has accepted the node; tries again when it does not get so far. */
  async #register(node: number): Promise<void> {
    const startMs = performance.now();
    for (;;) {
      const refusal = await this.#attempt(node);
      if (refusal === undefined) return;
      if (refusal !== '') throw new Error(`node ${this.#ids[node]} was refused: ${refusal}`);
      if (performance.now() - startMs > GIVE_UP_MS) throw new Error(`node ${this.#ids[node]} did not get in`);
      this.#retries++;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (0.5 + Math.random())));
    }
  }

  /** Undefined: accepted. Empty: the connection was closed without an answer. Otherwise what Core said. */
  #attempt(node: number): Promise<string | undefined> {
    const { target, totp } = this.#settings;
    return new Promise((resolve) => {
      let registered = false;
      const socket = connect({
        host: target.host,
        port: target.port,
        localAddress: target.host === '127.0.0.1' ? `127.0.1.${1 + (node % SOURCES)}` : undefined,
        noDelay: true,
      });
      socket.on('connect', () => socket.write(this.#frames[node]!));
      socket.on('error', () => {});
      socket.on('close', () => {
        if (!registered) resolve('');
        else if (!this.#leaving) this.#problem(`node ${this.#ids[node]} lost its connection`);
      });
      socket.on('data', (chunk: Buffer) => {
        if (registered) return;
        const answer = chunk.toString('latin1');
        if (!answer.includes('"RegistrationAck"')) return;
        if (!answer.includes('"accepted":true')) return resolve(answer.slice(0, 300));
        registered = true;
        if (totp) this.#keys[node] ??= /"totp_key":"([A-Z2-7]+)"/.exec(answer)?.[1];
        this.#sockets[node] = socket;
        resolve(undefined);
      });
    });
  }

  #disconnect(): void {
    this.#leaving = true;
    for (const socket of this.#sockets) socket.destroy();
    this.#port.close();
  }

  #code(node: number, atMs: number): string | undefined {
    const key = this.#keys[node];
    return key === undefined ? undefined : totpCode(key, atMs);
  }

  #frame(node: number, code: string | undefined): Buffer {
    const totp = code === undefined ? '' : `,"totp_code":"${code}"`;
    return Buffer.from(
      `{"version":2,"message":{"NodeRegistration":{"node_id":${this.#ids[node]},"node_name":"bench-storm-${node}",` +
        `"address":"127.0.0.1","port":9100,"node_type":"Full"${totp}}}}\n`,
    );
  }

  #problem(text: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(text);
  }

  #send(message: StormMessage): void {
    this.#port.postMessage(message);
  }
}

if (parentPort) {
  const port = parentPort;
  new Storm(workerData as StormSettings, port).prepare().catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ type: 'failed', message } satisfies StormMessage);
  });
}
