/**
 * Worker thread: one WebSocket consumer that verifies every event it receives, online. It keeps no events; what it
 * has verified stands in the gauges. Afterwards it says what it found.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Address } from './address.js';
import { nowMs } from './clock.js';
import { type GaugeMemory, Gauges } from './gauges.js';
import type { EventBlocks } from './generator.js';
import { Histogram, type LatencySummary } from './histogram.js';
import type { Pace } from './load.js';
import { ownThreadId } from './proc.js';
import { RecordStream, type StreamKind } from './record-stream.js';
import { Verifier, type VerifierSummary } from './verifier.js';
import { connectWebSocket, type WebSocket } from './websocket-client.js';

export interface ConsumerSettings {
  readonly blocks: EventBlocks;
  readonly proxy: Address;
  readonly kind: StreamKind;
  readonly gauges: GaugeMemory;
  /** Which of the gauges are this consumer's. */
  readonly consumer: number;
  readonly othersAllowed: boolean;
  /** Set: measures how long after it was due each event arrived. */
  readonly latency:
    | { readonly pace: Pace; readonly warmupMs: number; readonly phaseMs: number | undefined }
    | undefined;
}

export type ConsumerCommand =
  /** Of a paced load: when its first burst is due. */
  | { readonly type: 'started'; readonly atMs: number }
  /** Everything has been sent: wait for it, but not longer than `stallMs` without any progress. */
  | { readonly type: 'finish'; readonly sent: Float64Array; readonly stallMs: number }
  /** Say what was found once the stream has ended. A Core that stops ends it; one that goes on does not. */
  | { readonly type: 'leave'; readonly coreStops: boolean };

export type ConsumerMessage =
  | { readonly type: 'connected'; readonly threadId: number | undefined }
  | { readonly type: 'received'; readonly complete: boolean }
  | {
      readonly type: 'result';
      readonly summary: VerifierSummary;
      readonly latency: LatencySummary | undefined;
      /** Of the even and the odd phases, where there are phases. */
      readonly phases: readonly [LatencySummary, LatencySummary] | undefined;
    }
  | { readonly type: 'failed'; readonly message: string };

const STALL_LOOK_MS = 50;
const LEAVE_TIMEOUT_MS = 10_000;
/** RFC 6455, section 7.4.1: a normal end, and a server that goes away. */
const FRIENDLY_CLOSE_CODES = [1000, 1001];

type State = 'receiving' | 'leaving' | 'ended' | 'reported';

class Consumer {
  readonly #settings: ConsumerSettings;
  readonly #port: MessagePort;
  readonly #gauges: Gauges;
  readonly #verifier: Verifier;
  readonly #stream: RecordStream;
  readonly #histogram = new Histogram();
  readonly #phases = [new Histogram(), new Histogram()] as const;
  #socket: WebSocket | undefined;
  #state: State = 'receiving';
  #sent: Float64Array | undefined;
  #closeReason: string | undefined;
  #startMs = Number.POSITIVE_INFINITY;
  #arrivalMs = 0;

