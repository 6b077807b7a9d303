/**
 * The data directory: made where it is missing, tried for writing, and held by one Core at a time. Owned by main.
 *
 * Held how: on Linux by listening on an abstract socket named after the directory's device and inode; the kernel
 * gives it to one process and takes it back when that process is gone, however it went. A lock file with the
 * process id is beside it for people, and for systems (and containers) where the socket does not reach.
 */

import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { EXIT, FatalError } from '../errors.js';
import { makeFolder } from '../folders.js';

export interface DataDirectory {
  /** Lets go of it; call it last. */
  release(): void;
}

/** Takes the directory, or throws a FatalError that says why not. */
export async function holdDataDirectory(dir: string): Promise<DataDirectory> {
  let inode: string;
  const lockFile = join(dir, 'core.lock');
  try {
    makeFolder(dir, 0o750);
    const { dev, ino } = statSync(dir, { bigint: true });
    inode = `${dev}-${ino}`;
  } catch (error) {
    throw new FatalError(
      EXIT.cannotCreate,
      `cannot create the data directory ${dir} (storage.dir): ${(error as Error).message}`,
      { cause: error },
    );
  }
  const holder = readHolder(lockFile);
  const socket = process.platform === 'linux' ? await listen(`\0honeybee-core-${inode}`) : undefined;
  if (socket === 'taken' || (socket === undefined && holder !== undefined && isAlive(holder))) {
    const who = holder === undefined ? '' : ` (process ${holder})`;
    throw new FatalError(
      EXIT.locked,
      `the data directory ${dir} (storage.dir) is held by another Core${who}`,
    );
  }
  try {
    writeFileSync(lockFile, `${process.pid}\n`, { mode: 0o640 });
  } catch (error) {
    socket?.close();
    throw new FatalError(
      EXIT.cannotCreate,
      `cannot write to the data directory ${dir} (storage.dir): ${(error as Error).message}`,
      { cause: error },
    );
  }
  return {
    release() {
      rmSync(lockFile, { force: true });
      socket?.close();
    },
  };
}

function readHolder(lockFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(lockFile, 'utf8').trim());
    return Number.isSafeInteger(pid) && pid > 0 && pid !== process.pid ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function listen(name: string): Promise<Server | 'taken'> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve('taken');
      else reject(error);
    });
    server.listen({ path: name }, () => {
      server.unref();
      resolve(server);
    });
  });
}
