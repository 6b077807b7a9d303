/**
 * What must hold between the registry's indexes after every step, as sentences. Walks everything: for tests.
 *
 * Owned by main. Reads only.
 */
import { NODE_STATUSES, type NodeStatus } from '../protocol/node-status-update.js';
import type { ByName } from './by-name.js';
import { type Entry, NO_POTS } from './entry.js';
import type { RegistryLimits } from './limits.js';
import type { LinkedOrder } from './order.js';

export interface RegistryIndexes {
  readonly limits: RegistryLimits;
  readonly byId: ReadonlyMap<bigint, Entry>;
  readonly bySession: ReadonlyMap<number, Entry>;
  readonly connectedByName: ByName;
  readonly disconnectedByName: ByName;
  readonly disconnectedByAge: LinkedOrder<Entry>;
  readonly statusCounts: Readonly<Record<NodeStatus, number>>;
  readonly potCount: number;
  readonly sorted: readonly Entry[];
}

export function assertRegistryInvariants(indexes: RegistryIndexes): void {
  const connected = new Set<Entry>();
  const serials = new Set<number>();
  const counts = Object.fromEntries(NODE_STATUSES.map((status) => [status, 0])) as Record<NodeStatus, number>;
  let potCount = 0;
  for (const [id, entry] of indexes.byId) {
    check(entry.id === id, 'a record is found under its id');
    check((entry.session === null) === (entry.shard === null), 'session and shard come and go together');
    check((entry.session === null) === (entry.ageLink !== null), 'exactly the disconnected have an age');
    check(entry.nameLink !== null, 'a record has its place among those of its name');
    check(!serials.has(entry.serial), 'no two records have one serial number');
    serials.add(entry.serial);
    if (entry.session !== null) {
      check(indexes.bySession.get(entry.session) === entry, 'a connected record is found under its session');
      connected.add(entry);
    }
    check(entry.pots === (entry.potTable ?? NO_POTS), 'the pots shown are the pots kept');
    check(entry.pots.size <= indexes.limits.potsPerNode, 'the pots of a node are bounded');
    potCount += entry.pots.size;
    counts[entry.status] += 1;
  }
  check(indexes.bySession.size === connected.size, 'no session points to a forgotten record');
  const byAge = [...indexes.disconnectedByAge];
  check(
    byAge.length === indexes.byId.size - connected.size,
    'every disconnected record has its place by age',
  );
  check(new Set(byAge).size === byAge.length, 'no record is twice in the order of age');
  for (const entry of byAge) check(indexes.byId.get(entry.id) === entry, 'no age of a forgotten record');
  let named = 0;
  for (const [name, order] of indexes.disconnectedByName) {
    const sameName = [...order];
    check(sameName.length > 0, 'no empty order is kept under a name');
    const byAgeOfName = byAge.filter((entry) => entry.name === name);
    check(
      sameName.every((entry, at) => entry === byAgeOfName[at]),
      'a name lists its records by age',
    );
    named += sameName.length;
  }
  check(named === byAge.length, 'every disconnected record waits under its name');
  let connectedNamed = 0;
  for (const [name, order] of indexes.connectedByName) {
    const sameName = [...order];
    check(sameName.length > 0, 'no empty order is kept under a name');
    check(
      sameName.every((entry) => entry.name === name && connected.has(entry)),
      'a name lists its connected records',
    );
    connectedNamed += sameName.length;
  }
  check(connectedNamed === connected.size, 'every connected record is found under its name');
  for (const status of NODE_STATUSES)
    check(counts[status] === indexes.statusCounts[status], `${status} is counted`);
  check(
    potCount === indexes.potCount && potCount <= indexes.limits.potsInAll,
    'all pots are counted and bounded',
  );
  check(indexes.byId.size <= indexes.limits.nodes, 'the nodes are bounded');
  check(
    indexes.sorted.length === indexes.byId.size &&
      indexes.sorted.every(
        (entry, at) =>
          indexes.byId.get(entry.id) === entry && (at === 0 || indexes.sorted[at - 1]!.id < entry.id),
      ),
    'the sorted records are all records, in the order of their ids',
  );
  check(
    new Set([...indexes.byId.values()].map(({ changed }) => changed)).size === indexes.byId.size,
    'no two records have the same number of change',
  );
}

function check(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(`registry invariant broken: ${sentence}`);
}
