/**
 * One measured run of the whole way: nodes write, Core logs and streams, consumers verify. The order of its steps:
 *
 *   blocks made · Core ready · consumers connected · nodes registered · START · warm-up · [ window ] · STOP ·
 *   every sent event verified at every consumer · nodes leave · Core stops · log verified · directory removed
 *
 * Owned by the bench's main thread, which sleeps while the clock runs. The rate is what the slowest consumer verified
 * between the two edges of the window; without a consumer, what Core says it accepted.
 */
import type { Address } from './address.js';
import { nowMs } from './clock.js';
import type { ConsumerCommand, ConsumerMessage, ConsumerSettings } from './consumer.js';
import { type Core, type Mode, startCore } from './core-process.js';
import { createGauges, type GaugeMemory, Gauges } from './gauges.js';
import { defaultBlockBytes, type EventBlocks, makeBlocks } from './generator.js';
import type { LatencySummary } from './histogram.js';
import type { LoadCommand, LoadMessage, LoadSettings, Pace } from './load.js';
import { checkLog, type LogCheck } from './log-check.js';
import { type CpuShare, cpuShare, type Memory, memoryOf, type ThreadTimes, threadTimesOf } from './proc.js';
import { coreCounts, durableLag } from './rest.js';
import type { ConsumerKind, Context, Settings } from './settings.js';
import { BenchThread } from './threads.js';
import type { VerifierSummary } from './verifier.js';

/** What happens beside the events. */
export interface Beside {
  /** Before any event is sent. */
  prepare(target: Address, rest: string | undefined): Promise<void>;
  /** In the window, which begins at `windowStartMs` of the bench's clock and lasts until this resolves. */
  run(windowStartMs: number): Promise<void>;
  /** Every event has been verified: connections may be given up. */
  leave(): void;
  /** In any case, at last. */
  end(): Promise<unknown>;
}

export interface StreamPlan {
  readonly connections: number;
  /** Connections besides, that Core must admit. */
  readonly moreConnections?: number;
  readonly totp?: 'off' | 'optional';
  readonly beside?: Beside;
  /** The window is cut into phases of this length, whose latencies are told apart: even ones and odd ones. */
  readonly phaseMs?: number;
  readonly consumer: ConsumerKind;
  readonly mode: Mode;
  readonly tls: boolean;
  readonly shards: number | undefined;
  readonly pace: Pace | undefined;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** Of `[storage]`, what is not to be as it comes. */
  readonly storage?: Readonly<Record<string, string | number>>;
  /** The window ends earlier, when so many bytes have been handed to the sockets. */
  readonly untilBytes?: number;
  /** Called while the window lasts, every {@link SAMPLE_MS}. */
  readonly onSample?: (sample: Sample) => void;
  /** Ends Core in its own way, in place of SIGTERM and the check of the log. */
  readonly end?: (core: Core, blocks: EventBlocks, sent: Float64Array) => Promise<void>;
}

/** How things stand in the middle of a run. */
export interface Sample {
  readonly atMs: number;
  /** Handed to the sockets. */
  readonly writtenBytes: number;
  /** Of the slowest consumer; 0 without one. */
  readonly verifiedEvents: number;
  readonly residentBytes: number | undefined;
  /** Records that Core has taken, and that are not forced to the disk yet; undefined where it does not say. */
  readonly durableLag: number | undefined;
}

export interface StreamOutcome {
  readonly mode: string | undefined;
  readonly shards: number | undefined;
  readonly writeBytes: number;
  readonly seconds: number;
  readonly eventsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly eventsSent: number;
  readonly received: readonly VerifierSummary[];
  readonly latency: LatencySummary | undefined;
  /** Of a window with phases: the even and the odd ones. */
  readonly phases: readonly [LatencySummary, LatencySummary] | undefined;
  /** How late the bursts of a paced load left. Contained in `latency`. */
  readonly sendLag: LatencySummary | undefined;
  readonly log: LogCheck | undefined;
  readonly coreCpu: CpuShare | undefined;
  /** Of each thread of the load. */
  readonly loadCpu: readonly number[] | undefined;
  readonly consumerCpu: readonly number[];
  /** At the first edge of the window and at the last one: what a million events leave behind. */
  readonly heapGrowthBytes: number | undefined;
  readonly residentStartBytes: number | undefined;
  readonly residentBytes: number | undefined;
  readonly residentPeakBytes: number | undefined;
  /** Problems that no verifier counts. */
  readonly problems: readonly string[];
}

