/**
 * What a good frame of a registered node is worth: whether it is this node's, what is counted, and which record it becomes.
 * The same for a frame that comes in (session.ts) and for one that is tried again (frame-replay.ts). Runs in the shard.
 */
import type { ErrorCode } from '../errors.js';
import type { ShardField } from '../memory/counters.js';
import { FIELD, VALUE } from '../protocol/fields.js';
import { type FrameReader, KIND, type Kind } from '../protocol/frame-reader.js';
import { documentCompiled, withPotType } from '../protocol/pot-event.js';
import { documentLegacy } from '../protocol/pot-status-update.js';

export const NOT_OWN_ID: { readonly code: ErrorCode; readonly reason: string } = {
  code: 'INVALID_NODE_ID',
  reason: 'node_id is not the one this connection registered',
};

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

/** True for kinds that name their node. */
export function namesNode(kind: Kind): boolean {
  return kind !== KIND.nodeEvent && kind !== KIND.nodeDrop;
}

/** The frame in the reader is of the node with this id: `digits`. */
export function isOfNode(reader: FrameReader, kind: Kind, digits: Uint8Array): boolean {
  if (!namesNode(kind)) return true;
  const start = reader.start(FIELD.node_id);
  if (reader.end(FIELD.node_id) - start !== digits.length) return false;
  for (let i = 0; i < digits.length; i++) if (reader.bytes[start + i] !== digits[i]) return false;
  return true;
}

/** The record that the frame in the reader becomes, one line with its newline; undefined: it goes on as it came. */
export function recordOf(
  reader: FrameReader,
  kind: Kind,
  potTypes: ReadonlyMap<string, string>,
  nowMs: number,
): string | undefined {
  switch (kind) {
    case KIND.potEvent:
      if (reader.type(FIELD.pot_type) !== VALUE.absent) return undefined;
      return `${oneLine(withPotType(reader, potTypeOf(reader, potTypes)))}\n`;
    case KIND.compiledPotEvent:
      return `${documentCompiled(reader, potTypeOf(reader, potTypes))}\n`;
    case KIND.legacyPotEvent:
      return `${documentLegacy(reader, nowMs)}\n`;
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
