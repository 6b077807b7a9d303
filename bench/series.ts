/**
 * From a request to the list of runs. Without further arguments a scenario is a series: the points that the project's
 * promises are about. An argument that names a point (`--connections`, `--consumer`, `--mode`) makes it that one run.
 */
import { acksTitle, runAcks } from './acks.js';
import type { Request, ScenarioName } from './arguments.js';
import { commandsTitle, runCommands } from './commands.js';
import { connectionsTitle, runConnections } from './connections.js';
import { durabilityTitle, runDurability } from './durability.js';
import { type IngestPlan, ingestTitle, runIngest } from './ingest.js';
import { IDLE_TITLE, offeredTitle, runIdleLatency, runOfferedLatency } from './latency.js';
import { listTitle, runList } from './list.js';
import { recoverTitle, runRecover } from './recover.js';
import { replayTitle, runReplay } from './replay.js';
import type { ScenarioResult } from './result.js';
import { runScan, SCAN_TITLE } from './scan.js';
import { runSearch, searchTitle } from './search.js';
import type { Context } from './settings.js';
import { runStorm, stormTitle } from './storm.js';
import { runSustained, sustainedTitle } from './sustained.js';

export interface Run {
  readonly title: string;
  /** What --repeat takes the middle of. */
  readonly figure: (result: ScenarioResult) => number;
  readonly run: (context: Context) => Promise<ScenarioResult>;
}

const DEFAULTS = {
  few: 4,
  many: 1000,
  idleNodes: 10_000,
  stormNodes: 10_000,
  rate: 100_000,
  commands: 1000,
  settleMs: 2000,
  scanMs: 2000,
  listEveryMs: 200,
  listPhaseMs: 1000,
  ackNodes: 8,
  pairs: 3,
  sustainedBytes: 12e9,
  recoverBytes: 10e9,
  replayBytes: 6e9,
  searchEvents: 10e6,
};
const QUICK = {
  few: 4,
  many: 50,
  idleNodes: 200,
  stormNodes: 300,
  rate: 10_000,
  commands: 200,
  settleMs: 100,
  scanMs: 100,
  listEveryMs: 20,
  listPhaseMs: 100,
  ackNodes: 4,
  pairs: 1,
  sustainedBytes: 0.1e9,
  recoverBytes: 0.05e9,
  replayBytes: 0.1e9,
  searchEvents: 0.3e6,
};

export function seriesOf(request: Request): Run[] {
  const sizes = request.quick ? QUICK : DEFAULTS;
  return request.scenarios.flatMap((scenario) => SERIES[scenario](request, sizes));
}

const SERIES: Record<ScenarioName, (request: Request, sizes: typeof DEFAULTS) => Run[]> = {
  ingest: ingestSeries,
  latency: latencySeries,
  connections: connectionsSeries,
  storm: stormSeries,
  list: listSeries,
  commands: commandsSeries,
  scan: scanSeries,
  acks: acksSeries,
  durability: durabilitySeries,
  sustained: sustainedSeries,
  recover: recoverSeries,
  replay: replaySeries,
  search: searchSeries,
};

function ingestSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const { connections, consumer } = request;
  const mode = request.mode ?? 'auto';
  const asked = connections !== undefined || consumer !== undefined;
  const common = { mode, tls: request.tls, shards: request.shards };
  const few: IngestPlan = { ...common, connections: sizes.few, consumer: 'batch' };
  const plans: IngestPlan[] = asked
    ? [{ ...common, connections: connections ?? sizes.few, consumer: consumer ?? 'batch' }]
    : [few, { ...few, connections: sizes.many }, { ...few, consumer: 'event' }];
  // Neither TLS nor the portable mode of somebody else's Core can be chosen.
  if (!asked && !request.settings.external) {
    if (!request.tls) plans.push({ ...few, tls: true });
    if (request.mode === undefined) plans.push({ ...few, mode: 'portable' });
  }
  return plans.map((plan) => ({
    title: ingestTitle(plan),
    figure: (result) => result.events_per_second ?? 0,
    run: (context) => runIngest(plan, context),
  }));
}

function latencySeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const mode = request.mode ?? 'auto';
  const offered = {
    connections: request.connections ?? sizes.few,
    eventsPerSecond: request.rate ?? sizes.rate,
    mode,
  };
  const figure = (result: ScenarioResult): number => result.latency?.p50_us ?? 0;
  return [
    { title: IDLE_TITLE, figure, run: (context) => runIdleLatency(mode, context) },
    { title: offeredTitle(offered), figure, run: (context) => runOfferedLatency(offered, context) },
  ];
}

function connectionsSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const count = request.connections ?? sizes.idleNodes;
  const mode = request.mode ?? 'auto';
  return [
    {
      title: connectionsTitle(count),
      figure: (result) => result.bytes_per_connection ?? 0,
      run: (context) => runConnections({ connections: count, mode, settleMs: sizes.settleMs }, context),
    },
  ];
}

function commandsSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    connections: request.connections ?? sizes.many,
    commandsPerSecond: request.rate ?? sizes.commands,
    mode: request.mode ?? 'auto',
  };
  return [
    {
      title: commandsTitle(plan),
      figure: (result) => result.latency?.p50_us ?? 0,
      run: (context) => runCommands(plan, context),
    },
  ];
}

function stormSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    nodes: request.connections ?? sizes.stormNodes,
    eventsPerSecond: request.rate ?? sizes.rate,
    totp: request.totp,
    mode: request.mode ?? 'auto',
  };
  return [
    {
      title: stormTitle(plan),
      figure: (result) => result.storm?.seconds ?? 0,
      run: (context) => runStorm(plan, context),
    },
  ];
}

function listSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    nodes: request.connections ?? sizes.idleNodes,
    eventsPerSecond: request.rate ?? sizes.rate,
    mode: request.mode ?? 'auto',
    everyMs: sizes.listEveryMs,
    phaseMs: sizes.listPhaseMs,
  };
  return [
    {
      title: listTitle(plan),
      figure: (result) => result.list?.answers.p99_us ?? 0,
      run: (context) => runList(plan, context),
    },
  ];
}

function scanSeries(_request: Request, sizes: typeof DEFAULTS): Run[] {
  return [
    {
      title: SCAN_TITLE,
      figure: (result) => result.scanners?.at(-1)?.events_per_second ?? 0,
      run: (context) => runScan(sizes.scanMs, context),
    },
  ];
}

function acksSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    connections: request.connections ?? sizes.ackNodes,
    eventsPerSecond: request.rate ?? sizes.rate,
    mode: request.mode ?? 'auto',
  };
  return [
    {
      title: acksTitle(plan),
      figure: (result) => result.latency?.p99_us ?? 0,
      run: (context) => runAcks(plan, context),
    },
  ];
}

function durabilitySeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    connections: request.connections ?? sizes.few,
    mode: request.mode ?? 'auto',
    pairs: sizes.pairs,
    intervalMs: 50,
  };
  return [
    {
      title: durabilityTitle(plan),
      figure: (result) => result.durability?.cost ?? 0,
      run: (context) => runDurability(plan, context),
    },
  ];
}

/** A number of gigabytes that was asked for, or the default. */
const bytesOf = (request: Request, bytes: number): number =>
  request.gigabytes === undefined ? bytes : request.gigabytes * 1e9;

function sustainedSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    connections: request.connections ?? sizes.few,
    bytes: bytesOf(request, sizes.sustainedBytes),
    mode: request.mode ?? 'auto',
  };
  return [
    {
      title: sustainedTitle(plan),
      figure: (result) => result.events_per_second ?? 0,
      run: (context) => runSustained(plan, context),
    },
  ];
}

function recoverSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    connections: request.connections ?? sizes.few,
    bytes: bytesOf(request, sizes.recoverBytes),
    mode: request.mode ?? 'auto',
  };
  return [
    {
      title: recoverTitle(plan),
      figure: (result) => result.seconds ?? 0,
      run: (context) => runRecover(plan, context),
    },
  ];
}

function replaySeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = {
    connections: request.connections ?? sizes.few,
    bytes: bytesOf(request, sizes.replayBytes),
    mode: request.mode ?? 'auto',
  };
  return [
    {
      title: replayTitle(plan),
      figure: (result) => result.events_per_second ?? 0,
      run: (context) => runReplay(plan, context),
    },
  ];
}

function searchSeries(request: Request, sizes: typeof DEFAULTS): Run[] {
  const plan = { events: sizes.searchEvents, mode: request.mode ?? 'auto' };
  return [
    {
      title: searchTitle(plan),
      figure: (result) => result.seconds ?? 0,
      run: (context) => runSearch(plan, context),
    },
  ];
}
