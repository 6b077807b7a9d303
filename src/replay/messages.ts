/**
 * What crosses between the reader thread and its two clients, main and the aggregator, each over a MessagePort of its own.
 * Feed numbers are the client's: the same number may be in use at both.
 *
 *   client  open --> more --> more -------> (end | fault) ... close
 *   reader            '--> chunk '--> chunk
 *
 * Back-pressure: each `more` lets the reader send one `chunk`; without it the reader keeps nothing for a feed but its
 * position. A `gap`, `end` or `idle` needs no credit. After `close` nothing more comes, but what was on its way may
 * still arrive and is to be thrown away.
 *
 * Positions are sequence numbers. Everything a feed is told is in order and leaves nothing out: each chunk and gap begins
 * where the one before ended (`firstSeq` = the last `nextSeq`), so that whoever has taken all of them knows that it has
 * everything up to `nextSeq`, or was told why not.
 */
import type { Scope } from '../access/principal.js';
import type { LogEnd } from '../log/segment-writer.js';
import type { Filter, Start } from '../query/filter.js';

export interface FeedRequest {
  readonly from: Start;
  /** Undefined: everything. */
  readonly filter: Filter | undefined;
  /** Of the token: what it may see, besides. Undefined, or without limits: everything. */
  readonly scope: Scope | undefined;
  /** At the end of the log it waits for more; else it ends there. */
  readonly follow: boolean;
  /** Only what is fsynced. */
  readonly durableOnly: boolean;
  /** Each record comes with its number and the time it was received. */
  readonly numbered: boolean;
  /** No chunk has more records than this, where it is not 0. */
  readonly maxRecords: number;
  /** From the newest to the oldest: for pages of REST. Never with `follow`. */
  readonly backwards: boolean;
}

export type GapReason =
  /** Retention has deleted them. */
  | 'retention'
  /** They are on the disk and cannot be read. */
  | 'damaged'
  /** The numbers were never given to a record that lasted: Core lost power before it was on the disk. */
  | 'lost';

export type ToReader =
  | ({ readonly type: 'open'; readonly feed: number } & FeedRequest)
  /** `buffer`: one that came with a chunk and may be used again. */
  | { readonly type: 'more'; readonly feed: number; readonly buffer?: ArrayBuffer }
  | { readonly type: 'close'; readonly feed: number }
  /** From the aggregator, once for each `wake`, and once at the start. */
  | { readonly type: 'written'; readonly end: LogEnd }
  /** From main, in answer to `names-wanted`, in several messages. */
  | {
      readonly type: 'names';
      readonly asked: number;
      readonly nodes: readonly NodeName[];
      readonly last: boolean;
    };

/** A node as the registry has it. */
export interface NodeName {
  readonly id: string;
  readonly name: string;
  /** Records under this id are this node's from this sequence number on, until the log says that another has registered under
   *  it; whose those before it are, nobody knows by that. */
  readonly sinceSeq: number;
}

export type FromReader =
  | {
      readonly type: 'chunk';
      readonly feed: number;
      /** Whole lines; those that the filter let through, maybe none. Backwards: the newest first. Transferred; may be given back
       *  with `more`. */
      readonly lines: Uint8Array<ArrayBuffer>;
      readonly records: number;
      /** Everything in [firstSeq, nextSeq) has been looked at. Backwards: [nextSeq, firstSeq). */
      readonly firstSeq: number;
      readonly nextSeq: number;
      /** Where asked for, of each record, in the order of the lines. */
      readonly seqs?: Float64Array<ArrayBuffer>;
      readonly timesMs?: Float64Array<ArrayBuffer>;
    }
  | {
      readonly type: 'gap';
      readonly feed: number;
      /** [firstSeq, nextSeq) is not there. Backwards: [nextSeq, firstSeq). */
      readonly firstSeq: number;
      readonly nextSeq: number;
      readonly reason: GapReason;
    }
  /** It has everything up to `nextSeq`, the end of the log as of now, and waits (`follow`). */
  | { readonly type: 'idle'; readonly feed: number; readonly nextSeq: number }
  /** There is nothing more (not with `follow`). The feed is closed. */
  | { readonly type: 'end'; readonly feed: number; readonly nextSeq: number }
  /** It cannot be served; the feed is closed. `busy`: too many feeds. */
  | {
      readonly type: 'fault';
      readonly feed: number;
      readonly kind: 'busy' | 'failed';
      readonly message: string;
    }
  /** To the aggregator: it wants to be told when more was written. */
  | { readonly type: 'wake' }
  /** To main: the names of all nodes that the registry knows. */
  | { readonly type: 'names-wanted'; readonly asked: number };
