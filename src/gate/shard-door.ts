/** What the gate needs of the shards; the supervisor has it. */
import type { RingObserver } from '../memory/ring.js';
import type { MainToShard } from '../shard/messages.js';

export interface ShardDoor {
  /** Slots that take connections now. */
  runningSlots(): readonly number[];
  post(slot: number, message: MainToShard, transfer?: ArrayBuffer[]): void;
  /** The ring that the slot's present shard writes to. */
  ring(slot: number): RingObserver;
}
