/**
 * Raw backends that asked for events: main holds their connections, the aggregator sends main the records. Runs in the
 * aggregator.
 *
 * A batch for many crosses once. What main has not passed on yet is counted per subscription; one that does not keep
 * up is ended at the same bound as a WebSocket, and never slows anybody else.
 */
import type { Scope } from '../access/principal.js';
import type { Addon } from '../native/addon.js';
import type { ConsumersToMain } from './consumer-messages.js';
import type { Scopes, Selection } from './scopes.js';

interface Subscription {
  readonly number: number;
  readonly selection: Selection | undefined;
  /** Sent to main, and not reported as passed on. */
  underWayBytes: number;
}

export class Subscriptions {
  readonly #bufferBytes: number;
  readonly #scopes: Scopes;
  readonly #addon: Addon | undefined;
  readonly #post: (message: ConsumersToMain, transfer?: ArrayBuffer[]) => void;
  readonly #all = new Map<number, Subscription>();

  constructor(
    bufferBytes: number,
    scopes: Scopes,
    addon: Addon | undefined,
    post: (message: ConsumersToMain, transfer?: ArrayBuffer[]) => void,
  ) {
    this.#bufferBytes = bufferBytes;
    this.#scopes = scopes;
    this.#addon = addon;
    this.#post = post;
  }

  get size(): number {
    return this.#all.size;
  }

  get underWayBytes(): number {
    let bytes = 0;
    for (const subscription of this.#all.values()) bytes += subscription.underWayBytes;
    return bytes;
  }

  add(number: number, scope: Scope): void {
    this.remove(number);
    const limited = scope.nodes !== null || scope.eventTypes !== null;
    const selection = limited ? this.#scopes.use(scope) : undefined;
    this.#all.set(number, { number, selection, underWayBytes: 0 });
    this.#post({ type: 'subscription-on', subscription: number });
  }

  remove(number: number): void {
    const subscription = this.#all.get(number);
    if (subscription === undefined) return;
    this.#all.delete(number);
    if (subscription.selection !== undefined) this.#scopes.leave(subscription.selection);
  }

  took(number: number, bytes: number): void {
    const subscription = this.#all.get(number);
    if (subscription !== undefined) subscription.underWayBytes -= bytes;
  }

  /** Sends whole lines; scoped ones get their selections, which have been made. Answers how many were too slow. */
  publish(lines: Uint8Array): number {
    const groups = new Map<Selection | undefined, number[]>();
    let tooSlow = 0;
    for (const subscription of [...this.#all.values()]) {
      const { number, selection, underWayBytes } = subscription;
      const length = selection === undefined ? lines.length : selection.lines.length;
      if (length === 0) continue;
      if (underWayBytes > 0 && underWayBytes + length > this.#bufferBytes) {
        this.#end(number, 'too slow');
        tooSlow++;
        continue;
      }
      subscription.underWayBytes += length;
      const group = groups.get(selection);
      if (group === undefined) groups.set(selection, [number]);
      else group.push(number);
    }
    for (const [selection, subscriptions] of groups) {
      const copy = this.#copy(selection === undefined ? lines : selection.lines);
      this.#post({ type: 'subscription-records', subscriptions, lines: copy }, [copy.buffer]);
    }
    return tooSlow;
  }

  /** Core stops; everything has been sent. */
  finish(): void {
    for (const number of [...this.#all.keys()]) this.#end(number, 'Core is stopping');
  }

  #end(subscription: number, reason: 'too slow' | 'Core is stopping'): void {
    this.remove(subscription);
    this.#post({ type: 'subscription-over', subscription, reason });
  }

  /** Ring memory is written over as soon as the batch has been dealt with. */
  #copy(lines: Uint8Array): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(lines.length);
    if (this.#addon !== undefined) this.#addon.copy(copy, 0, lines, 0, lines.length);
    else copy.set(lines);
    return copy;
  }
}
