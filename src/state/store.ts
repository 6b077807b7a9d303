/**
 * The small state that must survive: nodes, enrolment secrets, tokens, commands. A LevelDB in `<data dir>/state`,
 * owned by main; the data plane never waits for it.
 *
 *   write(changes) --> pending --(one batch at a time, fsynced)--> durable, the promises of all its writes resolve
 *
 * Group commit: whatever is written while a batch is on its way to the disk goes into the next one, so ten thousand
 * registrations cost a few dozen fsyncs. A batch that the disk refuses is tried again until it fits: what was written
 * stays pending, in order, and everybody who waits for it goes on waiting. Changes are puts and deletes of whole
 * values, so a batch that is written twice does no harm. A batch takes no more writes when it is so large that handing it
 * to LevelDB would hold main up.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ClassicLevel } from 'classic-level';
import { EXIT, FatalError } from '../errors.js';
import { LIMITS } from '../limits.js';
import { giveUpReserve, keepReserve } from './reserve.js';

/** Entries that are fetched from LevelDB's threads at a time. */
const READ_AT_ONCE = 1000;

/** What is kept; each has keys of its own. The order of a section is that of its keys' UTF-8 bytes. */
export const SECTIONS = ['meta', 'node', 'enrolment', 'token', 'command', 'rollout', 'consumer'] as const;
export type StateSection = (typeof SECTIONS)[number];

/** One change; without a value the key is deleted. */
export interface StateChange {
  readonly section: StateSection;
  readonly key: string;
  readonly value?: string;
}

/** Refused: more is waiting for the disk than may. Nothing of the write was taken. */
export class StateBacklogFull extends Error {
  constructor() {
    super('the state is not reaching the disk, and no more may wait for it');
    this.name = 'StateBacklogFull';
  }
}

export interface StateStore {
  /** Resolves when all of the changes are durable; all of them are, or none. Throws {@link StateBacklogFull} at once. */
  write(changes: readonly StateChange[]): Promise<void>;
  /** Everything in a section, by key. Not for use while it is being written to. */
  read(section: StateSection): AsyncIterable<readonly [key: string, value: string]>;
  /** Resolves when everything written so far is durable and the files are closed; gives up at the deadline. */
  close(deadlineMs: number): Promise<void>;
}

export interface StateHooks {
  /** The disk refuses, or takes again what it refused. */
  onTrouble(trouble: Error | null): void;
}

/** Opens the state in `folder`, or throws a FatalError. */
export async function openStateStore(folder: string, hooks: StateHooks): Promise<StateStore> {
  const reserve = `${folder}.spare`;
  try {
    const level = await openLevel(folder);
    keepReserve(reserve);
    return new LevelStore(level, hooks);
  } catch (error) {
    if (!isDiskFull(error as Error) || !giveUpReserve(reserve)) throw error;
    // What it gave is used from now on; it is made again at a start that finds room.
    return new LevelStore(await openLevel(folder), hooks);
  }
}

async function openLevel(folder: string): Promise<ClassicLevel<string, string>> {
  const level = new ClassicLevel<string, string>(folder, {
    cacheSize: LIMITS.stateCacheBytes,
    writeBufferSize: LIMITS.stateWriteBufferBytes,
  });
  try {
    await level.open();
  } catch (error) {
    const cause = (error as Error).cause ?? error;
    throw new FatalError(
      EXIT.cannotCreate,
      `cannot open the state in ${folder} (storage.dir): ${(cause as Error).message}`,
      { cause: error },
    );
  }
  return level;
}

/** LevelDB has no codes for what the system says. */
function isDiskFull({ message }: Error): boolean {
  return /no space left on device|quota exceeded/i.test(message);
}

interface Batch {
  readonly changes: StateChange[];
  readonly done: Promise<void>;
  resolve(): void;
}

class LevelStore implements StateStore {
  readonly #level: ClassicLevel<string, string>;
  readonly #hooks: StateHooks;
  /** Waiting for their turn, in order; only the last one takes more. */
  readonly #queue: Batch[] = [];
  #underWay: Promise<void> | undefined;
  #waitingChanges = 0;
  #giveUp = false;

  constructor(level: ClassicLevel<string, string>, hooks: StateHooks) {
    this.#level = level;
    this.#hooks = hooks;
  }

  write(changes: readonly StateChange[]): Promise<void> {
    // No batch would be made for nothing, and so none would ever end.
    if (changes.length === 0) return Promise.resolve();
    if (this.#waitingChanges + changes.length > LIMITS.stateBacklogChanges) throw new StateBacklogFull();
    this.#waitingChanges += changes.length;
    let batch = this.#queue.at(-1);
    if (batch === undefined || batch.changes.length >= LIMITS.stateBatchChanges) {
      batch = newBatch();
      this.#queue.push(batch);
    }
    for (const change of changes) batch.changes.push(change);
    this.#underWay ??= this.#flush();
    return batch.done;
  }

  async *read(section: StateSection): AsyncGenerator<readonly [string, string]> {
    const prefix = `${section}/`;
    // "0" is the character behind "/".
    const iterator = this.#level.iterator({ gte: prefix, lt: `${section}0` });
    try {
      for (;;) {
        const entries = await iterator.nextv(READ_AT_ONCE);
        if (entries.length === 0) return;
        for (const [key, value] of entries) yield [key.slice(prefix.length), value];
      }
    } finally {
      await iterator.close();
    }
  }

  async close(deadlineMs: number): Promise<void> {
    const timer = setTimeout(
      () => {
        this.#giveUp = true;
      },
      Math.max(0, deadlineMs - Date.now()),
    );
    await this.#underWay;
    clearTimeout(timer);
    // A failed reopen has left it closed.
    if (this.#level.status === 'open') await this.#level.close();
  }

  async #flush(): Promise<void> {
    // A turn of the event loop first: what is written by one turn's messages goes out together.
    await pause(0);
    while (!this.#giveUp) {
      const batch = this.#queue.shift();
      if (batch === undefined) break;
      if (!(await this.#persist(batch.changes))) break;
      this.#waitingChanges -= batch.changes.length;
      batch.resolve();
    }
    this.#underWay = undefined;
  }

  /** False where it was given up: whoever waits for it waits for ever, as nothing else would be true. */
  async #persist(changes: readonly StateChange[]): Promise<boolean> {
    for (let failed = false; !this.#giveUp; failed = true) {
      try {
        // After a failed write LevelDB takes no other until it was opened anew.
        if (failed) await this.#reopen();
        await this.#batchOf(changes).write({ sync: true });
        if (failed) this.#hooks.onTrouble(null);
        return true;
      } catch (error) {
        if (!failed) this.#hooks.onTrouble(error as Error);
        await pause(LIMITS.diskRetryMs);
      }
    }
    return false;
  }

  /** Not an array of operations: LevelDB's binding takes seven times as long to read that, and main waits for it. */
  #batchOf(changes: readonly StateChange[]) {
    const batch = this.#level.batch();
    for (const { section, key, value } of changes) {
      if (value === undefined) batch.del(`${section}/${key}`);
      else batch.put(`${section}/${key}`, value);
    }
    return batch;
  }

  async #reopen(): Promise<void> {
    if (this.#level.status === 'open') await this.#level.close();
    await this.#level.open();
  }
}

function newBatch(): Batch {
  let resolve!: () => void;
  const done = new Promise<void>((r) => {
    resolve = r;
  });
  return { changes: [], done, resolve };
}
