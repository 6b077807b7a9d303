/**
 * The reference for what a good frame is. Reads one frame, checks that it is JSON (RFC 8259) in UTF-8, finds the
 * fields of Protocol v2 in it and hands them to the grammar of its message. Used for everything the fast scanner
 * passes on, and as its twin in portable mode.
 *
 * Runs in the shards. It never throws for input, allocates nothing for a good documented event, and keeps no bytes:
 * offsets are valid until the caller's buffer changes.
 *
 *   frame:    ws object ws                       {"version":2,"message":M}, and perhaps a "node_id"
 *   message:  "NodeDrop" | { name: body }        exactly one name
 *
 * What is judged first is answered first: UTF-8 and JSON, object, nesting, repeated fields, version, message, fields.
 * A field of the protocol that stands twice is refused: parsers disagree which one counts, and an id that reads
 * differently here and at a consumer would be a way to speak for another node. For the same reason a `node_id` in the
 * envelope has to be an id, and that of the message where this names its node.
 */
import { isUtf8 } from 'node:buffer';
import type { ErrorCode } from '../errors.js';
import { LIMITS } from '../limits.js';
import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  LETTER_F,
  LETTER_N,
  LETTER_T,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from './ascii.js';
import {
  FIELD,
  FIELD_COUNT,
  FIRST_AGREED_FIELD,
  type Field,
  fieldName,
  MESSAGE,
  type Message,
  messageName,
  nameNumber,
  SCOPE,
  VALUE,
} from './fields.js';
import { scalarEnd, skipSpace, stringEnd } from './json-skip.js';
import { checkNodeDrop } from './node-drop.js';
import { checkNodeEvent } from './node-event.js';
import { isNodeId } from './node-id.js';
import { checkNodeRegistration } from './node-registration.js';
import { checkNodeStatusUpdate } from './node-status-update.js';
import { checkPotEvent } from './pot-event.js';
import { checkPotStatusUpdate } from './pot-status-update.js';

/** What a frame is. `compiledPotEvent` and `legacyPotEvent` are the two other shapes events come in. */
export const KIND = {
  refused: 0,
  potEvent: 1,
  compiledPotEvent: 2,
  legacyPotEvent: 3,
  nodeRegistration: 4,
  nodeStatusUpdate: 5,
  potStatusUpdate: 6,
  nodeEvent: 7,
  nodeDrop: 8,
} as const;

export type Kind = (typeof KIND)[keyof typeof KIND];

/** A bit per nesting level says whether it is an object; enough for the deepest JSON a frame can hold. */
const LEVEL_WORDS = (LIMITS.frameBytesMax + LIMITS.recordGrowthBytes) / 32 + 1;

/** Levels of nesting at which fields of the protocol are found, and their values end; 0 is not used. */
const OUTER_LEVELS = 5;

export class FrameReader {
  /** Of the last frame: set by read(). */
  bytes: Uint8Array = new Uint8Array(0);
  message: Message = MESSAGE.unknown;
  /** Where the outermost object starts and where the byte behind it stands. */
  frameStart = 0;
  frameEnd = 0;
  /** The node spelt something that has no fields as a bare string (`"NodeDrop"`, `"Started"`). */
  bareString = false;
  /** Keys in the body of the message, those that stand twice counted twice. */
  bodyKeys = 0;
  /** Of a refused frame. */
  code: ErrorCode = 'MESSAGE_PARSE_FAILED';
  reason = '';

  readonly #types = new Uint8Array(FIELD_COUNT);
  readonly #starts = new Int32Array(FIELD_COUNT);
  readonly #ends = new Int32Array(FIELD_COUNT);
  readonly #levels = new Int32Array(LEVEL_WORDS);
  /** For the outer levels: which scope the object is, and which field the container is the value of. The values of a
   *  body's fields are the fourth level. */
  readonly #scopes = new Uint8Array(OUTER_LEVELS);
  readonly #containers = new Uint8Array(OUTER_LEVELS);
  #deepest = 0;
  #messageKeys = 0;
  #repeated: Field = FIELD.none;
  /** A bit for each of the agreed fields that stands twice. */
  #repeatedAgreed = 0;
  #errorAt = 0;

