/**
 * Commands as they are kept in the state: one JSON object each, under their id. Texts that are not what this file
 * writes are not read at all: half a command would be worse than none.
 *
 *   command/cmd_...   {"v":1,"node":{"name","id"},"phase","due","created","ttl","timeout","command"|"rollout",...}
 *
 * A member of a rollout carries no command of its own: it is the rollout's. Owned by main.
 */
import { parseCommand } from './parse.js';
import {
  type CommandRecord,
  type CommandResult,
  type IdempotencyMark,
  PHASES,
  type PotAnswer,
  type Requester,
  type Transition,
} from './record.js';

interface StoredCommand {
  readonly v: 1;
  readonly node: { readonly name: string; readonly id: string };
  readonly command?: unknown;
  readonly rollout?: string;
  readonly phase: CommandRecord['phase'];
  readonly due: number | null;
  readonly expires: number | null;
  readonly created: number;
  readonly ttl: number;
  readonly timeout: number;
  readonly by: Requester;
  readonly idempotency?: IdempotencyMark;
  readonly history: readonly Transition[];
  readonly message: string | null;
  readonly result: CommandResult | null;
  readonly error: CommandRecord['error'];
}

export type CommandOfRollout = (rolloutId: string) => Pick<CommandRecord, 'command' | 'json'> | undefined;

export function storedCommand(record: CommandRecord): string {
  const head = JSON.stringify({
    v: 1,
    node: { name: record.nodeName, id: String(record.nodeId) },
    phase: record.phase,
    due: record.dueMs,
    expires: record.expiresMs,
    created: record.createdMs,
    ttl: record.ttlMs,
    timeout: record.timeoutMs,
    by: record.requester,
    ...(record.idempotency !== null && { idempotency: record.idempotency }),
    history: record.history,
    message: record.message,
    result: record.result,
    error: record.error,
    ...(record.rolloutId !== null && { rollout: record.rolloutId }),
  } satisfies StoredCommand);
  return record.rolloutId === null ? `${head.slice(0, -1)},"command":${record.json}}` : head;
}

/** Undefined where the text is not a command as it was written. */
export function readStoredCommand(
  id: string,
  text: string,
  ofRollout: CommandOfRollout,
): CommandRecord | undefined {
  try {
    const stored = JSON.parse(text) as StoredCommand;
    if (stored.v !== 1 || !PHASES.includes(stored.phase) || stored.history.length === 0) return undefined;
    const own = parseCommand(stored.command);
    const parsed = stored.rollout !== undefined ? ofRollout(stored.rollout) : own.ok ? own : undefined;
    if (parsed === undefined) return undefined;
    const times = [stored.created, stored.ttl, stored.timeout, stored.due ?? 0, stored.expires ?? 0];
    if (!times.every(Number.isFinite) || typeof stored.node.name !== 'string') return undefined;
    return {
      id,
      nodeName: stored.node.name,
      nodeId: BigInt(stored.node.id),
      command: parsed.command,
      json: parsed.json,
      rolloutId: stored.rollout ?? null,
      requester: stored.by,
      idempotency: stored.idempotency ?? null,
      createdMs: stored.created,
      ttlMs: stored.ttl,
      timeoutMs: stored.timeout,
      phase: stored.phase,
      dueMs: stored.due,
      expiresMs: stored.expires,
      history: [...stored.history],
      message: stored.message,
      result: stored.result,
      error: stored.error,
      survivedRestart: true,
    };
  } catch {
    return undefined;
  }
}

/** Characters that an answer holds on to. */
export function answerLength(answer: PotAnswer): number {
  return answer.potId.length + answer.potType.length + (answer.message?.length ?? 0);
}
