/**
 * Reads the rows of the session table.
 *
 * Owned by main, which only reads: while a session is open its shard writes the row.
 */
import { SESSION, SESSION_STRIDE, type SessionField } from '../memory/session-table.js';

export function sessionCell(sessionTable: Float64Array, session: number, field: SessionField): number {
  const value = sessionTable[session * SESSION_STRIDE + SESSION[field]];
  if (value === undefined) throw new Error(`session ${session} has no row in the session table`);
  return value;
}
