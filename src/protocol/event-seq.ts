/**
 * The number that a node with the feature `event_ack` gives each event: `seq` in the body, beside `node_id`; an integer
 * from 1, each one higher than the one before. Core keeps the highest it has taken, drops what is not above it, and says
 * up to which number everything is on the disk. Looked at only where node and Core agreed on that; elsewhere `seq` is
 * an unknown field like any other.
 */
import { LIMITS } from '../limits.js';
import { FIELD, VALUE } from './fields.js';
import type { FrameReader } from './frame-reader.js';

/** The number of an event: 0 where it has none, -1 where what it has is no number of an event. */
export function eventSeq(frame: FrameReader): number {
  const type = frame.type(FIELD.seq);
  if (type === VALUE.absent) return 0;
  if (type !== VALUE.number || frame.isRepeated(FIELD.seq)) return -1;
  if (frame.end(FIELD.seq) - frame.start(FIELD.seq) > 16) return -1;
  const text = frame.raw(FIELD.seq);
  if (!/^[1-9][0-9]{0,15}$/.test(text)) return -1;
  const seq = Number(text);
  return seq <= LIMITS.eventSeqMax ? seq : -1;
}
