/**
 * Where the last records of nodes that have left are, so that those of their next connections come behind them: in
 * which ring and up to which run, or still owed by the shard that follows a dead one. Owned by main.
 */
import type { RingObserver } from '../memory/ring.js';

interface LastRun {
  /** Of the node; undefined: not known any more. */
  readonly name: string | undefined;
  readonly slot: number;
  readonly ring: RingObserver;
  readonly published: number;
}

export class LastRecords {
  readonly #lastRuns = new Map<bigint, LastRun>();
  /** Nodes of dead shards: by the slot whose next shard gives notice that they have gone. */
  readonly #noticeOwed = new Map<bigint, number>();

  /** A node has left a shard that lives. */
  left(nodeId: bigint, name: string, slot: number, ring: RingObserver, published: number): void {
    this.#lastRuns.set(nodeId, { name, slot, ring, published });
  }

  /** A node was torn from a shard that died. */
  owe(nodeId: bigint, slot: number): void {
    this.#noticeOwed.set(nodeId, slot);
  }

  /** The next shard of a slot has put the notices it owed in its ring, which is read behind the dead one's. */
  noticesGiven(slot: number, ring: RingObserver): void {
    const { published } = ring;
    for (const [id, owing] of this.#noticeOwed) {
      if (owing !== slot) continue;
      this.#noticeOwed.delete(id);
      this.#lastRuns.set(id, { name: undefined, slot, ring, published });
    }
  }

  /**
   * May the node's next records go into this slot's ring? Behind its own they may; but what another name has left under the
   * id has to be in the log by then: from the registration on the id stands for the new name.
   */
  haveBeenRead(nodeId: bigint, name: string, slot: number): boolean {
    if (this.#noticeOwed.has(nodeId)) return false;
    const last = this.#lastRuns.get(nodeId);
    return (
      last === undefined || (last.slot === slot && last.name === name) || last.ring.passed(last.published)
    );
  }

  /** Forgets what rings have passed. */
  sweep(): void {
    for (const [id, last] of this.#lastRuns) if (last.ring.passed(last.published)) this.#lastRuns.delete(id);
  }
}
