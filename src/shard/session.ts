/**
 * One connection of a node, from its first byte to its last: what its frames mean, and what it is answered.
 * Runs in the shard that owns the connection.
 *
 *   unregistered --registration--> deciding --accept--> registered --+
 *        |                            |                              |
 *        +-------- close -------------+----------- close ------------+--> closed
 *
 * While main decides, nothing more is read from the connection, and what was pipelined waits in the framer. So only
 * accepted sessions put records in the ring.
 */
import { ERROR_CODES, type ErrorCode, errorIndex } from '../errors.js';
import { LIMITS } from '../limits.js';
import { SHARD } from '../memory/counters.js';
import { SESSION, SESSION_STRIDE } from '../memory/session-table.js';
import { type Scanner, STOP } from '../native/scanner.js';
import { DIALECT } from '../protocol/dialect.js';
import { FIELD, MESSAGE, VALUE } from '../protocol/fields.js';
import { type FrameReader, KIND, type Kind } from '../protocol/frame-reader.js';
import { maskCodes } from '../protocol/mask.js';
import { nodeCommand } from '../protocol/node-command.js';
import { type NodeRegistration, readNodeRegistration, readTotpCode } from '../protocol/node-registration.js';
import type { NodeStatus } from '../protocol/node-status-update.js';
import { errorReply, nodeDisconnected, nodeRegistered, registrationAck } from '../protocol/outbound.js';
import type { PotStatus } from '../protocol/pot-status-update.js';
import { isForeign, objectEnds } from './bytes.js';
import { ErrorRate } from './error-rate.js';
import { ErrorReplies } from './error-replies.js';
import { Framer, type FrameSink, type ShardBuffer } from './framer.js';
import type { CloseReason, EndReason, MainToShard, ShardToMain } from './messages.js';
import { isOfNode, KIND_COUNTER, NOT_OWN_ID, recordOf } from './node-frame.js';
import type { ShardOutput } from './output.js';
import type { Transport } from './transport.js';

/** What the sessions of a shard share. */
export interface ShardContext {
  readonly buffer: ShardBuffer;
  readonly scanner: Scanner;
  readonly reader: FrameReader;
  readonly output: ShardOutput;
  readonly counters: Float64Array;
  readonly table: Float64Array;
  readonly maxFrameBytes: number;
  readonly errorReplies: boolean;
  /** Refused frames in a minute above which a registered connection is closed; 0: never. */
  readonly maxErrorsPerMinute: number;
  post(message: ShardToMain): void;
  /** Says in the log what was refused; bounded by the caller's own rate. */
  logRefused(entry: {
    code: ErrorCode;
    reason: string;
    remote: string;
    node: string | undefined;
    heldBack: number;
  }): void;
  /** The session is over: forget it. */
  ended(session: Session): void;
}

type OutgoingCommand = Extract<MainToShard, { type: 'command' }>;

type State = 'unregistered' | 'deciding' | 'registered' | 'closed';

export class Session implements FrameSink {
  readonly number: number;
  readonly remote: string;
  readonly openedMs: number;
  /** When the last byte came, and how long the shard had stalled by then. */
  lastSeenMs: number;
  stalledMs: number;
  status: NodeStatus = 'Unknown';
  transport!: Transport;
  /** Of the node's certificate; undefined: it has shown none. */
  certificateNames: readonly string[] | undefined;
  #state: State = 'unregistered';
  #peerEnded: EndReason | undefined;
  /** While the node's status reads Unknown because it is silent: what it was. Any sign of life brings it back. */
  #statusBeforeSilence: NodeStatus | undefined;
  #registration: NodeRegistration | undefined;
  /** While main decides: the registration's frame, of which a dead letter is made when it is refused. */
  #undecided: { readonly bytes: Uint8Array; readonly sizeBytes: number } | undefined;
  /** While main decides: what stood behind the registration on its line. */
  #restOfLine: Buffer | undefined;
  #digits: Uint8Array = new Uint8Array(0);
  /** The node's id in two halves, as int32. */
  #idLow = 0;
  #idHigh = 0;
  readonly #context: ShardContext;
  readonly #framer: Framer;
  readonly #row: number;
  /** Types of this node's pots, for events that do not name theirs. */
  readonly #potTypes = new Map<string, string>();
  #refusedUnregistered = 0;
  readonly #replies = new ErrorReplies();
  readonly #errorRate = new ErrorRate();
  /** Bits of protocol/dialect.ts, as they stand in the session table. */
  #dialect = 0;
  /** It was told to do something, so what it says about its pots may be an answer. */
  #commanded = false;
  /** Came before the acceptance; main has few on their way at once. */
  #early: OutgoingCommand[] = [];

