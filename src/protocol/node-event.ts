/**
 * NodeEvent: something about the node itself. Its body carries no node id: what it says under that name nobody has checked.
 * Whose it is stands in the envelope of the record, where Core puts it.
 *
 *   {"type":T,"message":string?,"description":string?} | T | {T:{"message":string?,"description":string?}|null}
 *   T: "Started" | "Stopped" | "Alarm" | "Error"
 */
import { FIELD, VALUE } from './fields.js';
import { type FrameReader, KIND, type Kind } from './frame-reader.js';

export const NODE_EVENT_TYPES = ['Started', 'Stopped', 'Alarm', 'Error'] as const;

function isEventType(value: unknown): boolean {
  return (NODE_EVENT_TYPES as readonly unknown[]).includes(value);
}

export function checkNodeEvent(frame: FrameReader): Kind {
  const allowed = `is not one of ${NODE_EVENT_TYPES.join(', ')}`;
  if (frame.type(FIELD.body) === VALUE.string) {
    if (!isEventType(frame.string(FIELD.body)))
      return frame.refuse('INVALID_MESSAGE_FORMAT', `NodeEvent ${allowed}`);
    frame.bareString = true;
    return KIND.nodeEvent;
  }
  if (!frame.needObject(FIELD.body)) return KIND.refused;
  if (frame.type(FIELD.type) === VALUE.absent) {
    const body = JSON.parse(frame.raw(FIELD.body)) as Record<string, unknown>;
    const name = Object.keys(body)[0];
    // Counted in the text: an object made of it would hide a name that stands twice.
    if (frame.bodyKeys !== 1 || name === undefined || !isEventType(name))
      return frame.refuseField(FIELD.type, 'is missing');
    const inner = body[name];
    if (inner === null) return KIND.nodeEvent;
    if (typeof inner !== 'object' || Array.isArray(inner))
      return frame.refuse('INVALID_MESSAGE_FORMAT', `NodeEvent.${name} is not an object`);
    const { message, description } = inner as Record<string, unknown>;
    if (!isText(message)) return frame.refuseField(FIELD.text, 'is not a string');
    return isText(description) ? KIND.nodeEvent : frame.refuseField(FIELD.description, 'is not a string');
  }
  if (!frame.needString(FIELD.type)) return KIND.refused;
  if (!isEventType(frame.string(FIELD.type))) return frame.refuseField(FIELD.type, allowed);
  for (const field of [FIELD.text, FIELD.description]) {
    const type = frame.type(field);
    if (type !== VALUE.absent && type !== VALUE.null && type !== VALUE.string)
      return frame.refuseField(field, 'is not a string');
  }
  return KIND.nodeEvent;
}

/** The record of a NodeEvent of the node with these digits: the frame, with the id in front of all else; undefined: it has
 *  it already. No newline. */
export function withNodeId(frame: FrameReader, digits: string): string | undefined {
  if (frame.type(FIELD.envelope_node_id) !== VALUE.absent) return undefined;
  const inside = Buffer.from(frame.bytes.buffer, frame.bytes.byteOffset, frame.bytes.byteLength);
  return `{"node_id":${digits},${inside.toString('utf8', frame.frameStart + 1, frame.frameEnd)}`;
}

function isText(value: unknown): boolean {
  return value === undefined || value === null || typeof value === 'string';
}
