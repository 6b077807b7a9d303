/**
 * Scenario `commands`: commands given over REST at a fixed rate, each to one of many nodes, which answers it at once. Every
 * one is followed to its end: what is not `done` is a failure of the run.
 *
 * Two times are measured: from when a POST was due until it was answered (the command is on the disk by then), and,
 * by Core's own record of each command, from its making to its end.
 */
import type { Socket } from 'node:net';
import { Pool } from 'undici';
import type { Address } from './address.js';
import { type Mode, startCore } from './core-process.js';
import { makeNodeIds } from './generator.js';
import { Histogram, type LatencySummary } from './histogram.js';
import { connectAll, connectNode, disconnectNode } from './node-connection.js';
import { cpuShare, threadTimesOf } from './proc.js';
import { Random } from './random.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';

export interface CommandsPlan {
  readonly connections: number;
  readonly commandsPerSecond: number;
  readonly mode: Mode;
}

const DISK_BYTES = 256 * 1024 * 1024;
/** HTTP connections the requests share. */
const CLIENTS = 256;
const TICK_MS = 2;
/** A command that has not ended so long after the last POST never will. */
const END_TIMEOUT_MS = 30_000;
const PAGE = 1000;
const PROBLEMS_TOLD = 10;

interface Place {
  readonly target: Address;
  readonly rest: Pool;
  /** Of the nodes that are connected. */
  readonly sockets: Socket[];
  /** Of a Core of our own. */
  readonly pid: number | undefined;
}

interface CommandAnswer {
  readonly id: string;
  readonly state: string;
  readonly created: string;
  readonly updated: string;
}

export function commandsTitle({ connections, commandsPerSecond }: CommandsPlan): string {
  return `commands, ${commandsPerSecond.toLocaleString('en')}/s to ${connections.toLocaleString('en')} nodes`;
}

export async function runCommands(plan: CommandsPlan, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  if (settings.external && settings.external.rest === undefined)
    throw new Error('commands needs the REST port: --rest URL');
  const core = settings.external
    ? undefined
    : await startCore({
        entry: settings.coreEntry,
        dir: settings.dir,
        mode: plan.mode,
        connections: plan.connections,
        diskBytes: DISK_BYTES,
      });
  const sockets: Socket[] = [];
  const rest = new Pool((settings.external?.rest ?? core?.rest)!, { connections: CLIENTS });
  try {
    const result = await Promise.race([
      measure(plan, context, { target: (settings.external ?? core)!.target, rest, sockets, pid: core?.pid }),
      core?.failed ?? new Promise<never>(() => {}),
    ]);
    sockets.splice(0).forEach(disconnectNode);
    await core?.stop();
    return { ...result, ...(core && { mode: core.mode }) };
  } finally {
    for (const socket of sockets) socket.destroy();
    await rest.destroy();
    core?.remove();
  }
}

