/**
 * PotStatusUpdate: how a honeypot is.
 *
 *   {"node_id":u64,"pot_id":string,"pot_type":string,"status":"Installing"|"Running"|"Stopped"|"Failed","message":string|null?}
 *
 * One shipped node forwards events this way: `status` is empty and `message` is all that is left of the event. Such
 * a frame becomes a PotEvent with `event_type` "legacy".
 */
import { FIELD, VALUE } from './fields.js';
import { type FrameReader, KIND, type Kind } from './frame-reader.js';
import { envelope } from './pot-event.js';

export const POT_STATUSES = ['Installing', 'Running', 'Stopped', 'Failed'] as const;
export type PotStatus = (typeof POT_STATUSES)[number];

export function checkPotStatusUpdate(frame: FrameReader): Kind {
  if (!frame.needObject(FIELD.body) || !frame.needNodeId() || !frame.needString(FIELD.pot_id))
    return KIND.refused;
  if (!frame.needString(FIELD.pot_type) || !frame.needString(FIELD.status)) return KIND.refused;
  const text = frame.type(FIELD.text);
  if (text !== VALUE.absent && text !== VALUE.null && text !== VALUE.string) {
    return frame.refuseField(FIELD.text, 'is neither a string nor null');
  }
  const status = frame.string(FIELD.status);
  if (status === '') return KIND.legacyPotEvent;
  if (!(POT_STATUSES as readonly string[]).includes(status)) {
    return frame.refuseField(FIELD.status, `is not one of ${POT_STATUSES.join(', ')}`);
  }
  return KIND.potStatusUpdate;
}

/** The documented PotEvent for an event that came as a status update without status. No newline. */
export function documentLegacy(frame: FrameReader, receivedMs: number, seq: number): string {
  return envelope({
    nodeId: frame.raw(FIELD.node_id),
    potId: frame.raw(FIELD.pot_id),
    potType: frame.raw(FIELD.pot_type),
    eventType: '"legacy"',
    timestamp: JSON.stringify(new Date(receivedMs).toISOString()),
    data: `{"message":${frame.type(FIELD.text) === VALUE.string ? frame.raw(FIELD.text) : 'null'}}`,
    seq,
  });
}
