/**
 * `honeybee-core log`: works on the log's files, without asking a Core, and whether one is running or not. Answers go to
 * standard output; how far it is, where that is a terminal, to standard error.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { printable } from '../config/values.js';
import { EXIT, FatalError } from '../errors.js';
import { Catalog } from '../log/catalog.js';
import type { Addon } from '../native/addon.js';
import { loadAddon, resolveMode } from '../native/addon.js';
import type { LogArguments } from './arguments.js';
import { configFor } from './control-client.js';

export async function workOnLog(args: LogArguments): Promise<number> {
  const folder = logFolder(args);
  const { action, json } = args;
  switch (action.do) {
    case 'cat':
      return (await import('./log-cat.js')).printLog(folder, action, addon());
    case 'verify':
      return (await import('./log-verify.js')).verifyLog(folder, action, json, addon());
    case 'stat':
      return (await import('./log-stat.js')).describeLog(folder, json, addon());
    case 'repair':
      return (await import('./log-repair.js')).repairLog(folder, json, addon());
  }
}

/** Without it everything works the same, slower. */
function addon(): Addon | undefined {
  return resolveMode('auto').mode === 'native' ? loadAddon() : undefined;
}

function logFolder(args: LogArguments): string {
  const { dir, command: _, action: _action, json: _json, ...config } = args;
  const data = dir ?? configFor(config).storage.dir;
  const folder = join(data, 'log');
  if (existsSync(folder)) return folder;
  // The folder itself, as it lies in a backup.
  if (dir !== undefined && existsSync(dir) && new Catalog(dir).segments.length > 0) return dir;
  throw new FatalError(
    EXIT.usage,
    `there is no log in ${printable(data)} (${dir === undefined ? 'storage.dir' : '--dir'})`,
  );
}
