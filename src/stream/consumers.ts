/**
 * The WebSocket side: consumers on 9003, and what each is sent. Runs in the aggregator.
 *
 *   ws://host:9003/  or /ws     every record one text message, without its newline
 *   ...?batch=1                 many records in a message, each ended by a newline
 *
 * All consumers get the same records from memory. A consumer that does not read has its messages buffered up to
 * `stream.consumer_buffer_bytes`, then it is cut off with code 1013; it never slows anybody else. uWebSockets.js
 * copies what it is given before send() returns, so ring memory may be passed in.
 */

import type { HttpRequest, HttpResponse, WebSocket } from 'uWebSockets.js';
import { LIMITS } from '../limits.js';
import { AGGREGATOR } from '../memory/counters.js';
import type { Addon } from '../native/addon.js';
import { ConsumerDoor, type Server, type ServerTls } from './consumer-door.js';

/** Close codes and reasons, RFC 6455 section 7.4 and the IANA registry. */
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;

/** uWebSockets.js collects what is sent inside cork() in 16 KiB; beyond it every send is a system call of its own. */
const CORK_BYTES = 15 * 1024;
/** For the last close frame to leave, before the app is closed. */
const CLOSE_LINGER_MS = 20;
/** WebSocket header of a server's message below 64 KiB. */
const HEADER_BYTES = 4;

interface ConsumerData {
  readonly batch: boolean;
}

/** live --leave()--> leaving: nothing more is queued; the goodbye goes out once all that was queued has. */
interface Consumer {
  readonly socket: WebSocket<ConsumerData>;
  readonly batch: boolean;
  goodbye: { readonly code: number; readonly reason: string } | undefined;
}

export interface ConsumerLimits {
  readonly maxConsumers: number;
  readonly bufferBytes: number;
}

export class Consumers {
  readonly #door: ConsumerDoor;
  readonly #limits: ConsumerLimits;
  readonly #counters: Float64Array;
  readonly #addon: Addon | undefined;
  readonly #consumers = new Map<WebSocket<ConsumerData>, Consumer>();
  /** Ends of the lines of a batch; grows to the largest batch seen, which LIMITS.batchBytes bounds. */
  #ends = new Int32Array(8192);
  #onEmpty: (() => void) | undefined;

  constructor(
    limits: ConsumerLimits,
    counters: Float64Array,
    addon: Addon | undefined,
    tls: ServerTls | undefined,
  ) {
    this.#limits = limits;
    this.#counters = counters;
    this.#addon = addon;
    this.#door = new ConsumerDoor(tls, (server) => this.#equip(server));
  }

  /** Listens; the port in use. Throws FatalError where the port cannot be had. */
  listen(host: string, port: number): number {
    return this.#door.listen(host, port);
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
      upgrade: (
        response: HttpResponse,
        request: HttpRequest,
        context: Parameters<HttpResponse['upgrade']>[4],
      ) => this.#upgrade(response, request, context),
      open: (socket: WebSocket<ConsumerData>) => {
        server.sockets++;
        this.#opened(socket);
      },
      drain: (socket: WebSocket<ConsumerData>) => this.#sayGoodbye(this.#consumers.get(socket)),
      close: (socket: WebSocket<ConsumerData>) => {
        server.sockets--;
        this.#closed(socket);
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

  get count(): number {
    return this.#consumers.size;
  }

  /** Sends whole lines, `records` of them, to everybody. */
  publish(lines: Uint8Array, records: number): void {
    let ends = -1;
    for (const consumer of this.#consumers.values()) {
      if (consumer.goodbye !== undefined) continue;
      const bufferedBytes = consumer.socket.getBufferedAmount();
      if (bufferedBytes + lines.length > this.#limits.bufferBytes && bufferedBytes > 0) {
        this.#cutOff(consumer, bufferedBytes);
      } else if (consumer.batch) {
        consumer.socket.send(lines, false, false);
        this.#counters[AGGREGATOR.messages_sent]!++;
        this.#counters[AGGREGATOR.bytes_sent]! += lines.length;
      } else {
        if (ends < 0) ends = this.#findEnds(lines, records);
        this.#sendEach(consumer, lines, ends);
      }
    }
  }

  /** Refreshes the gauge of what is buffered for consumers, and tidies up. */
  measure(): void {
    this.#door.sweep();
    let bytes = 0;
    for (const consumer of this.#consumers.values()) bytes += consumer.socket.getBufferedAmount();
    this.#counters[AGGREGATOR.bytes_buffered] = bytes;
  }

  /** Accepts nobody any more, tells everybody goodbye, and calls `done` when the last one has gone. */
  finish(done: () => void): void {
    this.#door.stopListening();
    this.#onEmpty = done;
    for (const consumer of [...this.#consumers.values()]) {
      if (consumer.goodbye === undefined) this.#leave(consumer, GOING_AWAY, 'Core is stopping');
    }
    this.#checkEmpty();
  }

  /** Ends everything at once. The thread may only end after this. */
  close(): void {
    this.#door.close();
  }

  #upgrade(
    response: HttpResponse,
    request: HttpRequest,
    context: Parameters<HttpResponse['upgrade']>[4],
  ): void {
    if (this.#consumers.size >= this.#limits.maxConsumers) {
      response.writeStatus('503 Service Unavailable').end('too many consumers');
      return;
    }
    response.upgrade<ConsumerData>(
      { batch: request.getQuery('batch') === '1' },
      request.getHeader('sec-websocket-key'),
      request.getHeader('sec-websocket-protocol'),
      request.getHeader('sec-websocket-extensions'),
      context,
    );
  }

  #opened(socket: WebSocket<ConsumerData>): void {
    this.#consumers.set(socket, { socket, batch: socket.getUserData().batch, goodbye: undefined });
    this.#counters[AGGREGATOR.consumers_total]!++;
    this.#counters[AGGREGATOR.consumers_open] = this.#consumers.size;
  }

  #closed(socket: WebSocket<ConsumerData>): void {
    this.#consumers.delete(socket);
    this.#counters[AGGREGATOR.consumers_open] = this.#consumers.size;
    this.#checkEmpty();
  }

  #checkEmpty(): void {
    if (this.#consumers.size > 0 || this.#onEmpty === undefined) return;
    // uWebSockets.js reports a close before the close frame is out; whoever closes the app now would take it along.
    setTimeout(this.#onEmpty, CLOSE_LINGER_MS);
    this.#onEmpty = undefined;
  }

  #cutOff(consumer: Consumer, bufferedBytes: number): void {
    this.#counters[AGGREGATOR.consumers_cut_off]!++;
    this.#leave(consumer, TRY_AGAIN_LATER, `too slow: ${bufferedBytes} bytes not read`);
  }

  #leave(consumer: Consumer, code: number, reason: string): void {
    const { socket } = consumer;
    consumer.goodbye = { code, reason };
    this.#sayGoodbye(consumer);
    setTimeout(() => {
      if (this.#consumers.has(socket)) socket.close();
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

  #sendEach(consumer: Consumer, lines: Uint8Array, count: number): void {
    const { socket } = consumer;
    const ends = this.#ends;
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
