/**
 * The backend conversation's actions on a running Core: the registry, the removal of nodes, and commands.
 *
 * Owned by main.
 */
import type { AuditTrail } from '../access/audit.js';
import type { Actor } from '../access/principal.js';
import { CommandError } from '../commands/errors.js';
import type { CommandService } from '../commands/service.js';
import type { NodeRecord } from '../registry/record.js';
import { StateBacklogFull } from '../state/store.js';
import type { BackendActions, BackendNode } from './actions.js';
import { BackendFailure, type BackendFailureCode } from './failure.js';

/** The part of the registry that is asked. */
export interface KnownNodes {
  list(): readonly NodeRecord[];
  byId(id: bigint): NodeRecord | undefined;
  counts(): { readonly known: number; readonly connected: number };
}

export interface Removal {
  /** False where no node has the id. May reject with StateBacklogFull. */
  remove(id: bigint): Promise<boolean>;
  readonly audit: AuditTrail;
}

export function createBackendActions(
  registry: KnownNodes,
  commands: Pick<CommandService, 'submit' | 'broadcast'>,
  removal: Removal,
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
    removeNode: (id, actor) => removeNode(removal, id, actor),
    async sendCommand(id, command, actor) {
      await told(commands.submit(id, { command, actor }));
      return (registry.byId(id)?.session ?? null) === null ? 'queued' : 'sent';
    },
    async broadcast(command, actor) {
      try {
        await commands.broadcast({ command, actor });
      } catch (error) {
        // Nobody is there to be told, which is no failure of whoever told everybody.
        if (!(error instanceof CommandError && error.code === 'CONFLICT')) throw failureOf(error);
      }
    },
  };
}

async function removeNode({ remove, audit }: Removal, id: bigint, actor: Actor): Promise<boolean> {
  const entry = { actor, action: 'node.remove', target: String(id) };
  try {
    const removed = await remove(id);
    audit.record({ ...entry, outcome: removed ? 'done' : 'refused' });
    return removed;
  } catch (error) {
    audit.record({ ...entry, outcome: 'failed' });
    throw failureOf(error);
  }
}

async function told<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw failureOf(error);
  }
}

function failureOf(error: unknown): unknown {
  if (error instanceof StateBacklogFull)
    return new BackendFailure('STATE_UNAVAILABLE', 'Core cannot write its state now; try again');
  if (!(error instanceof CommandError)) return error;
  return new BackendFailure(CODES[error.code], error.message);
}

/** Backends name commands and rollouts never, and use no idempotency keys. */
const CODES: Readonly<Record<CommandError['code'], BackendFailureCode>> = {
  INVALID_COMMAND: 'INVALID_COMMAND',
  NODE_NOT_FOUND: 'NODE_NOT_FOUND',
  COMMAND_NOT_FOUND: 'INTERNAL_ERROR',
  ROLLOUT_NOT_FOUND: 'INTERNAL_ERROR',
  CONFLICT: 'CONFLICT',
  NODE_QUEUE_FULL: 'NODE_QUEUE_FULL',
  TOO_MANY_COMMANDS: 'TOO_MANY_COMMANDS',
  IDEMPOTENCY_CONFLICT: 'INTERNAL_ERROR',
  STATE_UNAVAILABLE: 'STATE_UNAVAILABLE',
};

function nodeOf(record: NodeRecord): BackendNode {
  return {
    id: record.id,
    name: record.name,
    status: record.status,
    connected: record.session !== null,
  };
}
