/**
 * What is known per connection, in shared memory: one row of float64 per session, written by the shard that owns
 * the connection, read by main for REST and metrics. Main hands out the row numbers (the session ids) and clears a
 * row before it gives it out again.
 *
 * `announced` is 1 from when NodeRegistered is in the ring until NodeDisconnected is: when a shard dies, main sees
 * from it which nodes consumers take for connected. `dialect` holds the bits of protocol/dialect.ts. What its node sends
 * is counted in the ledger (ledger-table.ts).
 */
export const SESSION_FIELDS = ['last_seen_ms', 'announced', 'dialect'] as const;

export type SessionField = (typeof SESSION_FIELDS)[number];

export const SESSION = Object.fromEntries(SESSION_FIELDS.map((name, at) => [name, at])) as Record<
  SessionField,
  number
>;

/** Floats per row, rounded to a cache line so that two sessions never share one. */
export const SESSION_STRIDE = 8;

if (SESSION_FIELDS.length > SESSION_STRIDE) throw new Error('a row of the session table is too short');

/** A table for `sessions` connections, all zero. */
export function createSessionTable(sessions: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(sessions * SESSION_STRIDE * 8));
}
