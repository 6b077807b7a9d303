/**
 * Where the last records of nodes that have left are, so that those of their next connections come behind them: in
 * which ring and up to which run, or still owed by the shard that follows a dead one. Owned by main.
 *
 * Kept by id, because an id stands for one node at a time, and by name, because a name's record in the registry goes on under
 * another id: its row in the ledger goes on as well, and counts in the order of the log.
 */
import type { RingObserver } from '../memory/ring.js';

interface LastRun {
  readonly name: string;
  readonly slot: number;
  readonly ring: RingObserver;
  readonly published: number;
}

export class LastRecords {
  readonly #lastRuns = new Map<bigint, LastRun>();
  /** By name: the last one in each ring. */
  readonly #runsOfNames = new Map<string, LastRun[]>();
  /** By the slot whose next shard gives notice that they have gone: nodes of dead shards, and their names. */
  readonly #noticesOwed = new Map<number, Map<bigint, string>>();
  readonly #namesOwed = new Map<number, Set<string>>();

  /** A node has left a shard that lives. */
  left(nodeId: bigint, name: string, slot: number, ring: RingObserver, published: number): void {
    const run = { name, slot, ring, published };
    this.#lastRuns.set(nodeId, run);
    const runs = this.#runsOfNames.get(name);
    if (runs === undefined) {
      this.#runsOfNames.set(name, [run]);
      return;
    }
    const at = runs.findIndex((other) => other.ring === ring);
    if (at < 0) runs.push(run);
    else runs[at] = run;
  }

  /** A node was torn from a shard that died. */
  owe(nodeId: bigint, name: string, slot: number): void {
    const ids = this.#noticesOwed.get(slot) ?? new Map<bigint, string>();
    this.#noticesOwed.set(slot, ids.set(nodeId, name));
    const names = this.#namesOwed.get(slot) ?? new Set<string>();
    this.#namesOwed.set(slot, names.add(name));
  }

  /** The next shard of a slot has put the notices it owed in its ring, which is read behind the dead one's. */
  noticesGiven(slot: number, ring: RingObserver): void {
    const owed = this.#noticesOwed.get(slot);
    if (owed === undefined) return;
    this.#noticesOwed.delete(slot);
    this.#namesOwed.delete(slot);
    const { published } = ring;
    for (const [id, name] of owed) this.left(id, name, slot, ring, published);
  }

  /**
   * May the node's next records go into this slot's ring? Behind its own they may; but what another name has left under the
   * id has to be in the log by then: from the registration on the id stands for the new name.
   */
  haveBeenRead(nodeId: bigint, name: string, slot: number): boolean {
    for (const ids of this.#noticesOwed.values()) if (ids.has(nodeId)) return false;
    for (const names of this.#namesOwed.values()) if (names.has(name)) return false;
    const last = this.#lastRuns.get(nodeId);
    if (last !== undefined && !mayFollow(last, name, slot)) return false;
    return this.#runsOfNames.get(name)?.every((run) => mayFollow(run, name, slot)) ?? true;
  }

  /** Forgets what rings have passed. */
  sweep(): void {
    for (const [id, last] of this.#lastRuns) if (isRead(last)) this.#lastRuns.delete(id);
    for (const [name, runs] of this.#runsOfNames) {
      const waiting = runs.filter((run) => !isRead(run));
      if (waiting.length === 0) this.#runsOfNames.delete(name);
      else if (waiting.length < runs.length) this.#runsOfNames.set(name, waiting);
    }
  }
}

function mayFollow(run: LastRun, name: string, slot: number): boolean {
  return (run.slot === slot && run.name === name) || isRead(run);
}

function isRead({ ring, published }: LastRun): boolean {
  return ring.passed(published);
}
