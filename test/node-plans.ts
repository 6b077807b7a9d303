/**
 * Plans for nodes that behave badly: seeded bytes in one of the three framing habits, good frames between malformed,
 * foreign, torn and oversized ones, and for each plan what must come of it: the records in their order, and every
 * refused frame with its code.
 */
import type { Random } from '../bench/random.js';
import {
  frame,
  type NodeIdentity,
  nodeEventOf,
  potEvent,
  potStatus,
  registration,
  statusUpdate,
} from './node-frames.js';

export type Habit = 'lines' | 'objects' | 'pretty';

export interface ExpectedRefusal {
  readonly code: string;
  readonly bytes: Buffer;
  /** The session had registered by then. */
  readonly registered: boolean;
}

export interface NodePlan {
  readonly identity: NodeIdentity;
  readonly habit: Habit;
  /** What is written, in this order; each piece by itself. */
  readonly pieces: Buffer[];
  /** Index of a piece that is not sent before the registration was acknowledged; none: everything is pipelined. */
  readonly waitsAt: number | undefined;
  /** Lines of the log, without Core's notices. */
  readonly records: string[];
  readonly refused: ExpectedRefusal[];
  readonly events: number;
  /** Good frames that become no record: the registration, repeated heartbeats, the goodbye. */
  readonly silentFrames: number;
  readonly saysGoodbye: boolean;
  /** Core may end the connection in the middle of the last frame, so not every byte of it is read. */
  readonly isCutOff: boolean;
}

const POT_STATUSES = ['Installing', 'Running', 'Stopped', 'Failed'];
const NODE_STATUSES = ['Deploying', 'Running', 'Failed'];
const TEXTS = ['root', 'p\\"w{d}', 'caf\u00e9', '\u{1f41d}\u4e16\u754c', '\\u0000\\ud83d\\udc1d', '}{][', ''];

export class PlanMaker {
  readonly #random: Random;
  readonly #maxFrameBytes: number;
  readonly #habit: Habit;
  readonly #identity: NodeIdentity;
  /** Bytes that are cut into pieces at will; null between them is where a piece must end. */
  #bytes: Buffer[] = [];
  readonly #pieces: Buffer[] = [];
  readonly #records: string[] = [];
  readonly #refused: ExpectedRefusal[] = [];
  #registered = false;
  #status = 'Connected';
  #events = 0;
  #silentFrames = 0;
  #isCutOff = false;
  #saysGoodbye = false;

  static make(random: Random, at: number, maxFrameBytes: number, frameCount: number): NodePlan {
    return new PlanMaker(random, at, maxFrameBytes).#make(frameCount);
  }

  private constructor(random: Random, at: number, maxFrameBytes: number) {
    this.#random = random;
    this.#maxFrameBytes = maxFrameBytes;
    this.#habit = (['lines', 'objects', 'pretty'] as const)[at % 3]!;
    // The low digits keep ids apart whatever is drawn for the high ones.
    const id = (random.u64() / 10_000n) * 10_000n + BigInt(at) + 1n;
    this.#identity = { id, name: `${this.#habit} ${at}` };
  }

