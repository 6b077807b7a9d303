/**
 * What REST knows of the log, of who reads it, and of what became of every frame: the parts that other folders implement.
 *
 * Owned by main: types only.
 */
import type { Config } from '../config/config.js';
import type { DeliveriesView, NamedConsumersView } from '../consumers/named-consumers.js';
import type { LogState } from '../keeper/messages.js';
import type { LedgerView } from '../ledger/view.js';
import type { LogReader } from '../replay/log-reader.js';

export interface LogView {
  /** Each question is a feed of the reader thread. */
  readonly reader: LogReader;
  readonly ledger: LedgerView;
  readonly consumers: NamedConsumersView;
  readonly deliveries: DeliveriesView;
  /** What the keeper saw last; undefined before it has looked. */
  state(): LogState | undefined;
  readonly storage: Pick<
    Config['storage'],
    | 'fsync'
    | 'fsync_interval_ms'
    | 'compress'
    | 'retention_bytes'
    | 'retention_seconds'
    | 'retention_free_bytes'
    | 'retention_force'
  >;
}
