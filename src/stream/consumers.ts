/**
 * The WebSocket side: consumers on 9003, who they are, and what they and Core say. Runs in the aggregator.
 *
 *   ws://host:9003/  or /ws     every record one text message, without its newline
 *   ...?batch=1                 many records in a message, each ended by a newline
 *   ...?from= ?consumer= ...    stream-terms.ts
 *
 *   asking --verdict--> refused                                    an HTTP answer, never a WebSocket
 *        |---- pending ----> open, nothing is streamed ---granted--+
 *        +---- granted ----> open, streamed what it may see <------+--leave()--> leaving --> gone
 *
 * Who may connect and see what is main's verdict: no token is looked at here. What a consumer says goes to main, and
 * the answer comes from there; but acknowledgements, which only this thread can judge.
 *
 * What each is sent, and what becomes of one that does not read, is for deliveries.ts.
 */

import type { HttpRequest, HttpResponse, us_socket_context_t, WebSocket } from 'uWebSockets.js';
import type { Scope } from '../access/principal.js';
import { LIMITS } from '../limits.js';
import { AGGREGATOR } from '../memory/counters.js';
import type { Addon } from '../native/addon.js';
import type { Consumer } from './consumer.js';
import { ConsumerDoor, type Server, type ServerTls } from './consumer-door.js';
import type { ConsumersToMain, MainToConsumers, Verdict } from './consumer-messages.js';
import { Deliveries, type LogSource } from './deliveries.js';
import type { ReaderPort } from './log-feeds.js';
import { NamePositions } from './name-positions.js';
import { limited } from './scope-limits.js';
import { failureText, readAck } from './stream-notes.js';
import { Subscriptions } from './subscriptions.js';
import { type ConsumerData, type RefusedVerdict, UpgradeDesk } from './upgrade-desk.js';
import { WebOutlet } from './web-outlet.js';

/** Close codes and reasons, RFC 6455 section 7.4 and the IANA registry. */
const GOING_AWAY = 1001;
const POLICY_VIOLATION = 1008;
const INTERNAL_ERROR = 1011;
const TRY_AGAIN_LATER = 1013;
/** Of our own, after HTTP's 400: for what is found out when there is a WebSocket already. */
const BAD_PARAMETER = 4400;

/** For the last close frame to leave, before the app is closed. */
const CLOSE_LINGER_MS = 20;

type Granted = Extract<Verdict, { kind: 'granted' }>;
const STOPPING: RefusedVerdict = {
  kind: 'refused',
  status: '503 Service Unavailable',
  text: 'Core is stopping',
};
const ENDED: RefusedVerdict = { kind: 'refused', status: '401 Unauthorized', text: 'access has ended' };

export interface ConsumerLimits {
  readonly maxConsumers: number;
  readonly bufferBytes: number;
}

export interface ConsumersHooks {
  post(message: ConsumersToMain, transfer?: ArrayBuffer[]): void;
  /** The reader is needed. */
  readerWanted(): void;
}

export class Consumers {
  readonly #door: ConsumerDoor;
  readonly #limits: ConsumerLimits;
  readonly #counters: Float64Array;
  readonly #hooks: ConsumersHooks;
  readonly #upgrades: UpgradeDesk;
  readonly #consumers = new Map<number, Consumer>();
  readonly #deliveries: Deliveries;
  readonly #subscriptions: Subscriptions;
  readonly #names = new NamePositions();
  #finishing = false;
  #onEmpty: (() => void) | undefined;

