/**
 * The twin's short cut. Events of one node are alike: between the values of the documented fields stand the same
 * bytes, event after event. A shape remembers those bytes from an event that the reader has judged good, and knows
 * another one by comparing them and checking only the values between:
 *
 *   {"version":2,"message":{"PotEvent":{"node_id":N,"pot_id":  S  ,"pot_type":  S  ... ,"data":  O  }}}
 *   ^--------------------- literal ------------------------^ value ^- literal --^ value ...       ^-literal-^
 *
 * That is sound because a JSON text stays one when a value in it is replaced by another value of the same type, and
 * the literals hold everything else the reader looks at: version, names, node id. What does not match is no
 * judgement; the line goes to the reader. Where events are numbered, `seq` is one more such value.
 */
import { LIMITS } from '../limits.js';
import { FIELD, type Field } from '../protocol/fields.js';
import type { FrameReader } from '../protocol/frame-reader.js';
import { objectEnd, stringEnd } from '../protocol/json-skip.js';
import { isTimestamp } from '../protocol/timestamp.js';

const VALUES: readonly Field[] = [
  FIELD.pot_id,
  FIELD.pot_type,
  FIELD.event_type,
  FIELD.timestamp,
  FIELD.data,
];

const NUMBERED_VALUES: readonly Field[] = [...VALUES, FIELD.seq];

const ZERO = 0x30;
/** `data` lies in the envelope, `message` and the body. */
const DATA_DEPTH = 3;

export class EventShape {
  /** All literals behind each other, and where each ends. */
  #literals = new Uint8Array(0);
  readonly #ends = new Int32Array(NUMBERED_VALUES.length + 1);
  /** The field of the value behind each literal. */
  readonly #fields = new Uint8Array(NUMBERED_VALUES.length);
  #values = VALUES.length;
  #known = false;

  /** Remembers the shape of the event that `frame` has just judged to be a documented one with all its fields. */
  learn(frame: FrameReader, numbered: boolean): void {
    const fields = [...(numbered ? NUMBERED_VALUES : VALUES)].sort((a, b) => frame.start(a) - frame.start(b));
    const parts: Uint8Array[] = [];
    let at = frame.frameStart;
    let length = 0;
    fields.forEach((field, i) => {
      parts.push(frame.bytes.slice(at, frame.start(field)));
      length += frame.start(field) - at;
      this.#ends[i] = length;
      this.#fields[i] = field;
      at = frame.end(field);
    });
    parts.push(frame.bytes.slice(at, frame.frameEnd));
    this.#values = fields.length;
    this.#ends[fields.length] = length + frame.frameEnd - at;
    this.#literals = new Uint8Array(Buffer.concat(parts));
    this.#known = true;
  }

  forget(): void {
    this.#known = false;
  }

  /** Is bytes[start, end) an event of this shape, and nothing else? The bytes are known to be UTF-8. `seq`: the number that
   *  it has to have, if they are numbered. */
  matches(bytes: Uint8Array, start: number, end: number, seq: number): boolean {
    if (!this.#known) return false;
    const literals = this.#literals;
    const ends = this.#ends;
    let at = start;
    let literal = 0;
    for (let part = 0; ; part++) {
      const shift = at - literal;
      for (const literalEnd = ends[part]!; literal < literalEnd; literal++) {
        if (literals[literal] !== bytes[shift + literal]) return false;
      }
      at = shift + literal;
      if (part === this.#values) return at === end;
      const field = this.#fields[part];
      const valueEnd =
        field === FIELD.data
          ? objectEnd(bytes, at, end, LIMITS.nestingDepth - DATA_DEPTH)
          : field === FIELD.seq
            ? seqEnd(bytes, at, end, seq)
            : stringEnd(bytes, at, end);
      if (valueEnd < 0) return false;
      if (field === FIELD.timestamp && !isTimestamp(bytes, at + 1, valueEnd - 1)) return false;
      at = valueEnd;
    }
  }
}

/** Behind the digits of this number, where they stand at `at`; else -1. */
function seqEnd(bytes: Uint8Array, at: number, end: number, seq: number): number {
  if (bytes[at] === ZERO) return -1;
  let value = 0;
  let place = at;
  for (; place < end; place++) {
    const digit = bytes[place]! - ZERO;
    if (digit < 0 || digit > 9) break;
    // Beyond what is counted exactly it is no number of an event, whatever comes out here.
    value = value * 10 + digit;
  }
  return value === seq && seq <= LIMITS.eventSeqMax ? place : -1;
}
