/**
 * What a connection was seen to speak, of the habits that real nodes have (PROTOCOL.md sections 1, 3 and 4). Kept as
 * bits in one number, so that a session can note it without allocating; the bits only ever add up.
 *
 * Constants and pure functions: owned by no thread.
 */

export const DIALECT = {
  /** Frames came, and no newline ended one so far. */
  objects: 1,
  /** A newline ends a frame. */
  lines: 2,
  documented: 4,
  compiled: 8,
  /** Events that came as a pot status update without a status. */
  legacy: 16,
  /** Something that has no fields came as an object (`{"NodeDrop":{}}`) or as a bare string (`"NodeDrop"`). */
  objectUnits: 32,
  bareUnits: 64,
  /** The connection is encrypted. */
  tls: 128,
} as const;

export const FRAMINGS = ['lines', 'objects'] as const;
export const EVENT_FORMS = ['documented', 'compiled', 'legacy'] as const;
export const UNIT_SPELLINGS = ['object', 'bare'] as const;

export interface Dialect {
  /** Null before the first frame. */
  readonly framing: (typeof FRAMINGS)[number] | null;
  /** The forms that events came in; empty before the first event. */
  readonly events: readonly (typeof EVENT_FORMS)[number][];
  /** Null while the node has sent nothing that tells. Bare decides: such a node understands only that. */
  readonly units: (typeof UNIT_SPELLINGS)[number] | null;
}

export function describeDialect(bits: number): Dialect {
  const has = (bit: number) => (bits & bit) !== 0;
  return {
    framing: has(DIALECT.lines) ? 'lines' : has(DIALECT.objects) ? 'objects' : null,
    events: EVENT_FORMS.filter((form) => has(DIALECT[form])),
    units: has(DIALECT.bareUnits) ? 'bare' : has(DIALECT.objectUnits) ? 'object' : null,
  };
}
