/**
 * From commands and rollouts to what REST shows of them: names of the API, times as text.
 *
 * Owned by main. Pure.
 */
import { commandObject } from '../commands/command.js';
import {
  type CommandRecord,
  type CommandResult,
  type PotAnswer,
  type Requester,
  stateOf,
  updatedMs,
} from '../commands/record.js';
import type { Rollout } from '../commands/rollout.js';
import type { CommandRowJson, RolloutRowJson } from './command-schemas.js';
import { isoTime } from './iso-time.js';

export function commandRow(record: CommandRecord): CommandRowJson {
  const { nodeId, nodeName, history } = record;
  return {
    id: record.id,
    node: { node_id: nodeId, id: String(nodeId), node_name: nodeName },
    command: commandObject(record.command),
    state: stateOf(record.phase),
    created: timeText(record.createdMs),
    updated: timeText(updatedMs(record)),
    due: isoTime(record.dueMs),
    rollout_id: record.rolloutId,
    message: record.message,
    result: record.result === null ? null : resultObject(record.result),
    error: record.error === null ? null : { code: record.error.code, reason: record.error.reason },
    history: history.map(({ state, atMs, message }) => ({ state, at: timeText(atMs), message })),
    by: byObject(record.requester),
  };
}

export function rolloutRow({ plan, state, reason, endedMs, counts }: Rollout): RolloutRowJson {
  const { filter, rolling } = plan;
  return {
    id: plan.id,
    command: commandObject(plan.command),
    state,
    reason,
    filter: {
      node_type: filter.nodeType,
      status: filter.status,
      name: filter.name,
      connected: filter.connected,
    },
    rolling: { max_in_flight: rolling.maxInFlight, max_failures: rolling.maxFailures },
    nodes: plan.nodes,
    counts: { ...counts },
    created: timeText(plan.createdMs),
    ended: isoTime(endedMs),
    by: byObject(plan.requester),
  };
}

function resultObject(result: CommandResult): Record<string, unknown> {
  switch (result.kind) {
    case 'pot':
      return potObject(result.answer);
    case 'pots':
      return { pots: result.answers.map(potObject), complete: result.complete };
    case 'note':
      return { note: result.text };
  }
}

function potObject({ potId, potType, status, message, truncated }: PotAnswer): Record<string, unknown> {
  return { pot_id: potId, pot_type: potType, status, message, truncated };
}

function byObject({ kind, name, tokenId, from, requestId }: Requester): CommandRowJson['by'] {
  return { kind, name, token_id: tokenId, from, request_id: requestId };
}

function timeText(timeMs: number): string {
  return isoTime(timeMs) ?? '';
}
