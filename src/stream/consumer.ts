/** One WebSocket on 9003, from its upgrade to its end. Runs in the aggregator. */
import type { WebSocket } from 'uWebSockets.js';
import type { Recipient } from './recipient.js';
import type { Asked } from './stream-terms.js';
import type { ConsumerData } from './upgrade-desk.js';
import type { WebOutlet } from './web-outlet.js';

/** open --leave()--> leaving: nothing more is queued; the goodbye goes out once all that was queued has. */
export interface Consumer {
  readonly number: number;
  readonly socket: WebSocket<ConsumerData>;
  readonly asked: Asked;
  readonly outlet: WebOutlet;
  readonly sinceMs: number;
  /** While it is sent the stream. */
  recipient: Recipient | undefined;
  /** Where it goes on when it is sent the stream again; 0: at the end. */
  pausedSeq: number;
  /** Of a named one: it has said that it has everything before. */
  ackedSeq: number;
  /** What it said and main has not answered yet. */
  unanswered: number;
  goodbye: { readonly code: number; readonly reason: string } | undefined;
}
