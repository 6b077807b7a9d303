#!/usr/bin/env node
/**
 * A complete, small HoneyBee node in one file, made to be copied: it needs Node 20.19 or newer and nothing else.
 * It registers with Core (with one-time codes, once it has a key), sends heartbeats, reconnects, takes honeypots' events
 * as JSON lines (TCP 9100, a log file), wraps each into a PotEvent, and answers the commands Core sends.
 * docs/writing-a-node.md explains the wire.
 *
 *   honeypot ──JSON lines──▶ linesOf ▶ wrapLine ▶ Memory | Spool ▶ session ──one JSON frame a line──▶ Core:9001
 *                                                          ▲                                              │
 *                                                          └───────── EventAck: Core has it on disk ──────┘
 *
 * It must never drop an event it can keep: while Core is away or slow the queue fills up, then the file is not read
 * on and honeypots on 9100 are held back by TCP.
 *
 * With --spool nothing is lost, and nothing arrives twice, whatever breaks: an event is this node's once its line is in
 * the spool, it is forced to the disk before it is sent, and it stays there until Core says that it has it on its own disk
 * (EventAck). Then the connection may break, Core and this process may be killed, the power may fail.
 *
 * Without --spool the queue is in memory. What is in it when the process ends is gone, and the summary says how many.
 * What a broken connection costs then: an event counts as sent once the operating system took its bytes. What it took and
 * Core had not read yet is lost (a socket buffer or two). A batch it took only in part is sent again, so events of it
 * may arrive twice.
 */
import { isUtf8 } from 'node:buffer';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import net from 'node:net';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const LIMITS = {
  frameWarnBytes: 64 * 1024, // what nodes are told to stay under
  frameBytes: 1024 * 1024, // what Core takes by default; more is refused here
  queueEvents: 20_000, // unsent events in memory; above this, or the next, no more is read
  queueBytes: 16 * 1024 * 1024,
  batchBytes: 64 * 1024, // joined into one write; after a break at most this arrives twice without a spool
  spoolBytes: 1024 * 1024 * 1024, // --spool-bytes; above it no more is read, the queue in memory is full, too
  spoolBytesMin: 1024 * 1024,
  spoolFileBytes: 4 * 1024 * 1024, // a file of the spool is deleted when Core has all that is in it
  spoolCommitBytes: 1024 * 1024, // written and forced to the disk at once
  spoolRetryMs: 1000, // after a write to the spool that failed
  seqBytes: 24, // what an event grows by when it is numbered
  seqSkip: 2 ** 20, // numbers left out where the spool does not know which ones were used
  peers: 256, // honeypots connected to 9100 at once; each may hold one unfinished line
  pots: 256, // pots with a status of their own; events of further ones pass without
  answers: 1000, // waiting to be written; above it Core asks and does not read
  backoffMinMs: 500, // pause before a reconnect; doubles up to the next
  backoffMaxMs: 30_000,
  stableMs: 20_000, // after a session of this length the pause is the shortest again
  answerMs: 15_000, // for Core to accept the connection, and to answer the registration
  refusals: 5, // registrations refused in a row, for a reason that may pass, before the node gives up
  drainMs: 5_000, // on a signal: for the queue to empty
  leaveMs: 3_000, // for Core to read all up to NodeDrop, and to close
  followMs: 200, // a followed file is looked at so often
  installMs: 500, // what stands here in place of installing a honeypot takes so long
} as const;

const EXIT = { ok: 0, refused: 2, usage: 64, noInput: 66, unavailable: 69, software: 70 } as const;

/** An end with a message for people. */
class Fatal extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** For the summary: each line is sent, skipped, oversized, held back with a stopped pot, or still unsent. With a spool
 *  an event may be sent more than once; it is acknowledged once. */
const counts = {
  lines: 0,
  sent: 0,
  acknowledged: 0,
  skipped: 0,
  oversized: 0,
  held: 0,
  sessions: 0,
  commands: 0,
  errors: 0,
};
const warned = new Map<string, number>();

/** Lines may quote what attackers or Core wrote: nothing but printable ASCII goes out. */
function print(text: string): void {
  process.stderr.write(`honeybee-node: ${text.slice(0, 2000).replace(/[^\x20-\x7e]/g, '?')}\n`);
}

/** Of each kind the first three, then the 10th, 100th and so on: what comes a million times must not fill a disk. */
function warn(kind: string, text: string): void {
  const count = (warned.get(kind) ?? 0) + 1;
  warned.set(kind, count);
  if (count <= 3 || /^10+$/.test(String(count))) print(count > 3 ? `${text} (${count} times so far)` : text);
}

// ---- options and identity -------------------------------------------------------------------------------------------

const HELP = `A small HoneyBee node. Usage: npm run node -- [options]

  --core HOST:PORT         Core's node port (127.0.0.1:9001)
  --tls                    TLS 1.3; --ca FILE: the authority to trust
  --cert FILE --key FILE   with --tls: the certificate this node shows, and its key
  --name NAME              what Core remembers this node by (${hostname()})
  --id U64                 node id (random, or the one in --state)
  --state FILE             remembers the node id, and the key that Core issues for one-time codes
  --spool FOLDER           keeps events on disk until Core has them on its own: nothing is lost; also the state, where
                           --state names no other file
  --spool-bytes N          size of the spool above which no more events are taken (1 GiB)
  --type Full|Agent        (Full)
  --pot-type TYPE          for lines that carry no pot_type (cowrie)
  --pot-id ID              for lines that carry no pot_id (TYPE-01)
  --listen [HOST:]PORT     take JSON lines here (127.0.0.1:9100; off for a file that is not followed)
  --no-listen              do not
  --file PATH              send a honeypot's log file, then end
  --follow                 do not end: send what is appended, across truncation and rotation
  --raw                    send lines that are not JSON objects as {"raw": line}, in place of skipping them
  --totp CODE              sent while this node has no key; with --state it asks for one by itself
  --heartbeat-seconds N    (30)
  --quiet                  warnings and errors only

Commands from Core go to standard output, one JSON line each; everything else to standard error.`;

