/** One group of fsyncs, file after file, on pool threads; and how long groups take. Runs in the aggregator. */
import type { LogFiles } from './files.js';
import type { OpenSegment } from './open-segment.js';

/** What the longest one is remembered for. */
const LONGEST_WINDOW_MS = 30_000;

/**
 * Fsyncs the segments in their order, and then the folder where there is one. Of a finished segment also the index, to which
 * nothing more comes; it is `synced` then. `release`: nothing uses its files any more, as far as this is concerned.
 */
export function syncInOrder(
  files: LogFiles,
  segments: readonly OpenSegment[],
  folder: string | undefined,
  release: (segment: OpenSegment) => void,
  done: (error: Error | null) => void,
): void {
  let at = 0;
  const next = (error: Error | null): void => {
    const segment = segments[at++];
    if (error !== null) done(error);
    else if (segment !== undefined) syncSegment(files, segment, release, next);
    else if (folder === undefined) done(null);
    else files.syncFolder(folder, done);
  };
  next(null);
}

function syncSegment(
  files: LogFiles,
  segment: OpenSegment,
  release: (segment: OpenSegment) => void,
  done: (error: Error | null) => void,
): void {
  if (segment.synced) return done(null);
  // What is written while the fsync is under way is not covered by it.
  const { finished } = segment;
  segment.pending++;
  const over = (error: Error | null): void => {
    segment.pending--;
    if (error === null && finished) segment.synced = true;
    release(segment);
    done(error);
  };
  files.syncData(segment.data, (error) => {
    if (error !== null || !finished) over(error);
    else files.syncData(segment.index, over);
  });
}

export class SyncTimes {
  count = 0;
  totalMs = 0;
  #longestMs = 0;
  #longestBeforeMs = 0;
  #sinceMs = 0;

  add(startedMs: number, nowMs: number): void {
    this.count++;
    this.totalMs += nowMs - startedMs;
    if (nowMs - this.#sinceMs > LONGEST_WINDOW_MS) {
      this.#longestBeforeMs = this.#longestMs;
      this.#longestMs = 0;
      this.#sinceMs = nowMs;
    }
    this.#longestMs = Math.max(this.#longestMs, nowMs - startedMs);
  }

  /** Of the last minute, or so. */
  get longestMs(): number {
    return Math.max(this.#longestMs, this.#longestBeforeMs);
  }
}
