/** A named consumer as it stands in the state: section `consumer`, its name is the key. Pure; never throws for what is kept. */

export interface CursorRecord {
  readonly nextSeq: number;
  readonly createdMs: number;
  readonly acknowledgedMs: number;
  /** Name of the principal that made it. */
  readonly createdBy: string;
  /** Whose it is: the principal's kind and name. */
  readonly owner: string;
}

export function encodeCursor(record: CursorRecord): string {
  const { nextSeq, createdMs, acknowledgedMs, createdBy, owner } = record;
  return JSON.stringify({
    next_seq: nextSeq,
    created_ms: createdMs,
    acknowledged_ms: acknowledgedMs,
    created_by: createdBy,
    owner,
  });
}

/** Undefined where the text is none of ours. */
export function decodeCursor(text: string): CursorRecord | undefined {
  let value: Record<string, unknown> | null;
  try {
    value = JSON.parse(text) as Record<string, unknown> | null;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { next_seq, created_ms, acknowledged_ms, created_by, owner } = value;
  if (typeof next_seq !== 'number' || !Number.isSafeInteger(next_seq) || next_seq < 1) return undefined;
  if (typeof created_ms !== 'number' || typeof acknowledged_ms !== 'number') return undefined;
  if (typeof created_by !== 'string' || typeof owner !== 'string') return undefined;
  return {
    nextSeq: next_seq,
    createdMs: created_ms,
    acknowledgedMs: acknowledged_ms,
    createdBy: created_by,
    owner,
  };
}
