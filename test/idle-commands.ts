/** A command centre for tests of other things: nodes are never reached, and nothing is kept. */
import { matchesPattern } from '../src/access/pattern.js';
import { CommandCenter } from '../src/commands/center.js';
import type { NodeRegistry } from '../src/registry/registry.js';

export function idleCommands(nodes: NodeRegistry): CommandCenter {
  return new CommandCenter(
    {
      store: {
        write: async () => {},
        async *read() {},
        close: async () => {},
      },
      nodes,
      audit: { record() {} },
      ttlMs: 60_000,
      timeoutMs: 60_000,
      nowMs: Date.now,
      post() {},
      matches: matchesPattern,
    },
    { commands: [], rollouts: new Map() },
  );
}
