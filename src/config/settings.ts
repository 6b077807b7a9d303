/**
 * Every setting of Core, once. The file that is written when none exists, the environment names, the flags, the
 * help text and the checks all come from this table, and the compiler holds it against {@link Config}: adding a
 * setting means one field there and one row here.
 *
 * Owned by no thread: constants only. Rules that concern several settings at once are in `rules.ts`.
 */
import { LIMITS } from '../limits.js';
import type { Config } from './config.js';
import type { Setting } from './setting.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** Sections in the order in which they are shown, each with a headline. */
export const SECTIONS = {
  server: 'the ports for nodes and for REST, and the life of the process',
  logging: "Core's own log (events go to [storage])",
  proxy: 'the WebSocket that events are streamed on',
  ingest: 'reading and checking what nodes send',
  storage: 'the event log on disk',
  stream: 'limits for WebSocket consumers',
  auth: 'who may register, and who may ask',
  tls: 'encrypted connections',
  rest: 'limits for REST clients',
  commands: 'what nodes are told to do',
  admission: 'how fast and how often nodes may connect',
} as const satisfies { readonly [Section in keyof Config]: string };

export const SETTINGS = [
  {
    section: 'server',
    key: 'host',
    kind: 'string',
    format: 'host',
    default: '127.0.0.1',
    summary: 'address of the node port; 0.0.0.0 takes every IPv4 interface',
    example: '0.0.0.0',
  },
  {
    section: 'server',
    key: 'node_port',
    kind: 'integer',
    default: 9001,
    min: 0,
    max: 65535,
    summary: 'TCP port that nodes connect to; 0 takes a free one',
    example: 19001,
  },
  {
    section: 'server',
    key: 'backend_host',
    kind: 'string',
    format: 'optional-host',
    default: '',
    summary: 'address of the REST port; empty: the one of the node port',
    example: '127.0.0.1',
  },
  {
    section: 'server',
    key: 'backend_port',
    kind: 'integer',
    default: 9002,
    min: 0,
    max: 65535,
    summary: 'port of REST and metrics; 0 takes a free one',
    example: 19002,
  },
  {
    section: 'server',
    key: 'debug',
    kind: 'boolean',
    default: false,
    summary: 'opens the fault-injection routes under /debug; only with a loopback host',
    example: true,
  },
  {
    section: 'server',
    key: 'shutdown_timeout_ms',
    kind: 'integer',
    default: 10_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    summary: 'time to write everything that was read when Core is told to stop',
    example: 30_000,
  },
  {
    section: 'logging',
    key: 'level',
    kind: 'choice',
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error'],
    summary: 'least important line that is logged',
    example: 'debug',
  },
  {
    section: 'logging',
    key: 'folder',
    kind: 'string',
    format: 'folder',
    default: '',
    summary: 'folder for honeybee-core.log, beside standard output; empty: no file',
    example: '/var/log/honeybee',
  },
  {
    section: 'logging',
    key: 'force_color',
    kind: 'boolean',
    default: false,
    summary: 'coloured lines for people on standard output instead of JSON',
    example: true,
  },
  {
    section: 'proxy',
    key: 'enabled',
    kind: 'boolean',
    default: true,
    summary: 'opens the WebSocket port',
    example: false,
  },
  {
    section: 'proxy',
    key: 'host',
    kind: 'string',
    format: 'host',
    default: '127.0.0.1',
    summary: 'address of the WebSocket port',
    example: '0.0.0.0',
  },
  {
    section: 'proxy',
    key: 'port',
    kind: 'integer',
    default: 9003,
    min: 0,
    max: 65535,
    summary: 'WebSocket port that consumers connect to; 0 takes a free one',
    example: 19003,
  },
  {
    section: 'ingest',
    key: 'mode',
    kind: 'choice',
    default: 'auto',
    choices: ['auto', 'native', 'portable'],
    summary: 'auto uses the native addon where it could be built; native insists on it',
    example: 'portable',
  },
  {
    section: 'ingest',
    key: 'shards',
    kind: 'integer',
    default: 0,
    min: 0,
    max: 128,
    summary: 'threads that read nodes; 0: one less than there are cores, at least 1',
    example: 4,
  },
  {
    section: 'ingest',
    key: 'max_frame_bytes',
    kind: 'integer',
    default: LIMITS.frameBytes,
    min: LIMITS.frameBytesMin,
    max: LIMITS.frameBytesMax,
    unit: 'bytes',
    summary: 'longest frame that is accepted',
    example: 2 * MiB,
  },
  {
    section: 'ingest',
    key: 'max_connections',
    kind: 'integer',
    default: 16_384,
    min: 1,
    max: 1_000_000,
    summary: 'nodes connected at once',
    example: 50_000,
  },
  {
    section: 'ingest',
    key: 'ring_bytes',
    kind: 'integer',
    default: LIMITS.ringBytes,
    min: LIMITS.ringBytesMin,
    max: LIMITS.ringBytesMax,
    unit: 'bytes',
    powerOfTwo: true,
    summary: 'shared memory per shard; must hold two longest frames',
    example: 32 * MiB,
  },
  {
    section: 'ingest',
    key: 'error_replies',
    kind: 'boolean',
    default: true,
    summary: 'answers refused frames with Error messages, one a second per node at most',
    example: false,
  },
  {
    section: 'ingest',
    key: 'registration_timeout_seconds',
    kind: 'integer',
    default: 10,
    min: 1,
    max: 3600,
    unit: 'seconds',
    summary: 'a connection that has not registered by then is closed',
    example: 30,
  },
  {
    section: 'ingest',
    key: 'unknown_after_seconds',
    kind: 'integer',
    default: 90,
    min: 1,
    max: 86_400,
    unit: 'seconds',
    summary: 'a node silent for so long reads Unknown',
    example: 60,
  },
  {
    section: 'ingest',
    key: 'close_after_seconds',
    kind: 'integer',
    default: 300,
    min: 2,
    max: 604_800,
    unit: 'seconds',
    summary: 'a node silent for so long is disconnected',
    example: 600,
  },
  {
    section: 'storage',
    key: 'dir',
    kind: 'string',
    format: 'path',
    default: './data',
    summary: 'data directory; a relative one starts where Core is started',
    example: '/var/lib/honeybee',
  },
  {
    section: 'storage',
    key: 'segment_bytes',
    kind: 'integer',
    default: 256 * MiB,
    min: 64 * KiB,
    max: 16 * GiB,
    unit: 'bytes',
    summary: 'size at which the event log starts its next file',
    example: 1 * GiB,
  },
  {
    section: 'storage',
    key: 'segment_seconds',
    kind: 'integer',
    default: 3600,
    min: 0,
    max: 31_536_000,
    unit: 'seconds',
    summary: 'age at which the event log starts its next file; 0: only by size',
    example: 86_400,
  },
  {
    section: 'storage',
    key: 'fsync',
    kind: 'choice',
    default: 'interval',
    choices: ['interval', 'always', 'never'],
    summary:
      'when events are forced to the disk: in groups, one group after the other, or when the system likes',
    example: 'always',
  },
  {
    section: 'storage',
    key: 'fsync_interval_ms',
    kind: 'integer',
    default: 50,
    min: 1,
    max: 60_000,
    unit: 'ms',
    summary: 'how long an event waits at most until it is forced to the disk',
    example: 200,
  },
  {
    section: 'storage',
    key: 'compress',
    kind: 'choice',
    default: 'off',
    choices: ['off', 'gzip'],
    summary: 'compresses finished files of the event log',
    example: 'gzip',
  },
  {
    section: 'storage',
    key: 'retention_bytes',
    kind: 'integer',
    default: 0,
    min: 0,
    max: 1024 * 1024 * GiB,
    unit: 'bytes',
    summary: 'the oldest files of the event log are deleted while it is larger; 0: no limit',
    example: 500 * GiB,
  },
  {
    section: 'storage',
    key: 'retention_seconds',
    kind: 'integer',
    default: 0,
    min: 0,
    max: 3_153_600_000,
    unit: 'seconds',
    summary: 'files of the event log are deleted when all in them is older; 0: no limit',
    example: 7_776_000,
  },
  {
    section: 'storage',
    key: 'retention_free_bytes',
    kind: 'integer',
    default: 0,
    min: 0,
    max: 1024 * 1024 * GiB,
    unit: 'bytes',
    summary: 'the oldest files of the event log are deleted while less is free on the disk; 0: no limit',
    example: 10 * GiB,
  },
  {
    section: 'storage',
    key: 'retention_force',
    kind: 'boolean',
    default: false,
    summary: 'retention deletes also what a named consumer has not acknowledged yet',
    example: true,
  },
  {
    section: 'storage',
    key: 'signing_key_file',
    kind: 'string',
    format: 'file',
    default: '',
    summary: 'Ed25519 key in PEM that signs finished files of the event log; empty: not signed',
    example: '/etc/honeybee/evidence.pem',
  },
  {
    section: 'storage',
    key: 'dead_letter_bytes',
    kind: 'integer',
    default: 256 * MiB,
    min: LIMITS.deadLetterBytesMin,
    max: 16 * GiB,
    unit: 'bytes',
    summary: 'disk space for refused frames',
    example: 1 * GiB,
  },
  {
    section: 'stream',
    key: 'max_consumers',
    kind: 'integer',
    default: 256,
    min: 1,
    max: 10_000,
    summary: 'WebSocket consumers connected at once',
    example: 1000,
  },
  {
    section: 'stream',
    key: 'consumer_buffer_bytes',
    kind: 'integer',
    default: 64 * MiB,
    min: 2 * MiB,
    max: 1 * GiB,
    unit: 'bytes',
    summary: 'bytes that may wait in memory for one consumer',
    example: 16 * MiB,
  },
  {
    section: 'auth',
    key: 'totp',
    kind: 'choice',
    default: 'optional',
    choices: ['off', 'optional', 'required'],
    summary: 'one-time codes of nodes: ignored, asked of names that have a secret, or asked of all',
    example: 'required',
  },
  {
    section: 'auth',
    key: 'allow_anonymous',
    kind: 'boolean',
    default: false,
    summary: 'lets everybody without a token read, stream and command',
    example: true,
  },
  {
    section: 'auth',
    key: 'allowed_origins',
    kind: 'string',
    format: 'origins',
    default: '',
    summary: 'web pages that may use REST and WebSocket from a browser (CORS)',
    example: 'https://soc.example.org',
  },
  {
    section: 'auth',
    key: 'key_file',
    kind: 'string',
    format: 'file',
    default: '',
    summary: 'key that encrypts secrets of nodes; empty: secret.key in the data directory',
    example: '/etc/honeybee/secret.key',
  },
  {
    section: 'tls',
    key: 'cert_file',
    kind: 'string',
    format: 'file',
    default: '',
    summary: "Core's certificate and its chain, in PEM; with key_file it turns TLS on",
    example: '/etc/honeybee/tls/fullchain.pem',
  },
  {
    section: 'tls',
    key: 'key_file',
    kind: 'string',
    format: 'file',
    default: '',
    summary: 'key of the certificate, in PEM',
    example: '/etc/honeybee/tls/privkey.pem',
  },
  {
    section: 'tls',
    key: 'ca_file',
    kind: 'string',
    format: 'file',
    default: '',
    summary: 'CAs whose certificates nodes may show, in PEM',
    example: '/etc/honeybee/tls/nodes-ca.pem',
  },
  {
    section: 'tls',
    key: 'crl_file',
    kind: 'string',
    format: 'file',
    default: '',
    summary: 'revoked certificates of nodes (CRLs of the CAs), in PEM',
    example: '/etc/honeybee/tls/nodes-crl.pem',
  },
  {
    section: 'tls',
    key: 'require_client_cert',
    kind: 'boolean',
    default: false,
    summary: 'nodes must show a certificate of a CA in ca_file',
    example: true,
  },
  {
    section: 'tls',
    key: 'match_node_name',
    kind: 'boolean',
    default: false,
    summary: "a node's certificate must bear its node_name",
    example: true,
  },
  {
    section: 'tls',
    key: 'plain_text',
    kind: 'boolean',
    default: false,
    summary: 'still takes nodes without TLS on the same port',
    example: true,
  },
  {
    section: 'tls',
    key: 'backend',
    kind: 'boolean',
    default: true,
    summary: 'TLS on the REST port, too',
    example: false,
  },
  {
    section: 'tls',
    key: 'proxy',
    kind: 'boolean',
    default: true,
    summary: 'TLS on the WebSocket port, too',
    example: false,
  },
  {
    section: 'rest',
    key: 'requests_per_minute',
    kind: 'integer',
    default: 60_000,
    min: 0,
    max: 100_000_000,
    summary: 'requests of one token, or of one address without a token; 0: no limit',
    example: 6000,
  },
  {
    section: 'commands',
    key: 'ttl_seconds',
    kind: 'integer',
    default: 3600,
    min: 1,
    max: 31_536_000,
    unit: 'seconds',
    summary: 'time a command waits for a node that is not connected',
    example: 86_400,
  },
  {
    section: 'commands',
    key: 'timeout_seconds',
    kind: 'integer',
    default: 300,
    min: 1,
    max: 86_400,
    unit: 'seconds',
    summary: 'time a node has to do what it was told',
    example: 60,
  },
  {
    section: 'admission',
    key: 'accepts_per_second',
    kind: 'integer',
    default: 2000,
    min: 1,
    max: 1_000_000,
    summary: 'new node connections in a second; more wait their turn, addresses take turns',
    example: 500,
  },
  {
    section: 'admission',
    key: 'connections_per_address',
    kind: 'integer',
    default: 0,
    min: 0,
    max: 1_000_000,
    summary: 'nodes connected from one address at once; 0: three quarters of ingest.max_connections',
    example: 1000,
  },
  {
    section: 'admission',
    key: 'max_errors_per_minute',
    kind: 'integer',
    default: 10_000,
    min: 0,
    max: 100_000_000,
    summary: 'refused frames in a minute above which a node is disconnected; 0: never',
    example: 1000,
  },
] as const satisfies readonly Setting[];

