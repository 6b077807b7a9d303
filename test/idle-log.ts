/** The log for tests of other things: it is empty, nobody reads it, and no node has an account. */
import type { LogReader } from '../src/replay/log-reader.js';
import { NO_ACCOUNT } from '../src/rest/ledger-rows.js';
import type { LogView } from '../src/rest/log-view.js';

/** Every feed ends at once: there is nothing. */
export const EMPTY_LOG: LogReader = {
  open: () => ({ next: async () => ({ type: 'end', feed: 0, nextSeq: 1 }), close() {} }),
};

export function idleLog(parts: Partial<LogView> = {}): LogView {
  return {
    reader: EMPTY_LOG,
    ledger: {
      of: () => undefined,
      totalsOf: () => ({ frames: 0, records: 0, events: 0, refused: 0, bytesIn: 0 }),
      totals: () => NO_ACCOUNT,
    },
    consumers: { list: () => [], get: () => undefined, remove: async () => false },
    deliveries: { deliveries: async () => [] },
    state: () => undefined,
    storage: {
      fsync: 'interval',
      fsync_interval_ms: 50,
      compress: 'off',
      retention_bytes: 0,
      retention_seconds: 0,
      retention_free_bytes: 0,
      retention_force: false,
    },
    ...parts,
  };
}
