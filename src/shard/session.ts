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
import { eventSeq } from '../protocol/event-seq.js';
import { FIELD, MESSAGE, VALUE } from '../protocol/fields.js';
import { type FrameReader, KIND, type Kind } from '../protocol/frame-reader.js';
import { maskCodes } from '../protocol/mask.js';
import { nodeCommand } from '../protocol/node-command.js';
import {
  asksFor,
  EVENT_ACK,
  type NodeRegistration,
  readNodeRegistration,
  readTotpCode,
} from '../protocol/node-registration.js';
import type { NodeStatus } from '../protocol/node-status-update.js';
import {
  errorReply,
  eventAck,
  nodeDisconnected,
  nodeRegistered,
  registrationAck,
} from '../protocol/outbound.js';
import type { PotStatus } from '../protocol/pot-status-update.js';
import { isForeign, objectEnds } from './bytes.js';
import { ErrorRate } from './error-rate.js';
import { ErrorReplies } from './error-replies.js';
import type { EventAcks } from './event-acks.js';
import { Framer, type FrameSink, type ShardBuffer } from './framer.js';
import type { CloseReason, EndReason, MainToShard, ShardToMain } from './messages.js';
import { NodeAccount } from './node-account.js';
import { EVENT_DIALECT, isEvent, isOfNode, KIND_COUNTER, recordOf, wrongOf } from './node-frame.js';
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
  /** memory/ledger-table.ts */
  readonly ledger: Float64Array;
  /** Undefined: nothing is fsynced, so nothing is acknowledged. */
  readonly acks: EventAcks | undefined;
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

