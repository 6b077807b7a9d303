/**
 * The WebSocket side: consumers on 9003, and what each is sent. Runs in the aggregator.
 *
 *   ws://host:9003/  or /ws     every record one text message, without its newline
 *   ...?batch=1                 many records in a message, each ended by a newline
 *
 *   asking --verdict--> refused                                    an HTTP answer, never a WebSocket
 *        |---- pending ----> open, nothing is streamed ---granted--+
 *        +---- granted ----> open, streamed what it may see <------+--leave()--> leaving --> gone
 *
 * Who may connect and see what is main's verdict: no token is looked at here. What a consumer says goes to main, and
 * the answer comes from there.
 *
 * All consumers get the same records from memory; those with a scope get their selection. A consumer that does not read
 * has its messages buffered up to `stream.consumer_buffer_bytes`, then it is cut off with code 1013; it never slows
 * anybody else. uWebSockets.js copies what it is given before send() returns, so ring memory may be passed in.
 */

import type { HttpRequest, HttpResponse, us_socket_context_t, WebSocket } from 'uWebSockets.js';
import type { Scope } from '../access/principal.js';
import { LIMITS } from '../limits.js';
import { AGGREGATOR } from '../memory/counters.js';
import type { Addon } from '../native/addon.js';
import { ConsumerDoor, type Server, type ServerTls } from './consumer-door.js';
import type { ConsumersToMain, MainToConsumers, Verdict } from './consumer-messages.js';
import { Scopes, type Selection } from './scopes.js';
import { Subscriptions } from './subscriptions.js';
import { UpgradeCork } from './upgrade-cork.js';
import { addressText, chosenProtocol, shownToken } from './upgrades.js';

/** Close codes and reasons, RFC 6455 section 7.4 and the IANA registry. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const TRY_AGAIN_LATER = 1013;

/** uWebSockets.js collects what is sent inside cork() in 16 KiB; beyond it every send is a system call of its own. */
const CORK_BYTES = 15 * 1024;
/** For the last close frame to leave, before the app is closed. */
const CLOSE_LINGER_MS = 20;
/** WebSocket header of a server's message below 64 KiB. */
const HEADER_BYTES = 4;

interface ConsumerData {
  readonly number: number;
  readonly batch: boolean;
}

/** An upgrade that waits for main's verdict. */
interface Asking {
  readonly response: HttpResponse;
  readonly context: us_socket_context_t;
  readonly key: string;
  readonly protocol: string;
  readonly extensions: string;
  readonly batch: boolean;
}

/** live --leave()--> leaving: nothing more is queued; the goodbye goes out once all that was queued has. */
interface Consumer {
  readonly number: number;
  readonly socket: WebSocket<ConsumerData>;
  readonly batch: boolean;
  /** With a scope: what of the stream it is sent. */
  selection: Selection | undefined;
  /** What it said and main has not answered yet. */
  unanswered: number;
  goodbye: { readonly code: number; readonly reason: string } | undefined;
}

type Refused = Extract<Verdict, { kind: 'refused' }>;
const STOPPING: Refused = { kind: 'refused', status: '503 Service Unavailable', text: 'Core is stopping' };
const ENDED: Refused = { kind: 'refused', status: '401 Unauthorized', text: 'access has ended' };

export interface ConsumerLimits {
  readonly maxConsumers: number;
  readonly bufferBytes: number;
}

export interface ConsumersHooks {
  post(message: ConsumersToMain, transfer?: ArrayBuffer[]): void;
  /** Once all rings have been read up to where they are now, caughtUp() is to be called. */
  catchUp(): void;
}

export class Consumers {
  readonly #door: ConsumerDoor;
  readonly #limits: ConsumerLimits;
  readonly #counters: Float64Array;
  readonly #addon: Addon | undefined;
  readonly #hooks: ConsumersHooks;
  readonly #asking = new Map<number, Asking>();
  readonly #consumers = new Map<number, Consumer>();
  /** Those that are sent the whole stream, and those with a scope; the others only talk. */
  readonly #whole = new Set<Consumer>();
  readonly #scoped = new Set<Consumer>();
  readonly #scopes: Scopes;
  readonly #subscriptions: Subscriptions;
  /** While it listens. */
  #upgradeCork: UpgradeCork | undefined;
  #lastNumber = 0;
  #finishing = false;
  /** Ends of the lines of a batch; grows to the largest batch seen, which LIMITS.batchBytes bounds. */
  #ends = new Int32Array(8192);
  #onEmpty: (() => void) | undefined;

