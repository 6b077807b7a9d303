/**
 * PotEvent: what an attacker did. Two shapes of it exist, and a third comes in disguise (pot-status-update.ts).
 *
 *   documented  {"node_id":u64,"pot_id":string,"pot_type":string?,"event_type":string,"timestamp":ISO 8601,"data":object}
 *   compiled    {"node_id":u64,"pot_id":string,"pot_type":string?,"event":string,"timestamp":Unix seconds,
 *                "message":string?,"metadata":{string:string}?}
 *
 * A documented event leaves Core with the bytes it came in; only a missing `pot_type` is put in front. A compiled
 * one leaves in the documented form: `data` gets the entries of `metadata`, and `message`.
 */
import { FIELD, VALUE } from './fields.js';
import { type FrameReader, KIND, type Kind } from './frame-reader.js';
import { isTimestamp, unixSecondsToIso } from './timestamp.js';

export function checkPotEvent(frame: FrameReader): Kind {
  if (!frame.needObject(FIELD.body) || !frame.needNodeId() || !frame.needString(FIELD.pot_id))
    return KIND.refused;
  if (frame.type(FIELD.pot_type) !== VALUE.absent && !frame.needString(FIELD.pot_type)) return KIND.refused;
  if (frame.type(FIELD.event_type) === VALUE.absent && frame.type(FIELD.event) !== VALUE.absent)
    return checkCompiled(frame);
  if (!frame.needString(FIELD.event_type) || !frame.needString(FIELD.timestamp)) return KIND.refused;
  if (!timestampIsRight(frame)) return frame.refuseField(FIELD.timestamp, 'is not an ISO 8601 time');
  return frame.needObject(FIELD.data) ? KIND.potEvent : KIND.refused;
}

function timestampIsRight(frame: FrameReader): boolean {
  if (isTimestamp(frame.bytes, frame.start(FIELD.timestamp) + 1, frame.end(FIELD.timestamp) - 1)) return true;
  const value = Buffer.from(frame.string(FIELD.timestamp), 'utf8');
  return isTimestamp(value, 0, value.length);
}

function checkCompiled(frame: FrameReader): Kind {
  if (!frame.needString(FIELD.event) || !frame.needNumber(FIELD.timestamp)) return KIND.refused;
  if (unixSecondsToIso(frame.raw(FIELD.timestamp)) === undefined) {
    return frame.refuseField(FIELD.timestamp, 'is not a number of Unix seconds');
  }
  const text = frame.type(FIELD.text);
  if (text !== VALUE.absent && text !== VALUE.null && text !== VALUE.string) {
    return frame.refuseField(FIELD.text, 'is not a string');
  }
  const metadata = frame.type(FIELD.metadata);
  if (metadata === VALUE.absent || metadata === VALUE.null) return KIND.compiledPotEvent;
  if (!frame.needObject(FIELD.metadata)) return KIND.refused;
  const values = Object.values(JSON.parse(frame.raw(FIELD.metadata)) as Record<string, unknown>);
  return values.every((value) => typeof value === 'string')
    ? KIND.compiledPotEvent
    : frame.refuseField(FIELD.metadata, 'holds a value that is not a string');
}

/** The documented envelope of a documented event without `pot_type`, which gets the one given. No newline. */
export function withPotType(frame: FrameReader, potType: string): string {
  const body = frame.start(FIELD.body) + 1;
  const text = Buffer.from(frame.bytes.buffer, frame.bytes.byteOffset, frame.bytes.byteLength);
  return `${text.toString('utf8', frame.frameStart, body)}"pot_type":${JSON.stringify(potType)},${text.toString('utf8', body, frame.frameEnd)}`;
}

/** The documented envelope of a compiled event. Values keep their JSON text. No newline. */
export function documentCompiled(frame: FrameReader, potType: string, seq: number): string {
  const type =
    frame.type(FIELD.pot_type) === VALUE.absent ? JSON.stringify(potType) : frame.raw(FIELD.pot_type);
  return envelope({
    nodeId: frame.raw(FIELD.node_id),
    potId: frame.raw(FIELD.pot_id),
    potType: type,
    eventType: frame.raw(FIELD.event),
    timestamp: JSON.stringify(unixSecondsToIso(frame.raw(FIELD.timestamp))),
    data: compiledData(frame),
    seq,
  });
}

function compiledData(frame: FrameReader): string {
  const text = frame.type(FIELD.text) === VALUE.string ? frame.raw(FIELD.text) : undefined;
  if (frame.type(FIELD.metadata) !== VALUE.object) return text === undefined ? '{}' : `{"message":${text}}`;
  const raw = frame.raw(FIELD.metadata);
  if (text === undefined) return raw;
  const metadata = JSON.parse(raw) as Record<string, string>;
  if (Object.keys(metadata).length === 0) return `{"message":${text}}`;
  // Metadata may carry a `message` of its own; both are kept.
  const name = !Object.hasOwn(metadata, 'message')
    ? 'message'
    : metadata.message === JSON.parse(text)
      ? undefined
      : 'event_message';
  return name === undefined ? raw : `{"${name}":${text},${raw.slice(1)}`;
}

/** A documented PotEvent from JSON texts of its values; `seq` is its number, or 0. */
export function envelope(parts: {
  nodeId: string;
  potId: string;
  potType: string;
  eventType: string;
  timestamp: string;
  data: string;
  seq: number;
}): string {
  const { nodeId, potId, potType, eventType, timestamp, data, seq } = parts;
  const number = seq > 0 ? `"seq":${seq},` : '';
  return `{"version":2,"message":{"PotEvent":{"node_id":${nodeId},${number}"pot_id":${potId},"pot_type":${potType},"event_type":${eventType},"timestamp":${timestamp},"data":${data}}}}`;
}
