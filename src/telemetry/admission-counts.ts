/** What is counted at the node port before a shard has a connection. Owned by main: shapes and constants only. */

/** Why a connection was closed unheard, and the words for it in the log. */
export const TURNED_AWAY = {
  per_address: 'as many connections from this address as may be (admission.connections_per_address)',
  queue_full: 'too many connections wait to be admitted',
  max_connections: 'ingest.max_connections is reached',
  no_descriptor: 'the descriptor cannot be duplicated',
  stopping: 'Core is stopping',
} as const;

export type TurnedAwayReason = keyof typeof TURNED_AWAY;
export const TURNED_AWAY_REASONS = Object.keys(TURNED_AWAY) as TurnedAwayReason[];

export interface AdmissionCounts {
  /** Connections that wait for their turn now, and the most that ever did. */
  readonly waiting: number;
  readonly mostWaiting: number;
  /** Handed to a shard. */
  readonly admitted: number;
  readonly turnedAway: Readonly<Record<TurnedAwayReason, number>>;
}
