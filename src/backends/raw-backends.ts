/**
 * The raw backends on the REST port: lets them in, subscribes them to the stream, ends them.
 *
 * Access is the same as on the WebSocket, but for the token, which can only come in the first message.
 *
 * Owned by main.
 */
import type { Socket } from 'node:net';
import { LIMITS } from '../limits.js';
import { ShardBuffer } from '../shard/framer.js';
import type { ConsumersToMain, MainToConsumers } from '../stream/consumer-messages.js';
import { type AccessChange, endedBy } from './access.js';
import { failure } from './answers.js';
import type { BackendParts } from './backends.js';
import { Conversation, type Reply } from './conversation.js';
import { RawBackend } from './raw-backend.js';
import type { Strangers } from './strangers.js';
import { streamScope } from './websockets.js';

interface Entry {
  readonly backend: RawBackend;
  readonly address: string;
  isStranger: boolean;
  /** Its number while it is subscribed. */
  subscription: number | undefined;
  /** Who waits for its subscription to be in force, or to be over. */
  onSubscribed: (() => void) | undefined;
}

export class RawBackends {
  readonly #parts: BackendParts;
  readonly #strangers: Strangers;
  readonly #tell: (message: MainToConsumers) => void;
  readonly #entries = new Set<Entry>();
  readonly #subscribed = new Map<number, Entry>();
  /** Made with the first connection: it takes 640 KiB. */
  #buffer: ShardBuffer | undefined;
  #lastSubscription = 0;
  #onEmpty: (() => void) | undefined;

  constructor(parts: BackendParts, strangers: Strangers, tell: (message: MainToConsumers) => void) {
    this.#parts = parts;
    this.#strangers = strangers;
    this.#tell = tell;
  }

  accept(socket: Socket, first: Buffer): void {
    const address = socket.remoteAddress ?? '';
    if (this.#onEmpty !== undefined) return turnAway(socket, 'UNAVAILABLE', 'Core is stopping');
    if (this.#entries.size >= LIMITS.rawBackends)
      return turnAway(socket, 'UNAVAILABLE', 'as many backends are connected as Core takes');
    const { principal, refusal } = this.#parts.access.check(undefined, { listener: 'rest', address });
    if (refusal !== undefined && refusal !== 'missing')
      return turnAway(socket, 'UNAUTHORIZED', 'this address may not connect now');
    const isStranger = principal === undefined;
    if (isStranger && !this.#strangers.enter(address))
      return turnAway(socket, 'UNAVAILABLE', 'too many connections without a token');
    const from = `${address}:${socket.remotePort ?? 0}`;
    const conversation = new Conversation({
      actions: this.#parts.actions,
      principal,
      from,
      check: (token) => this.#parts.access.check(token, { listener: 'rest', address }),
      newBackendId: this.#parts.newBackendId,
      onRegistered: (name, type) => this.#parts.onRegistered(name, type, from),
      onFault: (error) => this.#parts.logger.error({ err: error }, 'a command of a backend failed'),
    });
    this.#buffer ??= new ShardBuffer();
    const entry: Entry = {
      backend: new RawBackend(socket, conversation, this.#buffer, {
        onNext: (next) => this.#next(entry, next),
        onClosed: () => this.#closed(entry),
      }),
      address,
      isStranger,
      subscription: undefined,
      onSubscribed: undefined,
    };
    this.#entries.add(entry);
    entry.backend.start(first);
  }

  receive(
    message: Extract<
      ConsumersToMain,
      { type: 'subscription-on' | 'subscription-records' | 'subscription-over' }
    >,
  ): void {
    switch (message.type) {
      case 'subscription-on':
        this.#subscribed.get(message.subscription)?.onSubscribed?.();
        break;
      case 'subscription-records':
        for (const subscription of message.subscriptions) this.#stream(subscription, message.lines);
        break;
      case 'subscription-over': {
        const entry = this.#subscribed.get(message.subscription);
        if (entry === undefined) return;
        this.#subscribed.delete(message.subscription);
        entry.subscription = undefined;
        entry.onSubscribed?.();
        entry.backend.fail('UNAVAILABLE', message.reason);
        break;
      }
    }
  }

  /** IP address of whoever subscribed, who has no name. */
  about(subscription: number): { readonly remote: string; readonly name: null } | undefined {
    const entry = this.#subscribed.get(subscription);
    return entry && { remote: entry.address, name: null };
  }

  changed(change: AccessChange): void {
    for (const { backend } of this.#entries) {
      const { principal } = backend.conversation;
      const why = principal && endedBy(change, principal);
      if (why !== undefined) backend.fail('UNAUTHORIZED', why);
    }
  }

  /** Resolves when all have gone; those that do not read are cut after a grace. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      for (const { backend } of this.#entries) backend.end();
      if (this.#entries.size === 0) resolve();
    });
  }

  async #next(
    entry: Entry,
    next: Extract<Reply['next'], { kind: 'granted' | 'subscribe' | 'unsubscribe' }>,
  ): Promise<void> {
    // Asked for twice it goes on without a gap.
    if (next.kind === 'subscribe' && entry.subscription !== undefined) return;
    this.#unsubscribe(entry);
    if (next.kind === 'granted') {
      if (entry.isStranger) this.#strangers.leave(entry.address);
      entry.isStranger = false;
      if (!entry.backend.conversation.registered) entry.backend.expectRegistration(LIMITS.rawRegistrationMs);
    } else if (next.kind === 'subscribe') {
      // The conversation has asked for the role.
      const scope = streamScope(entry.backend.conversation.principal!)!;
      const subscription = ++this.#lastSubscription;
      entry.subscription = subscription;
      this.#subscribed.set(subscription, entry);
      this.#tell({ type: 'subscribe', subscription, scope });
      await new Promise<void>((resolve) => {
        entry.onSubscribed = resolve;
      });
    }
  }

  #stream(subscription: number, lines: Uint8Array): void {
    const backend = this.#subscribed.get(subscription)?.backend;
    const took = () => this.#tell({ type: 'subscription-took', subscription, bytes: lines.length });
    if (backend === undefined) took();
    else backend.stream(lines, took);
  }

  #unsubscribe(entry: Entry): void {
    const { subscription } = entry;
    if (subscription === undefined) return;
    entry.subscription = undefined;
    entry.onSubscribed?.();
    this.#subscribed.delete(subscription);
    this.#tell({ type: 'unsubscribe', subscription });
  }

  #closed(entry: Entry): void {
    this.#unsubscribe(entry);
    this.#entries.delete(entry);
    if (entry.isStranger) this.#strangers.leave(entry.address);
    if (this.#entries.size === 0) this.#onEmpty?.();
  }
}

function turnAway(socket: Socket, code: 'UNAVAILABLE' | 'UNAUTHORIZED', reason: string): void {
  socket.on('error', () => {});
  socket.end(`${failure(code, reason)}\n`, () => socket.destroySoon());
  socket.resume();
}
