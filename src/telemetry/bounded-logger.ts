/**
 * A logger for what may come in storms: ten thousand nodes that reconnect would be twenty thousand lines, and writing
 * them would cost main more than admitting the nodes. So many lines of a level in a second, the rest is counted and
 * said once the second is over. The counters and the stream have everything.
 *
 * Owned by main.
 */
import { LIMITS } from '../limits.js';
import type { Logger } from './logger.js';

const SECOND_MS = 1000;

type Level = 'info' | 'warn';

/** `info` and `warn` are bounded, each for itself; whatever is worse passes. */
export function boundedLogger(
  logger: Logger,
  linesPerSecond: number = LIMITS.sessionLogLinesPerSecond,
): Logger {
  const bounded = Object.create(logger) as Logger;
  for (const level of ['info', 'warn'] as const) bounded[level] = boundedLevel(logger, level, linesPerSecond);
  return bounded;
}

function boundedLevel(logger: Logger, level: Level, linesPerSecond: number): Logger[Level] {
  let lines = 0;
  let heldBack = 0;
  let last: string | undefined;
  let second: NodeJS.Timeout | undefined;
  const over = () => {
    second = undefined;
    lines = 0;
    if (heldBack > 0) logger[level]({ heldBack, last }, 'more lines like this were held back');
    heldBack = 0;
  };
  return ((...line: [object, string]) => {
    if (second === undefined) {
      second = setTimeout(over, SECOND_MS);
      second.unref();
    }
    if (lines < linesPerSecond) {
      lines++;
      logger[level](...line);
      return;
    }
    heldBack++;
    last = line[1];
  }) as Logger[Level];
}
