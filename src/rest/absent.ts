/** Parts of the log that are not there yet, until each is: an empty log, no accounts, no consumers. */
import type { LogReader } from '../replay/log-reader.js';
import { NO_ACCOUNT } from './ledger-rows.js';
import type { LogView } from './log-view.js';

const EMPTY_LOG: LogReader = {
  open: () => ({ next: async () => ({ type: 'end', feed: 0, nextSeq: 1 }), close() {} }),
};

export const ABSENT: Omit<LogView, 'storage'> = {
  reader: EMPTY_LOG,
  ledger: { of: () => undefined, totals: () => NO_ACCOUNT },
  consumers: { list: () => [], get: () => undefined, remove: async () => false },
  deliveries: { deliveries: async () => [] },
  state: () => undefined,
};
