/**
 * What Core remembers of a node: the shapes that the registry hands out, and nothing that changes them.
 *
 * Owned by main (control plane). Ids are bigint: a number would destroy most of them.
 */
import type { NodeType } from '../protocol/node-registration.js';
import type { NodeStatus } from '../protocol/node-status-update.js';
import type { PotStatus } from '../protocol/pot-status-update.js';

export interface PotRecord {
  readonly potId: string;
  readonly potType: string;
  readonly status: PotStatus;
  readonly message: string | null;
  readonly updatedMs: number;
}

/** A node, connected or not. Read-only for everybody but the registry; it is the live object, not a copy. */
export interface NodeRecord {
  /** Its number for as long as it is kept, over all its ids and restarts. */
  readonly serial: number;
  readonly id: bigint;
  /** What is in the log under this id from this sequence number on is this node's, until the log says otherwise; null: not
   *  known (kept by an older Core). */
  readonly idSinceSeq: number | null;
  readonly name: string;
  readonly type: NodeType;
  readonly status: NodeStatus;
  /** What the node says about itself; whatever a stranger wrote, so never an address to connect to. */
  readonly reportedAddress: string;
  readonly reportedPort: number;
  /** "ip:port" the (last) connection came from. */
  readonly remote: string;
  /** Row in the session table; null while disconnected. */
  readonly session: number | null;
  readonly shard: number | null;
  /** First registration of the record, ms since 1970. */
  readonly firstSeenMs: number;
  /** Start of the present session, or of the last one. */
  readonly connectedSinceMs: number;
  /** While connected this is the start of the session: the shard keeps the live value in the session table. */
  readonly lastSeenMs: number;
  /** Registrations accepted for this record, over all its ids. */
  readonly registrations: number;
  /** How the last session that has ended spoke (bits of protocol/dialect.ts); the present one's is in the session table. */
  readonly dialect: number;
  readonly pots: ReadonlyMap<string, PotRecord>;
  /** Updates of pots that could not be remembered because a bound was reached. */
  readonly potsOverflow: number;
  /** Another number after each change of this record, and never one that another record has or had. What the session
   *  table counts is not part of it. */
  readonly changed: number;
}
