/** The command line of `npm run bench`: what may be asked for, and what it means. */
import { parseArgs } from 'node:util';
import { type Address, parseAddress } from './address.js';
import type { Mode } from './core-process.js';
import { EVENT_BYTES_MAX, type Mix, UNIFORM_BYTES_MIN } from './events.js';
import type { ConsumerKind, Settings } from './settings.js';

export const SCENARIOS = [
  'ingest',
  'latency',
  'connections',
  'storm',
  'list',
  'commands',
  'scan',
  'acks',
  'durability',
  'sustained',
  'recover',
  'replay',
  'search',
] as const;
/** Minutes, or many gigabytes: only when they are named, or small. */
const LARGE: readonly ScenarioName[] = ['durability', 'sustained', 'recover', 'replay', 'search'];
export type ScenarioName = (typeof SCENARIOS)[number];

export interface Request {
  readonly scenarios: readonly ScenarioName[];
  readonly settings: Settings;
  readonly quick: boolean;
  readonly repeat: number;
  readonly jsonFile: string | undefined;
  /** Given on the command line; undefined: the scenario's own default, or its whole series. */
  readonly connections: number | undefined;
  readonly consumer: ConsumerKind | undefined;
  readonly mode: Mode | undefined;
  readonly tls: boolean;
  readonly shards: number | undefined;
  readonly rate: number | undefined;
  readonly totp: boolean;
  readonly gigabytes: number | undefined;
}

export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

export const HELP = `HoneyBee Core bench: load, latency and memory, with every event verified

  npm run bench                          the whole series, under three minutes
  npm run bench -- --quick               the same in miniature, a few seconds
  npm run bench -- ingest --connections 200 --mix real
  npm run bench -- ingest --tls --shards 2
  npm run bench -- latency --rate 50000

Scenarios (all when none is named, but for the last five)
  ingest        events a second, from node sockets through the log to WebSocket consumers
  latency       socket to WebSocket: idle one at a time, and at an offered load
  connections   memory of Core per connected, silent node
  storm         many nodes reconnect at once while others send: time until all are back, latency of the others
  list          GET /api/v1/nodes with many nodes, and what the latency of events beside it notices
  commands      commands over REST to nodes that answer, each followed to its end
  scan          the scanner alone on one core, against JSON.parse
  acks          nodes that wait for EventAck: from an event's last byte to its acknowledgement, at an offered load
  durability    what fsync every 50 ms costs against never, in turns
  sustained     12 GB in one go, log and consumer: is it as fast at the end, does memory stay flat
  recover       Core starts on a log of 10 GB: after it was killed, with a torn tail
  replay        a log of 6 GB to one consumer from its start, from the page cache
  search        one source address in 10 million events, over REST

Load
  --connections N         nodes (ingest: the series has 4 and 1000; connections, storm, list: 10000; latency: 4;
                          commands: 1000)
  --duration-seconds S    measured time per scenario (5)
  --warmup-seconds S      before it, not counted (2)
  --mix uniform|real      events of one size, or sizes and kinds as honeypots send them (uniform)
  --event-bytes N         size of a uniform event with its newline (302)
  --write-bytes N         bytes per socket write, events are cut anywhere (up to 256 KiB)
  --window-bytes N        most bytes written, but not yet verified (32 MiB)
  --tls                   ingest: nodes connect with TLS 1.3
  --load-threads N        ingest: threads the nodes are spread over (1; with --tls one per shard)
  --gigabytes N           sustained, recover, replay: size of the log (12, 10, 6)
  --rate N                latency, storm, list, acks: offered load in events a second (100000);
                          commands: in commands a second (1000)
  --totp on|off           storm: nodes register with one-time codes (on)
  --seed N                of the generated events (1)

Consumers
  --consumer batch|event|none   many events per WebSocket message, one, or nobody listens
  --consumers N                 how many of them, each verifying everything (1)

Core
  --mode native|portable|auto   of the Core that is started (auto)
  --shards N                    ingest: of the Core that is started (one less than there are cores)
  --dir DIR                     where its data directory is made (the system's temporary directory)
  --core FILE                   start this file instead of the project's own Core
  --target HOST:PORT            load a Core that runs already: its node port
  --proxy HOST:PORT             its WebSocket port (not for --consumer none)
  --rest URL                    its REST port (for --consumer none)

Output
  --json FILE             append a line of JSON per scenario to FILE instead of printing it
  --repeat N              run each scenario N times and report the middle one (1)
  --quick                 small and short: shows that everything works, measures nothing
  --help

A lost, doubled, reordered or damaged event is named, and the exit code is 1.
`;

