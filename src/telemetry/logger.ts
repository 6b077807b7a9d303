/**
 * Core's own log: pino, one JSON object a line, written at once by the thread that says it. Every thread makes its
 * logger here: a worker's `process.stdout` goes through main and loses what main does not get to any more.
 *
 * The text of a message is constant; whatever came from outside goes into fields, and what is written holds no byte
 * that a terminal would act on. Never log per event: a line costs more than an event.
 *
 * The file is opened for appending by each thread and never rotated here (logrotate: `copytruncate`).
 */
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino, stdTimeFunctions } from 'pino';
import type { Config } from '../config/config.js';
import { EXIT, FatalError } from '../errors.js';
import { makeFolder } from '../folders.js';
import { LineWriter, type WriteBytes } from './line-writer.js';
import { plainLine, prettyPrinter } from './log-line.js';

export type { Logger } from 'pino';

export const LOG_FILE = 'honeybee-core.log';

export interface LoggerOptions {
  readonly level: Config['logging']['level'];
  /** Folder of {@link LOG_FILE}; empty: standard output only. */
  readonly folder: string;
  readonly forceColor: boolean;
  /** `main`, `aggregator`, `shard-0`, ... */
  readonly thread: string;
  /** Where lines go beside the file; standard output when absent. */
  readonly fd?: number;
  readonly write?: WriteBytes;
}

/** Fields that hold secrets, wherever they stand: at the top or up to three objects deep. */
const SECRETS = ['totp_code', 'totp_key', 'token', 'authorization', 'secret'];
const DEPTHS = ['', '*.', '*.*.', '*.*.*.'];

const writers = new Set<LineWriter>();

/** Lines this thread could not write, over all its loggers. */
export function lostLogLines(): number {
  let lost = 0;
  for (const writer of writers) lost += writer.lost;
  return lost;
}

/** @throws {FatalError} with {@link EXIT.cannotCreate} when the file cannot be opened */
export function createLogger(options: LoggerOptions): Logger {
  const output = writer(options.fd ?? 1, options.write);
  const file = options.folder === '' ? undefined : writer(openFile(options.folder), options.write);
  const pretty = options.forceColor ? prettyPrinter() : undefined;
  return pino(
    {
      level: options.level,
      base: { thread: options.thread, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      redact: {
        paths: DEPTHS.flatMap((depth) => SECRETS.map((name) => depth + name)),
        censor: '[redacted]',
      },
    },
    {
      write(line: string) {
        const plain = plainLine(line);
        output.write(pretty ? pretty(plain) : plain);
        file?.write(plain);
      },
    },
  );
}

function writer(fd: number, write: WriteBytes | undefined): LineWriter {
  const created = new LineWriter(fd, write);
  writers.add(created);
  return created;
}

function openFile(folder: string): number {
  try {
    makeFolder(folder, 0o750);
    return openSync(join(folder, LOG_FILE), 'a', 0o640);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new FatalError(
      EXIT.cannotCreate,
      `logging.folder ${JSON.stringify(folder)}: ${LOG_FILE} cannot be written there (${reason})`,
      { cause: error },
    );
  }
}
