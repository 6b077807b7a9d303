/** Runs in the aggregator; pure. */
import type { Scope } from '../access/principal.js';

/** The scope where it limits anything; undefined where it lets everything through. */
export function limited(scope: Scope): Scope | undefined {
  return scope.nodes === null && scope.eventTypes === null ? undefined : scope;
}
