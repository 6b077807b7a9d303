/** `honeybee-core status`: what a running Core reports over REST, on a screen. */
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';
import { type Answer, bodyOf, exitCodeOf, reasonOf } from './answer.js';
import { DEFAULT_URL, type StatusArguments } from './arguments.js';
import { askOver, configFor, reachControl } from './control-client.js';
import { tokenFrom } from './credentials.js';
import { size } from './log-report.js';

const STATS = '/api/v1/stats';
const LOG = '/api/v1/log';

const TIMEOUT_MS = 5_000;
/** More than the statistics of a hundred shards. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;

type Counts = Readonly<Record<string, number>>;

interface Stats {
  readonly version: string;
  readonly mode: string;
  readonly uptime_seconds: number;
  readonly health: { readonly status: string; readonly reason?: string };
  readonly nodes: { readonly known: number; readonly connected: number };
  readonly rates_per_second: {
    readonly last_1s: Counts;
    readonly last_10s: Counts;
    readonly last_60s: Counts;
  };
  readonly totals: Counts;
  readonly errors: Counts;
  readonly shards: readonly {
    readonly shard: number;
    readonly alive: boolean;
    readonly connections_open: number;
  }[];
  readonly aggregator: {
    readonly segments: number;
    readonly bytes_logged: number;
    readonly consumers: Counts;
  };
}

interface Log {
  readonly next_seq: number;
  readonly durable_seq: number;
  readonly fsync: { readonly mode: string; readonly interval_ms: number; readonly longest_ms: number };
  readonly kept: {
    readonly first_seq: number | null;
    readonly bytes: number | null;
    readonly sealed_segments: number | null;
    readonly segments: number | null;
    readonly damaged_records: number | null;
    readonly free_bytes: number | null;
  };
  readonly retention: { readonly deleted_segments: number | null; readonly held_by: string | null };
}

export async function printStatus(args: StatusArguments): Promise<number> {
  const ask = await reach(args);
  const stats = statsOf(await ask(STATS), ask.where(STATS));
  // A Core that cannot say it is older, or this token may not know.
  const log = await ask(LOG);
  const shown = [...rows(stats), ...(log.status === 200 ? logRows(bodyOf<Log>(log)) : [])];
  for (const [name, value] of shown) console.log(`${name.padEnd(13)}${printable(value)}`);
  return stats.health.status === 'ok' ? EXIT.ok : EXIT.unavailable;
}

interface Asked {
  (route: string): Promise<Answer>;
  /** For people. */
  where(route: string): string;
}

/** The Core that was named, or that of this machine: through its control socket, where no token is needed. */
async function reach({ url, tokenFile, ...config }: StatusArguments): Promise<Asked> {
  const path = url === undefined ? await reachControl(configFor(config).storage.dir) : undefined;
  if (path !== undefined)
    return Object.assign((route: string) => askOver(path, 'GET', route), { where: () => path });
  const base = (url ?? DEFAULT_URL.status).replace(/\/+$/, '');
  const token = tokenFrom(tokenFile, process.env);
  return Object.assign((route: string) => fetchOver(`${base}${route}`, token), {
    where: (route: string) => `${base}${route}`,
  });
}

async function fetchOver(url: string, token: string | undefined): Promise<Answer> {
  // Loaded here: the control socket does not need it.
  const { request } = await import('undici');
  try {
    const { statusCode, body } = await request(url, {
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    let text = '';
    for await (const part of body.setEncoding('utf8')) {
      text += part;
      if (text.length > ANSWER_BYTES_MAX) throw new Error('the answer is too long to be one of Core');
    }
    return { status: statusCode, text };
  } catch (error) {
    throw new FatalError(EXIT.unavailable, `no statistics from ${url}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function statsOf(answer: Answer, where: string): Stats {
  if (exitCodeOf(answer.status) === EXIT.noPermission && answer.status !== 200)
    throw new FatalError(
      EXIT.noPermission,
      `no statistics from ${where}: ${reasonOf(answer)}; --token-file FILE or HONEYBEE_TOKEN shows a token`,
    );
  if (answer.status !== 200)
    throw new FatalError(EXIT.unavailable, `no statistics from ${where}: ${reasonOf(answer)}`);
  const stats = bodyOf<Partial<Stats>>(answer);
  if (stats.health === undefined || stats.totals === undefined)
    throw new FatalError(EXIT.unavailable, `no statistics from ${where}: this is not a Core`);
  return stats as Stats;
}

function rows(stats: Stats): [name: string, value: string][] {
  const { health, nodes, totals, aggregator } = stats;
  const { last_1s, last_10s, last_60s } = stats.rates_per_second;
  const refused = Object.entries(stats.errors).filter(([, count]) => count > 0);
  return [
    ['health', health.reason === undefined ? health.status : `${health.status}: ${health.reason}`],
    ['Core', `${stats.version}, ${stats.mode} mode, up ${duration(stats.uptime_seconds)}`],
    ['nodes', `${count(nodes.connected)} connected, ${count(nodes.known)} known`],
    [
      'events',
      `${count(totals.events)} in all; per second ${[last_1s, last_10s, last_60s].map((one) => count(one.events)).join(', ')} (over 1, 10, 60 s)`,
    ],
    [
      'refused',
      refused.length === 0 ? '0' : refused.map(([code, number]) => `${code} ${count(number)}`).join(', '),
    ],
    ['log', `${count(aggregator.bytes_logged)} bytes written, ${count(aggregator.segments)} segments`],
    ['consumers', `${count(aggregator.consumers.open)} open, ${count(aggregator.consumers.cut_off)} cut off`],
    ...stats.shards.map(({ shard, alive, connections_open }): [string, string] => [
      `shard ${shard}`,
      alive ? `${count(connections_open)} connections` : 'being restarted',
    ]),
  ];
}

function logRows({ next_seq, durable_seq, fsync, kept, retention }: Log): [name: string, value: string][] {
  const every = fsync.mode === 'interval' ? `every ${fsync.interval_ms} ms` : fsync.mode;
  const damaged = kept.damaged_records ?? 0;
  const deleted = retention.deleted_segments ?? 0;
  return [
    [
      'durable',
      `records up to ${count(durable_seq - 1)} of ${count(next_seq - 1)}; fsync ${every}, the longest took ${Math.round(fsync.longest_ms)} ms`,
    ],
    [
      'kept',
      `records from ${count(kept.first_seq ?? undefined)} on, ${bytes(kept.bytes)} in ${count(kept.segments ?? undefined)} segments, ${count(kept.sealed_segments ?? undefined)} of them sealed; ${bytes(kept.free_bytes)} free`,
    ],
    ...(damaged > 0 ? [['damaged', `${count(damaged)} records cannot be read`] as [string, string]] : []),
    ...(deleted > 0 ? [['deleted', `${count(deleted)} segments by retention`] as [string, string]] : []),
    ...(retention.held_by === null
      ? []
      : [['held', `retention waits for consumer ${retention.held_by}`] as [string, string]]),
  ];
}

function count(value: number | undefined): string {
  return value === undefined ? '?' : Math.round(value).toLocaleString('en');
}

function bytes(value: number | null): string {
  return value === null ? '?' : size(value);
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0
    ? `${hours} h ${minutes} min`
    : minutes > 0
      ? `${minutes} min`
      : `${Math.floor(seconds)} s`;
}
