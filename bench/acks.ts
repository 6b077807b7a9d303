/**
 * Scenario `acks`: nodes number their events, and Core tells them what it has forced to the disk. How long does an event wait for
 * that, at an offered load; and is every acknowledged event in the log, once, in order, byte for byte?
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { AckLoadMessage, AckLoadSettings, EventParts } from './ack-load.js';
import { type Mode, startCore } from './core-process.js';
import { EventMaker, NUMBER_MARK } from './events.js';
import { makeNodeIds } from './generator.js';
import { Random } from './random.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';
import { BenchThread } from './threads.js';

export interface AcksPlan {
  readonly connections: number;
  readonly eventsPerSecond: number;
  readonly mode: Mode;
}

const INTERVAL_MS = 50;
/** What is promised: 99 of 100 events within so many intervals. */
const PROMISED_INTERVALS = 3;
const PATIENCE_MS = 10_000;
const SLACK_MS = 60_000;
const READ_BYTES = 1024 * 1024;
const TOLD_MAX = 10;

export const acksTitle = ({ eventsPerSecond, connections }: AcksPlan): string =>
  `acks, ${eventsPerSecond.toLocaleString('en')} events/s offered, ${connections} nodes that wait for EventAck`;

export async function runAcks(plan: AcksPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  if (settings.external) throw new Error('acks reads the log of a Core of its own');
  const { warmupMs, durationMs } = settings;
  const random = new Random(settings.seed);
  const ids = makeNodeIds(plan.connections, random);
  const frames = ids.map((id) => partsOf(new EventMaker(random).uniform(id, 0, settings.eventBytes), id));
  const events = (plan.eventsPerSecond * (warmupMs + durationMs)) / 1000;
  const core = await startCore({
    entry: settings.coreEntry,
    dir: settings.dir,
    mode: plan.mode,
    connections: plan.connections,
    diskBytes: events * settings.eventBytes * 2,
    storage: { fsync: 'interval', fsync_interval_ms: INTERVAL_MS },
  });
  const data: AckLoadSettings = {
    target: core.target,
    nodes: ids.map((nodeId, node) => ({ nodeId, nodeName: `bench-acks-${settings.seed}-${node}` })),
    frames,
    eventsPerSecond: plan.eventsPerSecond,
    warmupMs,
    durationMs,
    patienceMs: PATIENCE_MS,
  };
  const load = new BenchThread<AckLoadMessage, never>(
    'ack load',
    new URL('./ack-load.js', import.meta.url),
    data,
  );
  const startMs = performance.now();
  const ticker = setInterval(() => {
    context.onProgress((performance.now() - startMs) / (warmupMs + durationMs), 'measuring');
  }, 100);
  try {
    const done = await Promise.race([
      load.receive('done', warmupMs + durationMs + PATIENCE_MS + SLACK_MS),
      core.failed,
    ]);
    await core.stop();
    const problems = [...done.problems, ...checkNumbered(core.logDir, ids, frames, done.sent)];
    const sent = done.sent.reduce((sum, count) => sum + count, 0);
    const limitUs = PROMISED_INTERVALS * INTERVAL_MS * 1000;
    return {
      scenario: acksTitle(plan),
      ok: problems.length === 0,
      problems,
      mode: core.mode,
      parameters: {
        connections: plan.connections,
        fsync_interval_ms: INTERVAL_MS,
        event_bytes: settings.eventBytes,
      },
      offered_per_second: plan.eventsPerSecond,
      seconds: done.seconds,
      events_per_second: sent / done.seconds,
      events_sent: sent,
      latency: done.latency,
      acks: { sent: done.acks, p99_promised_us: limitUs, kept: done.latency.p99_us < limitUs },
    };
  } finally {
    clearInterval(ticker);
    await load.end();
    core.remove();
  }
}

/** The number goes behind the node id; what the generator numbers its events with stays as it is. */
function partsOf(frame: string, id: string): EventParts {
  const at = frame.indexOf(id) + id.length;
  if (!frame.includes(NUMBER_MARK)) throw new Error('not an event of the generator');
  return { head: `${frame.slice(0, at)},"seq":`, tail: frame.slice(at) };
}

/** Every event of every node: once, in order, as it was sent. */
export function checkNumbered(
  logDir: string,
  ids: readonly string[],
  frames: readonly EventParts[],
  sent: Float64Array,
): string[] {
  const problems: string[] = [];
  const next = ids.map(() => 1);
  const nodes = new Map(ids.map((id, node) => [id, node]));
  const check = (line: string): void => {
    const found = /^\{"version":2,"message":\{"PotEvent":\{"node_id":(\d+),"seq":(\d+)/.exec(line);
    const node = found === null ? undefined : nodes.get(found[1]!);
    if (node === undefined) {
      if (line.includes('"PotEvent"')) problems.push(`an event that nobody sent: ${line.slice(0, 160)}`);
      return;
    }
    const seq = next[node]!;
    const { head, tail } = frames[node]!;
    if (Number(found![2]) !== seq)
      problems.push(`node ${node}: event ${seq} was due, and there is ${found![2]}`);
    else if (
      line.length + 1 !== head.length + String(seq).length + tail.length ||
      `${line}\n` !== head + seq + tail
    )
      problems.push(`node ${node}: event ${seq} is not what was sent: ${line.slice(0, 160)}`);
    next[node] = Number(found![2]) + 1;
  };
  for (const name of readdirSync(logDir)
    .filter((one) => one.endsWith('.ndjson'))
    .sort()) {
    forEachLine(join(logDir, name), check);
  }
  for (const [node, seq] of next.entries())
    if (seq - 1 !== sent[node])
      problems.push(`node ${node}: ${sent[node]} events sent, ${seq - 1} in the log`);
  return problems.slice(0, TOLD_MAX);
}

function forEachLine(path: string, each: (line: string) => void): void {
  const fd = openSync(path, 'r');
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  let rest = '';
  try {
    for (;;) {
      const bytes = readSync(fd, buffer, 0, buffer.length, null);
      if (bytes === 0) break;
      const lines = (rest + buffer.toString('latin1', 0, bytes)).split('\n');
      rest = lines.pop()!;
      lines.forEach(each);
    }
  } finally {
    closeSync(fd);
  }
}
