/**
 * What of the nodes a request may see: those that its token's scope lets through.
 *
 * Owned by main. Pure.
 */
import type { Principal } from '../access/principal.js';
import { nodeInScope } from '../access/scope.js';
import type { NodeView } from './view.js';

export function* nodesFor({ scope }: Principal, nodes: Iterable<NodeView>): IterableIterator<NodeView> {
  for (const node of nodes) if (nodeInScope(scope, node.name)) yield node;
}

/** Undefined also where it exists and may not be seen: that it exists is not told either. */
export function nodeFor({ scope }: Principal, node: NodeView | undefined): NodeView | undefined {
  return node !== undefined && nodeInScope(scope, node.name) ? node : undefined;
}
