/**
 * Worker thread: the nodes, or a part of them. Registers them all, then writes their blocks as fast as the sockets take them, or on a
 * schedule (see {@link Pace}), until it is told to stop; then completes the events that were cut and says exactly how
 * many each node sent.
 *
 * Everything it sends was made before. It must never write without bound: one write per connection, a window over all.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Address } from './address.js';
import { BlockWriter } from './block-writer.js';
import { nowMs } from './clock.js';
import { type GaugeMemory, Gauges } from './gauges.js';
import type { EventBlocks } from './generator.js';
import { Histogram, type LatencySummary } from './histogram.js';
import { type ClientTls, connectAll, connectNode, disconnectNode } from './node-connection.js';
import { ownThreadId } from './proc.js';

/** Events leave in bursts of `burstEvents` per node, one burst every `periodMs`, whatever Core does meanwhile. */
export interface Pace {
  readonly burstEvents: number;
  readonly periodMs: number;
}

export interface LoadSettings {
  readonly blocks: EventBlocks;
  /** Which of the load's threads this is, and which nodes are its own. */
  readonly load: number;
  readonly firstNode: number;
  readonly nodes: number;
  readonly target: Address;
  readonly tls: ClientTls | undefined;
  readonly gauges: GaugeMemory;
  readonly writeBytes: number;
  /** Bytes that may be written, but not verified. */
  readonly windowBytes: number;
  readonly pace: Pace | undefined;
}

export type LoadCommand = 'start' | 'stop' | 'disconnect';

export type LoadMessage =
  | { readonly type: 'registered'; readonly threadId: number | undefined }
  /** Of a paced load: the clock's time at which the first burst is due. */
  | { readonly type: 'started'; readonly atMs: number }
  /** `lag`, of a paced load: how late its bursts left, for want of a processor and not because of Core. */
  | { readonly type: 'stopped'; readonly sent: Float64Array; readonly lag: LatencySummary | undefined }
  | { readonly type: 'failed'; readonly message: string };

/** Written in one turn of the event loop; more would keep the sockets' answers waiting. */
const TURN_BYTES = 2 * 1024 * 1024;
const WINDOW_WAIT_MS = 1;
/** The system wakes a sleeper up to this late: the rest of the time is spent looking at the clock. */
const WAKE_UP_MS = 0.08;
const LEAD_IN_MS = 20;
/** What a paced load may pile up before it says that the offered load is too much. */
const PACED_QUEUE_BYTES = 64 * 1024 * 1024;

type State = 'registering' | 'running' | 'stopping' | 'stopped' | 'failed';

class Load {
  readonly #settings: LoadSettings;
  readonly #port: MessagePort;
  readonly #gauges: Gauges;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  readonly #lag = new Histogram();
  #writers: BlockWriter[] = [];
  #disconnect: () => void = () => {};
  #state: State = 'registering';
  #pumpScheduled = false;
  #next = 0;
  #writtenBytes = 0;
  #startMs = 0;
  #bursts = 0;

  constructor(settings: LoadSettings, port: MessagePort) {
    this.#settings = settings;
    this.#port = port;
    this.#gauges = new Gauges(settings.gauges);
  }

