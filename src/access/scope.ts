/**
 * What a token's scope lets through. REST lists, commands, backends and the stream all ask here, so that a scope means
 * the same everywhere.
 *
 * Any thread; pure.
 */
import { matchesPattern, matchesPrefixPattern } from './pattern.js';
import type { Scope } from './principal.js';

export const NO_LIMIT: Scope = Object.freeze({ nodes: null, eventTypes: null });

export function nodeInScope(scope: Scope, nodeName: string): boolean {
  return scope.nodes === null || matchesPattern(scope.nodes, nodeName);
}

export function eventTypeInScope(scope: Scope, eventType: string): boolean {
  return (
    scope.eventTypes === null || scope.eventTypes.some((pattern) => matchesPrefixPattern(pattern, eventType))
  );
}
