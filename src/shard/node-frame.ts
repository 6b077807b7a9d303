/**
 * What a good frame of a registered node is worth: whether it is this node's, what is counted, and which record it becomes.
 * The same for a frame that comes in (session.ts) and for one that is tried again (frame-replay.ts). Runs in the shard.
 */
import type { ErrorCode } from '../errors.js';
import { LIMITS } from '../limits.js';
import type { ShardField } from '../memory/counters.js';
import { DIALECT } from '../protocol/dialect.js';
import { eventSeq } from '../protocol/event-seq.js';
import { FIELD, idFieldOf, VALUE } from '../protocol/fields.js';
import { type FrameReader, KIND, type Kind } from '../protocol/frame-reader.js';
import { withNodeId } from '../protocol/node-event.js';
import { documentCompiled, withPotType } from '../protocol/pot-event.js';
import { documentLegacy } from '../protocol/pot-status-update.js';

export interface Wrong {
  readonly code: ErrorCode;
  readonly reason: string;
}

const NOT_OWN_ID: Wrong = {
  code: 'INVALID_NODE_ID',
  reason: 'node_id is not the one this connection registered',
};
const NO_SEQ: Wrong = {
  code: 'INVALID_MESSAGE_FORMAT',
  reason: `PotEvent.seq is not an integer from 1 to ${LIMITS.eventSeqMax}`,
};

/** How a node speaks that sends events of this kind. */
export const EVENT_DIALECT = {
  [KIND.potEvent]: DIALECT.documented,
  [KIND.compiledPotEvent]: DIALECT.compiled,
  [KIND.legacyPotEvent]: DIALECT.legacy,
} as const;

/** What is counted of each kind, beside frames, records and events. */
export const KIND_COUNTER: Readonly<Partial<Record<Kind, ShardField>>> = {
  [KIND.compiledPotEvent]: 'events_compiled',
  [KIND.legacyPotEvent]: 'events_legacy',
  [KIND.nodeStatusUpdate]: 'status_updates',
  [KIND.potStatusUpdate]: 'pot_status_updates',
  [KIND.nodeEvent]: 'node_events',
  [KIND.nodeDrop]: 'node_drops',
};

export function isEvent(kind: Kind): boolean {
  return kind === KIND.potEvent || kind === KIND.compiledPotEvent || kind === KIND.legacyPotEvent;
}

/** Digits of the node that the good frame in the reader names, if it does. */
export function namedNode(reader: FrameReader): string | undefined {
  const field = idFieldOf(reader.message);
  return reader.type(field) === VALUE.absent ? undefined : reader.raw(field);
}

/** Why the good frame in the reader is not taken from the node with this id, which numbers its events or does not;
 *  undefined: it is. */
export function wrongOf(
  reader: FrameReader,
  kind: Kind,
  digits: Uint8Array,
  numbered: boolean,
): Wrong | undefined {
  if (!isOfNode(reader, digits)) return NOT_OWN_ID;
  return numbered && isEvent(kind) && eventSeq(reader) < 0 ? NO_SEQ : undefined;
}

/** The frame in the reader is of the node with this id: `digits`. One that names none is of whoever sent it. */
export function isOfNode(reader: FrameReader, digits: Uint8Array): boolean {
  const field = idFieldOf(reader.message);
  if (field === FIELD.envelope_node_id && reader.type(field) === VALUE.absent) return true;
  return reader.holds(field, digits, 0, digits.length);
}

export interface RecordTerms {
  /** Digits of the node that it is of. */
  readonly nodeId: string;
  /** By pot id, for events that do not say. */
  readonly potTypes: ReadonlyMap<string, string>;
  /** When it came. */
  readonly nowMs: number;
  /** Its number, or 0. */
  readonly seq: number;
}

/** The record that the frame in the reader becomes, one line with its newline; undefined: it goes on as it came. */
export function recordOf(
  reader: FrameReader,
  kind: Kind,
  { nodeId, potTypes, nowMs, seq }: RecordTerms,
): string | undefined {
  switch (kind) {
    case KIND.potEvent:
      if (reader.type(FIELD.pot_type) !== VALUE.absent) return undefined;
      return `${oneLine(withPotType(reader, potTypeOf(reader, potTypes)))}\n`;
    case KIND.compiledPotEvent:
      return `${documentCompiled(reader, potTypeOf(reader, potTypes), seq)}\n`;
    case KIND.legacyPotEvent:
      return `${documentLegacy(reader, nowMs, seq)}\n`;
    case KIND.nodeEvent: {
      const text = withNodeId(reader, nodeId);
      return text && `${oneLine(text)}\n`;
    }
    default:
      return undefined;
  }
}

/** The type of the pot that the frame's event is of. */
function potTypeOf(reader: FrameReader, potTypes: ReadonlyMap<string, string>): string {
  return potTypes.get(reader.string(FIELD.pot_id)) ?? 'unknown';
}

function oneLine(text: string): string {
  return text.includes('\n') ? text.replace(/\r?\n/g, '') : text;
}
