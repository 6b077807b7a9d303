/**
 * A shard: the piscina worker that owns a share of the connections. It reads, cuts frames, scans and validates whole
 * buffers, and answers. One never-ending task per thread, with a live event loop; it ends with a `drain`.
 *
 * It must never: buffer without bound (a full ring blocks it), keep bytes of one connection in another's way, or
 * throw for what a node sent.
 */
import { getHeapStatistics } from 'node:v8';
import { LIMITS } from '../limits.js';
import { SHARD } from '../memory/counters.js';
import { loadAddon } from '../native/addon.js';
import { createScanner } from '../native/scanner.js';
import { FrameReader } from '../protocol/frame-reader.js';
import { nodeDisconnected } from '../protocol/outbound.js';
import { EventAcks } from './event-acks.js';
import { replayFrame } from './frame-replay.js';
import { ShardBuffer } from './framer.js';
import type { CloseReason, EndReason, MainToShard, ShardStart, ShardToMain } from './messages.js';
import { RingStopped, ShardOutput } from './output.js';
import { SecureTransport } from './secure-transport.js';
import { Session, type ShardContext } from './session.js';
import { TlsTerms } from './tls-terms.js';
import { type Greeting, RelayTransport, SocketTransport, type TransportHandlers } from './transport.js';

/** Lines about refused frames a shard writes in a second; the rest is counted, and kept as dead letters anyway. */
const REFUSED_LOG_LINES_PER_SECOND = 10;

/** The piscina task: resolves when the shard has drained. */
export default async function runShard(start: ShardStart): Promise<void> {
  await new Shard(start).ended;
}

class Shard {
  readonly ended: Promise<void>;
  readonly #start: ShardStart;
  readonly #context: ShardContext;
  readonly #sessions = new Map<number, Session>();
  /** Portable mode, by the relay's own number. */
  readonly #relays = new Map<number, RelayTransport>();
  readonly #sweep: NodeJS.Timeout;
  /** Connections whose end has not been dealt with yet, in the order in which they ended. */
  readonly #ends: { readonly session: Session; readonly reason: EndReason }[] = [];
  #end!: () => void;
  #logLines = 0;
  #logLinesHeldBack = 0;
  readonly #tls: TlsTerms | undefined;
  #tlsLogLines = 0;
  #tlsLogLinesHeldBack = 0;

