/** `honeybee-core status`: what a running Core reports over REST, on a screen. */
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';
import { type Answer, bodyOf, exitCodeOf, reasonOf } from './answer.js';
import { DEFAULT_URL, type StatusArguments } from './arguments.js';
import { askOver, configFor, reachControl } from './control-client.js';
import { tokenFrom } from './credentials.js';

const STATS = '/api/v1/stats';

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
    readonly next_seq: number;
    readonly durable_seq: number;
    readonly segments: number;
    readonly bytes_logged: number;
    readonly consumers: Counts;
  };
}

export async function printStatus(args: StatusArguments): Promise<number> {
  const stats = await fetchStats(args);
  for (const [name, value] of rows(stats)) console.log(`${name.padEnd(13)}${printable(value)}`);
  return stats.health.status === 'ok' ? EXIT.ok : EXIT.unavailable;
}

/** The Core that was named, or that of this machine: through its control socket, where no token is needed. */
async function fetchStats({ url, tokenFile, ...config }: StatusArguments): Promise<Stats> {
  const path = url === undefined ? await reachControl(configFor(config).storage.dir) : undefined;
  if (path !== undefined) return statsOf(await askOver(path, 'GET', STATS), path);
  const base = url ?? DEFAULT_URL.status;
  const where = `${base.replace(/\/+$/, '')}${STATS}`;
  return statsOf(await fetchOver(where, tokenFrom(tokenFile, process.env)), where);
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
    [
      'durable',
      `up to sequence number ${count(aggregator.durable_seq - 1)} of ${count(aggregator.next_seq - 1)}`,
    ],
    ['consumers', `${count(aggregator.consumers.open)} open, ${count(aggregator.consumers.cut_off)} cut off`],
    ...stats.shards.map(({ shard, alive, connections_open }): [string, string] => [
      `shard ${shard}`,
      alive ? `${count(connections_open)} connections` : 'being restarted',
    ]),
  ];
}

function count(value: number | undefined): string {
  return value === undefined ? '?' : Math.round(value).toLocaleString('en');
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
