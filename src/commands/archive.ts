/**
 * Commands that are over: kept as the texts they are stored as, with what lists are filtered by beside them. Bounded by
 * count, bytes and age; the one that ended longest ago gives way.
 *
 * Owned by main.
 */
import { LIMITS } from '../limits.js';
import type { CommandState } from './record.js';

/** What a list looks at, of a command that is over or not. */
export interface CommandSummary {
  readonly id: string;
  readonly state: CommandState;
  readonly nodeName: string;
  readonly rolloutId: string | null;
}

export interface ArchivedCommand extends CommandSummary {
  readonly idempotencyKey: string | null;
  readonly endedMs: number;
  readonly text: string;
}

export interface ArchiveLimits {
  readonly count: number;
  readonly bytes: number;
  readonly ageMs: number;
}

const LIMITS_KEPT: ArchiveLimits = {
  count: LIMITS.commandsKept,
  bytes: LIMITS.commandsKeptBytes,
  ageMs: LIMITS.commandsKeptMs,
};

export class Archive {
  readonly #limits: ArchiveLimits;
  /** In the order in which they ended. */
  readonly #byId = new Map<string, ArchivedCommand>();
  #bytes = 0;

  constructor(limits: ArchiveLimits = LIMITS_KEPT) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byId.size;
  }

  add(command: ArchivedCommand): void {
    this.#byId.set(command.id, command);
    this.#bytes += command.text.length;
  }

  get(id: string): ArchivedCommand | undefined {
    return this.#byId.get(id);
  }

  /** Takes out one that has to give way, if any has. */
  evict(nowMs: number): ArchivedCommand | undefined {
    const oldest = this.#byId.values().next().value;
    if (oldest === undefined) return undefined;
    const { count, bytes, ageMs } = this.#limits;
    if (this.#byId.size <= count && this.#bytes <= bytes && oldest.endedMs > nowMs - ageMs) return undefined;
    return this.remove(oldest.id);
  }

  remove(id: string): ArchivedCommand | undefined {
    const command = this.#byId.get(id);
    if (command === undefined) return undefined;
    this.#byId.delete(id);
    this.#bytes -= command.text.length;
    return command;
  }
}
