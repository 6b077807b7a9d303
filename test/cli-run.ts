/** Runs honeybee-core to its end as a person at a shell would, and keeps what it said. */
import { spawn } from 'node:child_process';
import { CLI_FILE, cleanEnvironment } from './core-process.js';
import { within } from './deadline.js';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

export function cli(args: readonly string[], { cwd, env = {} }: CliOptions): Promise<CliResult> {
  const child = spawn(process.execPath, [CLI_FILE, ...args], {
    cwd,
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<CliResult>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 25_000);
  void ended.then(() => clearTimeout(timer));
  return within(`honeybee-core ${args.join(' ')}`, ended);
}
