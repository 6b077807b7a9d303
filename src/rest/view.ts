/**
 * What REST knows about Core: everything behind the routes is asked for through this interface, and every question is
 * answered at once from main's memory or the shared counters.
 *
 * Owned by main. Nothing here may wait for another thread.
 */
import type { Actor } from '../access/principal.js';
import type { NodeTotals } from '../ledger/view.js';
import type { Dialect } from '../protocol/dialect.js';
import type { NodeType } from '../protocol/node-registration.js';
import type { NodeStatus } from '../protocol/node-status-update.js';
import type { NodeRecord, PotRecord } from '../registry/record.js';
import type { NodeCounts } from '../registry/registry.js';
import type { AdmissionCounts } from '../telemetry/admission-counts.js';
import type { StatsSnapshot } from '../telemetry/stats.js';
import type { LiveCounts } from './etag.js';

export interface About {
  readonly version: string;
  readonly mode: 'native' | 'portable';
  readonly startedAtMs: number;
  readonly uptimeMs: number;
}

/** `reason` is for people and monitors: Core's own words, never a text that came from outside. */
export type Health =
  | { readonly status: 'ok' }
  | { readonly status: 'starting' | 'stopping' | 'degraded'; readonly reason: string };

/** A node with what has been counted of it so far. */
export interface NodeView {
  readonly id: bigint;
  readonly name: string;
  readonly type: NodeType;
  readonly status: NodeStatus;
  readonly connected: boolean;
  readonly reportedAddress: string;
  readonly reportedPort: number;
  readonly remote: string;
  /** The present connection is encrypted. */
  readonly tls: boolean;
  readonly shard: number | null;
  /** Null while disconnected. */
  readonly connectedSinceMs: number | null;
  readonly lastSeenMs: number;
  readonly registrations: number;
  /** Of the present session, or of the last one. */
  readonly dialect: Dialect;
  readonly totals: NodeTotals;
  readonly pots: ReadonlyMap<string, PotRecord>;
  readonly potsOverflow: number;
}

export interface DeadLetterSummary {
  readonly frames: number;
  readonly bytes: number;
}

export interface CoreView {
  about(): About;
  health(): Health;
  /** The nodes known at the moment of the call, in the order of their ids, from behind an id. */
  nodes(after?: bigint): readonly NodeRecord[];
  node(id: bigint): NodeRecord | undefined;
  /** A node with its live counts, as they are now. */
  show(record: NodeRecord): NodeView;
  /** The live counts themselves, for telling whether anything changed. */
  readonly live: LiveCounts;
  nodeCounts(): NodeCounts;
  stats(): StatsSnapshot;
  admission(): AdmissionCounts;
  deadLetters(): DeadLetterSummary;
  metrics(): { readonly contentType: string; render(): Promise<string> };
}

/** Takes a node out of the registry on somebody's behalf; whoever keeps nodes implements it. */
export interface NodeRemoval {
  /** Closes the node's connection and forgets it; false when there is none with this id. */
  remove(id: bigint, actor: Actor): Promise<boolean>;
}
