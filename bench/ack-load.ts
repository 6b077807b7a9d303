/**
 * Worker thread: nodes that number their events, on a schedule, and note when each is acknowledged. The time of an event
 * counts from when the last byte of its burst was handed to the system.
 */

import type net from 'node:net';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Address } from './address.js';
import { nowMs } from './clock.js';
import { Histogram, type LatencySummary } from './histogram.js';
import { connectAll, connectNumberingNode, disconnectNode, type NodeIdentity } from './node-connection.js';

export interface AckLoadSettings {
  readonly target: Address;
  readonly nodes: readonly NodeIdentity[];
  /** Of each node's event, what stands in front of the digits of its number, and behind. */
  readonly frames: readonly EventParts[];
  readonly eventsPerSecond: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** For the last acknowledgement, once all is sent. */
  readonly patienceMs: number;
}

export interface EventParts {
  readonly head: string;
  readonly tail: string;
}

export type AckLoadMessage =
  | { readonly type: 'registered' }
  | {
      readonly type: 'done';
      readonly sent: Float64Array;
      readonly acknowledged: Float64Array;
      readonly acks: number;
      readonly seconds: number;
      readonly latency: LatencySummary;
      readonly problems: readonly string[];
    }
  | { readonly type: 'failed'; readonly message: string };

const TICK_MS = 1;
/** What may wait in this process before the offered load is too much. */
const QUEUE_BYTES = 16 * 1024 * 1024;

interface Burst {
  readonly lastSeq: number;
  readonly events: number;
  readonly atMs: number;
}

class AckNode {
  readonly #socket: net.Socket;
  readonly #parts: EventParts;
  /** Not acknowledged yet, the oldest first. */
  #bursts: Burst[] = [];
  sent = 0;
  acknowledged = 0;
  acks = 0;
  problem: string | undefined;

  constructor(socket: net.Socket, parts: EventParts) {
    this.#socket = socket;
    this.#parts = parts;
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  send(events: number): void {
    const { head, tail } = this.#parts;
    let text = '';
    for (let seq = this.sent + 1; seq <= this.sent + events; seq++) text += head + seq + tail;
    this.sent += events;
    this.#socket.write(text, 'latin1');
    this.#bursts.push({ lastSeq: this.sent, events, atMs: nowMs() });
  }

  onAck(seq: number, count: (burst: Burst, atMs: number) => void): void {
    const atMs = nowMs();
    this.acks++;
    if (!(seq <= this.sent)) this.problem = `event ${seq} was acknowledged, and ${this.sent} were sent`;
    if (seq < this.acknowledged) this.problem = `event ${seq} was acknowledged after ${this.acknowledged}`;
    this.acknowledged = seq;
    let covered = 0;
    while (covered < this.#bursts.length && this.#bursts[covered]!.lastSeq <= seq)
      count(this.#bursts[covered++]!, atMs);
    this.#bursts.splice(0, covered);
  }

  end(): void {
    disconnectNode(this.#socket);
  }
}

async function run(settings: AckLoadSettings, port: MessagePort): Promise<void> {
  const histogram = new Histogram();
  const nodes: AckNode[] = [];
  let measuredFromMs = Number.POSITIVE_INFINITY;
  let measuredToMs = Number.POSITIVE_INFINITY;
  const count = (burst: Burst, atMs: number): void => {
    if (burst.atMs < measuredFromMs || burst.atMs >= measuredToMs) return;
    for (let event = 0; event < burst.events; event++) histogram.record((atMs - burst.atMs) * 1000);
  };
  let failed: Error | undefined;
  const sockets = await connectAll(settings.nodes.length, (node) =>
    connectNumberingNode(settings.target, settings.nodes[node]!, {
      failed: (error) => {
        failed = error;
      },
      acknowledged: (seq) => nodes[node]?.onAck(seq, count),
    }),
  );
  nodes.push(...sockets.map((socket, node) => new AckNode(socket, settings.frames[node]!)));
  port.postMessage({ type: 'registered' } satisfies AckLoadMessage);

  const startMs = nowMs();
  measuredFromMs = startMs + settings.warmupMs;
  measuredToMs = measuredFromMs + settings.durationMs;
  const perNode = settings.eventsPerSecond / nodes.length / 1000;
  for (let now = startMs; now < measuredToMs && failed === undefined; now = nowMs()) {
    for (const node of nodes) {
      const due = Math.floor((now - startMs) * perNode) - node.sent;
      if (due > 0) node.send(due);
      if (node.queuedBytes > QUEUE_BYTES) failed = new Error('Core does not take the offered load');
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  const seconds = (nowMs() - startMs) / 1000;
  const deadlineMs = nowMs() + settings.patienceMs;
  while (failed === undefined && nowMs() < deadlineMs && nodes.some((node) => node.acknowledged < node.sent))
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  if (failed !== undefined) throw failed;
  const problems = nodes.flatMap(({ problem, acknowledged, sent }, node) => [
    ...(problem === undefined ? [] : [`node ${node}: ${problem}`]),
    ...(acknowledged < sent ? [`node ${node}: ${sent} sent, ${acknowledged} acknowledged`] : []),
  ]);
  for (const node of nodes) node.end();
  port.postMessage({
    type: 'done',
    sent: Float64Array.from(nodes, ({ sent }) => sent),
    acknowledged: Float64Array.from(nodes, ({ acknowledged }) => acknowledged),
    acks: nodes.reduce((sum, { acks }) => sum + acks, 0),
    seconds,
    latency: histogram.summary(),
    problems,
  } satisfies AckLoadMessage);
}

if (parentPort) {
  const port = parentPort;
  run(workerData as AckLoadSettings, port).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ type: 'failed', message } satisfies AckLoadMessage);
  });
}