const KiB = 1024;
const MiB = 1024 * KiB;
/** Half of what Core keeps for a slow consumer; more on its way only fills kernel buffers with cold memory. */
const WINDOW_BYTES = 32 * MiB;
/** One write of every connection together fits the window. */
const WRITE_BYTES_MAX = 256 * KiB;
const WRITE_BYTES_MIN = 16 * KiB;
/** More than a Core on one machine has been seen to write. */
const DISK_BYTES_PER_SECOND = 1.5e9;
const DISK_BYTES_MIN = 64 * MiB;
/** A run to a number of bytes overshoots, and an index comes on top. */
const DISK_SLACK = 1.1;
const CONNECT_TIMEOUT_MS = 20_000;
const REGISTER_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const RESULT_TIMEOUT_MS = 60_000;
/** Without a single event for so long, the rest will not come. */
const STALL_MS = 5_000;
const TICK_MS = 50;
const SAMPLE_MS = 250;
/** How much of the progress bar the clock takes; the rest is for the checks afterwards. */
const CLOCK_SHARE = 0.7;

interface Edge {
  readonly atMs: number;
  readonly events: number;
  readonly bytes: number;
  readonly core: ThreadTimes | undefined;
  readonly own: ThreadTimes | undefined;
  readonly memory: Memory | undefined;
  readonly heapBytes: number | undefined;
}

/** What the bench runs against: a Core of its own, or somebody else's. */
interface Target {
  readonly target: Address;
  readonly proxy: Address | undefined;
  readonly rest: string | undefined;
  readonly own: Core | undefined;
}

export function defaultWriteBytes(connections: number): number {
  return Math.max(WRITE_BYTES_MIN, Math.min(WRITE_BYTES_MAX, Math.floor(WINDOW_BYTES / connections)));
}

async function openTarget(settings: Settings, plan: StreamPlan): Promise<Target> {
  if (settings.external) return { ...settings.external, own: undefined };
  const own = await startCore({
    entry: settings.coreEntry,
    dir: settings.dir,
    mode: plan.mode,
    connections: plan.connections + (plan.moreConnections ?? 0),
    totp: plan.totp,
    shards: plan.shards,
    tls: plan.tls,
    storage: plan.storage,
    diskBytes: plan.untilBytes
      ? plan.untilBytes * DISK_SLACK
      : plan.pace
        ? DISK_BYTES_MIN
        : (DISK_BYTES_PER_SECOND * (plan.warmupMs + plan.durationMs)) / 1000,
  });
  return { target: own.target, proxy: own.proxy, rest: own.rest, own };
}

/** A client of TLS has as much work as Core's end of it; so one thread per shard, or the load would be what is
 *  measured. A paced load keeps one clock. */
function loadCount(plan: StreamPlan, settings: Settings, { own }: Target): number {
  if (plan.pace) return 1;
  return Math.min(plan.connections, settings.loadThreads ?? (plan.tls ? (own?.shards ?? 1) : 1));
}

export async function runStream(plan: StreamPlan, context: Context): Promise<StreamOutcome> {
  const { settings } = context;
  const blocks = makeBlocks({
    nodes: plan.connections,
    seed: settings.seed,
    mix: settings.mix,
    eventBytes: settings.eventBytes,
    blockBytes: defaultBlockBytes(plan.connections),
  });
  const target = await openTarget(settings, plan);
  const run = new StreamRun(plan, context, blocks, target);
  try {
    return await Promise.race([run.run(), target.own?.failed ?? new Promise<never>(() => {})]);
  } finally {
    await run.end();
    target.own?.remove();
  }
}

