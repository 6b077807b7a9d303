/**
 * NodeStatusUpdate: how a node is, also its heartbeat.
 *
 *   {"node_id":u64,"status":"Connected"|"Deploying"|"Running"|"Stopped"|"Failed"|"Unknown"}
 */
import { FIELD } from './fields.js';
import { type FrameReader, KIND, type Kind } from './frame-reader.js';

export const NODE_STATUSES = ['Connected', 'Deploying', 'Running', 'Stopped', 'Failed', 'Unknown'] as const;
export type NodeStatus = (typeof NODE_STATUSES)[number];

export function checkNodeStatusUpdate(frame: FrameReader): Kind {
  if (!frame.needObject(FIELD.body) || !frame.needNodeId() || !frame.needString(FIELD.status))
    return KIND.refused;
  if (!(NODE_STATUSES as readonly string[]).includes(frame.string(FIELD.status))) {
    return frame.refuseField(FIELD.status, `is not one of ${NODE_STATUSES.join(', ')}`);
  }
  return KIND.nodeStatusUpdate;
}
