/**
 * The commands of honeybee-core: reads arguments and configuration, runs Core until a signal, or asks a running
 * one. Main thread. Ends with the codes of errors.ts.
 */
import { readFileSync } from 'node:fs';
import { loadConfig } from '../config/load.js';
import { EXIT, FatalError } from '../errors.js';
import type { Core } from '../main.js';
import { createLogger, type Logger } from '../telemetry/logger.js';
import { parseArguments } from './arguments.js';
import { helpText } from './help.js';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

async function run(file: string | undefined, flags: Readonly<Record<string, string>>): Promise<number> {
  // Loaded here: it is most of Core, and the other commands are done before it would be there.
  const { Core } = await import('../main.js');
  const {
    config,
    file: path,
    created,
    notes,
  } = loadConfig({ file, explicit: file !== undefined, env: process.env, flags });
  const { level, folder, force_color } = config.logging;
  const logger = createLogger({ level, folder, forceColor: force_color, thread: 'main' });
  let running: Core | undefined;
  let told: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (told !== undefined) {
      logger.fatal({ signal }, 'second signal: ending at once');
      process.kill(process.pid, 'SIGKILL');
    }
    told = signal;
    void running?.stop(signal);
  };
  // Before Core says anything, so that whoever stops it the moment it is ready finds it listening.
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // Without a listener it would end the process. Before Core runs there is nothing to reload.
  process.on('SIGHUP', () => running?.reload());
  logger.info({ version, node: process.version, config: path, created }, 'honeybee-core starts');
  for (const note of notes) logger.warn({ note }, 'configuration');
  const core = await start(() => Core.start(config, version, logger), logger);
  running = core;
  if (told !== undefined) void core.stop(told);
  // What reaches this is a fault of ours on the main thread. The aggregator must be closed before the process ends.
  process.on('uncaughtException', (error) => {
    logger.fatal({ err: error }, 'uncaught exception on the main thread, Core ends');
    void core.stop('uncaughtException').then(() => process.exit(EXIT.software));
  });
  return core.ended;
}

/** Says in the log why Core did not start, too. */
async function start(work: () => Promise<Core>, logger: Logger): Promise<Core> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FatalError)
      logger.fatal({ reason: error.message, exit_code: error.exitCode }, 'Core did not start');
    throw error;
  }
}

/** Does what the command line asks for; answers the exit code. */
export async function runCommand(argv: readonly string[]): Promise<number> {
  try {
    return await dispatch(argv);
  } catch (error) {
    if (error instanceof FatalError) console.error(`honeybee-core: ${error.message}`);
    else console.error('honeybee-core: unexpected failure:', error);
    return error instanceof FatalError ? error.exitCode : EXIT.software;
  }
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const args = parseArguments(argv);
  switch (args.command) {
    case 'help':
      console.log(helpText());
      return EXIT.ok;
    case 'version':
      console.log(version);
      return EXIT.ok;
    case 'status':
      // Loaded here: the HTTP client costs memory that a running Core does not need.
      return (await import('./status.js')).printStatus(args);
    case 'tail':
      return (await import('./tail.js')).printStream(args);
    case 'ledger':
      return (await import('./ledger.js')).printLedger(args);
    case 'token':
      return (await import('./token.js')).administerTokens(args);
    case 'enroll':
      return (await import('./enroll.js')).administerEnrolments(args);
    case 'deadletter':
      return (await import('./deadletter.js')).tendDeadLetters(args);
    case 'log':
      return (await import('./log.js')).workOnLog(args);
    case 'run':
      return run(args.config, args.flags);
  }
}
