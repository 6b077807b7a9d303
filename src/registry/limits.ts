/**
 * What bounds the registry's memory.
 *
 * Owned by main: constants only.
 */
import { LIMITS } from '../limits.js';

export interface RegistryLimits {
  readonly nodes: number;
  readonly potsPerNode: number;
  readonly potFieldLength: number;
  /** All pots of all nodes: the two bounds above, multiplied, would be more than any machine has. */
  readonly potsInAll: number;
}

export const REGISTRY_LIMITS: RegistryLimits = {
  nodes: LIMITS.registryNodes,
  potsPerNode: LIMITS.potsPerNode,
  potFieldLength: LIMITS.potFieldLength,
  potsInAll: 262_144,
};
