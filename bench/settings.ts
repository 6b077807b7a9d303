/** What the command line asks for, checked and complete. */
import type { Address } from './address.js';
import type { Mix } from './events.js';
import type { StreamKind } from './record-stream.js';

export type ConsumerKind = StreamKind | 'none';

export interface Settings {
  /** A Core that runs already; undefined: the bench starts its own. */
  readonly external:
    | { readonly target: Address; readonly proxy: Address | undefined; readonly rest: string | undefined }
    | undefined;
  readonly coreEntry: string | undefined;
  readonly dir: string | undefined;
  readonly seed: number;
  readonly mix: Mix;
  readonly eventBytes: number;
  readonly writeBytes: number | undefined;
  readonly windowBytes: number | undefined;
  readonly consumers: number;
  /** Threads that the nodes are spread over; undefined: as many as TLS needs, see stream-run.ts. */
  readonly loadThreads: number | undefined;
  readonly warmupMs: number;
  readonly durationMs: number;
}

/** What a scenario gets besides its own parameters. */
export interface Context {
  readonly settings: Settings;
  readonly onProgress: (fraction: number, text: string) => void;
}