  /**
   * Judges the frame in bytes[start, end). `utf8` says that the caller has checked the encoding already.
   * Returns what it is; for `refused`, `code` and `reason` say why.
   */
  read(bytes: Uint8Array, start: number, end: number, utf8 = false): Kind {
    this.bytes = bytes;
    this.message = MESSAGE.unknown;
    this.bareString = false;
    this.bodyKeys = 0;
    this.#types.fill(VALUE.absent);
    this.#deepest = 0;
    this.#messageKeys = 0;
    this.#repeated = FIELD.none;
    this.#repeatedAgreed = 0;
    this.frameStart = skipSpace(bytes, start, end);
    this.frameEnd = end;
    if (!utf8 && !isUtf8(bytes.subarray(start, end))) return this.refuse('MESSAGE_PARSE_FAILED', 'not UTF-8');
    if (this.frameStart === end) return this.refuse('MESSAGE_PARSE_FAILED', 'empty');
    // Frames of nodes are measured before. Records are read here, too.
    if (end - this.frameStart > LIMITS.frameBytesMax + LIMITS.recordGrowthBytes)
      return this.refuse('INVALID_MESSAGE_FORMAT', 'too large');
    const valueEnd = this.#walk(this.frameStart, end);
    if (valueEnd < 0)
      return this.refuse('MESSAGE_PARSE_FAILED', `not JSON at byte ${this.#errorAt - this.frameStart}`);
    if (skipSpace(bytes, valueEnd, end) !== end) {
      return this.refuse(
        'MESSAGE_PARSE_FAILED',
        `more behind the object at byte ${valueEnd - this.frameStart}`,
      );
    }
    this.frameEnd = valueEnd;
    return this.#judge();
  }

  type(field: Field): number {
    return this.#types[field]!;
  }

  start(field: Field): number {
    return this.#starts[field]!;
  }

  end(field: Field): number {
    return this.#ends[field]!;
  }

  /** Does it stand twice? Of fields that only count where they were agreed on; for all others the frame is refused. */
  isRepeated(field: Field): boolean {
    return (this.#repeatedAgreed & (1 << (field - FIRST_AGREED_FIELD))) !== 0;
  }

  /** The JSON text of a field. */
  raw(field: Field): string {
    return this.#text(this.start(field), this.end(field));
  }

  /** The value of a string field, escapes resolved. */
  string(field: Field): string {
    const start = this.start(field);
    const end = this.end(field);
    for (let i = start; i < end; i++) {
      if (this.bytes[i] === BACKSLASH) return JSON.parse(this.#text(start, end)) as string;
    }
    return this.#text(start + 1, end - 1);
  }

  refuse(code: ErrorCode, reason: string): typeof KIND.refused {
    this.code = code;
    this.reason = reason;
    return KIND.refused;
  }

  /** For grammars: is the field a string? Refuses the frame otherwise. */
  needString(field: Field): boolean {
    return this.#need(field, VALUE.string, 'a string');
  }

  needObject(field: Field): boolean {
    return this.#need(field, VALUE.object, 'an object');
  }

  needNumber(field: Field): boolean {
    return this.#need(field, VALUE.number, 'a number');
  }

  /** For grammars: is `node_id` a u64, and the same as that of the envelope, if there is one? */
  needNodeId(): boolean {
    if (!this.needNumber(FIELD.node_id)) return false;
    if (!this.#isId(FIELD.node_id)) {
      this.refuse('INVALID_NODE_ID', 'node_id is not an integer from 1 to 18446744073709551615');
      return false;
    }
    if (this.#types[FIELD.envelope_node_id] === VALUE.absent) return true;
    if (this.holds(FIELD.envelope_node_id, this.bytes, this.start(FIELD.node_id), this.end(FIELD.node_id)))
      return true;
    this.refuse('INVALID_NODE_ID', 'node_id of the envelope is not that of the message');
    return false;
  }

  /** Is the JSON text of the field the one in bytes[start, end)? */
  holds(field: Field, bytes: Uint8Array, start: number, end: number): boolean {
    const from = this.start(field);
    if (this.end(field) - from !== end - start) return false;
    for (let i = 0; i < end - start; i++) if (this.bytes[from + i] !== bytes[start + i]) return false;
    return true;
  }

  #isId(field: Field): boolean {
    return isNodeId(this.bytes, this.start(field), this.end(field));
  }

  /** Refuses the frame because of a field of its message. */
  refuseField(field: Field, problem: string): typeof KIND.refused {
    return this.refuse(
      'INVALID_MESSAGE_FORMAT',
      `${messageName(this.message)}.${fieldName(field)} ${problem}`,
    );
  }

  #need(field: Field, type: number, what: string): boolean {
    const found = this.#types[field];
    if (found === type) return true;
    this.refuseField(field, found === VALUE.absent ? 'is missing' : `is not ${what}`);
    return false;
  }

  #text(start: number, end: number): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, end - start).toString('utf8');
  }

