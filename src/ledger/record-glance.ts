/**
 * Whose a record of the log is, and its number: for the recount after a crash, so it must not cost more than a look at the
 * first fields of an event. Only for records of the log, which are valid and hold no field twice; what is written in another
 * way than most nodes do is for the full reader. Runs in the aggregator, at its start.
 *
 *   {"version":2,"message":{"PotEvent":{"node_id":7,"seq":12,...
 */

import { CLOSE_BRACE, COLON, COMMA, QUOTE } from '../protocol/ascii.js';
import { eventSeq } from '../protocol/event-seq.js';
import { idFieldOf, MESSAGE, VALUE } from '../protocol/fields.js';
import { FrameReader } from '../protocol/frame-reader.js';
import {
  isEqual,
  NODE_DISCONNECTED_START,
  NODE_REGISTERED_START,
  POT_EVENT_START,
  plainStringEnd,
  startsWith,
} from '../protocol/record-bytes.js';

const NODE_ID = Buffer.from('node_id');
const SEQ = Buffer.from('seq');
const NOWHERE = -1;
const UNKNOWN = -2;
const ZERO = 0x30;

/** What a record is. `other` names its node, if idEnd > idStart. */
export const RECORD = { event: 0, other: 1, registered: 2, disconnected: 3 } as const;

export class RecordGlance {
  /** Of the last record: the digits of its node's id. */
  idStart = 0;
  idEnd = 0;
  readonly #reader = new FrameReader();
  #bytes: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;
  /** The full reader has seen it. */
  #isRead = false;
  #valueEnd = 0;

  read(bytes: Uint8Array, start: number, end: number): number {
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
    this.#isRead = false;
    if (startsWith(bytes, start, end, POT_EVENT_START)) {
      const at = this.#find(NODE_ID);
      if (at >= 0) {
        this.idStart = at;
        this.idEnd = this.#valueEnd;
        return RECORD.event;
      }
    } else if (startsWith(bytes, start, end, NODE_REGISTERED_START)) {
      this.#digits(start + NODE_REGISTERED_START.length);
      return RECORD.registered;
    } else if (startsWith(bytes, start, end, NODE_DISCONNECTED_START)) {
      this.#digits(start + NODE_DISCONNECTED_START.length);
      return RECORD.disconnected;
    }
    return this.#readWhole();
  }

  /** Of an event: its number, 0 where it has none. */
  seq(): number {
    if (!this.#isRead) {
      const at = this.#find(SEQ);
      if (at === NOWHERE) return 0;
      if (at >= 0) return this.#number(at);
      this.#readWhole();
    }
    return Math.max(0, eventSeq(this.#reader));
  }

  #readWhole(): number {
    const reader = this.#reader;
    reader.read(this.#bytes, this.#start, this.#end, true);
    this.#isRead = true;
    const idField = idFieldOf(reader.message);
    const named = reader.type(idField) === VALUE.number;
    this.idStart = named ? reader.start(idField) : 0;
    this.idEnd = named ? reader.end(idField) : 0;
    return reader.message === MESSAGE.PotEvent ? RECORD.event : RECORD.other;
  }

  #digits(at: number): void {
    this.idStart = at;
    while (at < this.#end && isDigit(this.#bytes[at]!)) at++;
    this.idEnd = at;
  }

  #number(at: number): number {
    let value = 0;
    for (; at < this.#valueEnd; at++) value = value * 10 + (this.#bytes[at]! - ZERO);
    return Number.isSafeInteger(value) ? value : 0;
  }

  /** The value of a field of the event that is a number; NOWHERE: it has none; UNKNOWN: the full reader is to be asked. */
  #find(name: Uint8Array): number {
    const bytes = this.#bytes;
    const end = this.#end;
    let at = this.#start + POT_EVENT_START.length;
    for (;;) {
      if (bytes[at] !== QUOTE) return UNKNOWN;
      const keyStart = at + 1;
      const keyEnd = plainStringEnd(bytes, keyStart, end);
      if (keyEnd < 0 || bytes[keyEnd + 1] !== COLON) return UNKNOWN;
      at = keyEnd + 2;
      const valueStart = at;
      if (bytes[at] === QUOTE) {
        at = plainStringEnd(bytes, at + 1, end) + 1;
        if (at === 0) return UNKNOWN;
      } else {
        while (at < end && isDigit(bytes[at]!)) at++;
        if (at === valueStart) return UNKNOWN;
        if (isEqual(bytes, keyStart, keyEnd, name)) {
          if (bytes[at] !== COMMA && bytes[at] !== CLOSE_BRACE) return UNKNOWN;
          this.#valueEnd = at;
          return valueStart;
        }
      }
      if (bytes[at] === CLOSE_BRACE) return NOWHERE;
      if (bytes[at] !== COMMA) return UNKNOWN;
      at++;
    }
  }
}

function isDigit(c: number): boolean {
  return c >= ZERO && c <= ZERO + 9;
}
