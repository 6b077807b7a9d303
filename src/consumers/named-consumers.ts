/**
 * Named consumers: whoever connects with `?consumer=NAME` has a cursor, which moves when the consumer acknowledges, is
 * kept over restarts, and holds retention back. Owned by main.
 */

import type { Actor } from '../access/principal.js';

export interface NamedConsumer {
  readonly name: string;
  /** The first record that it has not acknowledged. */
  readonly nextSeq: number;
  readonly createdMs: number;
  /** When the cursor moved last. */
  readonly acknowledgedMs: number;
  /** Name of the token that made it. */
  readonly createdBy: string;
  readonly connected: boolean;
}

export interface NamedConsumersView {
  list(): readonly NamedConsumer[];
  get(name: string): NamedConsumer | undefined;
  /** Forgets it, and closes its connection. False: there is none. Resolves when that is durable. Rejects with
   *  StateBacklogFull where the state does not reach the disk. Stands in the audit trail. */
  remove(name: string, actor: Actor): Promise<boolean>;
}

/** What a connected consumer has been sent: the ledger of deliveries. */
export interface Delivery {
  /** The aggregator's number of the connection. */
  readonly consumer: number;
  /** Null: it has no name. */
  readonly name: string | null;
  /** IP address. */
  readonly remote: string;
  readonly kind: 'websocket' | 'raw';
  readonly connectedMs: number;
  /** `live`: from memory; `log`: it is behind, or filters. */
  readonly mode: 'live' | 'log';
  /** Everything before it was sent, or it was told that it is missing. */
  readonly nextSeq: number;
  readonly records: number;
  readonly bytes: number;
  /** Records in the gaps that it was told of. */
  readonly missing: number;
  readonly bufferedBytes: number;
}

export interface DeliveriesView {
  /** As of now; asks the aggregator. */
  deliveries(): Promise<readonly Delivery[]>;
}