  #judge(): Kind {
    const types = this.#types;
    if (this.bytes[this.frameStart] !== OPEN_BRACE)
      return this.refuse('INVALID_MESSAGE_FORMAT', 'the frame is not an object');
    if (this.#deepest > LIMITS.nestingDepth) {
      return this.refuse('INVALID_MESSAGE_FORMAT', `nested deeper than ${LIMITS.nestingDepth} levels`);
    }
    if (this.#repeated !== FIELD.none) {
      return this.refuse('INVALID_MESSAGE_FORMAT', `${fieldName(this.#repeated)} stands twice`);
    }
    if (types[FIELD.version] === VALUE.absent)
      return this.refuse('INVALID_MESSAGE_FORMAT', 'version is missing');
    if (types[FIELD.version] !== VALUE.number)
      return this.refuse('INVALID_MESSAGE_FORMAT', 'version is not a number');
    if (Number(this.raw(FIELD.version)) !== 2) {
      return this.refuse(
        'PROTOCOL_VERSION_MISMATCH',
        `version is ${this.raw(FIELD.version).slice(0, 24)}, Core speaks 2`,
      );
    }
    if (types[FIELD.envelope_node_id] !== VALUE.absent && !this.#envelopeIdIsRight()) return KIND.refused;
    switch (types[FIELD.message]) {
      case VALUE.absent:
        return this.refuse('INVALID_MESSAGE_FORMAT', 'message is missing');
      case VALUE.string:
        if (this.string(FIELD.message) !== 'NodeDrop') {
          return this.refuse('INVALID_MESSAGE_FORMAT', 'message is a string, but not "NodeDrop"');
        }
        this.message = MESSAGE.NodeDrop;
        this.bareString = true;
        return KIND.nodeDrop;
      case VALUE.object:
        break;
      default:
        return this.refuse('INVALID_MESSAGE_FORMAT', 'message is not an object');
    }
    if (this.#messageKeys !== 1) {
      return this.refuse('INVALID_MESSAGE_FORMAT', `message holds ${this.#messageKeys} names instead of one`);
    }
    switch (this.message) {
      case MESSAGE.PotEvent:
        return checkPotEvent(this);
      case MESSAGE.NodeStatusUpdate:
        return checkNodeStatusUpdate(this);
      case MESSAGE.PotStatusUpdate:
        return checkPotStatusUpdate(this);
      case MESSAGE.NodeEvent:
        return checkNodeEvent(this);
      case MESSAGE.NodeRegistration:
        return checkNodeRegistration(this);
      case MESSAGE.NodeDrop:
        return checkNodeDrop(this);
      case MESSAGE.unknown:
        return this.refuse('INVALID_MESSAGE_FORMAT', 'unknown message type');
    }
  }

  #envelopeIdIsRight(): boolean {
    if (this.#types[FIELD.envelope_node_id] !== VALUE.number) {
      this.refuse('INVALID_MESSAGE_FORMAT', 'node_id of the envelope is not a number');
      return false;
    }
    if (this.#isId(FIELD.envelope_node_id)) return true;
    this.refuse(
      'INVALID_NODE_ID',
      'node_id of the envelope is not an integer from 1 to 18446744073709551615',
    );
    return false;
  }