const OPTIONS = {
  connections: { type: 'string' },
  'duration-seconds': { type: 'string' },
  'warmup-seconds': { type: 'string' },
  mix: { type: 'string' },
  'event-bytes': { type: 'string' },
  'write-bytes': { type: 'string' },
  'window-bytes': { type: 'string' },
  tls: { type: 'boolean' },
  shards: { type: 'string' },
  'load-threads': { type: 'string' },
  rate: { type: 'string' },
  totp: { type: 'string' },
  seed: { type: 'string' },
  gigabytes: { type: 'string' },
  consumer: { type: 'string' },
  consumers: { type: 'string' },
  mode: { type: 'string' },
  dir: { type: 'string' },
  core: { type: 'string' },
  target: { type: 'string' },
  proxy: { type: 'string' },
  rest: { type: 'string' },
  json: { type: 'string' },
  repeat: { type: 'string' },
  quick: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = Partial<Record<keyof typeof OPTIONS, string | boolean>>;

function number(
  values: Values,
  name: keyof typeof OPTIONS,
  low: number,
  high: number,
  whole = true,
): number | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text === '' || !(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
    throw new UsageError(
      `--${name} ${text}: ${whole ? 'a whole number' : 'a number'} from ${low} to ${high} is allowed`,
    );
  }
  return value;
}

function choice<Choice extends string>(
  values: Values,
  name: keyof typeof OPTIONS,
  choices: readonly Choice[],
): Choice | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const found = choices.find((one) => one === text);
  if (found === undefined) throw new UsageError(`--${name} ${text}: allowed are ${choices.join(', ')}`);
  return found;
}

function address(values: Values, name: keyof typeof OPTIONS): Address | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const parsed = parseAddress(String(text));
  if (!parsed) throw new UsageError(`--${name} ${text}: HOST:PORT is expected`);
  return parsed;
}

function url(values: Values): string | undefined {
  const text = values.rest;
  if (text === undefined) return undefined;
  if (!/^https?:\/\//.test(String(text)) || !URL.canParse(String(text)))
    throw new UsageError(`--rest ${text}: a URL is expected`);
  return String(text);
}

function parse(words: readonly string[]): { values: Values; positionals: string[] } {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Undefined: help was asked for. Throws {@link UsageError}. */
export function readArguments(words: readonly string[]): Request | undefined {
  const { values, positionals } = parse(words);
  if (values.help) return undefined;
  const unknown = positionals.find((name) => !SCENARIOS.includes(name as ScenarioName));
  if (unknown !== undefined)
    throw new UsageError(`no scenario "${unknown}": there are ${SCENARIOS.join(', ')}`);
  const quick = values.quick === true;
  const target = address(values, 'target');
  const proxy = address(values, 'proxy');
  const rest = url(values);
  if (!target && (proxy || rest)) throw new UsageError('--proxy and --rest go with --target');
  const seconds = (name: 'duration-seconds' | 'warmup-seconds', low: number): number | undefined =>
    number(values, name, low, 3600, false);
  const mix: Mix = choice(values, 'mix', ['uniform', 'real'] as const) ?? 'uniform';
  return {
    scenarios: SCENARIOS.filter((name) =>
      positionals.length > 0 ? positionals.includes(name) : quick || !LARGE.includes(name),
    ),
    settings: {
      external: target && { target, proxy, rest },
      coreEntry: values.core as string | undefined,
      dir: values.dir as string | undefined,
      seed: number(values, 'seed', 0, 2 ** 32 - 1) ?? 1,
      mix,
      eventBytes: number(values, 'event-bytes', UNIFORM_BYTES_MIN, EVENT_BYTES_MAX) ?? 302,
      writeBytes: number(values, 'write-bytes', 1, 64 * 1024 * 1024),
      windowBytes: number(values, 'window-bytes', 1024, 2 ** 40),
      consumers: number(values, 'consumers', 1, 64) ?? 1,
      loadThreads: number(values, 'load-threads', 1, 64),
      warmupMs: (seconds('warmup-seconds', 0) ?? (quick ? 0.2 : 2)) * 1000,
      durationMs: (seconds('duration-seconds', 0.1) ?? (quick ? 0.4 : 5)) * 1000,
    },
    quick,
    repeat: number(values, 'repeat', 1, 100) ?? 1,
    jsonFile: values.json as string | undefined,
    connections: number(values, 'connections', 1, 1_000_000),
    consumer: choice(values, 'consumer', ['batch', 'event', 'none'] as const),
    mode: choice(values, 'mode', ['native', 'portable', 'auto'] as const),
    tls: values.tls === true,
    shards: number(values, 'shards', 1, 128),
    rate: number(values, 'rate', 1, 100_000_000),
    gigabytes: number(values, 'gigabytes', 0.01, 100_000, false),
    totp: (choice(values, 'totp', ['on', 'off'] as const) ?? 'on') === 'on',
  };
}
