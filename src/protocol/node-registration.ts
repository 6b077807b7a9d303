/**
 * NodeRegistration: the first frame of a session.
 *
 *   {"node_id":u64,"node_name":string of 1 to 255,"address":string,"port":u16,"node_type":"Full"|"Agent","totp_code":string?,
 *    "features":[string]?}
 *
 * `features`: what the node can do beyond Protocol v2; names that Core does not know are passed over.
 */
import { LIMITS } from '../limits.js';
import { FIELD, VALUE } from './fields.js';
import { type FrameReader, KIND, type Kind } from './frame-reader.js';

export const NODE_TYPES = ['Full', 'Agent'] as const;
export type NodeType = (typeof NODE_TYPES)[number];

/** Kept of a code, whatever a node sends: more than a code has, so that a long one stays a wrong one. */
const CODE_LENGTH = 16;

/** A registration as it crosses threads. `nodeId` is its digits. Its code is apart: nobody keeps that. */
export interface NodeRegistration {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly address: string;
  readonly port: number;
  readonly nodeType: NodeType;
}

/** The node numbers its events, and wants to be told up to which they are on the disk. */
export const EVENT_ACK = 'event_ack';

export function checkNodeRegistration(frame: FrameReader): Kind {
  if (!frame.needObject(FIELD.body) || !frame.needNodeId() || !frame.needString(FIELD.node_name))
    return KIND.refused;
  const nameLength = [...frame.string(FIELD.node_name)].length;
  if (nameLength < 1 || nameLength > LIMITS.nodeNameLength) {
    return frame.refuseField(FIELD.node_name, `is not 1 to ${LIMITS.nodeNameLength} characters long`);
  }
  if (!frame.needString(FIELD.address)) return KIND.refused;
  if (!frame.needNumber(FIELD.port)) return KIND.refused;
  const port = frame.raw(FIELD.port);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    return frame.refuseField(FIELD.port, 'is not an integer from 0 to 65535');
  if (!frame.needString(FIELD.node_type)) return KIND.refused;
  if (!(NODE_TYPES as readonly string[]).includes(frame.string(FIELD.node_type))) {
    return frame.refuseField(FIELD.node_type, `is not one of ${NODE_TYPES.join(', ')}`);
  }
  const code = frame.type(FIELD.totp_code);
  if (code !== VALUE.absent && code !== VALUE.null && code !== VALUE.string)
    return frame.refuseField(FIELD.totp_code, 'is not a string');
  if (frame.isRepeated(FIELD.features)) return frame.refuseField(FIELD.features, 'stands twice');
  if (featuresOf(frame) === undefined) return frame.refuseField(FIELD.features, 'is not an array of strings');
  return KIND.nodeRegistration;
}

/** Of a frame that was found to be a registration: does it ask for this feature? */
export function asksFor(frame: FrameReader, feature: string): boolean {
  return featuresOf(frame)?.includes(feature) === true;
}

function featuresOf(frame: FrameReader): readonly string[] | undefined {
  const type = frame.type(FIELD.features);
  if (type === VALUE.absent) return [];
  if (type !== VALUE.array) return undefined;
  const features = JSON.parse(frame.raw(FIELD.features)) as readonly unknown[];
  return features.every((feature) => typeof feature === 'string') ? features : undefined;
}

/** The code of a frame that was found to be a registration; null where it has none. */
export function readTotpCode(frame: FrameReader): string | null {
  return frame.type(FIELD.totp_code) === VALUE.string
    ? frame.string(FIELD.totp_code).slice(0, CODE_LENGTH)
    : null;
}

/** The values of a frame that was found to be a registration. */
export function readNodeRegistration(frame: FrameReader): NodeRegistration {
  return {
    nodeId: frame.raw(FIELD.node_id),
    nodeName: frame.string(FIELD.node_name),
    address: frame.string(FIELD.address).slice(0, 255),
    port: Number(frame.raw(FIELD.port)),
    nodeType: frame.string(FIELD.node_type) as NodeType,
  };
}