  async register(): Promise<void> {
    const { blocks, target, tls, firstNode, nodes } = this.#settings;
    const onFailed = { failed: (error: Error) => this.#fail(error) };
    const sockets = await connectAll(nodes, (at) => {
      const node = firstNode + at;
      const identity = { nodeId: blocks.nodeIds[node]!, nodeName: blocks.nodeNames[node]! };
      return connectNode(target, identity, onFailed, tls);
    });
    this.#writers = sockets.map(
      (socket, at) => new BlockWriter(socket, blocks, firstNode + at, () => this.#onWritten()),
    );
    this.#disconnect = () => sockets.forEach(disconnectNode);
    this.#port.on('message', (command: LoadCommand) => this.#obey(command));
    this.#send({ type: 'registered', threadId: ownThreadId() });
  }

  #obey(command: LoadCommand): void {
    switch (command) {
      case 'start':
        this.#state = 'running';
        this.#startMs = nowMs() + LEAD_IN_MS;
        if (this.#settings.pace) this.#send({ type: 'started', atMs: this.#startMs });
        this.#schedule();
        return;
      case 'stop':
        if (this.#state !== 'running') return;
        this.#state = 'stopping';
        this.#finish();
        return;
      case 'disconnect':
        this.#disconnect();
        this.#port.close();
    }
  }

  #schedule(): void {
    if (this.#pumpScheduled || this.#state !== 'running') return;
    this.#pumpScheduled = true;
    setImmediate(() => {
      this.#pumpScheduled = false;
      if (this.#state !== 'running') return;
      if (this.#settings.pace) this.#burst(this.#settings.pace);
      else this.#pump();
    });
  }

  /** As fast as it goes: a write for each free connection in turn, until the window is full. */
  #pump(): void {
    const { writeBytes, windowBytes } = this.#settings;
    let turnBytes = 0;
    for (let looked = 0; looked < this.#writers.length && turnBytes < TURN_BYTES; looked++) {
      if (this.#gauges.inFlightBytes >= windowBytes) {
        this.#gauges.waitForConsumer(WINDOW_WAIT_MS, windowBytes);
        this.#schedule();
        return;
      }
      const writer = this.#writers[this.#next]!;
      this.#next = (this.#next + 1) % this.#writers.length;
      if (writer.busy) continue;
      writer.write(writeBytes);
      turnBytes += writeBytes;
      this.#count(writeBytes);
    }
    // All connections busy: the next one that gets free schedules the next turn.
    if (turnBytes > 0) this.#schedule();
  }

  /** On schedule: every burst that is due, late ones too, so that a pause of Core is charged to Core. */
  #burst(pace: Pace): void {
    const dueMs = this.#startMs + this.#bursts * pace.periodMs;
    const pauseMs = dueMs - nowMs() - WAKE_UP_MS;
    if (pauseMs > 0) Atomics.wait(this.#sleeper, 0, 0, pauseMs);
    while (nowMs() < dueMs);
    this.#lag.record((nowMs() - dueMs) * 1000);
    let queuedBytes = 0;
    for (const writer of this.#writers) {
      this.#count(writer.writeEvents(pace.burstEvents));
      queuedBytes += writer.queuedBytes;
    }
    this.#bursts += 1;
    if (queuedBytes > PACED_QUEUE_BYTES) this.#fail(new Error('Core does not take the offered load'));
    this.#schedule();
  }

  #count(bytes: number): void {
    this.#writtenBytes += bytes;
    this.#gauges.setWritten(this.#writtenBytes, this.#settings.load);
  }

  #onWritten(): void {
    if (this.#state === 'stopping') this.#finish();
    else if (!this.#settings.pace) this.#schedule();
  }

  /** Called until no write is outstanding and no event is cut. */
  #finish(): void {
    for (const writer of this.#writers) {
      if (!writer.busy && writer.queuedBytes === 0) this.#count(writer.finishEvent());
    }
    if (this.#writers.some((writer) => writer.busy || writer.queuedBytes > 0)) return;
    this.#state = 'stopped';
    const sent = Float64Array.from(this.#writers, (writer) => writer.events);
    this.#send({ type: 'stopped', sent, lag: this.#settings.pace ? this.#lag.summary() : undefined });
  }

  #fail(error: Error): void {
    if (this.#state === 'failed') return;
    this.#state = 'failed';
    this.#send({ type: 'failed', message: error.message });
  }

  #send(message: LoadMessage): void {
    this.#port.postMessage(message);
  }
}

if (parentPort) {
  const port = parentPort;
  const load = new Load(workerData as LoadSettings, port);
  load.register().catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ type: 'failed', message } satisfies LoadMessage);
  });
}
