/** Scenario `connections`: what it costs Core to keep nodes that are registered and silent. */
import type { Socket } from 'node:net';
import { type Core, type Mode, startCore } from './core-process.js';
import { makeNodeIds } from './generator.js';
import { connectAll, connectNode, disconnectNode } from './node-connection.js';
import { memoryOf, openFilesLimit } from './proc.js';
import { Random } from './random.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';

/** Descriptors of each process besides its connections. */
const OTHER_FILES = 200;
const DISK_BYTES = 64 * 1024 * 1024;

export interface ConnectionsPlan {
  readonly connections: number;
  readonly mode: Mode;
  /** Before memory is looked at: the garbage collector has settled by then. */
  readonly settleMs: number;
}

export function connectionsTitle(connections: number): string {
  return `connections, ${connections.toLocaleString('en')} idle nodes`;
}

export async function runConnections(plan: ConnectionsPlan, context: Context): Promise<ScenarioResult> {
  const { connections } = plan;
  const { settings } = context;
  const limit = openFilesLimit();
  if (connections + OTHER_FILES > limit) {
    throw new Error(
      `${connections} connections need more open files than the limit of ${limit}: raise it with ulimit -n`,
    );
  }
  const core = settings.external
    ? undefined
    : await startCore({
        entry: settings.coreEntry,
        dir: settings.dir,
        mode: plan.mode,
        connections,
        diskBytes: DISK_BYTES,
      });
  const sockets: Socket[] = [];
  try {
    return await Promise.race([
      measure(plan, context, core, sockets),
      core?.failed ?? new Promise<never>(() => {}),
    ]);
  } finally {
    for (const socket of sockets) socket.destroy();
    core?.remove();
  }
}

async function measure(
  plan: ConnectionsPlan,
  context: Context,
  core: Core | undefined,
  sockets: Socket[],
): Promise<ScenarioResult> {
  const { connections, settleMs } = plan;
  const { settings } = context;
  const target = (settings.external ?? core)!.target;
  const problems: string[] = [];
  let leaving = false;
  const failed = (error: Error): void => {
    if (!leaving && problems.length < 10) problems.push(error.message);
  };
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const before = core && memoryOf(core.pid);
  const nodeIds = makeNodeIds(connections, new Random(settings.seed));
  const startMs = performance.now();
  await connectAll(connections, async (node) => {
    const identity = { nodeId: nodeIds[node]!, nodeName: `bench-idle-${node}` };
    sockets.push(await connectNode(target, identity, { failed }));
    context.onProgress((0.9 * sockets.length) / connections, `${sockets.length} registered`);
  });
  const seconds = (performance.now() - startMs) / 1000;
  context.onProgress(0.9, 'settling');
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const after = core && memoryOf(core.pid);
  leaving = true;
  sockets.forEach(disconnectNode);
  await core?.stop();
  return {
    scenario: connectionsTitle(connections),
    ok: problems.length === 0,
    problems,
    parameters: { connections, registrations_per_second: connections / seconds },
    seconds,
    ...(core && { mode: core.mode }),
    ...(before &&
      after && {
        resident_before_bytes: before.residentBytes,
        resident_bytes: after.residentBytes,
        resident_peak_bytes: after.peakBytes,
        bytes_per_connection: (after.residentBytes - before.residentBytes) / connections,
      }),
  };
}
