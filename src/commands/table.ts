/**
 * All commands: those that go on as records, those that are over as texts; their deadlines, their counts, and their way
 * to the disk. The one place where a command changes.
 *
 * Owned by main. No clock and no sockets: time is passed in, and whoever moves a command knows why.
 */
import { LIMITS } from '../limits.js';
import type { StateChange } from '../state/store.js';
import { Archive, type ArchivedCommand, type ArchiveLimits, type CommandSummary } from './archive.js';
import { Deadlines } from './deadlines.js';
import { IdSource } from './id.js';
import { IdempotencyKeys } from './idempotency.js';
import {
  COMMAND_STATES,
  type CommandEvent,
  type CommandRecord,
  type CommandState,
  isOver,
  nextPhase,
  stateOf,
} from './record.js';
import type { StateWriter } from './state-writer.js';
import { type CommandOfRollout, readStoredCommand, storedCommand } from './stored.js';

/** What a move changes beside the phase. */
export interface Change {
  readonly message?: string | null;
  readonly result?: CommandRecord['result'];
  readonly error?: CommandRecord['error'];
  /** Where it is not what follows from the event. */
  readonly dueMs?: number | null;
}

export interface TableHooks {
  /** A command came into another state. What this changes elsewhere is written together with it. */
  moved(record: CommandRecord, from: CommandState): readonly StateChange[];
  /** A command that was over has given way. */
  evicted(command: CommandSummary): readonly StateChange[];
  ofRollout: CommandOfRollout;
}

export class CommandTable {
  readonly ids = new IdSource();
  readonly keys = new IdempotencyKeys();
  readonly deadlines = new Deadlines<CommandRecord>();
  readonly #writer: StateWriter;
  readonly #hooks: TableHooks;
  readonly #archive: Archive;
  readonly #live = new Map<string, CommandRecord>();
  /** Ids of all commands, the oldest first; some may be gone already. */
  #order: string[] = [];
  /** Changed since they were written last; written at the next tick. */
  readonly #touched = new Set<CommandRecord>();
  /** Commands that are not over, by state; and how many came into each state since the start. */
  readonly #counts = zeroes();
  readonly #entered = zeroes();
  #liveBytes = 0;

  constructor(writer: StateWriter, hooks: TableHooks, limits?: ArchiveLimits) {
    this.#writer = writer;
    this.#hooks = hooks;
    this.#archive = new Archive(limits);
  }

  get liveCount(): number {
    return this.#live.size;
  }

  /** Bytes of the live commands that are no member of a rollout. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  get counts(): Readonly<Record<CommandState, number>> {
    return this.#counts;
  }

  get entered(): Readonly<Record<CommandState, number>> {
    return this.#entered;
  }

  live(id: string): CommandRecord | undefined {
    return this.#live.get(id);
  }

  /** A command that is over as it is kept. */
  archived(id: string): ArchivedCommand | undefined {
    return this.#archive.get(id);
  }

