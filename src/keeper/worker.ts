/**
 * The keeper thread: drives the keeper (keeper.ts) and passes on what it is told. It never holds its event loop for more
 * than a slice of work, runs at a lower priority than the threads that events wait for, and can be ended at any instant.
 */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { basename, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { LIMITS } from '../limits.js';
import { REAL_FILES } from '../log/files.js';
import { readSigningKey } from '../log/signing-key.js';
import { loadAddon } from '../native/addon.js';
import { Keeper } from './keeper.js';
import type { KeeperStart, KeeperToMain, MainToKeeper } from './messages.js';

/** Where the cores are all taken it gets a quarter of what others get: enough to keep up with what they bring in. */
const NICE = 5;

const { config, mode, counters } = workerData as KeeperStart;
lowerPriority();
const port = parentPort!;
const keeper = new Keeper({
  folder: join(config.storage.dir, 'log'),
  storage: config.storage,
  counters,
  files: REAL_FILES,
  addon: mode === 'native' ? loadAddon() : undefined,
  key: readSigningKey(config.storage.signing_key_file),
  tell: (message: KeeperToMain) => port.postMessage(message),
});
let timer: NodeJS.Timeout | undefined;
let next: NodeJS.Immediate | undefined;

port.on('message', (message: MainToKeeper) => {
  switch (message.type) {
    case 'cursor':
      keeper.useCursor(message.oldest);
      break;
    case 'finish':
      clearTimeout(timer);
      clearImmediate(next);
      keeper.stop();
      port.close();
      break;
    case 'die':
      throw new Error('told to die');
  }
});
run();

function run(): void {
  if (keeper.step(performance.now())) next = setImmediate(run);
  else timer = setTimeout(run, LIMITS.keeperIntervalMs);
}

/** On Linux a priority is a thread's own, and this link is the one of the thread that reads it. */
function lowerPriority(): void {
  try {
    setPriority(Number(basename(readlinkSync('/proc/thread-self'))), NICE);
  } catch {
    // It works the same.
  }
}
