/**
 * Reads the stream as a consumer would who keeps a list of who is connected, and asserts that it can: per node id a
 * registered notice, its records, a disconnected notice, in this order and never two of a kind in a row.
 */
import assert from 'node:assert/strict';
import { eventNumber, messageName, nodeIdOf } from './node-frames.js';

export interface Session {
  /** Numbers of its numbered events, in the order of the stream. */
  readonly events: number[];
  /** Of the notice that ended it; undefined while connected. */
  reason: string | undefined;
}

/** All sessions of each node id; throws where the stream's order is broken. */
export function sessionsByNode(lines: readonly string[]): Map<string, Session[]> {
  const byNode = new Map<string, Session[]>();
  for (const line of lines) {
    const id = nodeIdOf(line);
    if (id === undefined) continue;
    const sessions = byNode.get(id) ?? [];
    byNode.set(id, sessions);
    const last = sessions.at(-1);
    const connected = last !== undefined && last.reason === undefined;
    switch (messageName(line)) {
      case 'NodeRegistered':
        assert.ok(!connected, `${id} registers while it is connected: ${line}`);
        sessions.push({ events: [], reason: undefined });
        break;
      case 'NodeDisconnected':
        assert.ok(connected, `${id} leaves while it is not connected: ${line}`);
        last.reason = /"reason":"([^"]*)"/.exec(line)![1]!;
        break;
      case 'PotEvent':
        assert.ok(connected, `${id} has an event while it is not connected: ${line}`);
        last.events.push(eventNumber(line));
        break;
      default:
        assert.ok(connected, `${id} has a record while it is not connected: ${line}`);
    }
  }
  return byNode;
}

/** Asserts that numbers follow each other from `first` on; answers the one that is next. */
export function assertContiguous(numbers: readonly number[], first: number, what: string): number {
  let next = first;
  for (const number of numbers) {
    assert.equal(number, next, `${what}: ${number} where ${next} was due`);
    next++;
  }
  return next;
}
