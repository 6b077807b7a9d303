/**
 * Reads the rows of the session table.
 *
 * Owned by main, which only reads: while a session is open its shard writes the row.
 */
import { SESSION, SESSION_STRIDE, type SessionField } from '../memory/session-table.js';
import type { NodeTotals } from './record.js';

/** What the row of a session has counted, in the shape that `NodeRegistry.disconnected` takes. */
export function sessionTotals(sessionTable: Float64Array, session: number): NodeTotals {
  return {
    frames: sessionCell(sessionTable, session, 'frames'),
    records: sessionCell(sessionTable, session, 'records'),
    events: sessionCell(sessionTable, session, 'events'),
    refused: sessionCell(sessionTable, session, 'refused'),
    bytesIn: sessionCell(sessionTable, session, 'bytes_in'),
  };
}

export function sessionCell(sessionTable: Float64Array, session: number, field: SessionField): number {
  const value = sessionTable[session * SESSION_STRIDE + SESSION[field]];
  if (value === undefined) throw new Error(`session ${session} has no row in the session table`);
  return value;
}