  find(id: string): CommandRecord | undefined {
    const live = this.#live.get(id);
    if (live !== undefined) return live;
    const kept = this.#archive.get(id);
    return kept === undefined ? undefined : readStoredCommand(id, kept.text, this.#hooks.ofRollout);
  }

  allLive(): IterableIterator<CommandRecord> {
    return this.#live.values();
  }

  /** What was kept before this Core started. Answers the number of texts that could not be read. */
  restore(texts: readonly (readonly [id: string, text: string])[]): number {
    let unreadable = 0;
    const over: ArchivedCommand[] = [];
    for (const [id, text] of texts) {
      const record = readStoredCommand(id, text, this.#hooks.ofRollout);
      if (record === undefined) {
        unreadable++;
        continue;
      }
      this.ids.seen(id);
      this.#order.push(id);
      this.keys.add(record.idempotency, id, null);
      if (isOver(record.phase)) over.push(archivedOf(record, text));
      else this.#enter(record);
    }
    over.sort((a, b) => a.endedMs - b.endedMs);
    for (const command of over) this.#archive.add(command);
    return unreadable;
  }

  /** Takes new commands in, with what puts them on the disk (see `putOf`) and what goes there beside them. Resolves when
   *  all is durable; undefined where the state takes no more, and nothing was taken in. */
  add(records: readonly CommandRecord[], changes: readonly StateChange[]): Promise<void> | undefined {
    const durable = this.#writer.tryWrite(changes);
    if (durable === undefined) return undefined;
    // A rollout takes a while to be made; ids that were given out meanwhile may be in already.
    const inOrder = (this.#order.at(-1) ?? '') < (records[0]?.id ?? '');
    for (const record of records) {
      this.#order.push(record.id);
      this.#enter(record);
    }
    if (!inOrder) this.#order.sort();
    this.#entered.queued += records.length;
    return durable;
  }

  /**
   * Moves a command; a move that its life does not know is a fault of ours, and throws. Resolves when the move is
   * durable; undefined where that is not known, because the state takes nothing now.
   */
  move(
    record: CommandRecord,
    event: CommandEvent,
    nowMs: number,
    change: Change = {},
  ): Promise<void> | undefined {
    const phase = nextPhase(record.phase, event);
    if (phase === undefined) throw new Error(`command ${record.id}: ${event} while ${record.phase}`);
    const from = stateOf(record.phase);
    const to = stateOf(phase);
    record.phase = phase;
    if (change.message !== undefined) record.message = change.message;
    if (change.result !== undefined) record.result = change.result;
    if (change.error !== undefined) record.error = change.error;
    const over = isOver(phase);
    if (over) record.message = null;
    if (event === 'release') record.expiresMs = nowMs + record.ttlMs;
    record.dueMs = change.dueMs ?? dueAfter(record, event, nowMs);
    if (record.dueMs === null) this.deadlines.delete(record);
    else this.deadlines.set(record, record.dueMs);
    let beside: readonly StateChange[] = [];
    if (from !== to) {
      const message = change.error?.reason ?? change.message ?? null;
      record.history.push({ state: to, atMs: nowMs, message });
      this.#counts[from] -= 1;
      this.#counts[to] += over ? 0 : 1;
      this.#entered[to] += 1;
      beside = this.#hooks.moved(record, from);
    }
    this.#touched.delete(record);
    const put = putOf(record);
    if (over) this.#leave(record, put.value);
    return this.#writer.write([put, ...beside]);
  }

  /** Forgets a command that is over. Answers what this deletes. */
  forget(id: string): readonly StateChange[] {
    const gone = this.#archive.remove(id);
    if (gone === undefined) return [];
    this.keys.forget(gone.idempotencyKey);
    return [{ section: 'command', key: id }];
  }

  /** Something about the command changed that may reach the disk a little later. */
  touch(record: CommandRecord): void {
    this.#touched.add(record);
  }

  /** Writes what was touched, and lets the oldest go. */
  sweep(nowMs: number): void {
    this.#writer.retry();
    if (this.#touched.size > 0) this.#writer.write([...this.#touched].map(putOf));
    this.#touched.clear();
    for (;;) {
      const gone = this.#archive.evict(nowMs);
      if (gone === undefined) break;
      this.keys.forget(gone.idempotencyKey);
      this.#writer.write([{ section: 'command', key: gone.id }, ...this.#hooks.evicted(gone)]);
    }
    const kept = this.#live.size + this.#archive.size;
    if (this.#order.length > 2 * kept + LIMITS.commandScanPerPage)
      this.#order = this.#order.filter((id) => this.#live.has(id) || this.#archive.get(id) !== undefined);
  }

  /** The newest first, from behind the id `after`. Looks at so many at most; ids of commands that are gone are left out. */
  *newest(after: string | undefined): Generator<CommandSummary> {
    for (let at = after === undefined ? this.#order.length : this.#placeOf(after); at-- > 0; ) {
      const id = this.#order[at]!;
      const live = this.#live.get(id);
      const summary = live === undefined ? this.#archive.get(id) : summaryOf(live);
      if (summary !== undefined) yield summary;
    }
  }

  /** Throws when the counts do not agree. Walks everything: for tests. */
  assertInvariants(): void {
    const counts = zeroes();
    for (const record of this.#live.values()) {
      if (isOver(record.phase)) throw new Error(`${record.id} is over and still live`);
      if ((record.dueMs === null) !== (record.phase === 'held'))
        throw new Error(`${record.id} will never end`);
      counts[stateOf(record.phase)] += 1;
    }
    for (const state of COMMAND_STATES)
      if (counts[state] !== this.#counts[state])
        throw new Error(`${counts[state]} commands are ${state}, counted are ${this.#counts[state]}`);
    for (let at = 1; at < this.#order.length; at++)
      if (this.#order[at - 1]! >= this.#order[at]!) throw new Error('ids are not in order');
  }

  #enter(record: CommandRecord): void {
    this.#live.set(record.id, record);
    this.#counts[stateOf(record.phase)] += 1;
    if (record.rolloutId === null) this.#liveBytes += record.json.length;
    if (record.dueMs !== null) this.deadlines.set(record, record.dueMs);
  }

  #leave(record: CommandRecord, text: string): void {
    this.#live.delete(record.id);
    if (record.rolloutId === null) this.#liveBytes -= record.json.length;
    this.#archive.add(archivedOf(record, text));
  }

  /** Where the id stands in the order, or would stand. */
  #placeOf(id: string): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** When Core gives up on a command after an event. */
function dueAfter(record: CommandRecord, event: CommandEvent, nowMs: number): number | null {
  switch (event) {
    case 'release':
    case 'put_back':
      return record.expiresMs;
    case 'hand':
    case 'sent':
      return nowMs + record.timeoutMs;
    case 'progress':
      return record.dueMs;
    case 'done':
    case 'failed':
    case 'time_out':
    case 'cancel':
      return null;
  }
}

function zeroes(): Record<CommandState, number> {
  return Object.fromEntries(COMMAND_STATES.map((state) => [state, 0])) as Record<CommandState, number>;
}

/** What puts a command on the disk as it is now. */
export function putOf(record: CommandRecord): StateChange & { readonly value: string } {
  return { section: 'command', key: record.id, value: storedCommand(record) };
}

function summaryOf(record: CommandRecord): CommandSummary {
  const { id, nodeName, rolloutId } = record;
  return { id, state: stateOf(record.phase), nodeName, rolloutId };
}

function archivedOf(record: CommandRecord, text: string): ArchivedCommand {
  return {
    ...summaryOf(record),
    idempotencyKey: record.idempotency?.key ?? null,
    endedMs: record.history.at(-1)!.atMs,
    text,
  };
}
