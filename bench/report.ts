/** How results leave the bench: a table for people, a line of JSON per scenario for everything else. */
import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { ScenarioResult } from './result.js';
import { BASELINE } from './scan.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_bytes: number;
  readonly system: string;
  readonly node: string;
  readonly commit: string | null;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    commit: commit(),
  };
}

function commit(): string | null {
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const git = (...words: string[]): string =>
    execFileSync('git', words, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no').trim() !== '';
    return git('rev-parse', 'HEAD').trim() + (changed ? ' with changes' : '');
  } catch {
    // Not a checkout, or no git.
    return null;
  }
}

export function jsonLine(result: ScenarioResult, machine: Machine, seed: number): string {
  return JSON.stringify({ time: new Date().toISOString(), seed, ...result, machine });
}

const COLUMNS = [
  'scenario',
  'mode',
  'M events/s',
  'MB/s',
  'Core CPU',
  'RSS',
  'p50',
  'p90',
  'p99',
  'p99.9',
  'max',
  'verified',
] as const;

export function table(results: readonly ScenarioResult[]): string {
  const rows = [[...COLUMNS], ...results.flatMap(rowsOf)];
  // A column that no scenario of this run fills is left out.
  const used = COLUMNS.map((_, column) => rows.slice(1).some((row) => row[column] !== ''));
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .flatMap((cell, column) => {
        if (!used[column]) return [];
        return [column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)];
      })
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, '-'.repeat(Math.max(...lines.map((line) => line.length))));
  return lines.join('\n');
}

function rowsOf(result: ScenarioResult): string[][] {
  if (result.scanners) return scannerRows(result);
  const { latency } = result;
  const verified = result.received?.[0]?.events ?? result.log?.verified.events;
  return [
    [
      result.storm
        ? `${result.scenario}: all back after ${result.storm.seconds.toFixed(2)} s`
        : result.list
          ? `${result.scenario}: p99 ${time(result.list.answers.p99_us)}`
          : `${result.scenario}${addition(result)}`,
      result.mode ?? '',
      result.events_per_second === undefined
        ? ''
        : (result.events_per_second / 1e6).toFixed(result.latency ? 3 : 2),
      result.megabytes_per_second === undefined ? '' : result.megabytes_per_second.toFixed(0),
      result.core_cpu === undefined ? '' : `${(result.core_cpu.total * 100).toFixed(0)} %`,
      memoryCell(result),
      ...(latency
        ? [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us].map(time)
        : ['', '', '', '', '']),
      !result.ok ? 'FAILED' : verified === undefined ? 'yes' : count(verified),
    ],
  ];
}

/** What a scenario is about, where no column has it. */
function addition({ sustained, durability, acks, recover, replay, search }: ScenarioResult): string {
  if (sustained) {
    const rates = sustained.events_per_second.map((rate) => rate / 1e6);
    if (rates.length === 0) return '';
    return `: ${Math.min(...rates).toFixed(2)} to ${Math.max(...rates).toFixed(2)} M events/s`;
  }
  if (durability) return `: costs ${(durability.cost * 100).toFixed(1)} %`;
  if (acks) return acks.kept ? ': as promised' : ': later than promised';
  if (recover) return `: ${recover.map(({ what, seconds }) => `${what} ${seconds.toFixed(2)} s`).join('; ')}`;
  if (replay) return `: ${replay.map((rate) => (rate / 1e6).toFixed(2)).join(', then ')} M events/s`;
  if (search) return `: ${search.map((seconds) => seconds.toFixed(2)).join(', ')} s`;
  return '';
}

function scannerRows(result: ScenarioResult): string[][] {
  const baseline = result.scanners?.find(({ name }) => name === BASELINE);
  return (result.scanners ?? []).map((scanner) => {
    const factor =
      baseline && scanner !== baseline
        ? ` (x ${(scanner.events_per_second / baseline.events_per_second).toFixed(1)})`
        : '';
    const empty = ['', '', '', '', '', '', ''];
    return [
      `${result.scenario}: ${scanner.name}${factor}`,
      '',
      (scanner.events_per_second / 1e6).toFixed(2),
      scanner.megabytes_per_second.toFixed(0),
      ...empty,
      result.ok ? 'yes' : 'FAILED',
    ];
  });
}

function memoryCell(result: ScenarioResult): string {
  if (result.resident_bytes === undefined) return '';
  const megabytes = `${(result.resident_bytes / 1e6).toFixed(0)} MB`;
  if (result.bytes_per_connection === undefined) return megabytes;
  return `${megabytes}, ${(result.bytes_per_connection / 1024).toFixed(1)} KiB each`;
}

function time(us: number): string {
  if (Number.isNaN(us)) return '-';
  return us < 1000 ? `${us.toFixed(0)} us` : `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`;
}

function count(events: number): string {
  return events.toLocaleString('en');
}

function listLine({ answers, bytes, quiet, asked }: NonNullable<ScenarioResult['list']>): string {
  return (
    `a list of ${(bytes / 1e6).toFixed(1)} MB in p50 ${time(answers.p50_us)}, p99 ${time(answers.p99_us)}, max ${time(answers.max_us)}` +
    ` (${answers.samples} lists); events p99 ${time(quiet.p99_us)} without lists, ${time(asked.p99_us)} with`
  );
}

/** The line that ends a scenario while others are still to come. */
export function outcomeLine(result: ScenarioResult): string {
  if (!result.ok) return `FAILED\n${result.problems.map((problem) => `    ${problem}`).join('\n')}`;
  const parts: string[] = [];
  if (result.scanners) {
    parts.push(
      ...result.scanners.map(
        ({ name, megabytes_per_second }) => `${name} ${megabytes_per_second.toFixed(0)} MB/s`,
      ),
    );
  } else if (result.latency) {
    if (result.storm) {
      const { seconds, back, retries } = result.storm;
      parts.push(
        `all back after ${seconds.toFixed(2)} s (p50 ${time(back.p50_us)}, ${retries} tried again); the others`,
      );
    }
    if (result.list) parts.push(listLine(result.list));
    parts.push(`p50 ${time(result.latency.p50_us)}, p99 ${time(result.latency.p99_us)}`);
  } else if (result.events_per_second !== undefined) {
    parts.push(`${(result.events_per_second / 1e6).toFixed(2)} M events/s`);
  }
  const more = addition(result);
  if (more !== '') parts.push(more.slice(2));
  if (result.resident_bytes !== undefined) parts.push(memoryCell(result));
  if (result.events_sent !== undefined) parts.push(`${count(result.events_sent)} events verified`);
  return parts.join(', ');
}
