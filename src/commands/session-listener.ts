/**
 * What whoever follows the connections of nodes is told, in the order in which it happens. Called by the registrar on main.
 */
import type { PotStatus } from '../protocol/pot-status-update.js';

export interface RegisteredNode {
  readonly session: number;
  /** Of the shard that has the connection. */
  readonly slot: number;
  readonly nodeId: bigint;
  /** The id its record had until now, where that was another one. */
  readonly formerId: bigint | null;
  readonly name: string;
}

export interface ReportedPot {
  readonly potId: string;
  readonly potType: string;
  readonly status: PotStatus;
  /** Cut by the shard: to LIMITS.potFieldLength, or one more than LIMITS.commandResultLength after a command. */
  readonly message: string | null;
}

export interface SessionListener {
  /** The node was accepted; what is posted to its shard from now on comes behind the acceptance. */
  registered(node: RegisteredNode): void;
  /** The session is over. `shardDied`: what was on its way to the node may or may not have arrived. */
  closed(session: number, shardDied: boolean): void;
  potUpdated(session: number, pot: ReportedPot): void;
}
