/**
 * A Core of the bench's own: a child process with a data directory that lives as long as the scenario. Waits for its
 * ready line, stops it in order, and never leaves a process or a directory behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Address } from './address.js';
import { Authority } from './x509.js';

export type Mode = 'native' | 'portable' | 'auto';

export interface CoreOptions {
  /** The file to start; the project's own when empty. */
  readonly entry: string | undefined;
  /** Where the data directory is made. */
  readonly dir: string | undefined;
  readonly mode: Mode;
  readonly connections: number;
  /** What is asked of nodes; Core's default when empty. */
  readonly totp?: 'off' | 'optional' | undefined;
  /** As many as Core chooses, when absent. */
  readonly shards?: number | undefined;
  /** Nodes connect with TLS; the other ports do without. */
  readonly tls?: boolean;
  /** Bytes a run may write; the disk must have room for them. */
  readonly diskBytes: number;
  /** Of `[storage]`, what is not to be as it comes: `{ fsync: 'never' }`. */
  readonly storage?: Readonly<Record<string, string | number>> | undefined;
  /** Of a Core that has ended, to start on its data again. */
  readonly folder?: string;
}

export interface Core {
  readonly pid: number;
  readonly mode: string;
  readonly shards: number;
  readonly target: Address;
  /** Signed the certificate; undefined without TLS. */
  readonly ca: string | undefined;
  readonly proxy: Address;
  readonly rest: string;
  readonly logDir: string;
  /** Holds the data directory and more; goes with `remove`. */
  readonly folder: string;
  /** From starting the process to its ready line. */
  readonly startMs: number;
  /** Rejects when the process ends before it was told to. */
  readonly failed: Promise<never>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number>;
  /** SIGKILL: as it would end with the power, as far as a process can tell. */
  kill(): Promise<void>;
  /** Removes the data directory, ends the process if it still runs. */
  remove(): void;
}

const HOST = '127.0.0.1';
/** What a Core admits without being told. */
const DEFAULT_CONNECTIONS = 16_384;
const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 60_000;
const OUTPUT_LINES_KEPT = 30;

const running = new Set<() => void>();

/** For a bench that is interrupted. */
export function removeAllCores(): void {
  for (const remove of [...running]) remove();
}

interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly ca: string;
}

/** A certificate for this run alone. */
function makeCertificate(dir: string): CertificateFiles {
  const authority = new Authority('HoneyBee bench');
  const { cert, key } = authority.issue({ name: 'honeybee-core', ip: [HOST], use: 'server' });
  const certFile = join(dir, 'cert.pem');
  const keyFile = join(dir, 'key.pem');
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  return { certFile, keyFile, ca: authority.cert };
}

/** Free ports, a directory of its own; everything else as it comes. */
function configuration(
  options: CoreOptions,
  dataDir: string,
  certificate: CertificateFiles | undefined,
): string {
  return [
    '[server]',
    `host = "${HOST}"`,
    'node_port = 0',
    'backend_port = 0',
    '[logging]',
    'level = "info"',
    'folder = ""',
    '[proxy]',
    'enabled = true',
    `host = "${HOST}"`,
    'port = 0',
    '[ingest]',
    `mode = "${options.mode}"`,
    ...(options.connections > DEFAULT_CONNECTIONS ? [`max_connections = ${options.connections}`] : []),
    ...(options.shards !== undefined ? [`shards = ${options.shards}`] : []),
    ...(options.totp === undefined ? [] : ['[auth]', `totp = "${options.totp}"`]),
    // A load is no client that asks too much.
    '[rest]',
    'requests_per_minute = 0',
    '[storage]',
    `dir = ${JSON.stringify(dataDir)}`,
    ...Object.entries(options.storage ?? {}).map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
    ...(certificate
      ? [
          '[tls]',
          `cert_file = ${JSON.stringify(certificate.certFile)}`,
          `key_file = ${JSON.stringify(certificate.keyFile)}`,
          'backend = false',
          'proxy = false',
        ]
      : []),
    '',
  ].join('\n');
}

