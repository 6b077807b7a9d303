/**
 * The control socket, `<data dir>/control.sock`: the same REST for whoever may open it, which is the owner of the data
 * directory and root; nobody is asked for a token. It is how the command line reaches a running Core.
 *
 * Owned by main. It is bound in a folder that only the owner can enter, and moved to its place once its mode is right:
 * it is never open to others, and one that a killed Core left is replaced in one step (the data directory is held).
 */
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { CONTROL_SOCKET, longestSocketPath } from '../access/control-path.js';

export interface ControlSocket {
  /** Takes no more connections, and removes the socket; those that are open are their owner's. */
  close(): void;
}

/** Undefined where the system cannot bind it; said in the log, and no reason not to run. */
export async function openControlSocket(
  dataDir: string,
  accept: (socket: Socket) => void,
  logger: Logger,
  name = CONTROL_SOCKET,
): Promise<ControlSocket | undefined> {
  const path = join(dataDir, name);
  let folder: string | undefined;
  let directory: number | undefined;
  try {
    folder = mkdtempSync(join(dataDir, '.control-'));
    directory = openSync(folder, 'r');
    const server = createServer({ allowHalfOpen: true }, accept);
    await listen(server, shortPath(join(folder, 's'), directory));
    chmodSync(join(folder, 's'), 0o600);
    renameSync(join(folder, 's'), path);
    server.on('error', (error) => logger.error({ err: error }, 'the control socket reported an error'));
    const held = directory;
    return {
      close() {
        rmSync(path, { force: true });
        // The descriptor last: its number is in the path that the server removes when it closes.
        server.close(() => closeSync(held));
      },
    };
  } catch (error) {
    if (directory !== undefined) closeSync(directory);
    logger.warn(
      { path, reason: (error as Error).message },
      'no control socket: the command line needs a token, or Core stopped',
    );
    return undefined;
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

/** A socket's path has about a hundred bytes; on Linux a folder that is open has a short name. */
function shortPath(path: string, directory: number): string {
  if (Buffer.byteLength(path) <= longestSocketPath) return path;
  const short = `/proc/self/fd/${directory}`;
  if (!existsSync(short)) throw new Error('the path of the data directory is too long for a socket');
  return `${short}/s`;
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
