/**
 * Asks the administration of the data directory: the Core that holds it, through its control socket, or, where none
 * runs, the same REST over the same kind of socket in this process. Whoever asks does not see the difference.
 */
import { existsSync, openSync, statSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { COMMAND_SOCKET, CONTROL_SOCKET, longestSocketPath } from '../access/control-path.js';
import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';
import { type Answer, checked } from './answer.js';
import type { ConfigArguments } from './arguments.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** Throws a FatalError for whatever is not a success. */
export type Ask = (method: Method, path: string, body?: unknown) => Promise<Answer>;

const ANSWER_TIMEOUT_MS = 30_000;
/** More than a thousand tokens or enrolments. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
/** A Core that starts holds its data directory before it opens the control socket: it may have a log to recover. */
const STARTING_MS = 15_000;
const RETRY_MS = 50;

/** There is no socket any more, and nothing was asked. */
class NobodyListens extends FatalError {}

/** The configuration by which Core would find its data directory; nothing is written. */
export function configFor({ config: file, flags }: ConfigArguments): Config {
  return loadConfig({ file, explicit: file !== undefined, create: false, env: process.env, flags }).config;
}

/** `dataDir`'s control socket, where a Core listens on it. */
export async function reachControl(dataDir: string): Promise<string | undefined> {
  const path = socketPath(dataDir);
  return path !== undefined && (await answers(path)) ? path : undefined;
}

/** Does the work with whoever administers the data directory of this configuration. */
export async function withControl<T>(
  args: ConfigArguments,
  { makesDirectory }: { readonly makesDirectory: boolean },
  work: (ask: Ask) => Promise<T>,
): Promise<T> {
  const config = configFor(args);
  const { dir } = config.storage;
  if (!makesDirectory && !existsSync(dir))
    throw new FatalError(EXIT.unavailable, `there is no data directory ${printable(dir)} (storage.dir)`);
  const deadlineMs = performance.now() + STARTING_MS;
  for (;;) {
    const path = await reachControl(dir);
    try {
      if (path === undefined) return await withoutCore(config, work);
      return await work(async (method, url, body) => checked(await askOver(path, method, url, body)));
    } catch (error) {
      // A Core that listened a moment ago has ended.
      if (error instanceof NobodyListens && performance.now() <= deadlineMs) continue;
      // Held by a Core that does not listen yet, not any more, or by another command like this one.
      if (!(error instanceof FatalError && error.exitCode === EXIT.locked)) throw error;
      if (performance.now() > deadlineMs)
        throw new FatalError(EXIT.unavailable, `${error.message}, which has no control socket`);
      await pause(RETRY_MS);
    }
  }
}

async function withoutCore<T>({ storage, ...config }: Config, work: (ask: Ask) => Promise<T>): Promise<T> {
  const { dir } = storage;
  refuseOtherOwner(dir);
  // Loaded here: a Core that runs has all of it, and then only its socket is needed.
  const { holdDataDirectory } = await import('../log/data-directory.js');
  const { Administrator } = await import('../control.js');
  const { createLogger } = await import('../telemetry/logger.js');
  const data = await holdDataDirectory(dir);
  try {
    const logger = createLogger({ level: 'warn', folder: '', forceColor: false, thread: 'main', fd: 2 });
    const administrator = await Administrator.start({ storage, ...config }, logger);
    try {
      const path = socketPath(dir, COMMAND_SOCKET);
      if (path === undefined) throw new FatalError(EXIT.unavailable, `no socket can be made in ${dir}`);
      return await work(async (method, url, body) => checked(await askOver(path, method, url, body)));
    } finally {
      await administrator.close();
    }
  } finally {
    data.release();
  }
}

/** Files made here must be Core's to read: root would leave some that the user Core runs as cannot open. */
function refuseOtherOwner(dir: string): void {
  if (process.geteuid === undefined || !existsSync(dir)) return;
  const { uid } = statSync(dir);
  if (uid === process.geteuid()) return;
  throw new FatalError(
    EXIT.noPermission,
    `no Core runs on ${printable(dir)} (storage.dir), which belongs to user ${uid}: run this as that user, sudo -u '#${uid}' ...`,
  );
}

/** Undefined where there is none, or where this system cannot reach it. */
function socketPath(dataDir: string, name = CONTROL_SOCKET): string | undefined {
  const path = join(dataDir, name);
  if (Buffer.byteLength(path) <= longestSocketPath) return path;
  try {
    // Stays open until this process ends: its number is the path.
    const directory = openSync(dataDir, 'r');
    const short = `/proc/self/fd/${directory}`;
    return existsSync(short) ? join(short, name) : undefined;
  } catch {
    return undefined;
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES' || error.code === 'EPERM')
        reject(
          new FatalError(
            EXIT.noPermission,
            `${printable(path)} belongs to another user: run this as the user that Core runs as, or as root`,
          ),
        );
      else resolve(false);
    });
  });
}

/** Whatever the answer is; throws a FatalError where there is none. */
export async function askOver(
  socketPath: string,
  method: Method,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise<Answer>((resolve, reject) => {
    const outgoing = httpRequest(
      {
        socketPath,
        method,
        path,
        agent: false,
        timeout: ANSWER_TIMEOUT_MS,
        headers: {
          host: 'localhost',
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        incoming.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES_MAX) outgoing.destroy(new Error('the answer is too long'));
          else chunks.push(chunk);
        });
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', reject);
    outgoing.end(text);
  }).catch((error: NodeJS.ErrnoException) => {
    const isConnect =
      error.syscall === 'connect' && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED');
    throw new (isConnect ? NobodyListens : FatalError)(
      EXIT.unavailable,
      `no answer from Core: ${error.message}`,
      { cause: error },
    );
  });
}
