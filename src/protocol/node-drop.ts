/**
 * NodeDrop: the node says goodbye.
 *
 *   {"NodeDrop":{}} | {"NodeDrop":null} | "NodeDrop"      (the last one stands for the whole `message`)
 */
import { FIELD, VALUE } from './fields.js';
import { type FrameReader, KIND, type Kind } from './frame-reader.js';

export function checkNodeDrop(frame: FrameReader): Kind {
  const type = frame.type(FIELD.body);
  if (type === VALUE.null || type === VALUE.object) return KIND.nodeDrop;
  return frame.refuse('INVALID_MESSAGE_FORMAT', 'NodeDrop is neither an object nor null');
}
