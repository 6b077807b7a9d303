/**
 * The backend conversation's actions on a running Core: the registry, the removal of nodes, and commands.
 *
 * Owned by main.
 */
import type { Actor } from '../access/principal.js';
import type { NodeRecord } from '../registry/record.js';
import type { BackendActions, BackendNode } from './actions.js';

/** The part of the registry that is asked. */
export interface KnownNodes {
  list(): readonly NodeRecord[];
  byId(id: bigint): NodeRecord | undefined;
  counts(): { readonly known: number; readonly connected: number };
}

export function createBackendActions(
  registry: KnownNodes,
  others: Pick<BackendActions, 'removeNode' | 'sendCommand' | 'broadcast'>,
): BackendActions {
  return {
    *nodes() {
      for (const record of registry.list()) yield nodeOf(record);
    },
    node(id) {
      const record = registry.byId(id);
      return record === undefined ? undefined : nodeOf(record);
    },
    counts: () => registry.counts(),
    removeNode: (id: bigint, actor: Actor) => others.removeNode(id, actor),
    sendCommand: (id, command, actor) => others.sendCommand(id, command, actor),
    broadcast: (command, actor) => others.broadcast(command, actor),
  };
}

function nodeOf(record: NodeRecord): BackendNode {
  return {
    id: record.id,
    name: record.name,
    status: record.status,
    connected: record.session !== null,
  };
}