type Row = (typeof SETTINGS)[number];

type ValueOf<R extends Row> = R extends { kind: 'integer' }
  ? number
  : R extends { kind: 'boolean' }
    ? boolean
    : R extends { kind: 'choice'; choices: readonly (infer Choice)[] }
      ? Choice
      : string;

type FromTable = {
  readonly [S in Row['section']]: {
    readonly [R in Extract<Row, { section: S }> as R['key']]: ValueOf<R>;
  };
};

type Holds<Claim extends true> = Claim;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

/** Does not compile when the table and {@link Config} disagree about a setting, its type or its choices. */
export type TableMatchesConfig = Holds<Same<FromTable, Config>>;

/** `server.node_port`: how a setting is called in messages; also its flag, behind two dashes. */
export type SettingName = {
  [S in keyof Config]: `${S}.${keyof Config[S] & string}`;
}[keyof Config];

const BY_NAME: ReadonlyMap<string, Setting> = new Map(
  SETTINGS.map((setting) => [settingName(setting), setting]),
);

export function settingName(setting: Setting): SettingName {
  return `${setting.section}.${setting.key}` as SettingName;
}

/** `HONEYBEE_SERVER_NODE_PORT` */
export function environmentName(setting: Setting): string {
  return `HONEYBEE_${setting.section}_${setting.key}`.toUpperCase();
}

export function findSetting(name: string): Setting | undefined {
  return BY_NAME.get(name);
}

export function isSection(name: string): name is keyof typeof SECTIONS {
  return Object.hasOwn(SECTIONS, name);
}

export function settingsOf(section: string): readonly Setting[] {
  return SETTINGS.filter((setting) => setting.section === section);
}