class StreamRun {
  readonly #plan: StreamPlan;
  readonly #context: Context;
  readonly #blocks: EventBlocks;
  readonly #target: Target;
  readonly #gaugeMemory: GaugeMemory;
  readonly #gauges: Gauges;
  readonly #writeBytes: number;
  readonly #problems: string[] = [];
  #consumers: BenchThread<ConsumerMessage, ConsumerCommand>[] = [];
  readonly #loadCount: number;
  #loads: BenchThread<LoadMessage, LoadCommand>[] = [];
  /** Thread ids, for the processor time each took. */
  #loadThreads: (number | undefined)[] = [];
  #consumerThreads: (number | undefined)[] = [];
  #ended = false;
  /** What Core had accepted before this run, for a Core that was not started for it. */
  #acceptedBefore = 0;

  constructor(plan: StreamPlan, context: Context, blocks: EventBlocks, target: Target) {
    this.#plan = plan;
    this.#context = context;
    this.#blocks = blocks;
    this.#target = target;
    this.#loadCount = loadCount(plan, context.settings, target);
    const consumers = plan.consumer === 'none' ? 0 : context.settings.consumers;
    this.#gaugeMemory = createGauges(consumers, this.#loadCount);
    this.#gauges = new Gauges(this.#gaugeMemory);
    this.#writeBytes = context.settings.writeBytes ?? defaultWriteBytes(plan.connections);
  }