function readOptions(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const flags = { tls: flag, 'no-listen': flag, follow: flag, raw: flag, quiet: flag, help: flag };
  const texts = {
    ca: text,
    cert: text,
    key: text,
    id: text,
    state: text,
    'pot-id': text,
    listen: text,
    file: text,
    totp: text,
    spool: text,
  };
  const { values } = parseArgs({
    args,
    options: {
      ...flags,
      ...texts,
      core: { ...text, default: '127.0.0.1:9001' },
      name: { ...text, default: hostname() },
      type: { ...text, default: 'Full' },
      'pot-type': { ...text, default: 'cowrie' },
      'heartbeat-seconds': { ...text, default: '30' },
      'spool-bytes': { ...text, default: String(LIMITS.spoolBytes) },
    },
  });
  const potType = values['pot-type'];
  const potId = values['pot-id'] ?? `${potType}-01`;
  const heartbeatMs = Number(values['heartbeat-seconds']) * 1000;
  const demand = (met: boolean, what: string) => {
    if (!met) throw new Fatal(EXIT.usage, `${what}; see --help`);
  };
  demand(heartbeatMs >= 10 && heartbeatMs <= 86_400_000, '--heartbeat-seconds is 0.01 to 86400');
  const spoolBytes = Number(values['spool-bytes']);
  demand(
    Number.isSafeInteger(spoolBytes) && spoolBytes >= LIMITS.spoolBytesMin,
    `--spool-bytes is ${LIMITS.spoolBytesMin} or more`,
  );
  demand(/^(Full|Agent)$/.test(values.type), '--type is Full or Agent');
  demand(!values.follow || values.file !== undefined, '--follow needs --file');
  demand([values.name, potId, potType].every(isName), '--name, --pot-id, --pot-type are 1 to 255 characters');
  const address = (option: string, value: string, defaultHost?: string) => {
    const [, v6, name, digits] = /^(?:\[(.+)\]:|([^:]+):)?(\d{1,5})$/.exec(value) ?? [];
    const host = v6 ?? name ?? defaultHost ?? '';
    demand(host !== '' && Number(digits) <= 65_535, `${option}: not an address: ${value}`);
    return { host, port: Number(digits) };
  };
  const core = address('--core', values.core);
  const listens =
    !values['no-listen'] && (values.listen !== undefined || values.file === undefined || values.follow);
  const listen = listens ? address('--listen', values.listen ?? '9100', '127.0.0.1') : undefined;
  const files = [values.ca, values.cert, values.key];
  demand(values.tls || files.every((file) => file === undefined), '--ca, --cert and --key go with --tls');
  demand((values.cert === undefined) === (values.key === undefined), '--cert and --key go together');
  const [ca, cert, key] = files.map((file) => {
    try {
      return file === undefined ? undefined : readFileSync(file);
    } catch (error) {
      throw new Fatal(EXIT.noInput, `${file}: ${(error as Error).message}`);
    }
  });
  const state = values.state ?? (values.spool === undefined ? undefined : join(values.spool, 'state'));
  return {
    ...values,
    state,
    core,
    trust: { ca, cert, key },
    potType,
    potId,
    listen,
    heartbeatMs,
    spoolBytes,
  };
}
type Options = ReturnType<typeof readOptions>;

/**
 * Who this node is, over restarts: its id, and the key of its one-time codes. The key is a secret that Core issues once
 * and never again: it is on the disk before anything else happens, readable by nobody else, and is never printed.
 *
 *   --state FILE   {"node_id":"9007199254740993","totp_key":"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}
 */
class Identity {
  /** Ids are unsigned 64-bit, a JavaScript number would round most of them: bigint here, digits on every wire. */
  readonly nodeId: bigint;
  readonly #file: string | undefined;
  readonly #firstCode: string | undefined;
  #key: string | undefined;

  constructor({ id, state, totp }: Options) {
    const known = state === undefined ? {} : readState(state);
    const digits = id ?? known.node_id ?? String(randomBytes(8).readBigUInt64BE() || 1n);
    this.nodeId = /^\d{1,20}$/.test(digits) ? BigInt(digits) : 0n;
    if (this.nodeId < 1n || this.nodeId >= 2n ** 64n)
      throw new Fatal(EXIT.usage, `a node id is 1 to ${2n ** 64n - 1n}`);
    this.#key = known.totp_key;
    this.#file = state;
    // Core enrols a new name that sends any code; a node that could not keep the key must not ask for it.
    this.#firstCode = totp ?? (state === undefined ? undefined : '000000');
    this.#save();
  }

  /** What goes into the registration. */
  get credentials(): { totp_code?: string } {
    const code = this.#key === undefined ? this.#firstCode : totpCode(this.#key, Date.now());
    return code === undefined ? {} : { totp_code: code };
  }

  keepKey(key: string): void {
    if (!isKey(key)) return warn('totp', 'Core issued a TOTP key that is not base32; ignored');
    this.#key = key;
    if (this.#file === undefined)
      return warn('totp', 'Core issued a TOTP key; without --state it is lost when this process ends');
    try {
      this.#save();
      print(`Core issued a TOTP key; it is kept in ${this.#file}`);
    } catch (error) {
      warn('totp', `Core issued a TOTP key, which cannot be kept: ${(error as Error).message}`);
    }
  }

  /** Whole or not at all: a new file takes the place of the old one. */
  #save(): void {
    if (this.#file === undefined) return;
    const next = `${this.#file}.tmp`;
    try {
      rmSync(next, { force: true });
      const fd = openSync(next, 'wx', 0o600);
      writeSync(fd, `${JSON.stringify({ node_id: String(this.nodeId), totp_key: this.#key })}\n`);
      fsyncSync(fd);
      closeSync(fd);
      renameSync(next, this.#file);
      syncFolder(dirname(this.#file));
    } catch (error) {
      throw new Fatal(EXIT.usage, `--state: ${(error as Error).message}`);
    }
  }
}

function readState(file: string): { node_id?: string; totp_key?: string } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
    if ((statSync(file).mode & 0o077) !== 0) warn('state', `${file} was readable by others; mended`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Fatal(EXIT.usage, `--state: ${(error as Error).message}`);
  }
  if (/^\d+$/.test(text)) return { node_id: text };
  const { node_id, totp_key } = parseObject(text) ?? {};
  if ((node_id !== undefined && typeof node_id !== 'string') || (totp_key !== undefined && !isKey(totp_key)))
    throw new Fatal(
      EXIT.usage,
      `--state: ${file} holds something else than {"node_id":"...","totp_key":"..."}`,
    );
  if (node_id === undefined && totp_key === undefined)
    throw new Fatal(EXIT.usage, `--state: ${file} is not a state file of this node`);
  return { ...(node_id === undefined ? {} : { node_id }), ...(totp_key === undefined ? {} : { totp_key }) };
}

const isKey = (value: unknown): value is string =>
  typeof value === 'string' && /^[A-Z2-7]{16,128}$/.test(value);

/** RFC 6238: HMAC-SHA-1 over the number of the 30-second step, six digits. `key` is base32. */
export function totpCode(key: string, atMs: number): string {
  const bits = [...key]
    .map((digit) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(digit).toString(2).padStart(5, '0'))
    .join('');
  const secret = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(atMs / 30_000)));
  const digest = createHmac('sha1', secret).update(step).digest();
  const value = digest.readUInt32BE(digest.at(-1)! & 15) & 0x7fff_ffff;
  return String(value % 1_000_000).padStart(6, '0');
}

// ---- lines and JSON as text -----------------------------------------------------------------------------------------

/** What is read; a line cannot go on across a `new file`. */
export type Chunk = Buffer | 'new file';

/** Cuts bytes into lines, wherever the chunks end. A line above `frameBytes` is skipped and comes out as `null`. */
export async function* linesOf(source: AsyncIterable<Chunk>): AsyncGenerator<Buffer | null> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const keep = (part: Buffer) => {
    bytes += part.length;
    if (bytes <= LIMITS.frameBytes) parts.push(part);
    else parts = [];
  };
  const take = () => {
    const line = bytes <= LIMITS.frameBytes ? Buffer.concat(parts) : null;
    parts = [];
    bytes = 0;
    return line;
  };
  for await (const chunk of source) {
    if (chunk === 'new file') yield take();
    else {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        keep(chunk.subarray(start, end));
        start = end + 1;
        yield take();
      }
      if (start < chunk.length) keep(Buffer.from(chunk.subarray(start))); // copied: the chunk may be read into again
    }
  }
  yield take(); // the last line, where its newline is missing
}