type Acceptance = Omit<Extract<MainToShard, { type: 'accept' }>, 'type' | 'session'>;
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
  /** Its events carry numbers: it asked for EventAck, and there are acknowledgements. */
  #numbered = false;
  /** What it was told last is on the disk, and that it is to be told again. */
  #ackedSeq = 0;
  #ackOwed = false;
  readonly #account = new NodeAccount();
  #serial = 0;
  /** While main decides: the registration's frame, of which a dead letter is made when it is refused. */
  #undecided: { readonly bytes: Uint8Array; readonly sizeBytes: number } | undefined;
  /** While main decides: what stood behind the registration on its line. */
  #restOfLine: Buffer | undefined;
  #digits: Uint8Array = new Uint8Array(0);
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
    this.#account.bytes(length);
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

  accepted({ message, potTypes, totpKey, row, serial }: Acceptance): void {
    if (this.#state !== 'deciding') return;
    this.#undecided = undefined;
    const registration = this.#registration!;
    const { output, counters, ledger, acks } = this.#context;
    output.nowMs = Date.now();
    this.#state = 'registered';
    this.#account.settle(ledger, row);
    this.#account.quiet();
    this.#serial = serial;
    this.status = 'Connected';
    this.#digits = Buffer.from(registration.nodeId, 'latin1');
    const id = BigInt(registration.nodeId);
    for (const [potId, potType] of potTypes) this.#potTypes.set(potId, potType);
    counters[SHARD.registrations]!++;
    if (this.#numbered) {
      acks!.add(this);
      this.#ackedSeq = this.#account.durableSeq;
    }
    this.#write(registrationAck(registration.nodeId, true, message, totpKey, this.#lastSeq));
    const notice = nodeRegistered(registration, serial, this.#numbered, this.remote, output.nowMs);
    output.registered(notice, id, row, this.#numbered);
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
    const { scanner, output, counters } = this.#context;
    const { ring } = output;
    const account = this.#account;
    scanner.setNodeId(this.#digits);
    let at = start;
    let resume = false;
    let need = Math.min(LIMITS.headroomBytes, ring.data.length / 8);
    for (;;) {
      output.reserve(need);
      const lastSeq = this.#numbered ? account.takenSeq : 0;
      scanner.setSeq(this.#numbered ? lastSeq + 1 : 0);
      const stop = scanner.scan(at, end, ring.offset, ring.space, resume);
      const { events } = scanner;
      if (events > 0) {
        this.#speaks(DIALECT.documented);
        const seq = this.#numbered ? lastSeq + events : 0;
        output.publishRun(scanner.copiedBytes, events, account.row, events, seq);
        counters[SHARD.events]! += events;
        counters[SHARD.frames]! += events;
        account.run(events, seq);
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
      const seq = this.#refusedSeq();
      if (seq < 0) return;
      this.#refuse(code, reason, bytes, start, end, seq);
      if (registration && this.#state === 'unregistered') this.close('registration refused');
      return;
    }
    this.#speaks(DIALECT.objects);
    if (kind === KIND.nodeRegistration) return this.#register(bytes, start, end);
    if (this.#state !== 'registered') {
      return this.#refuse('NODE_NOT_FOUND', 'register first', bytes, start, end);
    }
    const wrong = wrongOf(reader, kind, this.#digits, this.#numbered);
    if (wrong !== undefined) return this.#refuse(wrong.code, wrong.reason, bytes, start, end);
    const counter = KIND_COUNTER[kind];
    if (counter !== undefined && !isEvent(kind)) counters[SHARD[counter]]!++;
    switch (kind) {
      case KIND.potEvent:
      case KIND.compiledPotEvent:
      case KIND.legacyPotEvent: {
        const seq = this.#numbered ? eventSeq(reader) : 0;
        if (seq > 0 && seq <= this.#account.takenSeq) return this.#duplicate();
        if (counter !== undefined) counters[SHARD[counter]]!++;
        return this.#anyEvent(kind, seq);
      }
      case KIND.nodeStatusUpdate:
        return this.#nodeStatusUpdate();
      case KIND.potStatusUpdate:
        return this.#potStatusUpdate();
      case KIND.nodeEvent:
        return this.#nodeEvent();
      case KIND.nodeDrop:
        this.#account.quiet();
        this.#speaks(reader.bareString ? DIALECT.bareUnits : DIALECT.objectUnits);
        return this.close('node said goodbye');
    }
  }

  #register(bytes: Uint8Array, start: number, end: number): void {
    const registration = readNodeRegistration(this.#context.reader);
    if (this.#state === 'registered') {
      const known = this.#registration!;
      if (known.nodeId === registration.nodeId && known.nodeName === registration.nodeName) {
        this.#account.quiet();
        return this.#write(
          registrationAck(known.nodeId, true, 'already registered', undefined, this.#lastSeq),
        );
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
    this.#numbered = this.#context.acks !== undefined && asksFor(this.#context.reader, EVENT_ACK);
    this.#undecided = {
      bytes: Buffer.from(bytes.subarray(start, Math.min(end, start + LIMITS.deadLetterFrameBytes))),
      sizeBytes: end - start,
    };
    this.#state = 'deciding';
    this.transport.pause();
    const { certificateNames } = this;
    const totpCode = readTotpCode(this.#context.reader);
    this.#context.post({
      type: 'register',
      session: this.number,
      registration,
      totpCode,
      certificateNames,
      isNumbered: this.#numbered,
    });
  }

  #anyEvent(kind: Kind, seq: number): void {
    const { counters } = this.#context;
    const { takenSeq } = this.#account;
    if (seq > takenSeq + 1) counters[SHARD.seq_missing]! += seq - takenSeq - 1;
    this.#speaks(EVENT_DIALECT[kind as keyof typeof EVENT_DIALECT]);
    this.#pass(kind, seq);
  }

  /** Core has it already. Its node may not know, so it is told again up to where all is on the disk. */
  #duplicate(): void {
    this.#context.counters[SHARD.duplicates]!++;
    this.#account.duplicate();
    this.#ackOwed = true;
    this.#context.acks!.owe();
  }

  /**
   * The frame that was refused is an event with a number. Where that is the next one it counts as taken, because the
   * frame is kept as a dead letter: its node is not to send it for ever. What was taken before is no news: it is
   * dropped, and the answer is -1. Else 0: above all for what is no JSON, because a frame that a broken connection
   * tore shows a number, too (or a part of one), and its node will send it again.
   */
  #refusedSeq(): number {
    const { reader } = this.#context;
    if (!this.#numbered || this.#state !== 'registered' || reader.message !== MESSAGE.PotEvent) return 0;
    if (reader.code === 'MESSAGE_PARSE_FAILED') return 0;
    if (reader.type(FIELD.node_id) === VALUE.absent) return 0;
    if (!isOfNode(reader, this.#digits)) return 0;
    const seq = eventSeq(reader);
    const { takenSeq } = this.#account;
    if (seq > 0 && seq <= takenSeq) {
      this.#duplicate();
      return -1;
    }
    return seq === takenSeq + 1 ? seq : 0;
  }

  get #lastSeq(): number | undefined {
    return this.#numbered ? this.#account.durableSeq : undefined;
  }

  /** Tells the node what is on the disk, if it does not know that yet. */
  acknowledge(): void {
    const { durableSeq } = this.#account;
    if (durableSeq === this.#ackedSeq && !this.#ackOwed) return;
    this.#ackedSeq = durableSeq;
    this.#ackOwed = false;
    this.#context.counters[SHARD.event_acks]!++;
    this.#write(eventAck(this.#registration!.nodeId, durableSeq));
  }

  #nodeEvent(): void {
    const { reader } = this.#context;
    // {"Error":{...}} does not tell: that is how the family that knows only bare strings writes what has fields.
    if (reader.bareString) this.#speaks(DIALECT.bareUnits);
    else if (reader.type(FIELD.type) !== VALUE.absent) this.#speaks(DIALECT.objectUnits);
    this.#pass(KIND.nodeEvent, 0);
  }

  #nodeStatusUpdate(): void {
    const status = this.#context.reader.string(FIELD.status) as NodeStatus;
    if (status === this.status) return this.#account.quiet();
    this.#pass(KIND.nodeStatusUpdate, 0);
    this.#report(status);
  }

  #potStatusUpdate(): void {
    const { reader } = this.#context;
    const potId = reader.string(FIELD.pot_id);
    const potType = reader.string(FIELD.pot_type);
    const message = reader.type(FIELD.text) === VALUE.string ? reader.string(FIELD.text) : null;
    const status = reader.string(FIELD.status) as PotStatus;
    this.#pass(KIND.potStatusUpdate, 0);
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

  #speaksAgain(): void {
    const status = this.#statusBeforeSilence!;
    this.#statusBeforeSilence = undefined;
    this.#report(status);
  }

  #report(status: NodeStatus): void {
    this.status = status;
    this.#context.post({ type: 'status', session: this.number, status });
  }

  /** Passes on the record that the frame becomes; most as they came. */
  #pass(kind: Kind, seq: number): void {
    const { output, reader, counters } = this.#context;
    const { row } = this.#account;
    const event = isEvent(kind);
    const terms = { nodeId: this.#registration!.nodeId, potTypes: this.#potTypes, nowMs: output.nowMs, seq };
    const text = recordOf(reader, kind, terms);
    if (text !== undefined) output.record(text, row, event, seq);
    else output.frame(reader.bytes, reader.frameStart, reader.frameEnd, row, event, seq);
    if (event) counters[SHARD.events]!++;
    this.#account.record(event, seq);
  }

  #countFrame(): void {
    this.#context.counters[SHARD.frames]!++;
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
  #refuse(code: ErrorCode, reason: string, bytes: Uint8Array, start: number, end: number, seq = 0): void {
    this.#deadLetter(code, reason, bytes.subarray(start, end), end - start, seq);
    this.#countRefused(code, seq);
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

  #deadLetter(code: ErrorCode, reason: string, bytes: Uint8Array, sizeBytes: number, seq = 0): void {
    const kept = bytes.subarray(0, LIMITS.deadLetterFrameBytes);
    const masked = maskCodes(kept);
    const refused = {
      code,
      reason,
      nodeId: this.#registration?.nodeId,
      nodeName: this.#registration?.nodeName,
      serial: this.#serial,
      seq,
      remote: this.remote,
      bytes: masked,
      sizeBytes,
      masked: masked !== kept,
    };
    this.#context.output.deadLetter(refused, this.#account.row);
  }

  #countRefused(code: ErrorCode, seq = 0): void {
    const index = errorIndex(code);
    this.#context.counters[SHARD[`refused_${ERROR_CODES[index]!}`]]!++;
    this.#account.refused(index, seq);
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
      output.notice(nodeDisconnected(nodeId, nodeName, this.#serial, status, reason, Date.now()));
      this.#count(SESSION.announced, 0);
    }
    this.#context.acks?.remove(this);
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
