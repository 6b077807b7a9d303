/** What REST may ask of the dead letters. Owned by main; index of the parts: reader.ts, marks.ts, replays.ts. */
import type { ErrorCode } from '../errors.js';
import type { Letter } from './line.js';
import type { LetterPage, LetterQuery } from './reader.js';

/** What became of a letter that was tried again. `unknown`: Core, or a shard, ended over it. */
export const REPLAY_OUTCOMES = ['unknown', 'accepted', 'refused'] as const;
export type ReplayOutcome = (typeof REPLAY_OUTCOMES)[number];

export interface ReplayMark {
  readonly timeMs: number;
  readonly outcome: ReplayOutcome;
}

export interface ReplayRequest {
  readonly id: number;
  /** Instead of the frame that was refused. */
  readonly frame: Uint8Array | undefined;
  /** Also one that was accepted before, and one that nobody knows to be of the node it names. */
  readonly force: boolean;
  /** Only says what would become of it. */
  readonly dryRun: boolean;
}

/** `accepted`: its records are on their way to the log and the stream, behind everything that is in the same ring. */
export type ReplayResult =
  | {
      readonly outcome: 'accepted';
      /** The node that it is of now. */
      readonly nodeId: string;
      /** What it became: names of messages, one for each record. */
      readonly records: readonly string[];
      /** How many of them are events. */
      readonly events: number;
    }
  | { readonly outcome: 'refused'; readonly code: ErrorCode; readonly reason: string };

/** Why a letter was not tried. */
export type NotTried =
  /** There is none with this number. */
  | 'not-found'
  /** It can never be: it is not whole, its codes were masked, it is a registration or a farewell. */
  | 'never'
  /** It was accepted before, or may have been. */
  | 'before'
  /** Nothing shows that it is of the node it names, and that node has to prove who it is. */
  | 'unproven'
  /** Somebody else is trying it now. */
  | 'under-way'
  /** Too many are under way, or remembered; or no shard runs. */
  | 'busy'
  /** It was begun, and nobody knows how it ended. */
  | 'unknown';

export class ReplayError extends Error {
  readonly kind: NotTried;
  constructor(kind: NotTried, message: string) {
    super(message);
    this.name = 'ReplayError';
    this.kind = kind;
  }
}

export interface DeadLetterService {
  /** Throws TooManyReaders. */
  page(query: LetterQuery): Promise<LetterPage>;
  /** Undefined where there is none with this number, or not any more. Throws TooManyReaders. */
  find(id: number): Promise<{ readonly letter: Letter; readonly line: string } | undefined>;
  /** Of letters: what became of those that were tried again. */
  marks(ids: readonly number[]): Promise<readonly (ReplayMark | undefined)[]>;
  /** Throws ReplayError. */
  replay(request: ReplayRequest): Promise<ReplayResult>;
}