const isName = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= 255;
const asName = (value: unknown) => (isName(value) ? value : undefined);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object a text says, `undefined` where it says anything else or is not JSON. */
function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A member of an object: its key, the text of its value, and its whole text (`"key": value`). */
type Member = { readonly key: string; readonly value: string; readonly text: string };

/**
 * Cuts an object into the text its members were written in. `JSON.stringify(JSON.parse(line))` would destroy numbers
 * above 2^53 and rewrite escapes, so what is passed on is cut out and never re-made. Only for text that `JSON.parse`
 * accepted as an object: nothing is checked here.
 */
export function splitMembers(text: string): Member[] {
  const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
  const members: Member[] = [];
  let places: number[] = []; // of a member's key: start and end; of its value: start
  let [depth, end] = [0, 0];
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    const [what] = found;
    if (what === '}' || what === ']') depth--;
    if (places.length === 3 && (depth === 0 || (depth === 1 && what === ','))) {
      const [key, keyEnd, value] = places as [number, number, number];
      members.push({
        key: JSON.parse(text.slice(key, keyEnd)),
        value: text.slice(value, end),
        text: text.slice(key, end),
      });
      places = [];
    } else if (depth === 1 && places.length === 0) places = [found.index, token.lastIndex];
    else if (depth === 1 && places.length === 2 && what !== ':') places.push(found.index);
    if (what === '{' || what === '[') depth++;
    end = token.lastIndex;
  }
  return members;
}

// ---- from a honeypot's line to a PotEvent ---------------------------------------------------------------------------

export type Origin = { readonly nodeId: bigint; readonly potId: string; readonly potType: string };

/**
 * The PotEvent for one line, or `undefined` where the line is not a JSON object. `eventid` or `event_type`,
 * `timestamp`, `pot_id` and `pot_type` move to the event where they are fit to be used as they stand; everything else
 * stays in `data`, also what was only copied from (an epoch, OpenCanary's `logtype`), so nothing is lost.
 */
export function wrapLine(line: string, own: Origin): (Origin & { frame: Buffer }) | undefined {
  if (parseObject(line) === undefined) return undefined;
  const members = splitMembers(line);
  const values = new Map(members.map(({ key, value }) => [key, value])); // of a key that stands twice, the last
  const read = (key: string): unknown => JSON.parse(values.get(key) ?? 'null');
  const move = (key: string, fit: (value: unknown) => string | undefined) => {
    const value = fit(read(key));
    const at = value === read(key) ? members.findLastIndex((member) => member.key === key) : -1;
    if (at >= 0) members.splice(at, 1);
    return value;
  };
  const potId = move('pot_id', asName) ?? asName(read('honeybee_honeypot_id')) ?? own.potId;
  const potType = move('pot_type', asName) ?? asName(read('honeybee_honeypot_type')) ?? own.potType;
  const event_type = move('eventid', asName) ?? move('event_type', asName) ?? guessEventType(read);
  const others = ['@timestamp', 'utc_time', 'local_time', 'date', 'time'].map((key) => toIso(read(key)));
  const timestamp = move('timestamp', toIso) ?? others.find(isName) ?? new Date().toISOString();
  const nested = members.length === 1 && members[0]!.key === 'data' && members[0]!.value.startsWith('{');
  const data = nested ? members[0]!.value : `{${members.map(({ text }) => text).join(',')}}`;
  const head = JSON.stringify({ pot_id: potId, pot_type: potType, event_type, timestamp }).slice(1, -1);
  const frame = Buffer.from(envelope(`{"PotEvent":{"node_id":${own.nodeId},${head},"data":${data}}}`));
  return { nodeId: own.nodeId, potId, potType, frame };
}

/** For honeypots that name their events neither `eventid` (Cowrie, HonnyPotter) nor `event_type` (Conpot). */
function guessEventType(read: (key: string) => unknown): string {
  const [logtype, connection, category, type] = ['logtype', 'connection', 'category', 'type'].map(read);
  if (typeof logtype === 'number') return `opencanary.${logtype}`;
  if (isObject(connection))
    return `dionaea.connection.${connection.transport}.${connection.type}`.slice(0, 255);
  if (isObject(read('attack_connection'))) return 'honeytrap.attack_connection'; // the one written in C
  if (Array.isArray(read('auth_attempts'))) return 'heralding.session';
  if (isName(category) && isName(type)) return `${category}.${type}`.slice(0, 255); // HoneyTrap
  return [read('origin'), read('data_type'), read('event'), type, category].find(isName) ?? 'unknown';
}

/** A timestamp of Protocol v2, from one (as it is), or from s, ms, us or ns since 1970; `undefined` from all else. */
export function toIso(value: unknown): string | undefined {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  const iso = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?$/.exec(
    text,
  );
  if (iso !== null) {
    const utc = `${iso[1]}T${iso[2]!.replace(/60$/, '59')}.000Z`; // 60 is a leap second
    const moment = Date.parse(utc);
    return Number.isFinite(moment) && new Date(moment).toISOString() === utc ? text : undefined; // no 30 February
  }
  const epoch = /^\d{1,19}(\.\d+)?$/.test(text) ? Number(text) : 0;
  const perSecond = [1, 1e3, 1e6, 1e9].find((unit) => epoch < 1e11 * unit) ?? 1;
  return epoch > 0 ? new Date((epoch / perSecond) * 1000).toISOString() : undefined;
}

// ---- what waits for Core --------------------------------------------------------------------------------------------

/** Frames of events as they go out together. */
type Batch = { readonly bytes: Buffer; readonly count: number };

/** Where events wait for Core. */
interface EventQueue {
  /** Who brings events must wait for `room` while this is so: that is the bound. */
  readonly full: boolean;
  /** Events that Core does not have yet, as far as this node knows. */
  readonly waiting: number;
  push(frame: Buffer): void;
  /** A session begins. `lastSeq`: Core has all events up to it, and acknowledges more; `undefined`: it does not. */
  begin(lastSeq: number | undefined): void;
  /** What is to be written now, about `batchBytes`; the same again until it is `sent` or a session begins. */
  next(): Batch | undefined;
  /** The system took it. */
  sent(batch: Batch): void;
  acknowledge(seq: number): void;
  /** The node is about to end and takes what it has in its hands, no more: nobody need wait. */
  unbound(): void;
  /** How many events are on the disk for the next start. */
  close(): Promise<number>;
}

/** Events in memory. They are gone from here once the system took them. */
class Memory implements EventQueue {
  #events: Buffer[] = [];
  #bytes = 0;
  #bounded = true;
  readonly #onWork: () => void;