  #fail(at: number): -1 {
    this.#errorAt = at;
    return -1;
  }

  /** Walks the value at `start`; the offset behind it, or -1 where it is not JSON. One loop, no recursion: nesting is
   *  the sender's choice. */
  #walk(start: number, end: number): number {
    const bytes = this.bytes;
    const levels = this.#levels;
    const types = this.#types;
    let at = start;
    let depth = 0;
    let field: number = FIELD.none;
    let inObject = false;
    for (;;) {
      // A value starts here; `field` says whose it is. All of it is passed, or its opening bracket.
      at = skipSpace(bytes, at, end);
      if (at >= end) return this.#fail(at);
      const first = bytes[at]!;
      let opened = false;
      if (first === OPEN_BRACE || first === OPEN_BRACKET) {
        inObject = first === OPEN_BRACE;
        if (field !== FIELD.none) {
          types[field] = inObject ? VALUE.object : VALUE.array;
          this.#starts[field] = at;
        }
        depth++;
        if (depth > this.#deepest) this.#deepest = depth;
        if (inObject) levels[depth >> 5]! |= 1 << (depth & 31);
        else levels[depth >> 5]! &= ~(1 << (depth & 31));
        if (depth < OUTER_LEVELS) {
          this.#containers[depth] = field;
          this.#scopes[depth] = inObject ? scopeOf(depth, field) : SCOPE.other;
        }
        at++;
        opened = true;
      } else {
        const valueEnd = scalarEnd(bytes, at, end);
        if (valueEnd < 0) return this.#fail(at);
        if (field !== FIELD.none) {
          types[field] = scalarType(first);
          this.#starts[field] = at;
          this.#ends[field] = valueEnd;
        }
        at = valueEnd;
        if (depth === 0) return at;
      }
      // What follows closes containers, or leads to the next value.
      for (;;) {
        at = skipSpace(bytes, at, end);
        if (at >= end) return this.#fail(at);
        const next = bytes[at];
        if (next !== (inObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
          if (opened) break;
          if (next !== COMMA) return this.#fail(at);
          at++;
          break;
        }
        at++;
        if (depth < OUTER_LEVELS) {
          const owner = this.#containers[depth]!;
          if (owner !== FIELD.none) this.#ends[owner] = at;
        }
        depth--;
        if (depth === 0) return at;
        inObject = (levels[depth >> 5]! & (1 << (depth & 31))) !== 0;
        opened = false;
      }
      field = FIELD.none;
      if (inObject) {
        at = this.#key(skipSpace(bytes, at, end), end, depth);
        if (at < 0) return -1;
        field = this.#keyField;
      }
    }
  }

  #keyField: number = FIELD.none;

  /** Reads `"key":` at `at`; the offset behind the colon, or -1. Leaves the field it names in #keyField. */
  #key(at: number, end: number, depth: number): number {
    const bytes = this.bytes;
    if (at >= end || bytes[at] !== QUOTE) return this.#fail(at);
    const keyEnd = stringEnd(bytes, at, end);
    if (keyEnd < 0) return this.#fail(at);
    const colon = skipSpace(bytes, keyEnd, end);
    if (colon >= end || bytes[colon] !== COLON) return this.#fail(colon);
    this.#keyField =
      depth < OUTER_LEVELS && this.#scopes[depth] !== SCOPE.other
        ? this.#named(depth, at, keyEnd)
        : FIELD.none;
    return colon + 1;
  }

  #named(depth: number, start: number, end: number): number {
    const scope = this.#scopes[depth]!;
    let number: number;
    if (hasBackslash(this.bytes, start, end)) {
      const name = Buffer.from(JSON.parse(this.#text(start, end)) as string, 'utf8');
      number = nameNumber(scope, name, 0, name.length);
    } else {
      number = nameNumber(scope, this.bytes, start + 1, end - 1);
    }
    if (scope === SCOPE.message) {
      this.#messageKeys++;
      this.message = number as Message;
      return FIELD.body;
    }
    if (scope === SCOPE.body) this.bodyKeys++;
    if (number !== FIELD.none && this.#types[number] !== VALUE.absent) {
      if (number >= FIRST_AGREED_FIELD) this.#repeatedAgreed |= 1 << (number - FIRST_AGREED_FIELD);
      else this.#repeated = number as Field;
    }
    return number;
  }
}

function scopeOf(depth: number, field: number): number {
  if (depth === 1) return SCOPE.envelope;
  if (depth === 2 && field === FIELD.message) return SCOPE.message;
  if (depth === 3 && field === FIELD.body) return SCOPE.body;
  return SCOPE.other;
}

/** What a value is that starts with this byte, and is neither object nor array. */
function scalarType(first: number): number {
  if (first === QUOTE) return VALUE.string;
  if (first === LETTER_N) return VALUE.null;
  return first === LETTER_T || first === LETTER_F ? VALUE.boolean : VALUE.number;
}

function hasBackslash(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === BACKSLASH) return true;
  return false;
}
