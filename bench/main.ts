/**
 * `npm run bench`: runs the scenarios one after the other, shows how far they are, prints what came out, and ends with
 * 1 when anything was lost. Progress goes to standard error, results to standard output.
 */
import { appendFileSync } from 'node:fs';
import { HELP, type Request, readArguments, UsageError } from './arguments.js';
import { removeAllCores } from './core-process.js';
import { Progress } from './progress.js';
import { describeMachine, jsonLine, outcomeLine, table } from './report.js';
import type { ScenarioResult } from './result.js';
import { type Run, seriesOf } from './series.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;

async function runOnce(run: Run, request: Request, progress: Progress): Promise<ScenarioResult> {
  try {
    return await run.run({
      settings: request.settings,
      onProgress: (fraction, text) => progress.update(fraction, text),
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { scenario: run.title, ok: false, problems: [message], parameters: {} };
  }
}

/** A run that failed decides; otherwise the one in the middle. */
async function runRepeated(run: Run, request: Request, progress: Progress): Promise<ScenarioResult> {
  const results: ScenarioResult[] = [];
  for (let round = 1; round <= request.repeat; round++) {
    progress.start(request.repeat > 1 ? `${run.title} (${round} of ${request.repeat})` : run.title);
    const result = await runOnce(run, request, progress);
    progress.done(outcomeLine(result));
    if (!result.ok) return result;
    results.push(result);
  }
  if (results.length === 1) return results[0]!;
  results.sort((left, right) => run.figure(left) - run.figure(right));
  return { ...results[Math.floor((results.length - 1) / 2)]!, runs: results.map(run.figure) };
}

async function main(): Promise<number> {
  const request = readArguments(process.argv.slice(2));
  if (!request) {
    process.stdout.write(HELP);
    return 0;
  }
  const machine = describeMachine();
  const { seed, mix } = request.settings;
  process.stderr.write(
    `${machine.cpu}, ${machine.cores} cores, ${(machine.memory_bytes / 2 ** 30).toFixed(0)} GiB, Node ${machine.node}; seed ${seed}, ${mix} events\n`,
  );
  const progress = new Progress(process.stderr);
  const results: ScenarioResult[] = [];
  const lines: string[] = [];
  for (const run of seriesOf(request)) {
    const result = await runRepeated(run, request, progress);
    results.push(result);
    const line = jsonLine(result, machine, seed);
    if (request.jsonFile !== undefined) appendFileSync(request.jsonFile, `${line}\n`);
    else lines.push(line);
  }
  process.stdout.write(`\n${table(results)}\n\n${lines.map((line) => `${line}\n`).join('')}`);
  return results.every(({ ok }) => ok) ? 0 : EXIT_FAILED;
}

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    removeAllCores();
    process.exit(exitCode);
  });
}

main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    removeAllCores();
    if (error instanceof UsageError) {
      console.error(`${error.message}\nSee --help.`);
      process.exit(EXIT_USAGE);
    }
    console.error(error);
    process.exit(EXIT_FAILED);
  },
);
