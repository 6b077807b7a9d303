/**
 * Scenario `list`: the whole list of nodes over REST, again and again, while events flow. What counts is how long an
 * answer takes, to its last byte, and what the latency of the events notices: the window is cut into phases, and lists
 * are asked for in every other one, so both figures come out of one run.
 *
 * Owned by the bench's main thread, which has nothing else to do meanwhile.
 */
import type { Socket } from 'node:net';
import { nowMs } from './clock.js';
import type { Mode } from './core-process.js';
import { makeNodeIds } from './generator.js';
import { Histogram } from './histogram.js';
import { streamResult } from './ingest.js';
import { paceOf } from './latency.js';
import { ListClient } from './list-client.js';
import { connectAll, connectNode, disconnectNode } from './node-connection.js';
import { openFilesLimit } from './proc.js';
import { Random } from './random.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';
import { type Beside, runStream } from './stream-run.js';

export interface ListPlan {
  readonly nodes: number;
  readonly eventsPerSecond: number;
  readonly mode: Mode;
  /** A list is asked for so often, but never before the one before has come. */
  readonly everyMs: number;
  readonly phaseMs: number;
}

/** Nodes that send events meanwhile. */
const SENDERS = 4;
/** Descriptors of each process besides the nodes' connections. */
const OTHER_FILES = 200;
const ROW_MARK = Buffer.from('"node_id":');

export function listTitle(plan: ListPlan): string {
  return `list, ${plan.nodes.toLocaleString('en')} nodes, ${plan.eventsPerSecond.toLocaleString('en')} events/s beside`;
}

export async function runList(plan: ListPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const limit = openFilesLimit();
  if (plan.nodes + OTHER_FILES > limit) {
    throw new Error(
      `${plan.nodes} nodes need more open files than the limit of ${limit}: raise it with ulimit -n`,
    );
  }
  const lister = new Lister(plan, settings.durationMs, settings.seed);
  const outcome = await runStream(
    {
      connections: SENDERS,
      tls: false,
      shards: undefined,
      moreConnections: plan.nodes,
      consumer: 'event',
      mode: plan.mode,
      pace: paceOf({ connections: SENDERS, eventsPerSecond: plan.eventsPerSecond, mode: plan.mode }),
      warmupMs: settings.warmupMs,
      durationMs: settings.durationMs,
      phaseMs: plan.phaseMs,
      beside: lister,
    },
    context,
  );
  const result = streamResult(outcome);
  const problems = [...result.problems, ...lister.problems];
  if (lister.answers.samples === 0) problems.push('not one list was answered');
  return {
    scenario: listTitle(plan),
    parameters: {
      nodes: plan.nodes,
      senders: SENDERS,
      every_ms: plan.everyMs,
      phase_ms: plan.phaseMs,
      mix: settings.mix,
      warmup_seconds: settings.warmupMs / 1000,
    },
    offered_per_second: plan.eventsPerSecond,
    ...result,
    ok: problems.length === 0,
    problems,
    list: {
      answers: lister.answers.summary(),
      bytes: lister.bytes,
      quiet: outcome.phases![0],
      asked: outcome.phases![1],
    },
  };
}

class Lister implements Beside {
  readonly answers = new Histogram();
  readonly problems: string[] = [];
  /** Of the last answer. */
  bytes = 0;
  readonly #plan: ListPlan;
  readonly #durationMs: number;
  readonly #seed: number;
  #client: ListClient | undefined;
  readonly #sockets: Socket[] = [];
  #ended = false;

  constructor(plan: ListPlan, durationMs: number, seed: number) {
    this.#plan = plan;
    this.#durationMs = durationMs;
    this.#seed = seed;
  }

  async prepare(target: { host: string; port: number }, rest: string | undefined): Promise<void> {
    if (rest === undefined) throw new Error('lists need the REST port: --rest URL');
    this.#client = new ListClient(new URL('/api/v1/nodes', rest));
    // Another stream than that of the senders' ids.
    const ids = makeNodeIds(this.#plan.nodes, new Random(this.#seed, 1));
    const failed = (error: Error): void => this.#problem(error.message);
    await connectAll(this.#plan.nodes, async (node) => {
      const identity = { nodeId: ids[node]!, nodeName: `bench-listed-${node}` };
      this.#sockets.push(await connectNode(target, identity, { failed }));
    });
    // The first ones compile: they are what nobody waits for twice.
    for (let n = 0; n < 3; n++) await this.#list();
  }

  async run(windowStartMs: number): Promise<void> {
    const { everyMs, phaseMs } = this.#plan;
    for (
      let dueMs = windowStartMs;
      dueMs < windowStartMs + this.#durationMs && !this.#ended;
      dueMs += everyMs
    ) {
      if (Math.floor((dueMs - windowStartMs) / phaseMs) % 2 === 0) continue;
      const waitMs = dueMs - nowMs();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      // Late by more than a list: it would be asked for in a phase without lists.
      else if (-waitMs > everyMs) continue;
      const startMs = nowMs();
      const answer = await this.#list();
      this.answers.record((nowMs() - startMs) * 1000);
      this.#check(answer);
    }
  }

  leave(): void {
    this.#ended = true;
    this.#sockets.forEach(disconnectNode);
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#client?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The answer's bytes as they came, head and chunks and all. */
  #list(): Promise<Buffer> {
    return this.#client!.ask();
  }

  #check(answer: Buffer): void {
    this.bytes = answer.length;
    let rows = 0;
    // Core sends whole rows in a chunk.
    for (let at = answer.indexOf(ROW_MARK); at !== -1; at = answer.indexOf(ROW_MARK, at + ROW_MARK.length))
      rows += 1;
    const expected = this.#plan.nodes + SENDERS;
    if (rows !== expected) this.#problem(`a list of ${rows} nodes instead of ${expected}`);
  }

  #problem(text: string): void {
    if (this.problems.length < 10 && !this.#ended) this.problems.push(text);
  }
}