  constructor(
    log: LogSource,
    limits: ConsumerLimits,
    counters: Float64Array,
    addon: Addon | undefined,
    tls: ServerTls | undefined,
    hooks: ConsumersHooks,
  ) {
    this.#limits = limits;
    this.#counters = counters;
    this.#hooks = hooks;
    this.#deliveries = new Deliveries(log, limits.bufferBytes, counters, addon, {
      readerWanted: () => hooks.readerWanted(),
      flush: (lines) => this.#subscriptions.flush(lines),
    });
    this.#subscriptions = new Subscriptions(this.#deliveries, hooks.post);
    this.#upgrades = new UpgradeDesk({
      post: (message) => this.#post(message),
      nextSeq: () => log.nextSeq,
      accepted: (number, verdict) => this.#judged(number, verdict),
    });
    this.#door = new ConsumerDoor(tls, (server) => this.#equip(server));
  }

  /** Listens; the port in use. Throws FatalError where the port cannot be had. */
  listen(host: string, port: number): number {
    const listening = this.#door.listen(host, port);
    this.#upgrades.open();
    return listening;
  }

  /** There is a new certificate in the files. False: it cannot be used, the old one stays. */
  renewTls(): boolean {
    return this.#door.renew();
  }

  /** Is there anybody who is sent what is written now? */
  get wanted(): boolean {
    return this.#deliveries.wanted;
  }

  /** Sends whole lines, `records` of them, which were appended just now. */
  publish(lines: Uint8Array, records: number): void {
    this.#deliveries.publish(lines, records);
  }

  /** Something was written, or became durable. */
  written(): void {
    this.#deliveries.written();
  }

  useReader(port: ReaderPort): void {
    this.#deliveries.useReader(port);
  }

  receive(message: MainToConsumers): void {
    switch (message.type) {
      case 'consumer-verdict':
        if (!this.#upgrades.judged(message.consumer, message.verdict))
          this.#judged(message.consumer, message.verdict);
        break;
      case 'consumer-answer':
        this.#answer(message.consumer, message.text);
        if (message.verdict !== undefined) this.#judged(message.consumer, message.verdict);
        break;
      case 'consumer-close': {
        this.#upgrades.judged(message.consumer, ENDED);
        const consumer = this.#consumers.get(message.consumer);
        if (consumer !== undefined) this.#leave(consumer, message.code, message.reason);
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
      case 'deliveries-wanted':
        this.#hooks.post({ type: 'deliveries', asked: message.asked, rows: this.#states() });
        break;
    }
  }

  /** Refreshes the gauge of what is buffered for consumers, and tidies up. */
  measure(): void {
    this.#door.sweep();
    this.#deliveries.tick();
    let bytes = this.#subscriptions.underWayBytes;
    for (const consumer of this.#consumers.values()) bytes += consumer.socket.getBufferedAmount();
    this.#counters[AGGREGATOR.bytes_buffered] = bytes;
  }

  /** Accepts nobody any more, tells everybody goodbye, and calls `done` when the last one has gone. */
  finish(done: () => void): void {
    this.#finishing = true;
    this.#door.stopListening();
    this.#onEmpty = done;
    this.#upgrades.refuseAll(STOPPING);
    for (const consumer of [...this.#consumers.values()])
      if (consumer.recipient === undefined) this.#leave(consumer, GOING_AWAY, 'Core is stopping');
    this.#deliveries.finish();
    this.#checkEmpty();
  }

  /** Ends everything at once. The thread may only end after this. */
  close(): void {
    this.#finishing = true;
    this.#upgrades.close();
    this.#door.close();
  }

  // ---- the door -----------------------------------------------------------------------------------------------

  #equip(server: Server): void {
    const { app } = server;
    const consumerOf = (socket: WebSocket<ConsumerData>) => this.#consumers.get(socket.getUserData().number);
    const behavior = {
      maxPayloadLength: LIMITS.consumerMessageBytes,
      // Our own bound comes first; this one must never drop a message in silence.
      maxBackpressure: 0,
      // Of silence, and of nothing being read: whoever is slow goes on, whoever is dead is gone by then.
      idleTimeout: 120,
      sendPingsAutomatically: true,
      upgrade: (response: HttpResponse, request: HttpRequest, context: us_socket_context_t) => {
        if (this.#consumers.size + this.#upgrades.size < this.#limits.maxConsumers)
          this.#upgrades.ask(response, request, context);
        else response.writeStatus('503 Service Unavailable').end('too many consumers');
      },
      open: (socket: WebSocket<ConsumerData>) => {
        server.sockets++;
        this.#opened(socket);
      },
      message: (socket: WebSocket<ConsumerData>, message: ArrayBuffer, isBinary: boolean) =>
        this.#said(socket, message, isBinary),
      drain: (socket: WebSocket<ConsumerData>) => {
        const consumer = consumerOf(socket);
        if (consumer?.recipient !== undefined) this.#deliveries.drained(consumer.recipient);
        this.#sayGoodbye(consumer);
      },
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

  /** A verdict about an open consumer. */
  #judged(number: number, verdict: Verdict): void {
    const consumer = this.#consumers.get(number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    if (verdict.kind === 'granted') this.#granted(consumer, verdict);
    else this.#stop(consumer);
  }

  #opened(socket: WebSocket<ConsumerData>): void {
    const { number, asked } = socket.getUserData();
    const consumer: Consumer = {
      number,
      socket,
      asked,
      outlet: new WebOutlet(socket, asked.batch, this.#counters, {
        started: (nextSeq) => this.#started(consumer, nextSeq),
        over: () => this.#leave(consumer, GOING_AWAY, 'Core is stopping'),
        fail: () => this.#leave(consumer, INTERNAL_ERROR, 'the log cannot be read'),
      }),
      sinceMs: Date.now(),
      recipient: undefined,
      pausedSeq: 0,
      ackedSeq: 0,
      unanswered: 0,
      goodbye: undefined,
    };
    this.#consumers.set(number, consumer);
    this.#counters[AGGREGATOR.consumers_total]!++;
    this.#counters[AGGREGATOR.consumers_open] = this.#consumers.size;
  }

  #closed(number: number): void {
    const consumer = this.#consumers.get(number);
    if (consumer === undefined) return;
    this.#stop(consumer);
    this.#consumers.delete(number);
    this.#post({ type: 'consumer-gone', consumer: number });
    this.#counters[AGGREGATOR.consumers_open] = this.#consumers.size;
    this.#checkEmpty();
  }

  #checkEmpty(): void {
    if (this.#consumers.size > 0 || this.#onEmpty === undefined) return;
    // uWebSockets.js reports a close before the close frame is out; whoever closes the app now would take it along.
    setTimeout(this.#onEmpty, CLOSE_LINGER_MS);
    this.#onEmpty = undefined;
  }

  /** What main is told of who asks and who goes. */
  #post(message: ConsumersToMain): void {
    if (message.type === 'consumer-asks' && message.request.name !== undefined)
      this.#names.enter(message.consumer, message.request.name);
    if (message.type === 'consumer-gone') this.#names.leave(message.consumer);
    this.#hooks.post(message);
  }

  // ---- the stream ---------------------------------------------------------------------------------------------

  #granted(consumer: Consumer, { scope, cursor }: Granted): void {
    if (scope === undefined) this.#stop(consumer);
    else if (consumer.recipient !== undefined) this.#deliveries.change(consumer.recipient, limited(scope));
    else this.#start(consumer, limited(scope), cursor);
  }

  #start(consumer: Consumer, scope: Scope | undefined, cursor: number | undefined): void {
    const { asked, outlet, pausedSeq } = consumer;
    const { filter, durableOnly, name, bad } = asked;
    if (bad !== undefined) return this.#leave(consumer, BAD_PARAMETER, `${bad.parameter} ${bad.message}`);
    const positions = asked.from !== undefined || name !== undefined;
    let from = asked.from ?? { kind: 'latest' };
    if (pausedSeq > 0) from = { kind: 'seq', seq: pausedSeq };
    else if (asked.from === undefined && name !== undefined) {
      // Main may not have heard of what was said under the name when it judged.
      const seq = this.#names.of(consumer.number) ?? cursor;
      if (seq !== undefined) from = { kind: 'seq', seq };
    }
    consumer.recipient = this.#deliveries.add(outlet, { from, filter, scope, durableOnly, positions });
  }

  #started(consumer: Consumer, nextSeq: number): void {
    const { name } = consumer.asked;
    if (name === undefined || consumer.ackedSeq > 0) return;
    consumer.ackedSeq = nextSeq;
    this.#names.move(consumer.number, nextSeq);
    this.#hooks.post({ type: 'consumer-started', consumer: consumer.number, nextSeq });
  }

  /** It is sent nothing more. Who is told its position goes on from there, should it be sent the stream again. */
  #stop(consumer: Consumer): void {
    const { recipient } = consumer;
    if (recipient === undefined) return;
    consumer.recipient = undefined;
    this.#deliveries.remove(recipient);
    if (recipient.terms.positions) consumer.pausedSeq = recipient.nextSeq;
  }

  #states() {
    const consumers = [...this.#consumers.values()].flatMap(({ number, sinceMs, outlet, recipient }) => {
      if (recipient === undefined) return [];
      const { bufferedBytes } = outlet;
      return [{ kind: 'websocket' as const, number, sinceMs, bufferedBytes, ...recipient.state }];
    });
    return [...consumers, ...this.#subscriptions.states()];
  }

  // ---- what is said -------------------------------------------------------------------------------------------

  #said(socket: WebSocket<ConsumerData>, message: ArrayBuffer, isBinary: boolean): void {
    const consumer = this.#consumers.get(socket.getUserData().number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    // What is no text is no JSON: main says so.
    const text = isBinary ? '' : Buffer.from(message).toString('utf8');
    const ack = readAck(text);
    if (ack !== undefined) return this.#acked(consumer, ack.nextSeq);
    if (++consumer.unanswered > LIMITS.consumerUnanswered)
      return this.#leave(consumer, POLICY_VIOLATION, 'too many messages before an answer was awaited');
    this.#hooks.post({ type: 'consumer-says', consumer: consumer.number, text });
  }

  /** Going back is no mistake: acknowledgements may overtake each other on the other side. */
  #acked(consumer: Consumer, nextSeq: unknown): void {
    const { asked, recipient, pausedSeq } = consumer;
    const sentSeq = recipient?.nextSeq ?? pausedSeq;
    if (asked.name === undefined)
      return this.#say(consumer, failureText('StreamAck is for named consumers (?consumer=NAME)'));
    if (typeof nextSeq !== 'number' || !Number.isSafeInteger(nextSeq) || nextSeq < 1)
      return this.#say(consumer, failureText('StreamAck.next_seq is no sequence number'));
    if (nextSeq > sentSeq)
      return this.#say(consumer, failureText(`StreamAck.next_seq is beyond what was sent, ${sentSeq}`));
    if (nextSeq <= consumer.ackedSeq) return;
    consumer.ackedSeq = nextSeq;
    this.#names.move(consumer.number, nextSeq);
    this.#hooks.post({ type: 'consumer-acked', consumer: consumer.number, nextSeq });
  }

  #answer(number: number, text: string): void {
    const consumer = this.#consumers.get(number);
    if (consumer === undefined || consumer.goodbye !== undefined) return;
    consumer.unanswered--;
    this.#say(consumer, text);
  }

  /** The stream stops when its buffer is full; who goes on to ask and does not read the answers has to go. */
  #say(consumer: Consumer, text: string): void {
    if (consumer.outlet.bufferedBytes <= this.#limits.bufferBytes + LIMITS.consumerAnswerBytes)
      return consumer.outlet.note(text);
    this.#counters[AGGREGATOR.consumers_cut_off]!++;
    this.#leave(consumer, TRY_AGAIN_LATER, 'too many answers were not read');
  }

  #leave(consumer: Consumer, code: number, reason: string): void {
    if (consumer.goodbye !== undefined) return;
    const { number, socket } = consumer;
    consumer.goodbye = { code, reason };
    this.#stop(consumer);
    this.#sayGoodbye(consumer);
    setTimeout(() => {
      if (this.#consumers.has(number)) socket.close();
    }, LIMITS.consumerCloseGraceMs).unref();
  }

  #sayGoodbye(consumer: Consumer | undefined): void {
    if (consumer?.goodbye === undefined || consumer.socket.getBufferedAmount() > 0) return;
    consumer.socket.end(consumer.goodbye.code, consumer.goodbye.reason);
  }
}