  constructor(number: number, remote: string, context: ShardContext) {
    this.number = number;
    this.remote = remote;
    this.#context = context;
    this.#framer = new Framer(context.buffer, this, context.maxFrameBytes);
    this.#row = number * SESSION_STRIDE;
    this.openedMs = Date.now();
    this.lastSeenMs = this.openedMs;
    this.stalledMs = context.output.stalledMs;
    this.#count(SESSION.last_seen_ms, this.openedMs);
  }

  get state(): State {
    return this.#state;
  }

  /** This connection itself spelt a unit value as a bare string, so that is how its unit commands are spelt. */
  get bareUnits(): boolean {
    return (this.#dialect & DIALECT.bareUnits) !== 0;
  }

  get accepting(): boolean {
    return this.#state === 'unregistered' || this.#state === 'registered';
  }

  get scannable(): boolean {
    return this.#state === 'registered';
  }

  // ---- what the transport tells -------------------------------------------------------------------------------

  onData(length: number): void {
    if (this.#state === 'closed') return;
    const { output, counters, table } = this.#context;
    const now = Date.now();
    output.nowMs = now;
    this.lastSeenMs = now;
    this.stalledMs = output.stalledMs;
    counters[SHARD.bytes_in]! += length;
    table[this.#row + SESSION.last_seen_ms] = now;
    table[this.#row + SESSION.bytes_in]! += length;
    if (this.#statusBeforeSilence !== undefined) this.#speaksAgain();
    this.#framer.receive(length);
    this.#noteFraming();
  }

  /** Nothing has come for so long that nobody knows how the node is. */
  fellSilent(): void {
    if (this.#state !== 'registered' || this.status === 'Unknown') return;
    this.#statusBeforeSilence = this.status;
    this.#report('Unknown');
  }

  onEnd(reason: EndReason): void {
    if (this.#state === 'deciding') this.#peerEnded = reason;
    else this.#finish(reason);
  }

  /** The connection is encrypted from here on. */
  secured(certificateNames: readonly string[] | undefined): void {
    this.certificateNames = certificateNames;
    this.#context.counters[SHARD.tls_handshakes]!++;
    this.#speaks(DIALECT.tls);
  }

  /** The node's certificate is not taken: it is told why. */
  certificateRefused(reason: string): void {
    this.#context.output.nowMs = Date.now();
    if (this.#context.errorReplies)
      this.#write(errorReply('AUTHENTICATION_FAILED', `certificate refused: ${reason}`, 0));
    this.close('certificate refused');
  }

  /** Only TLS is taken, and this is none: `length` bytes that stand at the start of the read area. */
  plainRefused(length: number): void {
    const { output, buffer, counters } = this.#context;
    output.nowMs = Date.now();
    counters[SHARD.tls_missing]!++;
    this.#countFrame();
    this.#refuse('AUTHENTICATION_FAILED', 'this port takes TLS only', buffer.readArea, 0, length);
    this.close('TLS is required');
  }

  // ---- what main tells ----------------------------------------------------------------------------------------

  accepted(message: string, potTypes: readonly (readonly [string, string])[], totpKey?: string): void {
    if (this.#state !== 'deciding') return;
    this.#undecided = undefined;
    const registration = this.#registration!;
    const { output, counters } = this.#context;
    output.nowMs = Date.now();
    this.#state = 'registered';
    this.status = 'Connected';
    this.#digits = Buffer.from(registration.nodeId, 'latin1');
    const id = BigInt(registration.nodeId);
    this.#idLow = Number(BigInt.asIntN(32, id));
    this.#idHigh = Number(BigInt.asIntN(32, id >> 32n));
    for (const [potId, potType] of potTypes) this.#potTypes.set(potId, potType);
    counters[SHARD.registrations]!++;
    this.#write(registrationAck(registration.nodeId, true, message, totpKey));
    output.record(nodeRegistered(registration, this.remote, output.nowMs));
    this.#count(SESSION.announced, 1);
    const rest = this.#restOfLine;
    this.#restOfLine = undefined;
    if (rest !== undefined) this.line(rest, 0, rest.length);
    this.#framer.resume();
    this.#noteFraming();
    // Behind what was pipelined: it may have shown how the node spells things.
    for (const command of this.#early.splice(0)) this.command(command);
    // The frames that were held may have ended the session.
    if (this.state !== 'registered') return;
    if (this.#peerEnded !== undefined) this.#finish(this.#peerEnded);
    else this.transport.resume();
  }

  /** Tells the node what to do. On a session that is over nothing happens: `closed` is on its way to main. */
  command(command: OutgoingCommand): void {
    if (this.#state === 'deciding') this.#early.push(command);
    if (this.#state !== 'registered') return;
    this.#commanded = true;
    const body = this.bareUnits && command.unit !== null ? JSON.stringify(command.unit) : command.json;
    this.transport.writeCommand(command.command, nodeCommand(this.#registration!.nodeId, body));
    this.#closeIfNotReading();
  }

  refused(code: ErrorCode, message: string): void {
    if (this.#state !== 'deciding') return;
    const { output } = this.#context;
    output.nowMs = Date.now();
    this.#countRefused(code);
    this.#deadLetter(code, message, this.#undecided!.bytes, this.#undecided!.sizeBytes);
    this.#context.logRefused({
      code,
      reason: message,
      remote: this.remote,
      node: this.#registration?.nodeName,
      heldBack: 0,
    });
    this.#write(registrationAck(this.#registration?.nodeId, false, `${code}: ${message}`));
    this.close('registration refused');
  }

  // ---- frames (called by the framer) --------------------------------------------------------------------------

  lines(start: number, end: number): number {
    const { scanner, output, counters, table } = this.#context;
    const { ring } = output;
    scanner.setNodeId(this.#digits);
    let at = start;
    let resume = false;
    let need = Math.min(LIMITS.headroomBytes, ring.data.length / 8);
    for (;;) {
      output.reserve(need);
      const stop = scanner.scan(at, end, ring.offset, ring.space, resume);
      const { events } = scanner;
      if (events > 0) {
        this.#speaks(DIALECT.documented);
        output.publishRun(scanner.copiedBytes, events);
        counters[SHARD.events]! += events;
        counters[SHARD.frames]! += events;
        table[this.#row + SESSION.frames]! += events;
        table[this.#row + SESSION.records]! += events;
        table[this.#row + SESSION.events]! += events;
      }
      at = scanner.position;
      if (stop === STOP.done) return at;
      resume = true;
      if (stop === STOP.slow) {
        const { slowStart, slowEnd } = scanner;
        if (slowEnd - slowStart > this.#context.maxFrameBytes)
          this.oversized(this.#context.buffer.bytes, slowStart, slowEnd, false);
        else this.line(this.#context.buffer.bytes, slowStart, slowEnd);
        if (!this.accepting) return at;
      } else {
        need = this.#context.maxFrameBytes + 1;
      }
    }
  }

  line(bytes: Uint8Array, start: number, end: number): void {
    const { reader } = this.#context;
    const kind = reader.read(bytes, start, end);
    if (kind === KIND.refused && reader.code === 'MESSAGE_PARSE_FAILED') {
      const ends = objectEnds(bytes, start, end);
      if (ends.length > 1) {
        let from = start;
        for (const to of ends) {
          if (!this.accepting) break;
          this.#handle(reader.read(bytes, from, to), bytes, from, to);
          from = to;
        }
        // One of the objects was a registration: those behind it wait for the verdict, before what the framer holds.
        if (this.#state === 'deciding') this.#restOfLine = Buffer.from(bytes.subarray(from, end));
        return;
      }
    }
    this.#handle(kind, bytes, start, end);
  }

  object(bytes: Uint8Array, start: number, end: number, torn: boolean): void {
    const kind = this.#context.reader.read(bytes, start, end);
    this.#handle(kind, bytes, start, end);
    if (torn && this.#state === 'unregistered' && isForeign(bytes, start, end)) this.close('not a node');
  }

  oversized(bytes: Uint8Array, start: number, end: number, fatal: boolean): void {
    this.#countFrame();
    this.#refuse(
      'INVALID_MESSAGE_FORMAT',
      `the frame is larger than ${this.#context.maxFrameBytes} bytes`,
      bytes,
      start,
      end,
    );
    if (fatal && this.#state !== 'closed') this.close('frame too large');
  }

  #handle(kind: Kind, bytes: Uint8Array, start: number, end: number): void {
    const { reader, counters } = this.#context;
    this.#countFrame();
    if (kind === KIND.refused) {
      const registration =
        reader.message === MESSAGE.NodeRegistration && reader.code === 'PROTOCOL_VERSION_MISMATCH';
      const { code, reason } = reader;
      if (registration && this.#state === 'unregistered')
        this.#write(registrationAck(undefined, false, `${code}: ${reason}`));
      this.#refuse(code, reason, bytes, start, end);
      if (registration && this.#state === 'unregistered') this.close('registration refused');
      return;
    }
    this.#speaks(DIALECT.objects);
    if (kind === KIND.nodeRegistration) return this.#register(bytes, start, end);
    if (this.#state !== 'registered') {
      return this.#refuse('NODE_NOT_FOUND', 'register first', bytes, start, end);
    }
    if (!isOfNode(reader, kind, this.#digits))
      return this.#refuse(NOT_OWN_ID.code, NOT_OWN_ID.reason, bytes, start, end);
    const counter = KIND_COUNTER[kind];
    if (counter !== undefined) counters[SHARD[counter]]!++;
    switch (kind) {
      case KIND.potEvent:
        this.#speaks(DIALECT.documented);
        return this.#event(kind);
      case KIND.compiledPotEvent:
        this.#speaks(DIALECT.compiled);
        return this.#event(kind);
      case KIND.legacyPotEvent:
        this.#speaks(DIALECT.legacy);
        return this.#event(kind);
      case KIND.nodeStatusUpdate:
        return this.#nodeStatusUpdate();
      case KIND.potStatusUpdate:
        return this.#potStatusUpdate();
      case KIND.nodeEvent:
        return this.#nodeEvent();
      case KIND.nodeDrop:
        this.#speaks(reader.bareString ? DIALECT.bareUnits : DIALECT.objectUnits);
        return this.close('node said goodbye');
    }
  }

  #register(bytes: Uint8Array, start: number, end: number): void {
    const registration = readNodeRegistration(this.#context.reader);
    if (this.#state === 'registered') {
      const known = this.#registration!;
      if (known.nodeId === registration.nodeId && known.nodeName === registration.nodeName) {
        return this.#write(registrationAck(known.nodeId, true, 'already registered'));
      }
      return this.#refuse(
        'NODE_ALREADY_REGISTERED',
        'this connection has registered another node',
        bytes,
        start,
        end,
      );
    }
    this.#registration = registration;
    this.#undecided = {
      bytes: Buffer.from(bytes.subarray(start, Math.min(end, start + LIMITS.deadLetterFrameBytes))),
      sizeBytes: end - start,
    };
    this.#state = 'deciding';
    this.transport.pause();
    const { certificateNames } = this;
    const totpCode = readTotpCode(this.#context.reader);
    this.#context.post({ type: 'register', session: this.number, registration, totpCode, certificateNames });
  }

  /** It does not say which node it is of; who filters the stream by node has to know. */
  #nodeEvent(): void {
    const { output, reader, table } = this.#context;
    // {"Error":{...}} does not tell: that is how the family that knows only bare strings writes what has fields.
    if (reader.bareString) this.#speaks(DIALECT.bareUnits);
    else if (reader.type(FIELD.type) !== VALUE.absent) this.#speaks(DIALECT.objectUnits);
    output.frameOf(this.#idLow, this.#idHigh, reader.bytes, reader.frameStart, reader.frameEnd);
    table[this.#row + SESSION.records]!++;
  }

  #nodeStatusUpdate(): void {
    const status = this.#context.reader.string(FIELD.status) as NodeStatus;
    if (status === this.status) return;
    this.#pass();
    this.#report(status);
  }

  #potStatusUpdate(): void {
    const { reader } = this.#context;
    const potId = reader.string(FIELD.pot_id);
    const potType = reader.string(FIELD.pot_type);
    const message = reader.type(FIELD.text) === VALUE.string ? reader.string(FIELD.text) : null;
    const status = reader.string(FIELD.status) as PotStatus;
    this.#pass();
    if (potId.length > LIMITS.potFieldLength || potType.length > LIMITS.potFieldLength) return;
    if (this.#potTypes.has(potId) || this.#potTypes.size < LIMITS.potsPerNode)
      this.#potTypes.set(potId, potType);
    this.#context.post({
      type: 'pot',
      session: this.number,
      potId,
      potType,
      status,
      // One more than main keeps, so that it knows that there was more.
      message:
        message?.slice(0, this.#commanded ? LIMITS.commandResultLength + 1 : LIMITS.potFieldLength) ?? null,
    });
  }

  #event(kind: Kind): void {
    const { output, reader, table } = this.#context;
    const text = recordOf(reader, kind, this.#potTypes, output.nowMs);
    if (text === undefined) {
      this.#pass();
    } else {
      output.record(text);
      table[this.#row + SESSION.records]!++;
    }
    this.#countEvent();
  }

  #speaksAgain(): void {
    const status = this.#statusBeforeSilence!;
    this.#statusBeforeSilence = undefined;
    this.#report(status);
  }

  #report(status: NodeStatus): void {
    this.status = status;
    this.#context.post({ type: 'status', session: this.number, status });
  }

  /** Passes the frame on as it came. */
  #pass(): void {
    const { output, reader, table } = this.#context;
    output.frame(reader.bytes, reader.frameStart, reader.frameEnd);
    table[this.#row + SESSION.records]!++;
  }

  #countEvent(): void {
    this.#context.counters[SHARD.events]!++;
    this.#context.table[this.#row + SESSION.events]!++;
  }

  #countFrame(): void {
    this.#context.counters[SHARD.frames]!++;
    this.#context.table[this.#row + SESSION.frames]!++;
  }

  #noteFraming(): void {
    // A row that was given back may belong to another connection by now.
    if (this.#state === 'closed') return;
    if (this.#framer.inLines) this.#speaks(DIALECT.lines);
  }

  /** Notes how the node speaks. */
  #speaks(bit: number): void {
    if ((this.#dialect & bit) !== 0) return;
    this.#dialect |= bit;
    this.#count(SESSION.dialect, this.#dialect);
  }

  #count(field: number, value: number): void {
    this.#context.table[this.#row + field] = value;
  }

  // ---- answers ------------------------------------------------------------------------------------------------

  /** Counts, keeps and answers a frame that cannot be processed. */
  #refuse(code: ErrorCode, reason: string, bytes: Uint8Array, start: number, end: number): void {
    this.#countRefused(code);
    this.#deadLetter(code, reason, bytes.subarray(start, end), end - start);
    this.#answer(code, reason);
    if (this.#state === 'registered') return this.#limitErrors(code);
    if (this.#state !== 'unregistered') return;
    this.#refusedUnregistered++;
    if (this.#refusedUnregistered >= LIMITS.refusedBeforeRegistration) this.close('not a node');
  }

  /** A bad frame alone never ends a connection; a flood of them does. The node is told why, whatever was held back. */
  #limitErrors(code: ErrorCode): void {
    const { maxErrorsPerMinute: limit, output, counters, errorReplies } = this.#context;
    if (limit === 0 || this.#errorRate.count(output.nowMs) <= limit) return;
    counters[SHARD.closed_for_errors]!++;
    if (errorReplies)
      this.#write(errorReply(code, `too many errors: more than ${limit} refused frames in a minute`, 0));
    this.close('too many errors');
  }

  #deadLetter(code: ErrorCode, reason: string, bytes: Uint8Array, sizeBytes: number): void {
    const kept = bytes.subarray(0, LIMITS.deadLetterFrameBytes);
    const masked = maskCodes(kept);
    this.#context.output.deadLetter({
      code,
      reason,
      nodeId: this.#registration?.nodeId,
      nodeName: this.#registration?.nodeName,
      remote: this.remote,
      bytes: masked,
      sizeBytes,
      masked: masked !== kept,
    });
  }

  #countRefused(code: ErrorCode): void {
    this.#context.counters[SHARD[`refused_${ERROR_CODES[errorIndex(code)]!}`]]!++;
    this.#context.table[this.#row + SESSION.refused]!++;
  }

  #answer(code: ErrorCode, reason: string): void {
    const { output, counters, errorReplies } = this.#context;
    const heldBack = this.#replies.next(output.nowMs);
    if (heldBack === undefined) {
      counters[SHARD.error_replies_held_back]!++;
      return;
    }
    this.#context.logRefused({
      code,
      reason,
      remote: this.remote,
      node: this.#registration?.nodeName,
      heldBack,
    });
    if (!errorReplies) return;
    counters[SHARD.error_replies]!++;
    this.#write(errorReply(code, reason, heldBack));
  }

  #write(text: string): void {
    this.transport.write(text);
    this.#closeIfNotReading();
  }

  #closeIfNotReading(): void {
    if (this.transport.backlogBytes > LIMITS.nodeWriteBufferBytes) this.close('does not read its answers');
  }

  // ---- the end ------------------------------------------------------------------------------------------------

  /** The connection ended or Core is stopping: what was read completely still counts. */
  #finish(reason: CloseReason): void {
    if (this.#state === 'closed') return;
    this.#context.output.nowMs = Date.now();
    this.#framer.finish();
    this.close(reason);
  }

  /** Core stops: handles what was read, then closes. */
  drain(): void {
    this.#finish('Core is stopping');
  }

  close(reason: CloseReason): void {
    if (this.#state === 'closed') return;
    const wasRegistered = this.#state === 'registered';
    if (this.#state === 'deciding') this.#giveUpHeld();
    this.#state = 'closed';
    const status = reason === 'node said goodbye' ? 'Stopped' : 'Unknown';
    const { output } = this.#context;
    if (wasRegistered) {
      const { nodeId, nodeName } = this.#registration!;
      output.record(nodeDisconnected(nodeId, nodeName, status, reason, Date.now()));
      this.#count(SESSION.announced, 0);
    }
    this.transport.close();
    this.#context.post({
      type: 'closed',
      session: this.number,
      status,
      reason,
      published: output.ring.published,
    });
    this.#context.ended(this);
  }

  /** The verdict was no, or will not come: what was sent behind the registration is kept as one dead letter. */
  #giveUpHeld(): void {
    const held = Buffer.concat([this.#restOfLine ?? Buffer.alloc(0), this.#framer.takeHeld()]);
    this.#restOfLine = undefined;
    if (held.toString('latin1').trim() === '') return;
    this.#countFrame();
    this.#countRefused('NODE_NOT_FOUND');
    this.#deadLetter('NODE_NOT_FOUND', 'sent behind a registration that was not accepted', held, held.length);
  }
}
