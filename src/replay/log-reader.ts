/** How main reads the log: each question is a feed of the reader thread, which is started when it is first needed. */
import type { FeedRequest, FromReader } from './messages.js';

/** What a feed gives, see FromReader. `end` and `fault` are the last. */
export type FeedItem = Extract<FromReader, { readonly type: 'chunk' | 'gap' | 'idle' | 'end' | 'fault' }>;

export interface Feed {
  /** The next item. A chunk is asked for only then, so who does not call holds the reader back. One call at a time. */
  next(): Promise<FeedItem>;
  /** May be called at any time; a next() under way gives an `end`. */
  close(): void;
}

export interface LogReader {
  open(request: FeedRequest): Feed;
}
