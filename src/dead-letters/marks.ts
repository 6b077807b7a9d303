/**
 * Which dead letters were tried again, and what came of it: `replays.ndjson` beside them, a line for each step.
 *
 *   {"id":number,"time":ISO 8601,"outcome":"unknown"|"accepted"|"refused"}
 *
 * `unknown` is written before a letter is tried, so that after a crash nobody takes one for untried that may be in the log.
 * The last line about a letter counts. Read when somebody first asks; written anew, without letters that have given way,
 * when it is much longer than what it says. One writer: main of the Core that holds the directory.
 */
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { LIMITS } from '../limits.js';
import { REPLAY_OUTCOMES, type ReplayMark, type ReplayOutcome } from './service.js';

const FILE = 'replays.ndjson';
/** Lines that say nothing any more, before the file is written anew. */
const IDLE_LINES = 10_000;
const SLICE_LENGTH = 64 * 1024;

export class ReplayMarks {
  readonly #folder: string;
  /** By letter: time * 4 + index of the outcome, which takes a third of the memory of an object. */
  readonly #marks = new Map<number, number>();
  #lines = 0;
  #read: Promise<void> | undefined;
  #file: FileHandle | undefined;
  /** Steps are written one after the other. */
  #last: Promise<void> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #dirty = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async of(id: number): Promise<ReplayMark | undefined> {
    await this.#load();
    const packed = this.#marks.get(id);
    if (packed === undefined) return undefined;
    return unpack(packed);
  }

  /** False where no more can be remembered, even without those before `oldest`. */
  async hasRoom(oldest: number): Promise<boolean> {
    await this.#load();
    if (this.#marks.size < LIMITS.replayMarks) return true;
    for (const id of this.#marks.keys()) if (id < oldest) this.#marks.delete(id);
    return this.#marks.size < LIMITS.replayMarks;
  }

  /** Resolves when the system has it; rejects with what the file system says. */
  async set(id: number, mark: ReplayMark): Promise<void> {
    await this.#load();
    const done = this.#last.then(() => this.#write(id, mark));
    this.#last = done.catch(() => {});
    await done;
    this.#sync();
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#syncing;
    await this.#file?.sync();
    await this.#file?.close();
    this.#file = undefined;
  }

  #load(): Promise<void> {
    this.#read ??= this.#readFile();
    return this.#read;
  }

  async #readFile(): Promise<void> {
    let text: string;
    try {
      text = await readFile(join(this.#folder, FILE), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#read = undefined;
      throw error;
    }
    for (const line of text.split('\n')) {
      const mark = readMark(line);
      this.#lines++;
      if (mark !== undefined) this.#marks.set(mark.id, pack(mark));
    }
  }

  async #write(id: number, mark: ReplayMark): Promise<void> {
    if (this.#lines > 2 * this.#marks.size + IDLE_LINES) await this.#writeAnew();
    if (this.#file === undefined) {
      this.#file = await open(join(this.#folder, FILE), 'a', 0o640);
      // A line that a crash has torn must not swallow this one.
      await this.#file.write('\n');
    }
    await this.#file.write(lineOf(id, mark));
    this.#lines++;
    this.#marks.set(id, pack(mark));
    this.#dirty = true;
  }

  async #writeAnew(): Promise<void> {
    const path = join(this.#folder, FILE);
    const file = await open(`${path}.new`, 'w', 0o640);
    try {
      let text = '';
      for (const [id, packed] of this.#marks) {
        text += lineOf(id, unpack(packed));
        if (text.length < SLICE_LENGTH) continue;
        await file.write(text);
        text = '';
      }
      await file.write(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    await this.#file?.close();
    this.#file = undefined;
    this.#lines = this.#marks.size;
  }

  /** One at a time, and once more for what came meanwhile. */
  #sync(): void {
    if (this.#syncing !== undefined || this.#file === undefined || !this.#dirty) return;
    this.#dirty = false;
    this.#syncing = this.#file
      .datasync()
      .catch(() => {})
      .finally(() => {
        this.#syncing = undefined;
        this.#sync();
      });
  }
}

function lineOf(id: number, { timeMs, outcome }: ReplayMark): string {
  return `{"id":${id},"time":"${new Date(timeMs).toISOString()}","outcome":"${outcome}"}\n`;
}

function pack({ timeMs, outcome }: ReplayMark): number {
  return timeMs * 4 + REPLAY_OUTCOMES.indexOf(outcome);
}

function unpack(packed: number): ReplayMark {
  return { timeMs: Math.floor(packed / 4), outcome: REPLAY_OUTCOMES[packed % 4]! };
}

function readMark(line: string): (ReplayMark & { id: number }) | undefined {
  try {
    const { id, time, outcome } = JSON.parse(line) as Record<string, unknown>;
    const timeMs = Date.parse(String(time));
    if (!Number.isSafeInteger(id) || Number.isNaN(timeMs)) return undefined;
    if (!(REPLAY_OUTCOMES as readonly unknown[]).includes(outcome)) return undefined;
    return { id: id as number, timeMs, outcome: outcome as ReplayOutcome };
  } catch {
    return undefined;
  }
}