  #make(frameCount: number): NodePlan {
    const random = this.#random;
    if (random.below(5) === 0) this.#beforeRegistration();
    this.#add(registration(this.#identity));
    this.#registered = true;
    this.#silentFrames++;
    const waits = random.below(3) === 0;
    if (waits) this.#cut();
    const waitsAt = waits ? this.#pieces.length : undefined;
    for (let count = 0; count < frameCount; count++) {
      if (random.below(4) === 0) this.#bad();
      else this.#good();
    }
    this.#end();
    this.#cut();
    return {
      identity: this.#identity,
      habit: this.#habit,
      pieces: this.#pieces,
      waitsAt,
      records: this.#records,
      refused: this.#refused,
      events: this.#events,
      silentFrames: this.#silentFrames,
      saysGoodbye: this.#saysGoodbye,
      isCutOff: this.#isCutOff,
    };
  }

  /** Up to four frames that nobody may send yet. Junk is one piece: only a newline or a brace ends it. */
  #beforeRegistration(): void {
    for (let count = this.#random.between(1, 4); count > 0; count--) {
      if (this.#random.below(2) === 0) {
        this.#cut();
        const junk = `junk of ${this.#identity.id} \u00e9`;
        this.#refuse('MESSAGE_PARSE_FAILED', Buffer.from(junk));
        this.#pieces.push(Buffer.from(`${junk}\n`));
      } else {
        this.#refuseText('NODE_NOT_FOUND', potEvent(this.#identity.id, '{"too":"early"}'), '');
      }
    }
  }

  #good(): void {
    const { id } = this.#identity;
    const random = this.#random;
    switch (random.below(12)) {
      case 0:
        return this.#record(
          potStatus(id, `pot${random.below(3)}`, 'cowrie', random.pick(POT_STATUSES), 'm {'),
        );
      case 1: {
        const status = random.pick(NODE_STATUSES);
        const text = statusUpdate(id, status);
        if (status !== this.#status) return this.#record(text, () => (this.#status = status));
        this.#silentFrames++;
        return this.#add(text);
      }
      case 2:
        return this.#nodeEvent();
      case 3:
        // Longer than the room that the shard has for what is torn.
        if (random.below(8) === 0) return this.#event(random.between(66_000, this.#maxFrameBytes - 400));
        return this.#event(random.between(2_000, 30_000));
      default:
        return this.#event(random.below(300));
    }
  }

  /** Core says whose it is. The node itself may have done that, at the end of its frame: then it stays as it is. */
  #nodeEvent(): void {
    const { id } = this.#identity;
    const text = frame('NodeEvent', `{"type":"Alarm","description":"of node ${id}"}`);
    if (this.#random.below(4) === 0) return this.#record(`${text.slice(0, -1)},"node_id":${id}}`);
    this.#records.push(`{"node_id":${id},${this.#onOneLine(text).slice(1)}`);
    this.#add(text);
  }

  #event(fillerBytes: number): void {
    const text = this.#random.pick(TEXTS);
    this.#events++;
    this.#record(
      potEvent(
        this.#identity.id,
        `{"n":${this.#events},"text":"${text}","list":[1,{"a":{}}],"filler":"${'f'.repeat(fillerBytes)}"}`,
      ),
    );
  }

  #bad(): void {
    const { id } = this.#identity;
    const event = potEvent(id, `{"text":"${this.#random.pick(TEXTS)}"}`);
    switch (this.#random.below(this.#habit === 'lines' ? 11 : 9)) {
      case 0:
        return this.#refuseText('PROTOCOL_VERSION_MISMATCH', event.replace('"version":2', '"version":3'));
      case 1:
        return this.#refuseText(
          'INVALID_NODE_ID',
          this.#random.below(2) === 0 ? potEvent(id ^ 1n, '{}') : nodeEventOf(id ^ 1n, '"Started"'),
        );
      case 2:
        return this.#refuseText('INVALID_NODE_ID', statusUpdate(0n, 'Running'));
      case 3:
        return this.#refuseText('INVALID_MESSAGE_FORMAT', event.replace('"event_type":"login_attempt",', ''));
      case 4:
        return this.#refuseText('INVALID_MESSAGE_FORMAT', frame('Gossip', '{}'));
      case 5:
        return this.#refuseText('MESSAGE_PARSE_FAILED', event.replace('"data":', '"data"'));
      case 6:
        return this.#refuseBytes(
          'MESSAGE_PARSE_FAILED',
          Buffer.from(event.replace('cowrie-1', '\u00ff'), 'latin1'),
        );
      case 7: {
        // Torn inside a string: a newline cannot stand there, so it ends what was begun in every habit.
        const torn = Buffer.from(event.slice(0, event.indexOf('login') + 2));
        this.#refuse('MESSAGE_PARSE_FAILED', torn);
        this.#bytes.push(torn, Buffer.from('\n'));
        return;
      }
      case 8:
        return this.#refuseText('INVALID_MESSAGE_FORMAT', event.replace('2026-11-20T', '2026-11-20X'));
      case 9:
        return this.#refuseText('MESSAGE_PARSE_FAILED', event.slice(0, -2));
      default:
        return this.#refuseText('MESSAGE_PARSE_FAILED', 'GET / HTTP/1.1');
    }
  }

  /** How the node leaves: closing, saying goodbye, in the middle of a frame, without a last newline, too large. */
  #end(): void {
    const { id } = this.#identity;
    switch (this.#random.below(5)) {
      case 0:
        this.#saysGoodbye = true;
        this.#silentFrames++;
        return this.#add('{"version":2,"message":"NodeDrop"}');
      case 1:
        return this.#refuseText('MESSAGE_PARSE_FAILED', potEvent(id, '{"torn":true}').slice(0, -4), '');
      case 2: {
        const last = potEvent(id, '{"last":true}');
        this.#events++;
        return this.#record(last, undefined, '');
      }
      case 3: {
        if (this.#random.below(10) > 0) return;
        this.#isCutOff = this.#habit !== 'lines';
        const text = potEvent(id, `{"x":"${'x'.repeat(this.#maxFrameBytes)}"}`);
        return this.#refuseText('INVALID_MESSAGE_FORMAT', text);
      }
      default:
    }
  }

  #record(text: string, then?: () => void, end?: string): void {
    this.#records.push(this.#onOneLine(text));
    this.#add(text, end);
    then?.();
  }

  #onOneLine(text: string): string {
    return this.#habit === 'pretty' ? spread(text).replaceAll('\n', '') : text;
  }

  #refuseText(code: string, text: string, end?: string): void {
    this.#refuseBytes(code, Buffer.from(text), end);
  }

  #refuseBytes(code: string, bytes: Buffer, end?: string): void {
    this.#refuse(
      code,
      this.#habit === 'pretty' ? Buffer.from(spread(bytes.toString('latin1')), 'latin1') : bytes,
    );
    this.#addBytes(bytes, end);
  }

  #refuse(code: string, bytes: Buffer): void {
    this.#refused.push({ code, bytes, registered: this.#registered });
  }

  #add(text: string, end?: string): void {
    this.#addBytes(Buffer.from(text), end);
  }

  #addBytes(bytes: Buffer, end?: string): void {
    switch (this.#habit) {
      case 'lines':
        this.#bytes.push(bytes, Buffer.from(end ?? this.#random.pick(['\n', '\n', '\r\n', '\n\n'])));
        break;
      case 'objects':
        this.#bytes.push(bytes, Buffer.from(end ?? this.#random.pick(['', '', '', ' '])));
        break;
      case 'pretty':
        this.#bytes.push(Buffer.from(spread(bytes.toString('latin1')), 'latin1'));
        this.#bytes.push(Buffer.from(end ?? this.#random.pick(['\n', '\n', '', '\n\n'])));
        break;
    }
  }

  /** Cuts what was collected at random places; now and then byte by byte. */
  #cut(): void {
    const bytes = Buffer.concat(this.#bytes);
    this.#bytes = [];
    const bytewise = this.#random.below(25) === 0 ? Math.min(bytes.length, 700) : 0;
    let at = 0;
    while (at < bytes.length) {
      const length = at < bytewise ? 1 : this.#random.between(1, this.#random.pick([10, 400, 400, 9_000]));
      this.#pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
  }
}

/** The same JSON over several lines: newlines and blanks behind brackets and commas that stand outside of strings. */
function spread(text: string): string {
  let out = '';
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const c = text[at]!;
    out += c;
    if (inString) {
      if (c === '\\') out += text[++at] ?? '';
      else if (c === '"') inString = false;
    } else if (c === '"') {
      inString = true;
    } else if (c === '{' || c === ',' || c === '[') {
      out += '\n  ';
    }
  }
  return out;
}
