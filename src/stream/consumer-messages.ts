/**
 * What crosses between main and the aggregator about consumers: who may connect, what consumers say and are answered,
 * and the stream of raw backends, which are main's connections. Tokens go one way only, from the upgrade to main.
 *
 * A consumer is a WebSocket, numbered by the aggregator from its upgrade on. A subscription is a raw backend that
 * asked for events, numbered by main.
 */

import type { Scope } from '../access/principal.js';

/** What a WebSocket says of itself before it is one. */
export interface UpgradeRequest {
  /** Undefined where none was shown. Never logged. */
  readonly token: string | undefined;
  /** Header texts; empty where there was none. */
  readonly origin: string;
  readonly host: string;
  /** IP address it comes from. */
  readonly address: string;
  /** It wants to be this named consumer. */
  readonly name: string | undefined;
  /** Once let in it will be told that it cannot be served: it takes the name from nobody. */
  readonly isDoomed: boolean;
}

export type Verdict =
  /** The upgrade is answered with this HTTP status and text. */
  | { readonly kind: 'refused'; readonly status: string; readonly text: string }
  /** It may talk, and is sent nothing of the stream until a grant. */
  | { readonly kind: 'pending' }
  /** `scope` undefined: nothing of the stream; without limits: all of it. */
  | {
      readonly kind: 'granted';
      readonly scope: Scope | undefined;
      /** Of the named consumer that it is: where it goes on. Undefined: the name is new, or it has none. */
      readonly cursor?: number;
    };

/** A consumer, or a raw backend that asked for events, as it is now: consumers/named-consumers.ts says what each means. */
export interface DeliveryState {
  readonly kind: 'websocket' | 'raw';
  /** Of the consumer, or of the subscription. */
  readonly number: number;
  readonly sinceMs: number;
  readonly mode: 'live' | 'log';
  readonly nextSeq: number;
  readonly records: number;
  readonly bytes: number;
  readonly missing: number;
  readonly bufferedBytes: number;
}

export type MainToConsumers =
  /** The answer to `consumer-asks`, and later every change of it. */
  | { readonly type: 'consumer-verdict'; readonly consumer: number; readonly verdict: Verdict }
  /** The answer to one `consumer-says`; with a verdict that is in force once the answer has been sent. */
  | {
      readonly type: 'consumer-answer';
      readonly consumer: number;
      readonly text: string;
      readonly verdict: Verdict | undefined;
    }
  | {
      readonly type: 'consumer-close';
      readonly consumer: number;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly type: 'subscribe'; readonly subscription: number; readonly scope: Scope }
  | { readonly type: 'unsubscribe'; readonly subscription: number }
  /** So many bytes of a subscription have left main. */
  | { readonly type: 'subscription-took'; readonly subscription: number; readonly bytes: number }
  | { readonly type: 'deliveries-wanted'; readonly asked: number };

export type ConsumersToMain =
  | { readonly type: 'consumer-asks'; readonly consumer: number; readonly request: UpgradeRequest }
  | { readonly type: 'consumer-says'; readonly consumer: number; readonly text: string }
  /** A named consumer's stream begins here: its cursor is there from now on. */
  | { readonly type: 'consumer-started'; readonly consumer: number; readonly nextSeq: number }
  /** A named consumer has everything before this; it was sent all of that. */
  | { readonly type: 'consumer-acked'; readonly consumer: number; readonly nextSeq: number }
  /** It has gone, or never came to be. */
  | { readonly type: 'consumer-gone'; readonly consumer: number }
  /** From here on it is sent every record. */
  | { readonly type: 'subscription-on'; readonly subscription: number }
  /** Whole lines, for each of the subscriptions. */
  | {
      readonly type: 'subscription-records';
      readonly subscriptions: readonly number[];
      readonly lines: Uint8Array;
    }
  /** No more records will come. */
  | { readonly type: 'subscription-over'; readonly subscription: number; readonly reason: string }
  | { readonly type: 'deliveries'; readonly asked: number; readonly rows: readonly DeliveryState[] };
