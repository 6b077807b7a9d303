/**
 * What Core says: answers to nodes, and its own notices in the stream. Every text is a whole frame with its newline.
 * Node ids go out as the digits that came in.
 */
import type { ErrorCode } from '../errors.js';
import { EVENT_ACK, type NodeRegistration } from './node-registration.js';

function frame(name: string, body: string): string {
  return `{"version":2,"message":{"${name}":${body}}}\n`;
}

/**
 * Answer to a registration. `nodeId` is undefined where the registration could not be read that far; `totpKey` is the
 * secret of a name that was enrolled by it; `lastSeq` the number of the node's last event that is on the disk, where
 * they agreed on `event_ack`.
 */
export function registrationAck(
  nodeId: string | undefined,
  accepted: boolean,
  message: string,
  totpKey?: string,
  lastSeq?: number,
): string {
  const id = nodeId === undefined ? '' : `"node_id":${nodeId},`;
  const key = totpKey === undefined ? '' : `,"totp_key":"${totpKey}"`;
  const agreed = lastSeq === undefined ? '' : `,"features":["${EVENT_ACK}"],"last_seq":${lastSeq}`;
  return frame(
    'RegistrationAck',
    `{${id}"accepted":${accepted},"message":${JSON.stringify(message)}${key}${agreed}}`,
  );
}

/** The node's events up to this number are on the disk. */
export function eventAck(nodeId: string, seq: number): string {
  return frame('EventAck', `{"node_id":${nodeId},"seq":${seq}}`);
}

/** Answer to a frame that cannot be processed. `heldBack`: how many answers were not sent since the last one. */
export function errorReply(code: ErrorCode, message: string, heldBack: number): string {
  const text = heldBack > 0 ? `${message} (and ${heldBack} more errors since the last answer)` : message;
  return frame('Error', `{"code":"${code}","message":${JSON.stringify(text)}}`);
}

/**
 * Notice: a node is there. `serial` is the number of its record, which stays when its id changes; `numbered` says that
 * its events carry `seq`.
 */
export function nodeRegistered(
  node: NodeRegistration,
  serial: number,
  numbered: boolean,
  remote: string,
  atMs: number,
): string {
  const { nodeId, nodeName, address, port, nodeType } = node;
  return frame(
    'NodeRegistered',
    `{"node_id":${nodeId},"node_name":${JSON.stringify(nodeName)},"address":${JSON.stringify(address)},"port":${port},` +
      `"node_type":"${nodeType}",${numbered ? `"features":["${EVENT_ACK}"],` : ''}"remote":${JSON.stringify(remote)},"timestamp":"${new Date(atMs).toISOString()}","node_serial":${serial}}`,
  );
}

/** Notice: a node is gone. `status` is Stopped after a NodeDrop, else Unknown. */
export function nodeDisconnected(
  nodeId: string,
  nodeName: string,
  serial: number,
  status: 'Stopped' | 'Unknown',
  reason: string,
  atMs: number,
): string {
  return frame(
    'NodeDisconnected',
    `{"node_id":${nodeId},"node_name":${JSON.stringify(nodeName)},"status":"${status}","reason":${JSON.stringify(reason)},` +
      `"timestamp":"${new Date(atMs).toISOString()}","node_serial":${serial}}`,
  );
}
