/**
 * Raw backends that asked for events: their connections are main's, so the aggregator sends main the records. Runs in
 * the aggregator.
 *
 * A batch for many crosses once. What main has not passed on yet is counted per subscription: one that does not keep
 * up is served from the log, like a WebSocket.
 */
import type { Scope } from '../access/principal.js';
import type { ConsumersToMain, DeliveryState } from './consumer-messages.js';
import type { Deliveries } from './deliveries.js';
import type { Lines } from './lines.js';
import type { Outlet } from './outlet.js';
import type { Recipient } from './recipient.js';
import { limited } from './scope-limits.js';

type Post = (message: ConsumersToMain, transfer?: ArrayBuffer[]) => void;

class Subscription implements Outlet {
  readonly number: number;
  readonly sinceMs = Date.now();
  /** Sent to main, and not reported as passed on. */
  bufferedBytes = 0;
  recipient: Recipient | undefined;
  readonly #post: Post;
  /** Those that get the batch that is being given to everybody. */
  readonly #group: number[];
  readonly #onEnd: (reason: string) => void;

  constructor(number: number, post: Post, group: number[], onEnd: (reason: string) => void) {
    this.number = number;
    this.#post = post;
    this.#group = group;
    this.#onEnd = onEnd;
  }

  send(lines: Lines): void {
    this.bufferedBytes += lines.bytes.length;
    this.#group.push(this.number);
  }

  give(bytes: Uint8Array<ArrayBuffer>): undefined {
    this.bufferedBytes += bytes.length;
    this.#post({ type: 'subscription-records', subscriptions: [this.number], lines: bytes }, [bytes.buffer]);
  }

  note(text: string): void {
    this.give(new TextEncoder().encode(`${text}\n`));
  }

  started(): void {}

  over(): void {
    this.#onEnd('Core is stopping');
  }

  fail(): void {
    this.#onEnd('the log cannot be read');
  }
}

export class Subscriptions {
  readonly #deliveries: Deliveries;
  readonly #post: Post;
  readonly #all = new Map<number, Subscription>();
  readonly #group: number[] = [];

  constructor(deliveries: Deliveries, post: Post) {
    this.#deliveries = deliveries;
    this.#post = post;
  }

  get underWayBytes(): number {
    let bytes = 0;
    for (const subscription of this.#all.values()) bytes += subscription.bufferedBytes;
    return bytes;
  }

  add(number: number, scope: Scope): void {
    this.remove(number);
    const subscription = new Subscription(number, this.#post, this.#group, (reason) =>
      this.#end(number, reason),
    );
    this.#all.set(number, subscription);
    this.#post({ type: 'subscription-on', subscription: number });
    subscription.recipient = this.#deliveries.add(subscription, {
      from: { kind: 'latest' },
      filter: undefined,
      scope: limited(scope),
      durableOnly: false,
      positions: false,
    });
  }

  remove(number: number): void {
    const subscription = this.#all.get(number);
    if (subscription === undefined) return;
    this.#all.delete(number);
    if (subscription.recipient !== undefined) this.#deliveries.remove(subscription.recipient);
  }

  took(number: number, bytes: number): void {
    const subscription = this.#all.get(number);
    if (subscription?.recipient === undefined) return;
    subscription.bufferedBytes -= bytes;
    this.#deliveries.drained(subscription.recipient);
  }

  /** A batch was given to those that are to have it. */
  flush(lines: Lines): void {
    if (this.#group.length === 0) return;
    const copy = lines.copy();
    this.#post({ type: 'subscription-records', subscriptions: this.#group, lines: copy }, [copy.buffer]);
    // It is cloned as it is posted.
    this.#group.length = 0;
  }

  states(): DeliveryState[] {
    return [...this.#all.values()].flatMap(({ number, sinceMs, bufferedBytes, recipient }) =>
      recipient === undefined ? [] : [{ kind: 'raw', number, sinceMs, bufferedBytes, ...recipient.state }],
    );
  }

  #end(subscription: number, reason: string): void {
    this.remove(subscription);
    this.#post({ type: 'subscription-over', subscription, reason });
  }
}