  constructor(
    limits: ConsumerLimits,
    counters: Float64Array,
    addon: Addon | undefined,
    tls: ServerTls | undefined,
    hooks: ConsumersHooks,
  ) {
    this.#limits = limits;
    this.#counters = counters;
    this.#addon = addon;
    this.#hooks = hooks;
    this.#scopes = new Scopes(addon, {
      askForNames: (asked) => hooks.post({ type: 'node-names-wanted', asked }),
      catchUp: () => hooks.catchUp(),
    });
    this.#subscriptions = new Subscriptions(limits.bufferBytes, this.#scopes, addon, hooks.post);
    this.#door = new ConsumerDoor(tls, (server) => this.#equip(server));
  }

  /** Listens; the port in use. Throws FatalError where the port cannot be had. */
  listen(host: string, port: number): number {
    const listening = this.#door.listen(host, port);
    this.#upgradeCork = new UpgradeCork();
    return listening;
  }

  /** There is a new certificate in the files. False: it cannot be used, the old one stays. */
  renewTls(): boolean {
    return this.#door.renew();
  }

  #equip(server: Server): void {
    const { app } = server;
    const behavior = {
      maxPayloadLength: LIMITS.consumerMessageBytes,
      // Our own bound comes first; this one must never drop a message in silence.
      maxBackpressure: 0,
      idleTimeout: 120,
      sendPingsAutomatically: true,
      upgrade: (response: HttpResponse, request: HttpRequest, context: us_socket_context_t) =>
        this.#upgrade(response, request, context),
      open: (socket: WebSocket<ConsumerData>) => {
        server.sockets++;
        this.#opened(socket);
      },
      message: (socket: WebSocket<ConsumerData>, message: ArrayBuffer, isBinary: boolean) =>
        this.#said(socket, message, isBinary),
      drain: (socket: WebSocket<ConsumerData>) =>
        this.#sayGoodbye(this.#consumers.get(socket.getUserData().number)),
      close: (socket: WebSocket<ConsumerData>) => {
        server.sockets--;
        this.#closed(socket.getUserData().number);
      },
    };
    app.ws<ConsumerData>('/', behavior);
    app.ws<ConsumerData>('/ws', behavior);
    app.get('/health', (response) => {
      response.writeHeader('content-type', 'application/json').end('{"status":"ok"}');
    });
    app.any('/*', (response, request) => {
      const known = request.getUrl() === '/' || request.getUrl() === '/ws';
      response
        .writeStatus(known ? '426 Upgrade Required' : '404 Not Found')
        .writeHeader('content-type', 'application/json');
      if (known) response.writeHeader('upgrade', 'websocket');
      response.end(known ? '{"error":"this is a WebSocket"}' : '{"error":"not found"}');
    });
  }

  /** Is there anybody who is sent anything of the stream? */
  get wanted(): boolean {
    return this.#whole.size > 0 || this.#scopes.active || this.#subscriptions.size > 0;
  }

  /** Sends whole lines, `records` of them, to everybody. `owner`: the node of a record that does not say whose it is. */
  publish(lines: Uint8Array, records: number, owner?: bigint): void {
    let ends = -1;
    for (const consumer of this.#whole) {
      if (!this.#hasRoom(consumer, lines.length)) continue;
      if (consumer.batch) {
        consumer.socket.send(lines, false, false);
        this.#counters[AGGREGATOR.messages_sent]!++;
        this.#counters[AGGREGATOR.bytes_sent]! += lines.length;
      } else {
        if (ends < 0) ends = this.#findEnds(lines, records);
        this.#sendEach(consumer, lines, this.#ends, ends);
      }
    }
    if (this.#scopes.active) {
      if (ends < 0) ends = this.#findEnds(lines, records);
      this.#scopes.select(lines, this.#ends, ends, owner);
      for (const consumer of this.#scoped) this.#sendSelection(consumer, consumer.selection!);
    }
    if (this.#subscriptions.size > 0)
      this.#counters[AGGREGATOR.consumers_cut_off]! += this.#subscriptions.publish(lines);
  }

  /** The rings have been read up to where they were when `catchUp` was asked for. */
  caughtUp(): void {
    this.#scopes.caughtUp();
  }

  receive(message: MainToConsumers): void {
    switch (message.type) {
      case 'consumer-verdict':
        this.#judged(message.consumer, message.verdict);
        break;
      case 'consumer-answer':
        this.#answer(message.consumer, message.text);
        if (message.verdict !== undefined) this.#judged(message.consumer, message.verdict);
        break;
      case 'consumer-close': {
        const asking = this.#asking.get(message.consumer);
        if (asking !== undefined) this.#refuse(message.consumer, asking, ENDED);
        const consumer = this.#consumers.get(message.consumer);
        if (consumer !== undefined && consumer.goodbye === undefined)
          this.#leave(consumer, message.code, message.reason);
        break;
      }
      case 'subscribe':
        if (!this.#finishing) this.#subscriptions.add(message.subscription, message.scope);
        break;
      case 'unsubscribe':
        this.#subscriptions.remove(message.subscription);
        break;
      case 'subscription-took':
        this.#subscriptions.took(message.subscription, message.bytes);
        break;
      case 'node-names':
        this.#scopes.names(message.asked, message.nodes, message.last);
        break;
    }
  }

  /** Refreshes the gauge of what is buffered for consumers, and tidies up. */
  measure(): void {
    this.#door.sweep();
    let bytes = this.#subscriptions.underWayBytes;
    for (const consumer of this.#consumers.values()) bytes += consumer.socket.getBufferedAmount();
    this.#counters[AGGREGATOR.bytes_buffered] = bytes;
  }

  /** Accepts nobody any more, tells everybody goodbye, and calls `done` when the last one has gone. */
  finish(done: () => void): void {
    this.#finishing = true;
    this.#door.stopListening();
    this.#onEmpty = done;
    this.#subscriptions.finish();
    for (const number of [...this.#asking.keys()]) this.#judged(number, STOPPING);
    for (const consumer of [...this.#consumers.values()]) {
      if (consumer.goodbye === undefined) this.#leave(consumer, GOING_AWAY, 'Core is stopping');
    }
    this.#checkEmpty();
  }

  /** Ends everything at once. The thread may only end after this. */
  close(): void {
    this.#finishing = true;
    this.#upgradeCork?.close();
    this.#door.close();
  }

  #upgrade(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    if (this.#consumers.size + this.#asking.size >= this.#limits.maxConsumers) {
      response.writeStatus('503 Service Unavailable').end('too many consumers');
      return;
    }
    const consumer = ++this.#lastNumber;
    this.#asking.set(consumer, {
      response,
      context,
      key: request.getHeader('sec-websocket-key'),
      protocol: chosenProtocol(request),
      extensions: request.getHeader('sec-websocket-extensions'),
      batch: request.getQuery('batch') === '1',
    });
    response.onAborted(() => {
      // Also when its upgrade was answered and the thread closes everything.
      if (this.#asking.delete(consumer)) this.#hooks.post({ type: 'consumer-gone', consumer });
    });
    this.#hooks.post({
      type: 'consumer-asks',
      consumer,
      request: {
        token: shownToken(request),
        origin: request.getHeader('origin'),
        host: request.getHeader('host'),
        address: addressText(response.getRemoteAddress()),
      },
    });
  }

  /** The answer to an upgrade, or a change of what an open consumer may see. */
  #judged(number: number, verdict: Verdict): void {
    const asking = this.#asking.get(number);
    if (asking !== undefined) {
      if (verdict.kind === 'refused') return this.#refuse(number, asking, verdict);
      return this.#upgradeCork!.run(() => this.#accept(number, asking, verdict));
    }
    const consumer = this.#consumers.get(number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    this.#stream(consumer, verdict.kind === 'granted' ? verdict.scope : undefined);
  }

  #refuse(number: number, { response }: Asking, { status, text }: Refused): void {
    this.#asking.delete(number);
    response.cork(() => response.writeStatus(status).end(text));
    this.#hooks.post({ type: 'consumer-gone', consumer: number });
  }

  #accept(number: number, asking: Asking, verdict: Verdict): void {
    // It may have gone while it waited.
    if (!this.#asking.delete(number)) return;
    const { response, key, protocol, extensions, context, batch } = asking;
    response.upgrade<ConsumerData>({ number, batch }, key, protocol, extensions, context);
    const consumer = this.#consumers.get(number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    this.#stream(consumer, verdict.kind === 'granted' ? verdict.scope : undefined);
  }

  /** From now on it is sent what the scope lets through; nothing where there is none. */
  #stream(consumer: Consumer, scope: Scope | undefined): void {
    const before = consumer.selection;
    const limited = scope !== undefined && (scope.nodes !== null || scope.eventTypes !== null);
    consumer.selection = limited ? this.#scopes.use(scope) : undefined;
    if (scope !== undefined && !limited) this.#whole.add(consumer);
    else this.#whole.delete(consumer);
    if (limited) this.#scoped.add(consumer);
    else this.#scoped.delete(consumer);
    // After the new one was taken: where they are the same it goes on without a gap.
    if (before !== undefined) this.#scopes.leave(before);
  }

  #opened(socket: WebSocket<ConsumerData>): void {
    const { number, batch } = socket.getUserData();
    const consumer = { number, socket, batch, selection: undefined, unanswered: 0, goodbye: undefined };
    this.#consumers.set(number, consumer);
    this.#counters[AGGREGATOR.consumers_total]!++;
    this.#counters[AGGREGATOR.consumers_open] = this.#consumers.size;
  }

  #said(socket: WebSocket<ConsumerData>, message: ArrayBuffer, isBinary: boolean): void {
    const consumer = this.#consumers.get(socket.getUserData().number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    if (++consumer.unanswered > LIMITS.consumerUnanswered)
      return this.#leave(consumer, POLICY_VIOLATION, 'too many messages before an answer was awaited');
    // What is no text is no JSON: main says so.
    const text = isBinary ? '' : Buffer.from(message).toString('utf8');
    this.#hooks.post({ type: 'consumer-says', consumer: consumer.number, text });
  }

  #answer(number: number, text: string): void {
    const consumer = this.#consumers.get(number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    consumer.unanswered--;
    if (this.#hasRoom(consumer, text.length))
      consumer.socket.send(consumer.batch ? `${text}\n` : text, false, false);
  }

  #closed(number: number): void {
    const consumer = this.#consumers.get(number);
    if (consumer === undefined) return;
    this.#stream(consumer, undefined);
    this.#consumers.delete(number);
    this.#hooks.post({ type: 'consumer-gone', consumer: number });
    this.#counters[AGGREGATOR.consumers_open] = this.#consumers.size;
    this.#checkEmpty();
  }

  #checkEmpty(): void {
    if (this.#consumers.size > 0 || this.#onEmpty === undefined) return;
    // uWebSockets.js reports a close before the close frame is out; whoever closes the app now would take it along.
    setTimeout(this.#onEmpty, CLOSE_LINGER_MS);
    this.#onEmpty = undefined;
  }

  /** No: it is cut off. */
  #hasRoom(consumer: Consumer, bytes: number): boolean {
    if (consumer.goodbye !== undefined) return false;
    const bufferedBytes = consumer.socket.getBufferedAmount();
    if (bufferedBytes === 0 || bufferedBytes + bytes <= this.#limits.bufferBytes) return true;
    this.#cutOff(consumer, bufferedBytes);
    return false;
  }

  #cutOff(consumer: Consumer, bufferedBytes: number): void {
    this.#counters[AGGREGATOR.consumers_cut_off]!++;
    this.#leave(consumer, TRY_AGAIN_LATER, `too slow: ${bufferedBytes} bytes not read`);
  }

  #leave(consumer: Consumer, code: number, reason: string): void {
    const { number, socket } = consumer;
    consumer.goodbye = { code, reason };
    this.#stream(consumer, undefined);
    this.#sayGoodbye(consumer);
    setTimeout(() => {
      if (this.#consumers.has(number)) socket.close();
    }, LIMITS.consumerCloseGraceMs).unref();
  }

  #sayGoodbye(consumer: Consumer | undefined): void {
    if (consumer?.goodbye === undefined || consumer.socket.getBufferedAmount() > 0) return;
    consumer.socket.end(consumer.goodbye.code, consumer.goodbye.reason);
  }

  #findEnds(lines: Uint8Array, records: number): number {
    if (this.#ends.length < records) this.#ends = new Int32Array(2 ** Math.ceil(Math.log2(records)));
    const ends = this.#ends;
    if (this.#addon !== undefined) return this.#addon.lineEnds(lines, 0, lines.length, ends);
    let count = 0;
    for (let at = lines.indexOf(0x0a); at >= 0; at = lines.indexOf(0x0a, at + 1)) ends[count++] = at + 1;
    return count;
  }

  #sendSelection(consumer: Consumer, { lines, ends, count }: Selection): void {
    if (count === 0 || !this.#hasRoom(consumer, lines.length)) return;
    if (!consumer.batch) return this.#sendEach(consumer, lines, ends, count);
    consumer.socket.send(lines, false, false);
    this.#counters[AGGREGATOR.messages_sent]!++;
    this.#counters[AGGREGATOR.bytes_sent]! += lines.length;
  }

  #sendEach(consumer: Consumer, lines: Uint8Array, ends: Int32Array, count: number): void {
    const { socket } = consumer;
    let next = 0;
    let start = 0;
    const sendSome = () => {
      let corked = 0;
      do {
        const end = ends[next]!;
        socket.send(lines.subarray(start, end - 1), false, false);
        corked += end - start + HEADER_BYTES;
        start = end;
        next++;
      } while (next < count && corked + ends[next]! - start + HEADER_BYTES <= CORK_BYTES);
    };
    while (next < count) socket.cork(sendSome);
    this.#counters[AGGREGATOR.messages_sent]! += count;
    this.#counters[AGGREGATOR.bytes_sent]! += lines.length;
  }
}