async function measure(
  plan: CommandsPlan,
  context: Context,
  { target, rest, sockets, pid }: Place,
): Promise<ScenarioResult> {
  const { connections, commandsPerSecond } = plan;
  const { seed, durationMs } = context.settings;
  const problems: string[] = [];
  const problem = (text: string): void => {
    if (problems.length < PROBLEMS_TOLD) problems.push(text);
  };
  const nodeIds = makeNodeIds(connections, new Random(seed));
  await connectAll(connections, async (node) => {
    const identity = { nodeId: nodeIds[node]!, nodeName: `bench-commanded-${node}` };
    const socket = await connectNode(target, identity, { failed: (error) => problem(error.message) });
    sockets.push(socket);
    obey(socket, identity.nodeId);
    context.onProgress((0.2 * sockets.length) / connections, `${sockets.length} registered`);
  });

  const posts = new Histogram();
  const made = new Set<string>();
  const total = Math.round((commandsPerSecond * durationMs) / 1000);
  const cpuBefore = pid === undefined ? undefined : threadTimesOf(pid);
  const startMs = performance.now();
  let answeredMs = startMs;
  let given = 0;
  const requests: Promise<void>[] = [];
  const give = async (number: number): Promise<void> => {
    const dueMs = startMs + (number * 1000) / commandsPerSecond;
    const { statusCode, body } = await rest.request({
      method: 'POST',
      path: `/api/v1/nodes/${nodeIds[number % connections]}/commands`,
      headers: { 'content-type': 'application/json' },
      body: `{"command":{"GetPotStatus":"pot-${number}"}}`,
    });
    const text = await body.text();
    answeredMs = performance.now();
    posts.record((answeredMs - dueMs) * 1000);
    if (statusCode === 202) made.add((JSON.parse(text) as CommandAnswer).id);
    else problem(`POST answered ${statusCode}: ${text.slice(0, 200)}`);
  };
  while (given < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startMs) * commandsPerSecond) / 1000) + 1);
    for (; given < due; given++) requests.push(give(given).catch((error: Error) => problem(error.message)));
    context.onProgress(0.2 + (0.6 * given) / total, `${given} given`);
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await Promise.all(requests);
  const seconds = (answeredMs - startMs) / 1000;
  const cpuAfter = pid === undefined ? undefined : threadTimesOf(pid);
  const lives = await followAll(rest, made, problem);
  const reached = made.size / seconds;
  const post = posts.summary();
  return {
    scenario: `${commandsTitle(plan)}: ${reached.toFixed(0)}/s, POST p50 ${ms(post.p50_us)} p99 ${ms(post.p99_us)}, made to done`,
    ok: problems.length === 0,
    problems,
    parameters: { connections, commands_per_second: commandsPerSecond, commands_done: lives.samples },
    seconds,
    offered_per_second: commandsPerSecond,
    commands_per_second: reached,
    post_latency: post,
    latency: lives,
    ...(cpuBefore && cpuAfter && { core_cpu: cpuShare(pid!, cpuBefore, cpuAfter, answeredMs - startMs) }),
  };
}

/** Waits until every command has ended, and says which one did not end well. */
async function followAll(
  rest: Pool,
  made: ReadonlySet<string>,
  problem: (text: string) => void,
): Promise<LatencySummary> {
  const deadlineMs = performance.now() + END_TIMEOUT_MS;
  for (const state of ['queued', 'sent', 'in_progress']) {
    while ((await page(rest, `state=${state}`)).commands.length > 0 && performance.now() < deadlineMs)
      await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const lives = new Histogram();
  const left = new Set(made);
  for (let after = ''; ; ) {
    const { commands, next } = await page(rest, after);
    for (const { id, state, created, updated } of commands) {
      if (!left.delete(id)) continue;
      if (state === 'done') lives.record((Date.parse(updated) - Date.parse(created)) * 1000);
      else problem(`${id} is ${state}`);
    }
    if (next === null) break;
    after = `after=${next}`;
  }
  if (left.size > 0) problem(`${left.size} commands that were answered are not there`);
  return lives.summary();
}

async function page(
  rest: Pool,
  query: string,
): Promise<{ commands: readonly CommandAnswer[]; next: string | null }> {
  const { body } = await rest.request({ method: 'GET', path: `/api/v1/commands?limit=${PAGE}&${query}` });
  return (await body.json()) as { commands: CommandAnswer[]; next: string | null };
}

/** Answers each GetPotStatus with the status of that pot. */
function obey(socket: Socket, nodeId: string): void {
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const pot = /"command":\{"GetPotStatus":"(pot-\d+)"\}/.exec(line)?.[1];
      if (pot === undefined) continue;
      socket.write(
        `{"version":2,"message":{"PotStatusUpdate":{"node_id":${nodeId},"pot_id":"${pot}","pot_type":"bench","status":"Running"}}}\n`,
      );
    }
  });
}

function ms(us: number): string {
  return `${(us / 1000).toFixed(1)} ms`;
}
