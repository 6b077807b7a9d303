/**
 * What crosses between main and the keeper: the thread that seals finished segments of the log, compresses and deletes them.
 * It never touches the segment that is being written, and nothing waits for it.
 */
import type { Config } from '../config/config.js';
import type { Mode } from '../native/addon.js';

/** `workerData` of the keeper. */
export interface KeeperStart {
  readonly config: Config;
  readonly mode: Mode;
  /** The aggregator's counters (memory/counters.ts): what is finished, what is durable, how much comes in. */
  readonly counters: Float64Array;
}

/** What is on the disk, as the keeper saw it last. */
export interface LogState {
  /** Of the oldest record that can be read; where the log is empty, the number the next one gets. */
  readonly firstSeq: number;
  /** When that record was received, ms since 1970; null where nothing is in the log. */
  readonly firstMs: number | null;
  readonly segments: number;
  readonly sealedSegments: number;
  readonly compressedSegments: number;
  /** Data files and what stands beside them. */
  readonly bytes: number;
  /** Finished, and not sealed yet. */
  readonly unsealedBytes: number;
  /** Records that are on the disk and cannot be read, as far as anybody looked. */
  readonly damagedRecords: number;
  /** What retention has deleted since Core started. */
  readonly deletedSegments: number;
  readonly deletedBytes: number;
  readonly deletedRecords: number;
  /** Deleted although a named consumer had not acknowledged them (storage.retention_force). */
  readonly forcedRecords: number;
  /** Retention is due and cannot be done because of the cursor of this consumer. */
  readonly heldBy: string | null;
  /** Of the file system the data directory is on. */
  readonly freeBytes: number;
  /** Of the newest seal, hexadecimal; null before the first. */
  readonly chain: string | null;
  /** Why something that is due cannot be done at present; it is tried again. */
  readonly trouble: string | null;
}

export type MainToKeeper =
  /** The named consumer that needs the oldest record, and which; null: nobody needs any. Sent on every change. */
  | { readonly type: 'cursor'; readonly oldest: { readonly name: string; readonly nextSeq: number } | null }
  /** Core stops: end, in the middle of a segment if need be. */
  | { readonly type: 'finish' }
  /** Fault injection, only with server.debug. */
  | { readonly type: 'die' };

export type KeeperToMain =
  | { readonly type: 'state'; readonly state: LogState }
  /** For Core's log. */
  | {
      readonly type: 'sealed';
      readonly segment: number;
      readonly records: number;
      /** Of them: those that cannot be read. */
      readonly damagedRecords: number;
      readonly bytes: number;
      readonly sha256: string;
      readonly chain: string;
      readonly signed: boolean;
    }
  | {
      readonly type: 'deleted';
      readonly segment: number;
      readonly records: number;
      readonly bytes: number;
      readonly why: 'retention_bytes' | 'retention_seconds' | 'retention_free_bytes';
      /** The consumer that still needed it. */
      readonly forced: string | null;
    }
  | { readonly type: 'trouble'; readonly message: string };
