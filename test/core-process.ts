/**
 * A Core for a test: a process of its own in a folder of its own, on free ports of loopback. Its log lines are
 * parsed as they come, and every test that starts one has it ended, and its folder removed, when the test is over.
 *
 * HONEYBEE_INGEST_MODE is the one setting taken from the test's environment, so that every test runs in both modes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PATIENCE_MS, Watched, within } from './deadline.js';

export const CLI_FILE = fileURLToPath(new URL('../src/cli.js', import.meta.url));

/** What a test's context has. */
export interface Cleanup {
  after(work: () => unknown): void;
}

const workAfter = new WeakMap<Cleanup, (() => unknown)[]>();

/** Work for when the test is over; the last to ask is the first served, as what came later stands on what came before. */
export function afterwards(cleanup: Cleanup, work: () => unknown): void {
  const known = workAfter.get(cleanup);
  if (known !== undefined) {
    known.push(work);
    return;
  }
  const all = [work];
  workAfter.set(cleanup, all);
  cleanup.after(async () => {
    for (const next of all.reverse()) await next();
  });
}

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Ports {
  readonly node_port: number;
  readonly backend_port: number;
  readonly proxy_port: number;
}

export interface LaunchOptions {
  /** By setting name: `{ 'ingest.shards': 2 }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Beside the settings' flags. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Of an earlier Core, to start on its data again; a new one otherwise. */
  readonly folder?: string;
  /** `storage.dir`, where it is not `<folder>/data`. */
  readonly dataDir?: string;
}

const FREE_PORTS = { 'server.node_port': 0, 'server.backend_port': 0, 'proxy.port': 0 };

/** A folder that is removed after the test. */
export function temporaryFolder(cleanup: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), 'honeybee-e2e-'));
  afterwards(cleanup, () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** This process's environment without anybody's settings. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name, value]) => {
    if (name.startsWith('HONEYBEE_')) return name === 'HONEYBEE_INGEST_MODE' && value !== '';
    // The test runner's own would make a child believe that it is a test file.
    return name !== 'NODE_TEST_CONTEXT';
  });
  return { ...Object.fromEntries(kept), ...extra };
}

export class CoreProcess {
  readonly folder: string;
  readonly dataDir: string;
  readonly lines = new Watched<LogLine>();
  /** What stood on standard output and was no JSON object. */
  readonly otherOutput: string[] = [];
  /** Resolves when the process has ended and its output was read to the end. */
  readonly exited: Promise<Exit>;
  stderr = '';
  #ports: Ports | undefined;
  #exit: Exit | undefined;
  readonly #child: ChildProcess;

  /** Starts the process and returns at once. */
  static launch(cleanup: Cleanup, options: LaunchOptions = {}): CoreProcess {
    return new CoreProcess(cleanup, options);
  }

  /** Starts the process and waits until it is ready. */
  static async start(cleanup: Cleanup, options: LaunchOptions = {}): Promise<CoreProcess> {
    const core = new CoreProcess(cleanup, options);
    await core.ready();
    return core;
  }

  private constructor(cleanup: Cleanup, options: LaunchOptions) {
    this.folder = options.folder ?? temporaryFolder(cleanup);
    this.dataDir = options.dataDir ?? join(this.folder, 'data');
    const settings = { ...FREE_PORTS, 'storage.dir': this.dataDir, ...options.settings };
    const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    this.#child = spawn(process.execPath, [CLI_FILE, ...flags, ...(options.args ?? [])], {
      cwd: this.folder,
      env: cleanEnvironment(options.env),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.exited = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#read(line));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    afterwards(cleanup, async () => {
      if (this.#exit === undefined) this.#child.kill('SIGKILL');
      await this.exited;
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Only once it is ready. */
  get ports(): Ports {
    if (this.#ports === undefined) throw new Error('Core is not ready');
    return this.#ports;
  }

  get mode(): 'native' | 'portable' {
    return this.lines.all.find(({ msg }) => msg === 'ready')!.mode as 'native' | 'portable';
  }

  get ended(): boolean {
    return this.#exit !== undefined;
  }

  async ready(): Promise<LogLine> {
    const line = await this.line('ready');
    this.#ports = line as unknown as Ports;
    return line;
  }

  /** The first log line, past or future, with this message and these fields. */
  line(msg: string, fields: Readonly<Record<string, unknown>> = {}): Promise<LogLine> {
    const matches = (line: LogLine) =>
      line.msg === msg && Object.entries(fields).every(([name, value]) => line[name] === value);
    return this.#orExit(`log line "${msg}" ${JSON.stringify(fields)}`, this.lines.first(matches));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  exit(timeoutMs = PATIENCE_MS): Promise<Exit> {
    return within('Core ends', this.exited, timeoutMs, () => this.story());
  }

  /** Ends Core in order; the caller says what its exit must be. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.signal(signal);
    return this.exit();
  }

  /** Ends Core as a power cut would, as far as a process can tell. */
  async crash(): Promise<void> {
    this.signal('SIGKILL');
    await this.exit();
  }

  /** How many descriptors of each kind Core has open; the files of its log are left out. */
  descriptors(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const fd of readdirSync(`/proc/${this.pid}/fd`)) {
      let target: string;
      try {
        target = readlinkSync(`/proc/${this.pid}/fd/${fd}`);
      } catch {
        continue; // closed in the meantime
      }
      if (target.startsWith(this.dataDir)) continue;
      const kind = target.replace(/:?\[.*/, '');
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }

  /** Resident memory without the page cache. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
  }

  /** Everything it said: for the message of a test that failed. */
  story(): string {
    const lines = this.lines.all.slice(-40).map((line) => JSON.stringify(line));
    return [`Core ${this.pid}, ${JSON.stringify(this.#exit ?? 'running')}`, ...lines, this.stderr].join('\n');
  }

  #read(text: string): void {
    let line: unknown;
    try {
      line = JSON.parse(text);
    } catch {}
    if (typeof line === 'object' && line !== null) this.lines.push(line as LogLine);
    else this.otherOutput.push(text);
  }

  /** What is waited for, unless Core ends first. */
  #orExit<T>(what: string, promise: Promise<T>): Promise<T> {
    const ended = this.exited.then((exit) => {
      throw new Error(`Core ended (${JSON.stringify(exit)}) before: ${what}\n${this.story()}`);
    });
    return within(what, Promise.race([promise, ended]), PATIENCE_MS, () => this.story());
  }
}