  constructor(onWork: () => void) {
    this.#onWork = onWork;
  }
  get full(): boolean {
    return this.#bounded && (this.#events.length >= LIMITS.queueEvents || this.#bytes >= LIMITS.queueBytes);
  }
  get waiting(): number {
    return this.#events.length;
  }
  push(frame: Buffer): void {
    this.#bytes += frame.length;
    this.#events.push(frame);
    this.#onWork();
  }
  begin(): void {}
  next(): Batch | undefined {
    let count = 0;
    for (let bytes = 0; count < this.#events.length && bytes < LIMITS.batchBytes; )
      bytes += this.#events[count++]!.length;
    return count === 0 ? undefined : { bytes: Buffer.concat(this.#events.slice(0, count)), count };
  }
  sent({ bytes, count }: Batch): void {
    this.#events.splice(0, count);
    this.#bytes -= bytes.length;
  }
  acknowledge(): void {}
  unbound(): void {
    this.#bounded = false;
  }
  async close(): Promise<number> {
    return 0;
  }
}

/** A file of the spool holds the events [first, end), one frame a line, in `bytes` bytes that are forced to the disk. */
type SpoolFile = { readonly path: string; readonly first: number; end: number; bytes: number };

/**
 * Events on disk, numbered, until Core has acknowledged them. Files of frames as they are sent, named by the number of
 * their first event (the n-th line is event first + n - 1), the oldest first:
 *
 *   00000000000000000001.ndjson   | acknowledged ... | sent, not acknowledged ... | not sent ... |   in memory
 *   00000000000000012345.ndjson                   #acked                       #place         #next     #coming
 *
 * Rules: an event gets its number when it is written, numbers only go up, and a frame goes out only after its line was
 * forced to the disk (fdatasync). So Core never knows a number that the spool does not, and no number is used twice.
 * A new session sends everything from the first event that is not acknowledged; Core drops what it has.
 */
class Spool implements EventQueue {
  readonly #folder: string;
  readonly #limitBytes: number;
  readonly #nodeId: bigint;
  /** What every frame begins with; the number is put behind it. */
  readonly #head: Buffer;
  readonly #onChange: () => void;
  #files: SpoolFile[] = [];
  #bytes = 0;
  /** Taken, not on the disk yet. */
  #coming: Buffer[] = [];
  #comingBytes = 0;
  /** Number of the next event that is written; 0: this spool is new, and Core has to say where to begin. */
  #next = 0;
  #acked = 0;
  /** From this number on nothing was ever sent: all of it came since the last session, or since this process began. */
  #unsent = 0;
  /** What is sent next. */
  #place: { file: SpoolFile; offset: number; seq: number } | undefined;
  #acknowledges = false;
  #bounded = true;
  #writing = Promise.resolve();
  #isWriting = false;

  constructor(folder: string, limitBytes: number, nodeId: bigint, onChange: () => void) {
    this.#folder = folder;
    this.#limitBytes = limitBytes;
    this.#nodeId = nodeId;
    this.#head = Buffer.from(envelope(`{"PotEvent":{"node_id":${nodeId},`).slice(0, -2));
    this.#onChange = onChange;
    this.#open();
  }

  get full(): boolean {
    const isFull = this.#coming.length >= LIMITS.queueEvents || this.#comingBytes >= LIMITS.queueBytes;
    // The newest file goes when there is a newer one, but takes no room from anybody once Core has all of it.
    const last = this.#files.at(-1);
    const bytes = last !== undefined && last.end <= this.#acked + 1 ? 0 : this.#bytes;
    return this.#bounded && (isFull || bytes >= this.#limitBytes);
  }

  get waiting(): number {
    return this.#coming.length + this.#spooled;
  }

  /** On the disk, and not acknowledged. */
  get #spooled(): number {
    return this.#files.reduce(
      (sum, { first, end }) => sum + Math.max(0, end - Math.max(first, this.#acked + 1)),
      0,
    );
  }

  push(frame: Buffer): void {
    this.#coming.push(frame);
    this.#comingBytes += frame.length;
    this.#write();
  }

  begin(lastSeq: number | undefined): void {
    this.#acknowledges = lastSeq !== undefined;
    if (lastSeq === undefined)
      warn('ack', 'Core does not acknowledge events: they leave the spool when they are sent');
    const last = lastSeq ?? 0;
    if (this.#next === 0 || last >= this.#unsent) {
      // A new spool of a node that Core knows, or one that was put back from a copy. What this node sent last and Core
      // has not forced to its disk yet is above `last`, so a number just behind it could be one that Core knows.
      if (last > 0) warn('seq', `Core knows events up to ${last} of this node, and this spool does not`);
      // Behind those of this spool, too, which may hold more than that.
      const first = last === 0 ? 1 : Math.max(last + LIMITS.seqSkip, this.#next);
      this.#renumber(first);
      this.acknowledge(first - 1);
      counts.acknowledged -= this.#next - first; // those that were moved are still there
      this.#place = undefined;
    } else this.acknowledge(last);
    this.#forgetUnsent();
    this.#seek(this.#acked + 1);
    this.#write();
  }

  next(): Batch | undefined {
    if (this.#place === undefined || this.#place.seq <= this.#acked) this.#seek(this.#acked + 1);
    const following = this.#place && this.#files[this.#files.indexOf(this.#place.file) + 1];
    if (this.#place && following && this.#place.offset >= this.#place.file.bytes)
      this.#place = { file: following, offset: 0, seq: following.first };
    if (this.#place === undefined || this.#place.offset >= this.#place.file.bytes) return undefined;
    const { file, offset } = this.#place;
    for (let wanted: number = LIMITS.batchBytes; ; wanted *= 4) {
      const bytes = readPart(file.path, offset, Math.min(wanted, file.bytes - offset));
      const whole = bytes.subarray(0, bytes.lastIndexOf(10) + 1);
      if (whole.length > 0) {
        const count = countLines(whole);
        this.#unsent = Math.max(this.#unsent, this.#place.seq + count);
        return { bytes: whole, count };
      }
      if (offset + bytes.length >= file.bytes) throw new Fatal(EXIT.software, `${file.path} has changed`);
    }
  }

  sent({ bytes, count }: Batch): void {
    if (this.#place === undefined) return;
    this.#place.offset += bytes.length;
    this.#place.seq += count;
    if (!this.#acknowledges) this.acknowledge(this.#place.seq - 1);
  }

  acknowledge(seq: number): void {
    if (seq >= this.#next)
      return warn('ack', `Core acknowledged event ${seq}, which was never sent; ignored`);
    const before = this.#spooled;
    this.#acked = Math.max(this.#acked, seq);
    counts.acknowledged += before - this.#spooled;
    while (this.#files.length > 1 && this.#files[0]!.end <= this.#acked + 1) {
      const [file] = this.#files.splice(0, 1) as [SpoolFile];
      if (this.#place?.file === file) this.#place = undefined;
      this.#bytes -= file.bytes;
      rmSync(file.path, { force: true });
    }
    this.#onChange();
  }

  unbound(): void {
    this.#bounded = false;
  }

  async close(): Promise<number> {
    await Promise.race([this.#writing, delay(LIMITS.drainMs)]);
    const spooled = this.#spooled;
    if (spooled === 0 && (this.#files.at(-1)?.bytes ?? 0) > 0) {
      // All of it is Core's. The empty file keeps the number of the next event.
      this.#addFile(this.#next);
      this.acknowledge(this.#acked);
    }
    return spooled;
  }

  /** What an earlier run of this node has left. Its last line may be torn: it was never sent. */
  #open(): void {
    const names = readdirSync(this.#folder).filter((name) => /^\d{20}\.ndjson$/.test(name));
    for (const name of names.sort()) {
      const path = join(this.#folder, name);
      const first = Number(name.slice(0, 20));
      const bytes = readFileSync(path);
      const whole = this.#wholeLines(bytes, first);
      if (whole < bytes.length) {
        const left = bytes.length - whole;
        if (name !== names.at(-1))
          throw new Fatal(
            EXIT.usage,
            `--spool: ${path} is damaged at byte ${whole}; move it away to go on without it`,
          );
        warn('spool', `${path} ended with ${left} bytes that are no whole event; cut`);
        const fd = openSync(path, 'r+');
        ftruncateSync(fd, whole);
        fsyncSync(fd);
        closeSync(fd);
      }
      this.#files.push({ path, first, end: first + countLines(bytes.subarray(0, whole)), bytes: whole });
      this.#bytes += whole;
    }
    if (this.#files.length === 0) return;
    this.#next = this.#files.at(-1)!.end;
    this.#acked = this.#files[0]!.first - 1;
    this.#readUnsent();
  }

  /** What an earlier run took and could not send was never sent by this one either: the number is in a file until Core lets
   *  this node in. Without that file all of it may have been sent. */
  #readUnsent(): void {
    const path = this.#unsentPath;
    try {
      const kept = /^(\d{20})\n$/.exec(readFileSync(path, 'latin1'))?.[1];
      this.#unsent = Math.min(Number(kept ?? this.#next), this.#next);
      if (kept !== undefined) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#unsent = this.#next;
    }
    try {
      writeDurably(path, Buffer.from(`${String(this.#unsent).padStart(20, '0')}\n`));
      syncFolder(this.#folder);
    } catch (error) {
      // A full disk, say: this node can do its work all the same.
      warn('spool', `--spool: ${(error as Error).message}`);
    }
  }

  /** Before the first of it is sent. */
  #forgetUnsent(): void {
    rmSync(this.#unsentPath, { force: true });
    syncFolder(this.#folder);
  }

  get #unsentPath(): string {
    return join(this.#folder, 'unsent');
  }

  /** How many bytes hold whole frames of this node with the numbers that they should have. */
  #wholeLines(bytes: Buffer, first: number): number {
    let start = 0;
    for (let seq = first; ; seq++) {
      const end = bytes.indexOf(10, start);
      if (end < 0) return start;
      const line = bytes.subarray(start, end);
      const begin = Buffer.concat([this.#head, Buffer.from(`"seq":${seq},`)]);
      const isNext = line.subarray(0, begin.length).equals(begin);
      const [, id] =
        /^{"version":2,"message":{"PotEvent":{"node_id":(\d+),/.exec(String(line.subarray(0, 80))) ?? [];
      if (!isNext && id !== undefined && id !== String(this.#nodeId))
        throw new Fatal(
          EXIT.usage,
          `--spool: ${this.#folder} holds events of node ${id}, not of ${this.#nodeId}`,
        );
      if (!isNext || line.at(-1) !== 0x7d) return start;
      start = end + 1;
    }
  }

  /** Begins the next file, which starts with event `first`. */
  #addFile(first: number): void {
    const path = join(this.#folder, `${String(first).padStart(20, '0')}.ndjson`);
    closeSync(openSync(path, 'a', 0o600));
    syncFolder(this.#folder);
    this.#files.push({ path, first, end: first, bytes: 0 });
  }

  /** What was never sent goes on behind number `first`, in files of its own; its old numbers are of other events by now. */
  #renumber(first: number): void {
    const moved: SpoolFile[] = [];
    let next = first;
    for (const file of this.#files.filter(({ end }) => end > this.#unsent)) {
      const old = readPart(file.path, 0, file.bytes);
      const lines: Buffer[] = [];
      let start = 0;
      for (let seq = file.first; seq < file.end; seq++) {
        const end = old.indexOf(10, start) + 1;
        const rest = old.subarray(start + this.#head.length + `"seq":${seq},`.length, end);
        if (seq >= this.#unsent) lines.push(this.#head, Buffer.from(`"seq":${next++},`), rest);
        start = end;
      }
      moved.push(this.#newFile(moved.at(-1)?.end ?? first, next, Buffer.concat(lines)));
    }
    if (moved.length === 0) moved.push(this.#newFile(first, first, Buffer.alloc(0)));
    syncFolder(this.#folder);
    for (const { bytes } of moved) this.#bytes += bytes;
    this.#files.push(...moved);
    this.#next = next;
    this.#unsent = first;
  }

  #newFile(first: number, end: number, content: Buffer): SpoolFile {
    const path = join(this.#folder, `${String(first).padStart(20, '0')}.ndjson`);
    writeDurably(path, content);
    return { path, first, end, bytes: content.length };
  }

  #seek(seq: number): void {
    const file = this.#files.find(({ end }) => seq < end) ?? this.#files.at(-1);
    if (file === undefined) return;
    const from = Math.max(seq, file.first);
    const bytes = readPart(file.path, 0, file.bytes);
    let offset = 0;
    for (let skipped = file.first; skipped < Math.min(from, file.end); skipped++)
      offset = bytes.indexOf(10, offset) + 1;
    this.#place = { file, offset, seq: from };
  }

  /** Writes what came, in groups: while one is forced to the disk the next one gathers. */
  #write(): void {
    if (this.#isWriting || this.#next === 0 || this.#coming.length === 0) return;
    this.#isWriting = true;
    this.#writing = this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    while (this.#coming.length > 0) {
      const lines: Buffer[] = [];
      let bytes = 0;
      for (const frame of this.#coming) {
        if (bytes >= LIMITS.spoolCommitBytes) break;
        const number = Buffer.from(`"seq":${this.#next + lines.length},`);
        const line = Buffer.concat([this.#head, number, frame.subarray(this.#head.length)]);
        lines.push(line);
        bytes += line.length;
      }
      try {
        if (this.#files.at(-1)!.bytes >= Math.min(LIMITS.spoolFileBytes, this.#limitBytes / 4))
          this.#addFile(this.#next);
        const file = this.#files.at(-1)!;
        await writeAt(file.path, Buffer.concat(lines), file.bytes);
        // A session has begun meanwhile, and Core knows these numbers: the events get others.
        if (file !== this.#files.at(-1)) continue;
        file.bytes += bytes;
        this.#bytes += bytes;
        file.end += lines.length;
        this.#next = file.end;
      } catch (error) {
        // Also where only the fdatasync failed: what is in the file is not to be trusted then, and is written again.
        warn('spool', `--spool: ${(error as Error).message}; trying again`);
        if (!this.#bounded) break;
        await delay(LIMITS.spoolRetryMs);
        continue;
      }
      for (const frame of this.#coming.splice(0, lines.length)) this.#comingBytes -= frame.length;
      this.#onChange();
    }
    this.#isWriting = false; // in the same breath as the look at #coming, or the last event could be left there
  }
}

/** Writes at this place of the file and forces it to the disk. */
async function writeAt(path: string, bytes: Buffer, place: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    for (let done = 0; done < bytes.length; )
      done += (await file.write(bytes, done, bytes.length - done, place + done)).bytesWritten;
    await file.datasync();
  } finally {
    await file.close();
  }
}

function readPart(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  const fd = openSync(path, 'r');
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
  } finally {
    closeSync(fd);
  }
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}

function writeDurably(path: string, content: Buffer): void {
  const fd = openSync(path, 'w', 0o600);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A new name is safe on disk only when its folder is. */
function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Two processes must not write one spool. The claim ends with this process, however it ends (Linux only). */
async function claimSpool(folder: string): Promise<void> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Fatal(EXIT.usage, `--spool: ${(error as Error).message}`);
  }
  if (process.platform !== 'linux') return;
  const digest = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 32);
  const claim = net.createServer().listen({ path: `\0honeybee-node-${digest}` });
  await once(claim, 'listening').catch(() => {
    throw new Fatal(EXIT.unavailable, `--spool: ${folder} is in use by another node`);
  });
  claim.unref();
}

/** What goes out: events from the queue, and answers, which are told anew when lost. */
class Outbox extends EventEmitter<{ room: []; work: []; empty: [] }> {
  answers: string[] = [];
  readonly queue: EventQueue;

  constructor({ spool, spoolBytes }: Options, nodeId: bigint) {
    super();
    const onWork = () => void this.emit('work');
    this.queue =
      spool === undefined ? new Memory(onWork) : new Spool(spool, spoolBytes, nodeId, () => this.#changed());
  }
  say(...frames: string[]): void {
    if (this.answers.length < LIMITS.answers) this.answers.push(...frames);
    else warn('answers', 'Core asks and does not read; not answered');
    this.emit('work');
  }
  acknowledge(seq: number): void {
    this.queue.acknowledge(seq);
  }
  /** Resolves when Core has everything, as far as this node can know; while Core is away that may be long. */
  async emptied(): Promise<void> {
    const empty = once(this, 'empty');
    this.emit('work');
    await empty;
  }
  #changed(): void {
    this.emit('work');
    if (!this.queue.full) this.emit('room');
  }
}

const envelope = (message: string) => `{"version":2,"message":${message}}\n`;
const message = (name: string, fields: object) => envelope(JSON.stringify({ [name]: fields }));
/** With the node id in front, as digits: JSON.stringify knows no bigint. */
const messageOf = (nodeId: bigint, name: string, fields: object) =>
  envelope(`{"${name}":{"node_id":${nodeId},${JSON.stringify(fields).slice(1)}}`);

type Pot = { readonly type: string; status: 'Installing' | 'Running' | 'Stopped'; events: number };

/** The pots whose events pass, and the answers to Core's commands. A node that runs honeypots begins here. */
class Pots {
  readonly #nodeId: bigint;
  readonly #pots = new Map<string, Pot>();
  /** For news that no command is waiting for any more. */
  readonly #say: (frame: string) => void;

  constructor(nodeId: bigint, say: (frame: string) => void) {
    this.#nodeId = nodeId;
    this.#say = say;
  }

  /** The frames that announce a pot not seen before. */
  meet(id: string, type: string, status: Pot['status'] = 'Running'): string[] {
    if (this.#pots.has(id) || this.#pots.size >= LIMITS.pots) return [];
    this.#pots.set(id, { type, status, events: 0 });
    return [this.#status(id)];
  }

  /** Counts an event; false when Core has stopped its pot. */
  admit(id: string): boolean {
    const pot = this.#pots.get(id);
    if (pot?.status === 'Stopped') return false;
    if (pot !== undefined) pot.events++;
    return true;
  }

  statuses(): string[] {
    return [...this.#pots.keys()].map((id) => this.#status(id));
  }

  /** The answer to `{"StopPot":"cowrie-01"}`, `{"GetInstalledPots":{}}` and so on. Work that takes long answers at once
   *  with where it stands, and again when it is done. */
  answer(name: string, argument: unknown): string[] {
    if (name === 'GetInstalledPots' || name === 'UpdateConfig') return this.statuses();
    const { pot_id: id, honeypot_type, auto_start } = isObject(argument) ? argument : { pot_id: argument };
    if (!/^(Install|Deploy|Stop|Restart)Pot$|^GetPot(Status|Logs|Metrics|Info)$/.test(name) || !isName(id)) {
      const text = `this node does not know ${name.slice(0, 64)}`;
      return [message('NodeEvent', { type: 'Error', message: text })];
    }
    if (name === 'InstallPot')
      return this.#install(id, asName(honeypot_type) ?? 'unknown', auto_start === true);
    const pot = this.#pots.get(id);
    if (pot && /^(Deploy|Stop|Restart)/.test(name)) pot.status = name === 'StopPot' ? 'Stopped' : 'Running';
    return [this.#status(id)];
  }

  #install(id: string, type: string, start: boolean): string[] {
    const news = this.meet(id, type, 'Installing');
    const pot = this.#pots.get(id);
    if (news.length > 0 && pot !== undefined) {
      // Here a real node fetches and builds the honeypot.
      setTimeout(() => {
        if (pot.status === 'Installing') pot.status = start ? 'Running' : 'Stopped';
        this.#say(this.#status(id));
      }, LIMITS.installMs).unref();
    }
    return news.length > 0 ? news : [this.#status(id)];
  }

  #status(id: string): string {
    const pot = this.#pots.get(id);
    const text = pot === undefined ? 'no such pot on this node' : `${pot.events} events taken`;
    const fields = {
      pot_id: id,
      pot_type: pot?.type ?? 'unknown',
      status: pot?.status ?? 'Failed',
      message: text,
    };
    return messageOf(this.#nodeId, 'PotStatusUpdate', fields);
  }
}

// ---- the session with Core ------------------------------------------------------------------------------------------

type Node = {
  readonly options: Options;
  readonly identity: Identity;
  readonly nodeId: bigint;
  readonly outbox: Outbox;
  readonly pots: Pots;
  /** Where honeypots reach this node. */
  reported: { address: string; port: number };
  registered: boolean;
  restarting: boolean;
};

class Refusal extends Error {}

/** One session after the other, until `end` or until Core refuses for good. Resolves with the exit code. */
async function keepSessions(node: Node, end: AbortSignal): Promise<number> {
  for (let [failures, refusals] = [0, 0]; ; ) {
    const begunMs = Date.now();
    const broken = await session(node, end).then(
      () => undefined,
      (error: Error) => error,
    );
    if (broken)
      warn('link', `Core at ${node.options.core.host}:${node.options.core.port}: ${broken.message}`);
    // These pass: a code was spent, Core has not noticed yet that our last connection died, a table is full.
    const mayPass = /AUTHENTICATION|ALREADY.REGISTERED|REGISTRATION.FAILED/i.test(broken?.message ?? '');
    refusals = broken instanceof Refusal ? refusals + 1 : 0;
    if (refusals > 0 && /AUTHENTICATION/.test(broken?.message ?? ''))
      warn('clock', `if the key is the right one: is the clock? It says ${new Date().toISOString()}`);
    if (refusals >= LIMITS.refusals || (refusals > 0 && !mayPass)) return EXIT.refused;
    if (Date.now() - begunMs > LIMITS.stableMs) failures = 0;
    const pauseMs = Math.min(LIMITS.backoffMaxMs, LIMITS.backoffMinMs * 2 ** Math.min(failures++, 16));
    const jitter = 0.5 + Math.random() / 2; // or all nodes would come back to a restarted Core in the same moment
    if (!end.aborted) await delay(pauseMs * jitter, undefined, { signal: end }).catch(() => {});
    if (end.aborted) return EXIT.ok;
  }
}

/** From connecting to closing. Resolves after a goodbye; rejects with what broke it. */
async function session(node: Node, end: AbortSignal): Promise<void> {
  const { options, outbox, nodeId, identity } = node;
  const { core, trust, tls: secure } = options;
  const servername = net.isIP(core.host) ? {} : { servername: core.host };
  const socket = secure
    ? tls.connect({ ...core, ...trust, ...servername, minVersion: 'TLSv1.3' })
    : net.connect(core);
  const frames = linesOf(socket); // what Core sends comes in pieces too, and several frames at once
  const onEnd = () =>
    node.registered
      ? socket.setTimeout(LIMITS.leaveMs)
      : socket.destroy(new Error('not reached before the end'));
  const running = messageOf(nodeId, 'NodeStatusUpdate', { status: 'Running' });
  let heartbeat: NodeJS.Timeout | undefined;
  socket.on('error', () => {}); // whoever waits for the socket is told
  socket.setNoDelay(true).setKeepAlive(true, 30_000);
  socket.setTimeout(LIMITS.answerMs, () => socket.destroy(new Error('no answer')));
  end.addEventListener('abort', onEnd);
  try {
    await once(socket, secure ? 'secureConnect' : 'connect');
    const self = {
      node_name: options.name,
      ...node.reported,
      node_type: options.type,
      ...identity.credentials,
      ...(options.spool === undefined ? {} : { features: ['event_ack'] }),
    };
    await write(socket, messageOf(nodeId, 'NodeRegistration', self));
    const ack = await accepted(frames);
    if (typeof ack.totp_key === 'string') identity.keepKey(ack.totp_key);
    socket.setTimeout(0);
    if (!options.quiet) print(`registered as ${options.name}, id ${nodeId}`);
    outbox.queue.begin(lastSeqOf(ack));
    outbox.answers = [...node.pots.statuses(), running];
    if (counts.sessions++ === 0 || node.restarting)
      outbox.answers.unshift(message('NodeEvent', { type: 'Started' }));
    node.registered = true;
    node.restarting = false;
    // No second heartbeat behind one that Core has not read yet.
    heartbeat = setInterval(() => outbox.answers.length > 0 || outbox.say(running), options.heartbeatMs);
    const received = receive(frames, node);
    await Promise.race([received, send(socket, node, end).then(() => received)]);
    if (!end.aborted && !node.restarting) throw new Error('closed by Core');
  } finally {
    node.registered = false;
    clearInterval(heartbeat);
    end.removeEventListener('abort', onEnd);
    socket.destroy();
    outbox.emit('work'); // lets go of a sender that waits
  }
}

/** Resolves when the system took the bytes. One write at a time: that is all the back-pressure Core needs. */
const write = (socket: net.Socket, bytes: string | Buffer) =>
  new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });

async function send(socket: net.Socket, node: Node, end: AbortSignal): Promise<void> {
  const { outbox } = node;
  const { queue } = outbox;
  while (!socket.destroyed) {
    if (outbox.answers.length > 0) {
      await write(socket, outbox.answers.splice(0).join(''));
      continue;
    }
    if (end.aborted || node.restarting) {
      await write(socket, message('NodeEvent', { type: 'Stopped' }) + message('NodeDrop', {}));
      // Our half only. Were the other closed while Core still sends, the system could throw away our last bytes.
      socket.end();
      socket.setTimeout(LIMITS.leaveMs);
      return;
    }
    const batch = queue.next();
    if (batch !== undefined) {
      await write(socket, batch.bytes); // when this fails the batch stays, for the next session
      counts.sent += batch.count;
      queue.sent(batch);
      if (!queue.full) outbox.emit('room');
    } else {
      if (queue.waiting === 0) outbox.emit('empty');
      await once(outbox, 'work');
    }
  }
}

/** What Core has of this node on its disk, as it says in answer to a registration; `undefined`: it does not acknowledge. */
function lastSeqOf({ features, last_seq }: Message['fields']): number | undefined {
  const acknowledges = Array.isArray(features) && features.includes('event_ack');
  return acknowledges && Number.isSafeInteger(last_seq) ? (last_seq as number) : undefined;
}

/** A frame's message: its name, its fields, and their text. */
type Message = { readonly name: string; readonly fields: Record<string, unknown>; readonly text: string };

function readFrame(line: Buffer | null): Message | undefined {
  const text = line?.toString() ?? 'oversized';
  if (text.trim() === '') return undefined;
  const frame = parseObject(text);
  const members = frame?.version === 2 && isObject(frame.message) ? splitMembers(text) : [];
  const [body] = splitMembers(members.findLast((member) => member.key === 'message')?.value ?? '');
  const fields = parseObject(body?.value ?? '');
  if (body !== undefined && fields !== undefined) return { name: body.key, fields, text: body.value };
  warn('frame', 'Core sent what is not a frame of Protocol v2; ignored');
  return undefined;
}

/** Resolves when Core accepts. A refusal is complete when Core has closed: an ack and an Error may both say why. */
async function accepted(frames: AsyncGenerator<Buffer | null>): Promise<Message['fields']> {
  const why: unknown[] = [];
  for (;;) {
    const next = await frames.next().catch((error: Error) => ({ done: true as const, value: error }));
    if (next.done) {
      if (why.length > 0) throw new Refusal(`refused the registration: ${why.filter(isName).join(' ')}`);
      throw next.value ?? new Error('closed by Core, which did not answer the registration');
    }
    const { name, fields } = readFrame(next.value) ?? {};
    if (name === 'RegistrationAck' && fields?.accepted === true) return fields;
    if (name === 'RegistrationAck' || name === 'Error') why.push(fields?.code, fields?.message);
  }
}

async function receive(frames: AsyncGenerator<Buffer | null>, node: Node): Promise<void> {
  for await (const line of frames) {
    const { name, fields, text } = readFrame(line) ?? {};
    if (name === 'NodeCommand') obey(text ?? '', fields?.command, node);
    if (name === 'EventAck' && Number.isSafeInteger(fields?.seq))
      node.outbox.acknowledge(fields?.seq as number);
    if (name !== 'Error') continue; // a message this node does not know is no error
    counts.errors++;
    warn('error', `Core says ${fields?.code}: ${fields?.message}`);
  }
}

function obey(text: string, command: unknown, node: Node): void {
  const { nodeId, outbox, pots } = node;
  counts.commands++;
  // Non-ASCII as escapes: the same JSON, and harmless to a terminal.
  const ascii = text.replace(/[\x7f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  process.stdout.write(`${ascii}\n`);
  const id = splitMembers(text).findLast((member) => member.key === 'node_id')?.value;
  const [name, argument] = isObject(command) ? (Object.entries(command)[0] ?? ['{}']) : [String(command)];
  if (id !== undefined && id !== String(nodeId))
    warn('foreign', 'Core sent a command for another node; ignored');
  else if (name !== 'Restart') outbox.say(...pots.answer(name, argument));
  else {
    node.restarting = true;
    outbox.emit('work');
  }
}

// ---- intake ---------------------------------------------------------------------------------------------------------

/** Brings lines to the outbox. While that is full the source is not read, and that is what holds the source back. */
async function takeLines(source: AsyncIterable<Chunk>, node: Node): Promise<void> {
  for await (const line of linesOf(source)) {
    while (node.outbox.queue.full) await once(node.outbox, 'room');
    takeLine(line, node);
  }
}

function takeLine(line: Buffer | null, { options, nodeId, outbox, pots, registered }: Node): void {
  const text = line?.toString().trim() ?? ''; // trims a byte order mark too
  if (line !== null && text === '') return;
  counts.lines++;
  if (line !== null && !isUtf8(line))
    warn('utf8', 'a line is not UTF-8; what cannot be read is replaced by U+FFFD');
  const own = { nodeId, potId: options.potId, potType: options.potType };
  let event = wrapLine(text, own);
  if (options.raw) event ??= wrapLine(JSON.stringify({ eventid: 'raw', raw: text }), own);
  const numberBytes = options.spool === undefined ? 0 : LIMITS.seqBytes;
  const bytes = (event?.frame.length ?? 1) - 1 + numberBytes; // without the newline
  if (line === null || bytes > LIMITS.frameBytes) {
    counts.oversized++;
    warn('oversized', 'an event above 1 MiB, which Core does not take; skipped');
  } else if (event === undefined) {
    counts.skipped++;
    warn('line', `line ${counts.lines}, of ${line.length} bytes, is not a JSON object; skipped`);
  } else {
    if (bytes > LIMITS.frameWarnBytes)
      warn('large', `an event of ${bytes} bytes; nodes are told to stay under 64 KiB`);
    const news = pots.meet(event.potId, event.potType);
    if (registered) outbox.say(...news);
    if (pots.admit(event.potId)) outbox.queue.push(event.frame);
    else counts.held++;
  }
}

/**
 * A file from its beginning; with `follow` also what is appended. A file that became shorter was truncated and is read
 * from its beginning again. Another file under the name was put there by rotation; the old one is then looked at twice
 * more, because its writer may not have noticed. A file truncated and grown past its old length between two looks is
 * not noticed.
 */
async function* fileChunks(path: string, follow: boolean, stop: AbortSignal): AsyncGenerator<Chunk> {
  const chunk = Buffer.allocUnsafe(64 * 1024);
  const pause = () => delay(LIMITS.followMs, undefined, { signal: stop }); // rejects when stopped: a torn line is no line
  for (;;) {
    let file: FileHandle | undefined;
    try {
      file = await open(path);
      let offset = 0;
      for (let looks = 0; looks < 3; ) {
        stop.throwIfAborted();
        const { bytesRead } = await file.read(chunk, 0, chunk.length, offset);
        offset += bytesRead;
        if (bytesRead > 0) yield chunk.subarray(0, bytesRead);
        else if (!follow) return;
        else {
          const [own, now] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
          if (now !== undefined && now.ino !== own.ino) looks++;
          if (own.size < offset) {
            offset = 0;
            yield 'new file';
          } else await pause();
        }
      }
    } catch (error) {
      stop.throwIfAborted();
      if (!follow) throw new Fatal(EXIT.noInput, `--file: ${(error as Error).message}`);
      warn('file', `--file: ${(error as Error).message}; waiting`);
      await pause();
    } finally {
      await file?.close();
    }
    yield 'new file';
  }
}

/** Takes honeypots' connections until `stop`. */
async function listen(
  address: net.ListenOptions,
  take: (peer: net.Socket) => Promise<void>,
  stop: AbortSignal,
) {
  const peers = new Set<net.Socket>();
  const broken = (error: Error) =>
    stop.aborted || warn('peer', `a honeypot's connection broke: ${error.message}`);
  const server = net.createServer((peer) => {
    peers.add(peer);
    take(peer)
      .catch(broken)
      .finally(() => peers.delete(peer));
  });
  server.maxConnections = LIMITS.peers;
  server.listen(address);
  await once(server, 'listening').catch((error: Error) => {
    throw new Fatal(EXIT.unavailable, `--listen: ${error.message}`);
  });
  stop.addEventListener('abort', () => {
    server.close();
    for (const peer of peers) peer.destroy();
  });
  return server.address() as net.AddressInfo;
}

// ---- main -----------------------------------------------------------------------------------------------------------

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return EXIT.ok;
  }
  if (options.spool !== undefined) await claimSpool(options.spool);
  const identity = new Identity(options);
  const { nodeId } = identity;
  const outbox = new Outbox(options, nodeId).setMaxListeners(0);
  const { queue } = outbox;
  const pots: Pots = new Pots(nodeId, (frame) => outbox.say(frame));
  const reported = { address: '0.0.0.0', port: 0 };
  const node: Node = {
    options,
    identity,
    nodeId,
    outbox,
    pots,
    reported,
    registered: false,
    restarting: false,
  };
  pots.meet(options.potId, options.potType);

  const [stop, end] = [new AbortController(), new AbortController()]; // of reading, and of the session
  end.signal.addEventListener('abort', () => outbox.emit('work'));
  const signalled = new Promise<void>((resolve) => {
    const onSignal = () => (stop.signal.aborted ? process.exit(EXIT.software) : resolve());
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  });
  process.stdout.on('error', () => {}); // whoever read the commands is gone

  const takers = new Set<Promise<void>>();
  const take = (source: AsyncIterable<Chunk>) => {
    const taker = takeLines(source, node).finally(() => takers.delete(taker));
    takers.add(taker);
    return taker;
  };
  if (options.listen !== undefined) {
    const { address, port } = await listen(options.listen, take, stop.signal);
    node.reported = { address, port };
    if (!options.quiet) print(`taking JSON lines on ${address}:${port}`);
  }
  const sessions = keepSessions(node, end.signal);
  const ends: Promise<unknown>[] = [signalled, sessions];
  if (options.file !== undefined) {
    ends.push(take(fileChunks(options.file, options.follow, stop.signal)).then(() => outbox.emptied()));
  }
  await Promise.race(ends);

  stop.abort();
  queue.unbound();
  outbox.emit('room');
  await Promise.allSettled(takers);
  if (node.registered) await Promise.race([outbox.emptied(), sessions, delay(LIMITS.drainMs)]);
  end.abort();
  const exitCode = await sessions;
  const spooled = await queue.close();
  const summary = {
    ...counts,
    reconnects: Math.max(0, counts.sessions - 1),
    unsent: queue.waiting - spooled,
    spooled,
  };
  if (!options.quiet) print(`summary ${JSON.stringify(summary)}`);
  return exitCode;
}

// Run, not imported by a test.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const exitCode = await main().catch((error: Partial<Fatal> & NodeJS.ErrnoException) => {
    const misused = error.code?.startsWith('ERR_PARSE_ARGS') === true;
    print(error.exitCode !== undefined || misused ? error.message : String(error.stack));
    return error.exitCode ?? (misused ? EXIT.usage : EXIT.software);
  });
  process.exit(exitCode);
}
