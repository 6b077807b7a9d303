/**
 * Which nodes, and which of their honeypots, an answer is about: filters of the query, the scope of whoever asks, and
 * the page.
 *
 * Owned by main. Reads records, never changes them.
 */
import { matchesPattern } from '../access/pattern.js';
import type { Principal } from '../access/principal.js';
import { nodeInScope } from '../access/scope.js';
import type { NodeRecord, PotRecord } from '../registry/record.js';
import type { HoneypotFilter, NodeFilter } from './schemas-lists.js';

export type NodeTest = (record: NodeRecord) => boolean;
export type PotTest = (pot: PotRecord) => boolean;

/** What a principal may see at all. */
export function scopeTest(principal: Principal): NodeTest {
  const { scope } = principal;
  return (record) => nodeInScope(scope, record.name);
}

export function nodeTest(filter: NodeFilter, principal: Principal): NodeTest {
  const { status, node_type, connected, name, pot_type } = filter;
  const inScope = scopeTest(principal);
  return (record) =>
    (status === undefined || record.status === status) &&
    (node_type === undefined || record.type === node_type) &&
    (connected === undefined || (record.session !== null) === connected) &&
    (name === undefined || matchesPattern(name, record.name)) &&
    (pot_type === undefined || hasPot(record, (pot) => pot.potType === pot_type)) &&
    inScope(record);
}

export function potTest(filter: HoneypotFilter): PotTest {
  const { status, pot_type } = filter;
  return (pot) =>
    (status === undefined || pot.status === status) && (pot_type === undefined || pot.potType === pot_type);
}

function hasPot(record: NodeRecord, test: PotTest): boolean {
  for (const pot of record.pots.values()) if (test(pot)) return true;
  return false;
}

/** Pots of a node that pass, in the order of their ids, which no coming and going changes. */
export function potsOf(record: NodeRecord, test: PotTest): PotRecord[] {
  const pots: PotRecord[] = [];
  for (const pot of record.pots.values()) if (test(pot)) pots.push(pot);
  if (pots.length > 1) pots.sort((left, right) => (left.potId < right.potId ? -1 : 1));
  return pots;
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** Whether more rows would follow. */
  readonly more: boolean;
}

/** The first rows that pass; without a limit all of them. */
export function pageOf<T>(rows: Iterable<T>, test: (row: T) => boolean, limit: number | undefined): Page<T> {
  const page: T[] = [];
  for (const row of rows) {
    if (!test(row)) continue;
    if (page.length === limit) return { rows: page, more: true };
    page.push(row);
  }
  return { rows: page, more: false };
}