  async run(): Promise<StreamOutcome> {
    const plan = this.#plan;
    const core = this.#target.own;
    if (plan.consumer === 'none') this.#acceptedBefore = await this.#accepted();
    else await this.#connectConsumers(plan.consumer);
    await this.#registerNodes();
    await plan.beside?.prepare(this.#target.target, this.#target.rest);

    for (const load of this.#loads) load.send('start');
    let startMs = nowMs();
    if (plan.pace) {
      const { atMs } = await this.#loads[0]!.receive('started', REGISTER_TIMEOUT_MS);
      startMs = atMs;
      for (const consumer of this.#consumers) consumer.send({ type: 'started', atMs });
    }
    await this.#sleep(plan.warmupMs, 0, 'warm-up');
    const first = await this.#edge();
    const sampling = new AbortController();
    void this.#sample(sampling.signal);
    await Promise.all([
      this.#sleep(plan.durationMs, plan.warmupMs, 'measuring'),
      plan.beside?.run(startMs + plan.warmupMs),
    ]);
    const last = await this.#edge();
    sampling.abort();

    for (const load of this.#loads) load.send('stop');
    const stopped = await Promise.all(this.#loads.map((load) => load.receive('stopped', STOP_TIMEOUT_MS)));
    const sent = Float64Array.from(stopped.flatMap((one) => [...one.sent]));
    const { lag } = stopped[0]!;
    const eventsSent = sent.reduce((sum, count) => sum + count, 0);
    await this.#awaitAll(sent, eventsSent);

    for (const load of this.#loads) load.send('disconnect');
    plan.beside?.leave();
    for (const consumer of this.#consumers) consumer.send({ type: 'leave', coreStops: core !== undefined });
    const results = Promise.all(
      this.#consumers.map((consumer) => consumer.receive('result', RESULT_TIMEOUT_MS)),
    );
    if (core && plan.end) await plan.end(core, this.#blocks, sent);
    else await core?.stop();
    const received = await results;
    const log = core && !plan.end ? await this.#checkLog(core, sent) : undefined;

    const elapsedMs = last.atMs - first.atMs;
    const share = (thread: number | undefined): number | undefined =>
      thread === undefined || !last.own || !first.own
        ? undefined
        : ((last.own.get(thread) ?? 0) - (first.own.get(thread) ?? 0)) / elapsedMs;
    return {
      mode: core?.mode,
      shards: core?.shards,
      writeBytes: this.#writeBytes,
      seconds: elapsedMs / 1000,
      eventsPerSecond: ((last.events - first.events) / elapsedMs) * 1000,
      bytesPerSecond: ((last.bytes - first.bytes) / elapsedMs) * 1000,
      eventsSent,
      received: received.map(({ summary }) => summary),
      latency: received[0]?.latency,
      phases: received[0]?.phases,
      sendLag: lag,
      log,
      coreCpu:
        core && first.core && last.core ? cpuShare(core.pid, first.core, last.core, elapsedMs) : undefined,
      loadCpu: last.own && this.#loadThreads.map((thread) => share(thread) ?? 0),
      consumerCpu: this.#consumerThreads.map((thread) => share(thread) ?? 0),
      heapGrowthBytes:
        first.heapBytes !== undefined && last.heapBytes !== undefined
          ? last.heapBytes - first.heapBytes
          : undefined,
      residentStartBytes: first.memory?.residentBytes,
      residentBytes: last.memory?.residentBytes,
      residentPeakBytes: last.memory?.peakBytes,
      problems: this.#problems,
    };
  }

  /** Ends the threads, whatever state the run is in. */
  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all([
      this.#plan.beside?.end(),
      ...[...this.#loads, ...this.#consumers].map((thread) => thread.end()),
    ]);
  }

  async #connectConsumers(kind: Exclude<ConsumerKind, 'none'>): Promise<void> {
    const { settings } = this.#context;
    const { proxy } = this.#target;
    if (!proxy) throw new Error('a consumer needs the WebSocket port: --proxy HOST:PORT, or --consumer none');
    for (let consumer = 0; consumer < settings.consumers; consumer++) {
      const data: ConsumerSettings = {
        blocks: this.#blocks,
        proxy,
        kind,
        gauges: this.#gaugeMemory,
        consumer,
        othersAllowed: this.#target.own === undefined,
        latency: this.#plan.pace && {
          pace: this.#plan.pace,
          warmupMs: this.#plan.warmupMs,
          phaseMs: this.#plan.phaseMs,
        },
      };
      this.#consumers.push(
        new BenchThread(`consumer ${consumer}`, new URL('./consumer.js', import.meta.url), data),
      );
    }
    const connected = await Promise.all(
      this.#consumers.map((one) => one.receive('connected', CONNECT_TIMEOUT_MS)),
    );
    this.#consumerThreads = connected.map(({ threadId }) => threadId);
  }

  /** Each thread of the load gets nodes that lie side by side. */
  async #registerNodes(): Promise<void> {
    const { nodes } = this.#blocks;
    for (let load = 0; load < this.#loadCount; load++) {
      const firstNode = Math.floor((load * nodes) / this.#loadCount);
      const endNode = Math.floor(((load + 1) * nodes) / this.#loadCount);
      const data = this.#loadSettings(load, firstNode, endNode - firstNode);
      this.#loads.push(new BenchThread(`load ${load}`, new URL('./load.js', import.meta.url), data));
    }
    const registered = await Promise.all(
      this.#loads.map((load) => load.receive('registered', REGISTER_TIMEOUT_MS)),
    );
    this.#loadThreads = registered.map(({ threadId }) => threadId);
  }

  #loadSettings(load: number, firstNode: number, nodes: number): LoadSettings {
    const { settings } = this.#context;
    const windowBytes = settings.windowBytes ?? WINDOW_BYTES;
    return {
      blocks: this.#blocks,
      load,
      firstNode,
      nodes,
      target: this.#target.target,
      tls: this.#plan.tls ? { ca: this.#target.own?.ca } : undefined,
      gauges: this.#gaugeMemory,
      writeBytes: this.#writeBytes,
      // A write is counted when it is handed over whole: the window must hold one, or nothing would ever move.
      windowBytes: Math.max(windowBytes, this.#writeBytes),
      pace: this.#plan.pace,
    };
  }

  async #sleep(durationMs: number, beforeMs: number, what: string): Promise<void> {
    const totalMs = this.#plan.warmupMs + this.#plan.durationMs;
    const startMs = performance.now();
    let lastEvents = this.#gauges.verifiedEvents;
    let lastMs = startMs;
    for (;;) {
      const restMs = startMs + durationMs - performance.now();
      const { untilBytes = Number.POSITIVE_INFINITY } = this.#plan;
      const { writtenBytes } = this.#gauges;
      if (restMs <= 0 || writtenBytes >= untilBytes) return;
      // Core died meanwhile and the run was given up: nobody waits for this any more.
      if (this.#ended) throw new Error('the run was ended');
      await new Promise((resolve) => setTimeout(resolve, Math.min(TICK_MS, restMs)));
      const atMs = performance.now();
      const events = this.#gauges.verifiedEvents;
      const rate = (events - lastEvents) / (atMs - lastMs) / 1000;
      lastEvents = events;
      lastMs = atMs;
      const text = this.#consumers.length === 0 ? what : `${what}, ${rate.toFixed(2)} M events/s`;
      const done = Math.max((beforeMs + atMs - startMs) / totalMs, writtenBytes / untilBytes);
      this.#context.onProgress(CLOCK_SHARE * done, text);
    }
  }

  /** Beside the window. Core's own words are asked for over REST, which costs it little. */
  async #sample(end: AbortSignal): Promise<void> {
    const { onSample } = this.#plan;
    const { own, rest } = this.#target;
    while (onSample !== undefined && !end.aborted && !this.#ended) {
      onSample({
        atMs: performance.now(),
        writtenBytes: this.#gauges.writtenBytes,
        verifiedEvents: this.#gauges.verifiedEvents,
        residentBytes: own && memoryOf(own.pid)?.residentBytes,
        durableLag: rest === undefined ? undefined : await durableLag(rest).catch(() => undefined),
      });
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  }

  async #edge(): Promise<Edge> {
    const heapBytes = this.#target.rest && (await coreCounts(this.#target.rest)).heapBytes;
    const core = this.#target.own && threadTimesOf(this.#target.own.pid);
    const own = threadTimesOf(process.pid);
    const memory = this.#target.own && memoryOf(this.#target.own.pid);
    const counted =
      this.#consumers.length === 0 ? (await this.#accepted()) - this.#acceptedBefore : undefined;
    const { bytes, eventStart } = this.#blocks;
    return {
      atMs: performance.now(),
      events: counted ?? this.#gauges.verifiedEvents,
      bytes:
        counted === undefined
          ? this.#gauges.verifiedBytes
          : (counted * bytes.length) / (eventStart.length - 1),
      core,
      own,
      memory,
      heapBytes: heapBytes === '' ? undefined : heapBytes,
    };
  }

  async #awaitAll(sent: Float64Array, eventsSent: number): Promise<void> {
    this.#context.onProgress(CLOCK_SHARE, 'waiting for the last events');
    for (const consumer of this.#consumers) consumer.send({ type: 'finish', sent, stallMs: STALL_MS });
    const timeoutMs = STOP_TIMEOUT_MS + STALL_MS;
    const received = await Promise.all(this.#consumers.map((one) => one.receive('received', timeoutMs)));
    received.forEach(({ complete }, consumer) => {
      if (!complete) this.#problems.push(`consumer ${consumer} did not receive all of ${eventsSent} events`);
    });
    if (this.#consumers.length === 0) await this.#awaitAccepted(eventsSent);
  }

  async #awaitAccepted(eventsSent: number): Promise<void> {
    let seen = -1;
    let quietSinceMs = performance.now();
    while (performance.now() - quietSinceMs < STALL_MS) {
      const accepted = (await this.#accepted()) - this.#acceptedBefore;
      if (accepted >= eventsSent) return;
      if (accepted !== seen) quietSinceMs = performance.now();
      seen = accepted;
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    this.#problems.push(`Core says it accepted ${seen} of ${eventsSent} events`);
  }

  async #accepted(): Promise<number> {
    if (!this.#target.rest) throw new Error('without a consumer, Core must be asked over REST: --rest URL');
    return (await coreCounts(this.#target.rest)).acceptedEvents;
  }

  async #checkLog(core: Core, sent: Float64Array): Promise<LogCheck> {
    return checkLog(core.logDir, this.#blocks, sent, (bytes) => {
      const { verifiedBytes } = this.#gauges;
      const fraction = verifiedBytes > 0 ? bytes / verifiedBytes : 0;
      this.#context.onProgress(
        CLOCK_SHARE + (1 - CLOCK_SHARE) * fraction,
        `verifying the log, ${(bytes / 1e9).toFixed(1)} GB`,
      );
    });
  }
}
