/**
 * Core as a real process, nodes and consumers around it, a network between them, and everything that may break: Core is
 * killed, told to stop, loses a shard or another thread, the disk fills up, connections break. What happens when is decided by the seed;
 * what comes of it depends on the machine, too, so a seed is a start to look from and not a replay.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { Random } from '../../bench/random.js';
import { cli } from '../cli-run.js';
import { afterwards, type Cleanup, CoreProcess, type LogLine } from '../core-process.js';
import { poll, within } from '../deadline.js';
import { readDeadLetters } from '../event-log.js';
import { get, post } from '../rest-client.js';
import { SmallDisk } from '../small-disk.js';
import { type ConsumerPlan, OracleConsumer } from './consumer.js';
import type { AccountEvidence, Evidence } from './judge.js';
import { Network } from './network.js';
import { OracleNode } from './node.js';

export interface WorldOptions {
  readonly seed: number;
  /** How long things break. */
  readonly breakMs: number;
  readonly nodes: number;
  readonly consumers: readonly ConsumerPlan[];
  /** Finished segments are compressed. */
  readonly compress: boolean;
  readonly onRound?: (round: number, fault: string) => void;
}

/** As small as they may be, so that what happens rarely happens all the time. */
const SETTINGS = {
  'storage.segment_bytes': 65_536,
  'storage.fsync_interval_ms': 20,
  'ingest.ring_bytes': 1024 * 1024,
  'ingest.max_frame_bytes': 256 * 1024,
  'ingest.shards': 2,
  'stream.consumer_buffer_bytes': 2 * 1024 * 1024,
  'server.debug': true,
  'auth.totp': 'off',
  'admission.max_errors_per_minute': 0,
} as const;

const settingsOf = ({ compress }: WorldOptions) => ({
  ...SETTINGS,
  'storage.compress': compress ? 'gzip' : 'off',
});

const DRAIN_MS = 30_000;
const DISK_MIB = 64;
const DISK_MIB_PER_SECOND = 4;
const FULL_MS = 600;

type Fault =
  | 'kill'
  | 'stop'
  | 'cut nodes'
  | 'ghost'
  | 'cut consumers'
  | 'shard'
  | 'reader'
  | 'keeper'
  | 'disk full'
  | 'stall';

/** How often each, of all. */
const FAULTS: readonly (readonly [Fault, number])[] = [
  ['kill', 30],
  ['stop', 6],
  ['cut nodes', 16],
  ['ghost', 8],
  ['cut consumers', 12],
  ['shard', 8],
  ['reader', 6],
  ['keeper', 3],
  ['disk full', 5],
  ['stall', 12],
];

/** What is said at worse than `info` and is meant to happen here. */
const EXPECTED = [
  /shard died/,
  /disk|ENOSPC/i,
  /portable/,
  /turned away/,
  /(reader|keeper).*(died|ended|again)/i,
  /takes? over/i,
  /ends? with a part|cut|recover|torn/i,
];

export class World {
  readonly #options: WorldOptions;
  readonly #cleanup: Cleanup;
  readonly #random: Random;
  readonly #network: Network;
  readonly #streams: Network;
  readonly #disk: SmallDisk | undefined;
  #core: CoreProcess;
  nodes: OracleNode[] = [];
  consumers: OracleConsumer[] = [];
  readonly happened = new Map<string, number>();
  readonly complaints: string[] = [];

  static async start(cleanup: Cleanup, options: WorldOptions): Promise<World> {
    const network = await Network.open(cleanup);
    const streams = await Network.open(cleanup);
    const sizeMib = DISK_MIB + Math.ceil((options.breakMs / 1000) * DISK_MIB_PER_SECOND);
    const disk = SmallDisk.mount(cleanup, sizeMib);
    const core = await CoreProcess.start(cleanup, {
      settings: settingsOf(options),
      ...(disk === undefined ? {} : { dataDir: join(disk.path, 'data') }),
    });
    const world = new World(cleanup, options, network, streams, disk, core);
    world.#connect();
    world.#begin();
    return world;
  }

  private constructor(
    cleanup: Cleanup,
    options: WorldOptions,
    network: Network,
    streams: Network,
    disk: SmallDisk | undefined,
    core: CoreProcess,
  ) {
    this.#cleanup = cleanup;
    this.#options = options;
    this.#random = new Random(options.seed, 0);
    this.#network = network;
    this.#streams = streams;
    this.#disk = disk;
    this.#core = core;
  }

