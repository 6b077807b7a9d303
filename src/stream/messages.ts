/** Everything that crosses between main and the aggregator, over the worker's own port. */
import type { MessagePort } from 'node:worker_threads';
import type { Config } from '../config/config.js';
import type { Recounted } from '../ledger/book.js';
import type { RecoveredLog } from '../log/recovery.js';
import type { RingMemory } from '../memory/ring.js';
import type { Mode } from '../native/addon.js';
import type { ConsumersToMain, MainToConsumers } from './consumer-messages.js';

/** `workerData` of the aggregator. */
export interface AggregatorStart {
  readonly config: Config;
  readonly mode: Mode;
  readonly counters: Float64Array;
  /** memory/ledger-table.ts */
  readonly ledger: Float64Array;
}

export type MainToAggregator =
  /** A shard's ring. One that takes the slot of a dead shard is read after that one's is empty. */
  | { readonly type: 'ring'; readonly slot: number; readonly ring: RingMemory; readonly wake: MessagePort }
  /** The row of the ledger is to be given to somebody else: answered by `row-free` when no ring holds anything of it. */
  | { readonly type: 'forget-row'; readonly row: number }
  /** There is a new certificate in the files of [tls]. */
  | { readonly type: 'tls' }
  /** The reader thread (replay/messages.ts) that was asked for, or the one that follows one that died: then all feeds are
   *  to be opened again, from where they were. */
  | { readonly type: 'reader'; readonly port: MessagePort }
  /** No more records will be put in any ring: write what is there, tell the consumers, end by the deadline. */
  | { readonly type: 'finish'; readonly deadlineMs: number }
  | MainToConsumers
  /** Fault injection, only with server.debug. */
  | { readonly type: 'die' };

export type AggregatorToMain =
  | {
      readonly type: 'ready';
      readonly proxyPort: number;
      readonly recovered: RecoveredLog;
      readonly recounted: Recounted;
    }
  /** It takes longer until it is ready: the log is being counted. */
  | { readonly type: 'starting' }
  | { readonly type: 'row-free'; readonly row: number }
  /** For Core's log: the ledger's checkpoint cannot be written. */
  | { readonly type: 'ledger-trouble'; readonly message: string }
  /** Core cannot start or go on; the thread ends. */
  | { readonly type: 'failed'; readonly exitCode: number; readonly message: string }
  | { readonly type: 'disk'; readonly full: boolean }
  /** The oldest dead letters gave way to new ones: from `first` up to `next`, not included. */
  | { readonly type: 'dead-letters-dropped'; readonly first: number; readonly next: number }
  /** The log is to be read: a `reader` is needed. Said once. */
  | { readonly type: 'reader-wanted' }
  /** The WebSocket port goes on with the certificate it had. */
  | { readonly type: 'tls-failed' }
  | ConsumersToMain
  /** Everything is written, or the deadline passed with `runsLeft` runs in the rings. */
  | { readonly type: 'finished'; readonly runsLeft: number };
