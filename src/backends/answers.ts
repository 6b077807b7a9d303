/**
 * The answers of the backend conversation, to the byte as the original writes them: these keys in this order, no white
 * space, ids as digits.
 *
 *   {"version":2,"message":{"BackendResponse":{"Success":{"message":TEXT,"data":DATA}}}}
 *   {"version":2,"message":{"BackendResponse":{"Failure":TEXT}}}
 *
 * Owned by main; pure. No newline: each transport ends its messages in its own way.
 */
import type { NodeStatus } from '../protocol/node-status-update.js';
import type { BackendFailureCode } from './failure.js';

const HEAD = '{"version":2,"message":{"BackendResponse":';

/** `data` is JSON text. */
function success(message: string, data = 'null'): string {
  return `${HEAD}{"Success":{"message":${JSON.stringify(message)},"data":${data}}}}}`;
}

export function failureText(text: string): string {
  return `${HEAD}{"Failure":${JSON.stringify(text)}}}}`;
}

export function failure(code: BackendFailureCode, reason: string): string {
  return failureText(`${code}: ${reason}`);
}

export const ANSWER = {
  registered: (backendId: bigint) => success('Registration successful', `{"backend_id":${backendId}}`),
  authenticated: () => success('Authentication successful'),
  goodbye: () => success('Disconnect acknowledged'),
  nodes: (ids: readonly bigint[]) => success(`Retrieved ${ids.length} nodes`, nodeList(ids)),
  nodesByStatus: (ids: readonly bigint[], status: NodeStatus) =>
    success(`Retrieved ${ids.length} nodes with status ${status}`, nodeList(ids)),
  node: (id: bigint, name: string, status: NodeStatus) =>
    success(`Node ${id} retrieved`, `{"id":${id},"name":${JSON.stringify(name)},"status":"${status}"}`),
  nodeCount: (count: number) => success(`Total nodes: ${count}`, `{"count":${count}}`),
  activeConnections: (count: number) => success(`Active connections: ${count}`, `{"count":${count}}`),
  removed: (id: bigint) => success(`Node ${id} removed`),
  commandSent: (id: bigint) => success(`Command sent to node ${id}`),
  /** The node is not connected: the original has no such answer, it fails. */
  commandQueued: (id: bigint) => success(`Command queued for node ${id}`),
  broadcast: () => success('Command broadcast to all nodes'),
  subscribed: () => success('Events subscribed'),
  unsubscribed: () => success('Events unsubscribed'),
  nodeNotFound: (id: bigint) => failureText(`Node ${id} not found`),
  commandFailed: (id: bigint, why: string) => failureText(`Failed to send command to node ${id}: ${why}`),
  registeredAlready: () => failureText('Unexpected message type after registration'),
} as const;

function nodeList(ids: readonly bigint[]): string {
  return `{"nodes":[${ids.join(',')}]}`;
}
