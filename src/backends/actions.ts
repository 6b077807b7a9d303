/**
 * What the backend conversation asks of Core. Nodes come as they are, all of them: what a principal may see of them is
 * for the conversation to say.
 *
 * Owned by main: types only.
 */
import type { Actor } from '../access/principal.js';
import type { NodeStatus } from '../protocol/node-status-update.js';

export interface BackendNode {
  readonly id: bigint;
  readonly name: string;
  readonly status: NodeStatus;
  readonly connected: boolean;
}

export interface BackendActions {
  /** Known nodes, connected or not. */
  nodes(): Iterable<BackendNode>;
  node(id: bigint): BackendNode | undefined;
  counts(): { readonly known: number; readonly connected: number };
  /** Forgets the node and closes its connection; resolves when it has gone, with false where it is not known. */
  removeNode(id: bigint, actor: Actor): Promise<boolean>;
  /** Tells a node what to do; `queued` where it is not connected. Throws BackendFailure. */
  sendCommand(id: bigint, command: unknown, actor: Actor): Promise<'sent' | 'queued'>;
  /** The same for all connected nodes that the actor may see. */
  broadcast(command: unknown, actor: Actor): Promise<void>;
}