  constructor(settings: ConsumerSettings, port: MessagePort) {
    this.#settings = settings;
    this.#port = port;
    this.#gauges = new Gauges(settings.gauges);
    this.#verifier = new Verifier(settings.blocks, {
      framed: settings.kind === 'event',
      othersAllowed: settings.othersAllowed,
    });
    this.#stream = new RecordStream(settings.kind, this.#verifier, {
      ping: (payload) => this.#socket?.pong(payload),
      close: (code, reason) => this.#onClose(code, reason),
    });
    if (settings.latency) this.#measure(settings.latency);
  }

  async connect(): Promise<void> {
    this.#socket = await connectWebSocket(
      this.#settings.proxy,
      this.#settings.kind === 'batch' ? '/?batch=1' : '/',
      {
        bytes: (buffer, start, end) => this.#onBytes(buffer, start, end),
        ended: (error) => this.#onEnded(error),
      },
    );
    this.#port.on('message', (command: ConsumerCommand) => this.#obey(command));
    this.#send({ type: 'connected', threadId: ownThreadId() });
  }

  #obey(command: ConsumerCommand): void {
    switch (command.type) {
      case 'started':
        this.#startMs = command.atMs;
        return;
      case 'finish':
        this.#sent = command.sent;
        this.#awaitAll(command.sent, command.stallMs);
        return;
      case 'leave':
        if (this.#state === 'ended') this.#report();
        if (this.#state !== 'receiving') return;
        this.#state = 'leaving';
        if (!command.coreStops) this.#socket?.close(1000);
        setTimeout(() => this.#onLeaveTimeout(), LEAVE_TIMEOUT_MS).unref();
    }
  }

  #onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#settings.latency) this.#arrivalMs = nowMs();
    try {
      this.#stream.read(buffer, start, end);
    } catch (error) {
      this.#verifier.faults.add('protocol', error instanceof Error ? error.message : String(error));
      this.#socket?.destroy();
    }
    this.#gauges.setVerified(this.#settings.consumer, this.#verifier.bytes, this.#verifier.events);
  }

  /** Every event's latency counts from when it was due, not from when a late sender got round to it. */
  #measure({ pace, warmupMs, phaseMs }: NonNullable<ConsumerSettings['latency']>): void {
    this.#verifier.onMatch = (_node, first, count) => {
      for (let event = first; event < first + count; event++) {
        const sinceStartMs = Math.floor(event / pace.burstEvents) * pace.periodMs;
        if (sinceStartMs < warmupMs) continue;
        const latencyUs = (this.#arrivalMs - this.#startMs - sinceStartMs) * 1000;
        this.#histogram.record(latencyUs);
        if (phaseMs !== undefined)
          this.#phases[Math.floor((sinceStartMs - warmupMs) / phaseMs) % 2 === 0 ? 0 : 1].record(latencyUs);
      }
    };
  }

  #awaitAll(sent: Float64Array, stallMs: number): void {
    const wanted = sent.reduce((sum, count) => sum + count, 0);
    let seen = -1;
    let quietSinceMs = nowMs();
    const look = (): void => {
      const { events } = this.#verifier;
      if (events !== seen) {
        seen = events;
        quietSinceMs = nowMs();
      }
      const complete = events >= wanted;
      if (complete || this.#state === 'ended' || nowMs() - quietSinceMs > stallMs)
        this.#send({ type: 'received', complete });
      else setTimeout(look, STALL_LOOK_MS);
    };
    look();
  }

  #onClose(code: number, reason: string): void {
    this.#closeReason = `Core closed the stream with code ${code}${reason ? ` (${reason})` : ''}`;
    if (this.#state === 'receiving' || !FRIENDLY_CLOSE_CODES.includes(code)) {
      this.#verifier.faults.add('protocol', this.#closeReason);
    }
    this.#socket?.close(code === 1005 ? 1000 : code);
  }

  #onEnded(error: Error | undefined): void {
    if (this.#state === 'reported') return;
    if (this.#closeReason === undefined) {
      this.#verifier.faults.add(
        'protocol',
        `the stream ended without a close frame${error ? `: ${error.message}` : ''}`,
      );
    }
    if (this.#state === 'leaving') this.#report();
    else this.#state = 'ended';
  }

  #onLeaveTimeout(): void {
    if (this.#state !== 'leaving') return;
    this.#verifier.faults.add('protocol', 'the stream did not end after the close');
    this.#report();
  }

  #report(): void {
    this.#state = 'reported';
    if (this.#sent) this.#verifier.finish(this.#sent);
    const latency = this.#settings.latency ? this.#histogram.summary() : undefined;
    const phases =
      this.#settings.latency?.phaseMs === undefined
        ? undefined
        : ([this.#phases[0].summary(), this.#phases[1].summary()] as const);
    this.#send({ type: 'result', summary: this.#verifier.summary(), latency, phases });
    this.#socket?.destroy();
    this.#port.close();
  }

  #send(message: ConsumerMessage): void {
    this.#port.postMessage(message);
  }
}

if (parentPort) {
  const port = parentPort;
  new Consumer(workerData as ConsumerSettings, port).connect().catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    port.postMessage({ type: 'failed', message } satisfies ConsumerMessage);
  });
}