export async function startCore(options: CoreOptions): Promise<Core> {
  const parent = options.dir ?? tmpdir();
  mkdirSync(parent, { recursive: true });
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < options.diskBytes) {
    const gigabytes = (options.diskBytes / 1e9).toFixed(1);
    throw new Error(
      `the run may write ${gigabytes} GB and ${parent} has less: choose another place with --dir`,
    );
  }
  const dir = options.folder ?? mkdtempSync(join(parent, 'honeybee-bench-'));
  const dataDir = join(dir, 'data');
  const configFile = join(dir, 'bee_config.toml');
  const certificate = options.tls === true ? makeCertificate(dir) : undefined;
  writeFileSync(configFile, configuration(options, dataDir, certificate));
  const entry = options.entry ?? fileURLToPath(new URL('../src/cli.js', import.meta.url));
  // Settings in the environment would override the file, and a bench that measures another Core than it says is worthless.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('HONEYBEE_')),
  );
  // The flag is that of `npm start` and of the installed command.
  const spawnedMs = performance.now();
  const child = spawn(process.execPath, ['--max-semi-space-size=1', entry, '--config', configFile], {
    cwd: dir,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output: string[] = [];
  const exit = new Promise<number>((resolve) => {
    child.on('error', (error) => {
      output.push(error.message);
      resolve(-1);
    });
    // 'close', not 'exit': the last lines of its output say why it ended.
    child.on('close', (code, signal) => {
      if (signal) output.push(`ended by ${signal}`);
      resolve(code ?? -1);
    });
  });
  const remove = (): void => {
    running.delete(remove);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  running.add(remove);
  let stopping = false;
  const failed = exit.then((code): Promise<never> => {
    if (stopping) return new Promise(() => {});
    throw new Error(`Core ended by itself with code ${code}:\n${output.join('\n')}`);
  });
  failed.catch(() => {});
  try {
    const ready = await Promise.race([readyLine(child, output), failed]);
    const core: Core = {
      pid: child.pid as number,
      mode: String(ready.mode),
      shards: Number(ready.shards),
      ca: certificate?.ca,
      target: { host: HOST, port: Number(ready.node_port) },
      proxy: { host: HOST, port: Number(ready.proxy_port) },
      rest: `http://${HOST}:${ready.backend_port}`,
      logDir: join(dataDir, 'log'),
      folder: dir,
      startMs: performance.now() - spawnedMs,
      failed,
      stop: async () => {
        stopping = true;
        child.kill('SIGTERM');
        const timeout = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
        const code = await exit;
        clearTimeout(timeout);
        if (code !== 0) throw new Error(`Core ended with code ${code}:\n${output.join('\n')}`);
        return code;
      },
      kill: async () => {
        stopping = true;
        child.kill('SIGKILL');
        await exit;
      },
      remove,
    };
    if (options.mode !== 'auto' && core.mode !== options.mode) {
      throw new Error(`Core runs in ${core.mode} mode, not in ${options.mode} mode:\n${output.join('\n')}`);
    }
    return core;
  } catch (error) {
    remove();
    throw error;
  }
}

/** Reads the child's output for as long as it lives (a full pipe would stop it); resolves with the ready line. */
function readyLine(child: ChildProcess, output: string[]): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const timeout = setTimeout(
      () => reject(new Error(`Core was not ready after ${READY_TIMEOUT_MS} ms:\n${output.join('\n')}`)),
      READY_TIMEOUT_MS,
    );
    const keep = (line: string): void => {
      output.push(line);
      if (output.length > OUTPUT_LINES_KEPT) output.shift();
    };
    createInterface({ input: child.stderr! }).on('line', keep);
    createInterface({ input: child.stdout! }).on('line', (line) => {
      keep(line);
      if (!line.includes('"msg":"ready"')) return;
      clearTimeout(timeout);
      resolve(JSON.parse(line) as Record<string, unknown>);
    });
    child.on('close', () => clearTimeout(timeout));
  });
}
