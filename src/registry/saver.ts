/**
 * Keeps the store in step with the registry.
 *
 *   registration      written at once, by `commit`; the node gets its ack when that is durable
 *   pots, goodbyes    within LIMITS.registrySaveIntervalMs, however often they change until then
 *   last seen of connected nodes: each once in LIMITS.registrySeenIntervalMs
 *
 * Owned by main. No turn of the event loop writes more than LIMITS.registrySaveSlice values, but for a node that is
 * forgotten with its pots. A store that takes no more is asked again later; nothing is lost by that but time.
 */
import { LIMITS } from '../limits.js';
import { StateBacklogFull, type StateChange, type StateStore } from '../state/store.js';
import type { RegistryJournal } from './journal.js';
import { encodeNode, encodePot, nodeKey, potKey, serialChange } from './kept-node.js';
import type { NodeRecord } from './record.js';
import { sessionCell } from './session-cell.js';

const SEEN_TICK_MS = 1000;
const SEEN_TICKS = LIMITS.registrySeenIntervalMs / SEEN_TICK_MS;

interface Connected {
  readonly size: number;
  connected(): IterableIterator<NodeRecord>;
}

export class RegistrySaver implements RegistryJournal {
  readonly #store: StateStore;
  readonly #sessionTable: Float64Array;
  readonly #changed = new Set<NodeRecord>();
  readonly #pots = new Map<NodeRecord, Set<string>>();
  readonly #forgotten: StateChange[] = [];
  /** As it was written last. */
  #highestSerial = 0;
  readonly #saveTimer: NodeJS.Timeout;
  #seenTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;
  #nodes: Connected | undefined;
  #round: IterableIterator<NodeRecord> | undefined;

  constructor(store: StateStore, sessionTable: Float64Array) {
    this.#store = store;
    this.#sessionTable = sessionTable;
    this.#saveTimer = setInterval(() => this.#save(), LIMITS.registrySaveIntervalMs);
    this.#saveTimer.unref();
  }

  /** Writes when these nodes were last seen from now on, all of them once in a minute. */
  watch(nodes: Connected): void {
    this.#nodes = nodes;
    this.#seenTimer = setInterval(() => void this.#saveSeen(), SEEN_TICK_MS);
    this.#seenTimer.unref();
  }

  // ---- what the registry says ---------------------------------------------------------------------------------

  changed(record: NodeRecord): void {
    this.#changed.add(record);
  }

  potChanged(record: NodeRecord, potId: string): void {
    const pots = this.#pots.get(record);
    if (pots === undefined) this.#pots.set(record, new Set([potId]));
    else pots.add(potId);
  }

  forgotten(record: NodeRecord, highestSerial: number): void {
    this.#changed.delete(record);
    this.#pots.delete(record);
    // Records of the log and of the ledger may still speak of it: its number is not given again.
    if (highestSerial > this.#highestSerial) {
      this.#highestSerial = highestSerial;
      this.#forgotten.push(serialChange(highestSerial));
    }
    this.#forgotten.push({ section: 'node', key: nodeKey(record.serial) });
    for (const potId of record.pots.keys())
      this.#forgotten.push({ section: 'node', key: potKey(record.serial, potId) });
  }

  // ---- writing ------------------------------------------------------------------------------------------------

  /**
   * Writes a record now, and whoever gave way to it. Resolves when that is durable; throws StateBacklogFull, and then
   * it is tried again later.
   */
  commit(record: NodeRecord): Promise<void> {
    const durable = this.#store.write([...this.#forgotten, this.#nodeChange(record)]);
    this.#forgotten.length = 0;
    this.#changed.delete(record);
    return durable;
  }

  /** Deletes what was forgotten; resolves when that is durable. Throws as `commit` does. */
  commitForgotten(): Promise<void> {
    const durable = this.#store.write(this.#forgotten);
    this.#forgotten.length = 0;
    return durable;
  }

  /** Writes everything that has changed; nothing is written behind it. */
  async close(): Promise<void> {
    clearInterval(this.#saveTimer);
    clearInterval(this.#seenTimer);
    await this.#saving;
    await this.#saveAll();
  }

  /** Unless the last time is still not over. */
  #save(): void {
    if (this.#saving !== undefined || this.#isClean) return;
    this.#saving = this.#saveAll().then(() => {
      this.#saving = undefined;
    });
  }

  /** What has changed by now; what changes meanwhile has its time later. */
  async #saveAll(): Promise<void> {
    let values = this.#forgotten.length + this.#changed.size;
    for (const ids of this.#pots.values()) values += ids.size;
    for (let slices = Math.ceil(values / LIMITS.registrySaveSlice); slices > 0; slices--) {
      if (this.#isClean || !this.#saveSlice()) return;
      await nextTurn();
    }
  }

  get #isClean(): boolean {
    return this.#forgotten.length + this.#changed.size + this.#pots.size === 0;
  }

  /** False where the store takes no more. */
  #saveSlice(): boolean {
    const changes: StateChange[] = [...this.#forgotten];
    const records: NodeRecord[] = [];
    for (const record of this.#changed) {
      if (changes.length >= LIMITS.registrySaveSlice) break;
      changes.push(this.#nodeChange(record));
      records.push(record);
    }
    const pots: [NodeRecord, string][] = [];
    for (const [record, ids] of this.#pots) {
      for (const potId of ids) {
        if (changes.length >= LIMITS.registrySaveSlice) break;
        const value = encodePot(record.pots.get(potId)!);
        changes.push({ section: 'node', key: potKey(record.serial, potId), value });
        pots.push([record, potId]);
      }
      if (changes.length >= LIMITS.registrySaveSlice) break;
    }
    if (!this.#write(changes)) return false;
    this.#forgotten.length = 0;
    for (const record of records) this.#changed.delete(record);
    for (const [record, potId] of pots) {
      const ids = this.#pots.get(record)!;
      ids.delete(potId);
      if (ids.size === 0) this.#pots.delete(record);
    }
    return true;
  }

  /** The share of one tick, slice by slice. A round over all nodes ends after a minute and begins anew. */
  async #saveSeen(): Promise<void> {
    const nodes = this.#nodes!;
    let left = Math.ceil(nodes.size / SEEN_TICKS);
    while (left > 0) {
      const changes: StateChange[] = [];
      for (; left > 0 && changes.length < LIMITS.registrySaveSlice; left--) {
        this.#round ??= nodes.connected();
        const next = this.#round.next();
        if (next.done === true) {
          this.#round = undefined;
          left = 0;
          break;
        }
        changes.push(this.#nodeChange(next.value));
      }
      if (changes.length === 0 || !this.#write(changes)) return;
      await nextTurn();
    }
  }

  #write(changes: readonly StateChange[]): boolean {
    try {
      void this.#store.write(changes);
      return true;
    } catch (error) {
      if (error instanceof StateBacklogFull) return false;
      throw error;
    }
  }

  #nodeChange(record: NodeRecord): StateChange {
    const { session } = record;
    let { lastSeenMs } = record;
    if (session !== null)
      lastSeenMs = Math.max(lastSeenMs, sessionCell(this.#sessionTable, session, 'last_seen_ms'));
    return { section: 'node', key: nodeKey(record.serial), value: encodeNode(record, lastSeenMs) };
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