  get hasSmallDisk(): boolean {
    return this.#disk !== undefined;
  }

  get dataDir(): string {
    return this.#core.dataDir;
  }

  #begin(): void {
    const { seed, nodes, consumers } = this.#options;
    this.nodes = Array.from(
      { length: nodes },
      (_, number) =>
        new OracleNode(number, seed, new Random(seed, 1 + number), this.#network.port, {
          changesId: number % 4 === 2,
          skips: number % 4 === 0,
          babbles: number % 4 === 1,
        }),
    );
    this.consumers = consumers.map(
      (plan, at) => new OracleConsumer(plan, new Random(seed, 1000 + at), this.#streams.port),
    );
    afterwards(this.#cleanup, () => {
      for (const node of this.nodes) node.stop();
      return Promise.all(this.consumers.map((consumer) => consumer.stop()));
    });
  }

  /** Lets things break for as long as was asked for. */
  async breakThings(): Promise<void> {
    const endMs = performance.now() + this.#options.breakMs;
    for (let round = 1; performance.now() < endMs; round++) {
      await pause(50 + this.#random.below(900));
      const fault = this.#draw();
      this.#options.onRound?.(round, fault);
      this.happened.set(fault, (this.happened.get(fault) ?? 0) + 1);
      await this.#do(fault);
      if (this.#random.below(3) === 0) for (const consumer of this.consumers) consumer.stall();
    }
  }

  /** Core dies; before it is started again `between` may do to its files what it likes. */
  async kill(between: () => void = () => {}): Promise<void> {
    await this.#restart(() => this.#core.crash(), between);
  }

  /** Everything that was sent is acknowledged, everybody has been given everything; then Core ends in order. */
  async settle(): Promise<Evidence> {
    this.#disk?.makeRoom();
    // What does not come to an end is a fault like others: the books tell more about it.
    const complain = (error: Error) => void this.complaints.push(error.message);
    await within(
      'every event is acknowledged',
      Promise.all(this.nodes.map((node) => node.drain())),
      DRAIN_MS,
      () =>
        this.nodes.map((node) => `${node.name}: sent ${node.highest}, acknowledged ${node.acked}`).join('\n'),
    ).catch(complain);
    for (const node of this.nodes) node.stop();
    const port = this.#core.ports.backend_port;
    const stats = async () => (await get(port, '/api/v1/stats')).json;
    await poll('all nodes are gone', async () => ((await stats()).nodes.connected === 0 ? true : undefined));
    const nextSeq: number = (await stats()).aggregator.next_seq;
    const behind = () =>
      this.consumers.filter(({ plan, position }) => plan.kind !== 'live' && position < nextSeq);
    await poll(
      'every consumer is at the end',
      () => (behind().length === 0 ? true : undefined),
      DRAIN_MS,
      () =>
        behind()
          .map(({ plan, position }) => `${plan.name}: ${position} of ${nextSeq}`)
          .join('\n'),
    ).catch(complain);
    await Promise.all(this.consumers.map((consumer) => consumer.stop()));
    const accounts = (await get(port, '/api/v1/ledger/nodes')).json.nodes as AccountEvidence[];
    this.#notice(await this.#core.stop());
    await this.#verify();
    return this.#evidence(nextSeq, accounts);
  }

  #evidence(nextSeq: number, accounts: readonly AccountEvidence[]): Evidence {
    const lines = this.#lines();
    if (lines.length !== nextSeq - 1)
      this.complaints.push(`${lines.length} records, and the next number is ${nextSeq}`);
    for (const who of [...this.nodes, ...this.consumers]) this.complaints.push(...who.complaints);
    return {
      seed: this.#options.seed,
      lines,
      deadLetters: readDeadLetters(this.#core.dataDir).map(({ frame }) => frame.toString()),
      accounts,
      nodes: this.nodes.map((node) => ({
        name: node.name,
        number: node.number,
        ids: node.ids,
        acked: node.acked,
        highest: node.highest,
        skipped: (seq: number) => node.skipped(seq),
        refused: (seq: number) => node.refused(seq),
      })),
      consumers: this.consumers.map(({ plan, stretches }) => ({
        name: plan.name,
        kind: plan.kind,
        passes: plan.filter?.passes,
        stretches,
        mustReach: plan.kind === 'live' ? 1 : nextSeq,
      })),
    };
  }

  /** Of the log, compressed segments too. Each must be named by the number of its first record. */
  #lines(): readonly string[] {
    const folder = join(this.#core.dataDir, 'log');
    const names = readdirSync(folder).filter((name) => /^\d{20}\.ndjson(\.gz)?$/.test(name));
    const lines: string[] = [];
    for (const name of names.sort()) {
      const bytes = readFileSync(join(folder, name));
      const content = name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
      if (Number(name.slice(0, 20)) !== lines.length + 1)
        this.complaints.push(`${name} is there, and the record before it is number ${lines.length}`);
      if (content.length > 0 && content.at(-1) !== 10) this.complaints.push(`${name} ends inside a record`);
      for (const line of content.toString('utf8').split('\n').slice(0, -1)) lines.push(line);
    }
    return lines;
  }

  /** Indexes, checksums, seals and their chain, as anybody can have them checked. */
  async #verify(): Promise<void> {
    const { code, stdout, stderr } = await cli(['log', 'verify', '--dir', this.#core.dataDir], {
      cwd: this.#core.folder,
    });
    if (code !== 0) this.complaints.push(`log verify ended with ${code}\n${stdout}${stderr}`.slice(0, 4000));
  }

  #draw(): Fault {
    let rest = this.#random.below(FAULTS.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [fault, weight] of FAULTS) {
      rest -= weight;
      if (rest < 0) return fault;
    }
    return 'kill';
  }

  async #do(fault: Fault): Promise<void> {
    const random = this.#random;
    switch (fault) {
      case 'kill':
        return this.kill();
      case 'stop':
        return this.#restart(async () => this.#notice(await this.#core.stop()));
      case 'cut nodes':
        this.#network.cut(random, 0.5, 'reset');
        return;
      case 'ghost':
        this.#network.cut(random, 0.5, 'ghost');
        return;
      case 'cut consumers':
        this.#streams.cut(random, 0.5, random.below(2) === 0 ? 'reset' : 'ghost');
        return;
      case 'stall':
        for (const consumer of this.consumers) consumer.stall();
        return;
      case 'shard':
        return this.#debug(`/debug/shards/${random.below(2)}/kill`);
      case 'reader':
        return this.#debug('/debug/reader/kill');
      case 'keeper':
        return this.#debug('/debug/keeper/kill');
      case 'disk full':
        this.#disk?.leave(0);
        await pause(random.below(FULL_MS));
        // Killed where it could not write, in the middle of whatever it was trying.
        if (random.below(3) === 0) await this.#core.crash();
        this.#disk?.makeRoom();
        if (this.#core.ended) await this.kill();
    }
  }

  /** Where a build has no such thread, there is nothing to kill. */
  async #debug(path: string): Promise<void> {
    const { status } = await post(this.#core.ports.backend_port, path).catch(() => ({ status: 0 }));
    if (status === 404) this.happened.set(`no ${path}`, 1);
  }

  async #restart(end: () => Promise<void>, between: () => void = () => {}): Promise<void> {
    await end();
    this.#network.target = undefined;
    this.#streams.target = undefined;
    this.#watchLog();
    between();
    this.#core = await CoreProcess.start(this.#cleanup, {
      settings: settingsOf(this.#options),
      folder: this.#core.folder,
      dataDir: this.#core.dataDir,
    });
    this.#connect();
  }

  #connect(): void {
    this.#network.target = this.#core.ports.node_port;
    this.#streams.target = this.#core.ports.proxy_port;
  }

  #notice(exit: { readonly code: number | null }): void {
    if (exit.code !== 0)
      this.complaints.push(`Core ended with ${JSON.stringify(exit)}\n${this.#core.story()}`);
    this.#watchLog();
  }

  /** Errors that nobody provoked are faults, whatever the books say. */
  #watchLog(): void {
    const errors = this.#core.lines.all.filter(
      (line: LogLine) => line.level >= 50 && !EXPECTED.some((one) => one.test(`${line.msg} ${line.reason}`)),
    );
    for (const line of errors) this.complaints.push(`Core said ${JSON.stringify(line)}`);
    if (this.#core.stderr !== '')
      this.complaints.push(`Core wrote on standard error: ${this.#core.stderr.slice(0, 2000)}`);
  }
}

/** The newest segment with an event in it, for who wants to damage it. */
export function newestEvents(dataDir: string): { readonly path: string; readonly content: Buffer } {
  const folder = join(dataDir, 'log');
  const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  for (const name of names.sort().reverse()) {
    const path = join(folder, name);
    const content = readFileSync(path);
    if (content.includes('{"PotEvent":')) return { path, content };
  }
  throw new Error('there is no event in the log');
}
