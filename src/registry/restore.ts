/**
 * Reads the nodes that were known when Core ended, however it ended, back into the registry.
 *
 * Owned by main, once at start. What cannot be read is left where it is and counted; it never stops a start.
 */
import type { StateChange, StateStore } from '../state/store.js';
import {
  decodeNode,
  decodePot,
  type KeptNode,
  nodeKey,
  readKey,
  readSerial,
  serialChange,
} from './kept-node.js';
import { REGISTRY_LIMITS, type RegistryLimits } from './limits.js';
import type { PotRecord } from './record.js';
import type { NodeRegistry } from './registry.js';

/** Deletions of what is in nobody's way must not fill the store's backlog. */
const DROPPED_AT_ONCE = 10_000;

export interface Restored {
  readonly nodes: number;
  /** Values that could not be read. */
  readonly damaged: number;
  /** Values that belong to no node any more, or to one for which there is no room; they have been deleted. */
  readonly dropped: number;
}

export async function restoreRegistry(
  store: StateStore,
  registry: NodeRegistry,
  limits: RegistryLimits = REGISTRY_LIMITS,
): Promise<Restored> {
  const nodes: KeptNode[] = [];
  const unread = new Set<number>();
  const pots = new Map<number, Map<string, PotRecord>>();
  const potKeys = new Map<number, string[]>();
  let damaged = 0;
  for await (const [key, text] of store.read('meta')) registry.reserveSerial(readSerial(key, text) ?? 0);
  for await (const [key, text] of store.read('node')) {
    const place = readKey(key);
    if (place === undefined) {
      damaged++;
      continue;
    }
    registry.reserveSerial(place.serial);
    if (!place.isPot) {
      const node = decodeNode(place.serial, text);
      if (node !== undefined) nodes.push(node);
      else {
        unread.add(place.serial);
        damaged++;
      }
      continue;
    }
    const pot = decodePot(text);
    if (pot === undefined) {
      damaged++;
      continue;
    }
    entryOf(pots, place.serial, () => new Map<string, PotRecord>()).set(pot.potId, pot);
    entryOf(potKeys, place.serial, () => []).push(key);
  }
  const kept = choose(nodes, (serial) => pots.get(serial)?.size ?? 0, limits);
  for (const node of kept)
    if (!registry.restore({ ...node, pots: pots.get(node.serial) ?? new Map() }))
      throw new Error('the registry has no room for a node that was chosen');
  const known = new Set(kept.map(({ serial }) => serial));
  const drop: StateChange[] = [];
  for (const { serial } of nodes)
    if (!known.has(serial)) drop.push({ section: 'node', key: nodeKey(serial) });
  for (const [serial, keys] of potKeys)
    if (!known.has(serial) && !unread.has(serial))
      for (const key of keys) drop.push({ section: 'node', key });
  // The rest at the next start.
  if (drop.length > 0)
    await store.write([serialChange(registry.highestSerial), ...drop.slice(0, DROPPED_AT_ONCE)]);
  return { nodes: known.size, damaged, dropped: drop.length };
}

/** Those that the registry has room for, the one that was seen last at the end. Where two claim an id, that one wins. */
function choose(
  nodes: readonly KeptNode[],
  potsOf: (serial: number) => number,
  limits: RegistryLimits,
): KeptNode[] {
  const newestFirst = [...nodes].sort((a, b) => b.lastSeenMs - a.lastSeenMs || b.serial - a.serial);
  const chosen: KeptNode[] = [];
  const ids = new Set<bigint>();
  let potCount = 0;
  for (const node of newestFirst) {
    const count = potsOf(node.serial);
    if (chosen.length >= limits.nodes || ids.has(node.id)) continue;
    if (count > limits.potsPerNode || potCount + count > limits.potsInAll) continue;
    ids.add(node.id);
    potCount += count;
    chosen.push(node);
  }
  return chosen.reverse();
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