  constructor(start: ShardStart) {
    this.#start = start;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { config, mode, port } = start;
    if (start.tls !== undefined) this.#tls = new TlsTerms(config.tls, start.tls);
    const addon = mode === 'native' ? loadAddon() : undefined;
    const buffer = new ShardBuffer();
    const output = new ShardOutput(start, addon);
    const acks = config.storage.fsync === 'never' ? undefined : new EventAcks((work) => this.#guard(work));
    this.#context = {
      buffer,
      output,
      scanner: createScanner(
        mode,
        { source: buffer.bytes, target: output.ring.data },
        config.ingest.max_frame_bytes,
      ),
      reader: new FrameReader(),
      counters: start.counters,
      table: start.sessions,
      ledger: start.ledger,
      acks,
      maxFrameBytes: config.ingest.max_frame_bytes,
      errorReplies: config.ingest.error_replies,
      maxErrorsPerMinute: config.admission.max_errors_per_minute,
      post: (message: ShardToMain) => port.postMessage(message),
      logRefused: (entry) => {
        this.#logLines++;
        if (this.#logLines > REFUSED_LOG_LINES_PER_SECOND) {
          this.#logLinesHeldBack++;
          return;
        }
        this.#context.post({ type: 'refused', ...entry, linesHeldBack: this.#logLinesHeldBack });
        this.#logLinesHeldBack = 0;
      },
      ended: (session) => {
        this.#sessions.delete(session.number);
        start.counters[SHARD.connections_open] = this.#sessions.size;
      },
    };
    for (const { nodeId, nodeName, serial } of start.orphans) {
      output.notice(nodeDisconnected(nodeId, nodeName, serial, 'Unknown', 'shard failed', Date.now()));
    }
    this.#sweep = setInterval(() => {
      this.#logLines = 0;
      this.#tlsLogLines = 0;
      this.#sweepSilent();
      start.counters[SHARD.heap_used_bytes] = getHeapStatistics().used_heap_size;
    }, LIMITS.sweepIntervalMs);
    // What the aggregator has stored in the ledger before it posted can be read behind the message.
    start.aggregatorPort.on('message', () => acks?.durable());
    start.aggregatorPort.unref();
    port.on('message', (message: MainToShard) => this.#guard(() => this.#receive(message)));
    this.#context.post({ type: 'ready' });
  }

  #receive(message: MainToShard): void {
    switch (message.type) {
      case 'open':
        this.#open(
          message.session,
          message.remote,
          (handlers, greeting) =>
            new SocketTransport(message.fd, this.#context.buffer.readArea, handlers, greeting),
        );
        this.#context.post({ type: 'opened', session: message.session });
        break;
      case 'relay-open':
        this.#open(message.session, message.remote, (handlers, greeting) => {
          const relay = new RelayTransport(
            message.relay,
            message.session,
            this.#start.port,
            this.#context.buffer.readArea,
            handlers,
            greeting,
            () => this.#relays.delete(message.relay),
          );
          this.#relays.set(message.relay, relay);
          return relay;
        });
        break;
      case 'relay-data':
        this.#relays.get(message.relay)?.received(message.data);
        break;
      case 'relay-end':
        this.#relays.get(message.relay)?.finished(message.reason);
        break;
      case 'accept':
        this.#sessions.get(message.session)?.accepted(message);
        break;
      case 'refuse':
        this.#sessions.get(message.session)?.refused(message.code, message.message);
        break;
      case 'command':
        this.#sessions.get(message.session)?.command(message);
        break;
      case 'close':
        this.#closeSoon(message.session, message.reason);
        break;
      case 'replay': {
        const verdict = replayFrame(this.#context, message);
        this.#context.post({ type: 'replayed', replay: message.replay, verdict });
        break;
      }
      case 'tls':
        this.#tls?.renew(message.material);
        break;
      case 'drain':
        this.#drain();
        break;
      case 'die':
        // From a timer, so that it ends the thread like any other fault in it.
        setImmediate(() => {
          throw new Error('fault injected');
        });
        break;
    }
  }

  /** Closes a connection once what its node had sent by now is read: a turn of the event loop takes what the kernel
   *  holds, up to a bound. */
  #closeSoon(number: number, reason: CloseReason): void {
    const session = this.#sessions.get(number);
    setImmediate(() => setImmediate(() => this.#guard(() => session?.close(reason))));
  }

  #open(
    number: number,
    remote: string,
    connect: (handlers: TransportHandlers, greeting: Greeting | undefined) => Session['transport'],
  ): void {
    const { counters } = this.#context;
    const session = new Session(number, remote, this.#context);
    this.#sessions.set(number, session);
    counters[SHARD.connections_total]!++;
    counters[SHARD.connections_open] = this.#sessions.size;
    const handlers: TransportHandlers = {
      onData: (length) => this.#guard(() => session.onData(length)),
      onCommandSent: (command) => this.#context.post({ type: 'command-sent', session: number, command }),
      onEnd: (reason) => {
        this.#ends.push({ session, reason });
        if (this.#ends.length === 1) setImmediate(() => this.#endSome());
      },
    };
    const tls = this.#tls;
    session.transport = connect(handlers, tls && this.#greeting(session, tls, handlers));
  }

  /** How a connection begins where TLS is configured. */
  #greeting(session: Session, tls: TlsTerms, handlers: TransportHandlers): Greeting {
    return {
      tls: (stream, endReason) => {
        session.transport = new SecureTransport(stream, tls, this.#context.buffer.readArea, {
          onData: handlers.onData,
          onCommandSent: handlers.onCommandSent,
          // Where main relays, it knows better than the stream why that ended.
          onEnd: (reason) => handlers.onEnd(endReason() ?? reason),
          onSecure: (names) => session.secured(names),
          onFailed: (reason) => {
            this.#tlsFailed(session, reason, undefined);
            this.#guard(() => session.close('TLS handshake failed'));
          },
          onRefused: (reason, subject) => {
            this.#tlsFailed(session, reason, subject);
            this.#guard(() => session.certificateRefused(reason));
          },
        });
      },
      plain: (length) => {
        if (!tls.plainText) this.#guard(() => session.plainRefused(length));
        return tls.plainText;
      },
    };
  }

  #tlsFailed({ remote }: Session, reason: string, subject: string | undefined): void {
    this.#context.counters[SHARD.tls_failures]!++;
    if (++this.#tlsLogLines > LIMITS.tlsLogLinesPerSecond) {
      this.#tlsLogLinesHeldBack++;
      return;
    }
    this.#context.post({
      type: 'tls-failed',
      reason,
      remote,
      subject,
      linesHeldBack: this.#tlsLogLinesHeldBack,
    });
    this.#tlsLogLinesHeldBack = 0;
  }

  /** Deals with some of the connections that have ended, and with more of them after the others have been read. */
  #endSome(): void {
    this.#endFirst(LIMITS.endsPerTurn);
    if (this.#ends.length > 0) setImmediate(() => this.#endSome());
  }

  #endFirst(count: number): void {
    for (const { session, reason } of this.#ends.splice(0, count)) this.#guard(() => session.onEnd(reason));
  }

  /** The one thing that may come out of dealing with input: the process is ending while the ring is full. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof RingStopped)) throw error;
      this.#finish();
    }
  }

  #sweepSilent(): void {
    const { ingest } = this.#start.config;
    const { output } = this.#context;
    const now = Date.now();
    for (const session of [...this.#sessions.values()]) {
      this.#guard(() => {
        if (session.state === 'unregistered') {
          if (now - session.openedMs > ingest.registration_timeout_seconds * 1000) {
            this.#context.counters[SHARD.registration_timeouts]!++;
            session.close('did not register in time');
          }
          return;
        }
        if (session.state !== 'registered') return;
        // While the ring was full nobody was heard; that time is nobody's silence.
        const silentMs = now - session.lastSeenMs - (output.stalledMs - session.stalledMs);
        if (silentMs > ingest.close_after_seconds * 1000) session.close('silent for too long');
        else if (silentMs > ingest.unknown_after_seconds * 1000) session.fellSilent();
      });
    }
  }

  #drain(): void {
    this.#endFirst(this.#ends.length);
    for (const session of [...this.#sessions.values()]) this.#guard(() => session.drain());
    this.#finish();
  }

  #finish(): void {
    clearInterval(this.#sweep);
    this.#context.acks?.end();
    this.#context.post({ type: 'drained' });
    this.#end();
  }
}
