/**
 * Cuts what one connection sends into frames. Runs in the shard; one per connection; sees every byte once.
 *
 * Nodes have three habits, and the framer finds out which one it has before it:
 *
 *   objects   frames end where their outermost brace closes (a brace inside a string does not count); white space
 *             between frames is skipped. Every connection starts here: an answer may be awaited before a newline comes.
 *   lines     from the first frame on that stood on one line and was followed by a newline: a newline ends a frame,
 *             so a torn line costs only itself.
 *   skipping  the rest of a line that grew too large.
 *
 * A node that prints its frames over several lines never leaves `objects`: its newlines end nothing. That is why the
 * change to `lines` asks for a frame on one line, not just for a newline behind a frame.
 *
 * What is incomplete when a read ends is kept as `carry`. A short one is put in front of the next read, in the room
 * that the shard's buffer has there, so that it is cut and scanned in place; a long one grows in a buffer of its own.
 *
 *   shard buffer   [ ........ carry | read area .............................. | padding ]
 *                             ^start  ^readAt                          ^end
 */
import { LIMITS } from '../limits.js';

const NEWLINE = 0x0a;
const BOM = [0xef, 0xbb, 0xbf];

/** What is done with the frames of a connection. Each call may end or hold the connection: see `accepting`. */
export interface FrameSink {
  /** No: the rest stays in the framer until resume(), as long as the connection waits for a verdict. */
  readonly accepting: boolean;
  /** Whole lines may go to the fast scanner. */
  readonly scannable: boolean;
  /** Deals with the complete lines of the shard buffer in [start, end); where it stopped: behind the last newline,
   *  or, when it is no longer accepting, behind the line that caused it. */
  lines(start: number, end: number): number;
  /** One line without its newline, not blank; may hold several objects. */
  line(bytes: Uint8Array, start: number, end: number): void;
  /** One object, or something that cannot be one (`torn`). */
  object(bytes: Uint8Array, start: number, end: number, torn: boolean): void;
  /** A frame of more than `ingest.max_frame_bytes`; perhaps only its first bytes are given. `fatal`: no newline will end
   *  it, so it is not known where the next frame starts. */
  oversized(bytes: Uint8Array, start: number, end: number, fatal: boolean): void;
}

/** The buffer all connections of a shard read into. */
export class ShardBuffer {
  readonly bytes = Buffer.alloc(LIMITS.headroomBytes + LIMITS.readBytes + LIMITS.paddingBytes);
  readonly readArea = this.bytes.subarray(LIMITS.headroomBytes, LIMITS.headroomBytes + LIMITS.readBytes);
}

type Habit = 'objects' | 'lines' | 'skipping';

export class Framer {
  #habit: Habit = 'objects';
  readonly #buffer: ShardBuffer;
  readonly #sink: FrameSink;
  readonly #maxFrameBytes: number;
  #carry: Buffer | undefined;
  #carryBytes = 0;
  /** Bytes at the front of the carry that were looked at already. */
  #examined = 0;
  /** Bytes of a byte order mark seen; all of them once anything else was. */
  #bomBytes = 0;
  // Of the object being looked at, in `objects`.
  #depth = 0;
  #inString = false;
  #escaped = false;
  #spansLines = false;
  /** The last frame stood on one line, and nothing came behind it yet. */
  #afterOneLine = false;

  constructor(buffer: ShardBuffer, sink: FrameSink, maxFrameBytes: number) {
    this.#buffer = buffer;
    this.#sink = sink;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** A newline ends a frame on this connection. */
  get inLines(): boolean {
    return this.#habit !== 'objects';
  }

  /** `length` bytes were read into the read area. */
  receive(length: number): void {
    const readAt = LIMITS.headroomBytes;
    const carried = this.#carryBytes;
    if (carried === 0) {
      this.#cut(readAt, readAt + length, readAt);
    } else if (carried <= LIMITS.headroomBytes) {
      const start = readAt - carried;
      this.#carry!.copy(this.#buffer.bytes, start, 0, carried);
      this.#carryBytes = 0;
      this.#cut(start, readAt + length, start + this.#examined);
    } else {
      this.#grow(length);
    }
  }

  /** Goes on with what was kept while the sink was not accepting. */
  resume(): void {
    const carried = this.#carryBytes;
    if (carried === 0) return;
    // What is held is at most one buffer: nothing was read meanwhile.
    this.#carry!.copy(this.#buffer.bytes, 0, 0, carried);
    this.#carryBytes = 0;
    this.#cut(0, carried, this.#examined);
  }

  /** Hands out what is held, and forgets it. */
  takeHeld(): Uint8Array {
    const held = this.#carry?.subarray(0, this.#carryBytes) ?? new Uint8Array(0);
    this.#carry = undefined;
    this.#carryBytes = 0;
    return held;
  }

  /** No more bytes will come: what is left counts as a frame if it is one. */
  finish(): void {
    if (!this.#sink.accepting) return;
    const carry = this.#carry;
    const length = this.#carryBytes;
    this.#carry = undefined;
    this.#carryBytes = 0;
    if (carry === undefined || this.#habit === 'skipping' || isBlank(carry, 0, length)) return;
    if (this.#habit === 'lines') this.#sink.line(carry, 0, length);
    else this.#sink.object(carry, 0, length, true);
  }

  /** Cuts the shard buffer's [start, end); bytes before `examined` are known to end nothing. */
  #cut(start: number, end: number, examined: number): void {
    const { bytes } = this.#buffer;
    let at = start;
    let look = examined;
    while (at < end && this.#sink.accepting) {
      const before = at;
      switch (this.#habit) {
        case 'skipping': {
          const newline = indexOfNewline(bytes, look, end);
          if (newline < 0) return;
          at = newline + 1;
          this.#habit = 'lines';
          break;
        }
        case 'lines':
          at = this.#cutLines(at, end, look);
          break;
        case 'objects':
          at = this.#cutObject(bytes, at, end, look);
          break;
      }
      if (at === before && this.#sink.accepting) {
        // Incomplete: everything up to the end has been looked at.
        this.#keep(at, end, end - at);
        return;
      }
      look = at;
    }
    this.#keep(at, end, 0);
  }

  #cutLines(start: number, end: number, look: number): number {
    const { bytes } = this.#buffer;
    if (this.#sink.scannable) {
      return this.#sink.lines(start, end);
    }
    const newline = indexOfNewline(bytes, look, end);
    if (newline < 0) return start;
    this.#line(bytes, start, newline);
    return newline + 1;
  }

  #line(bytes: Uint8Array, start: number, end: number): void {
    if (isBlank(bytes, start, end)) return;
    if (end - start > this.#maxFrameBytes) this.#sink.oversized(bytes, start, end, false);
    else this.#sink.line(bytes, start, end);
  }

  /** Too large is fatal also where the end was found: whether it was depends on how the bytes came in. */
  #object(bytes: Uint8Array, start: number, end: number, torn: boolean): void {
    if (end - start > this.#maxFrameBytes) this.#sink.oversized(bytes, start, end, true);
    else this.#sink.object(bytes, start, end, torn);
  }

  /** Looks for the end of one object; the offset behind it and behind what white space it was seen to have, or
   *  `start` where it is incomplete. */
  #cutObject(bytes: Buffer, start: number, end: number, look: number): number {
    let at = start;
    if (this.#depth === 0) {
      at = this.#skipToObject(bytes, start, end);
      if (at === end || this.#habit !== 'objects') return at;
      if (bytes[at] !== 0x7b) return this.#cutJunk(bytes, at, end);
      if (at !== start) return at;
    }
    for (let i = Math.max(look, start); i < end; i++) {
      const c = bytes[i]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (c === 0x5c) this.#escaped = true;
        else if (c === 0x22) this.#inString = false;
        else if (c === NEWLINE) {
          // No string holds a newline: the frame was torn here, and what follows is a new one.
          this.#endObject();
          this.#object(bytes, start, i, true);
          return i + 1;
        }
      } else if (c === 0x22) {
        this.#inString = true;
      } else if (c === 0x7b) {
        this.#depth++;
      } else if (c === 0x7d) {
        this.#depth--;
        if (this.#depth === 0) {
          const oneLine = !this.#spansLines;
          this.#endObject();
          this.#afterOneLine = oneLine;
          this.#object(bytes, start, i + 1, false);
          return i + 1;
        }
      } else if (c === NEWLINE) {
        this.#spansLines = true;
      }
    }
    return start;
  }

  #endObject(): void {
    this.#depth = 0;
    this.#inString = false;
    this.#escaped = false;
    this.#spansLines = false;
    this.#afterOneLine = false;
  }

  /** Skips white space between objects; a newline behind a frame on one line changes the habit. */
  #skipToObject(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    // A byte order mark is allowed where a connection starts, and nowhere else.
    while (this.#bomBytes < BOM.length && at < end && bytes[at] === BOM[this.#bomBytes]) {
      this.#bomBytes++;
      at++;
    }
    if (at === end) return end;
    this.#bomBytes = BOM.length;
    for (; at < end; at++) {
      const c = bytes[at];
      if (c === NEWLINE && this.#afterOneLine) {
        this.#habit = 'lines';
        this.#afterOneLine = false;
        return at + 1;
      }
      if (c !== 0x20 && c !== 0x09 && c !== 0x0d && c !== NEWLINE) return at;
    }
    return end;
  }

  /** Something that no object starts with: up to the next newline or brace, or what there is. It is not waited for
   *  more, because whoever sends it (a scanner, a TLS client) may be waiting for us. */
  #cutJunk(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end && bytes[at] !== NEWLINE && bytes[at] !== 0x7b) at++;
    this.#afterOneLine = false;
    this.#sink.object(bytes, start, at, true);
    return at;
  }

  /** Keeps [start, end) of the shard buffer for later. */
  #keep(start: number, end: number, examined: number): void {
    const length = end - start;
    this.#examined = examined;
    if (length <= 0) {
      this.#carryBytes = 0;
      if (this.#carry !== undefined && this.#carry.length > 16 * 1024) this.#carry = undefined;
      return;
    }
    if (this.#sink.accepting && this.#overflows(this.#buffer.bytes, start, length)) return;
    this.#reserve(length);
    this.#buffer.bytes.copy(this.#carry!, 0, start, end);
    this.#carryBytes = length;
  }

  /** Is an incomplete frame of `length` bytes already too large? Then it is refused here. */
  #overflows(bytes: Uint8Array, start: number, length: number): boolean {
    if (length <= this.#maxFrameBytes) return false;
    const fatal = this.#habit !== 'lines';
    this.#carry = undefined;
    this.#carryBytes = 0;
    this.#examined = 0;
    this.#habit = 'skipping';
    this.#sink.oversized(bytes, start, start + length, fatal);
    return true;
  }

  #reserve(length: number): void {
    if (this.#carry !== undefined && this.#carry.length >= length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(1024, 2 ** Math.ceil(Math.log2(length))));
    if (this.#carryBytes > 0) this.#carry!.copy(grown, 0, 0, this.#carryBytes);
    this.#carry = grown;
  }

  /** A read behind a carry that is too long for the headroom: the carry takes it. */
  #grow(length: number): void {
    const { bytes } = this.#buffer;
    const readAt = LIMITS.headroomBytes;
    const carried = this.#carryBytes;
    this.#reserve(carried + length);
    const carry = this.#carry!;
    bytes.copy(carry, carried, readAt, readAt + length);
    const total = carried + length;
    let frameEnd: number;
    if (this.#habit === 'lines') {
      const newline = indexOfNewline(carry, carried, total);
      frameEnd = newline < 0 ? -1 : newline + 1;
      if (newline >= 0) this.#line(carry, 0, newline);
    } else {
      const cut = this.#cutObject(carry, 0, total, this.#examined);
      frameEnd = cut === 0 ? -1 : cut;
    }
    if (frameEnd < 0) {
      this.#carryBytes = total;
      this.#examined = total;
      this.#overflows(carry, 0, total);
      return;
    }
    this.#carry = undefined;
    this.#carryBytes = 0;
    this.#examined = 0;
    const rest = readAt + length - (total - frameEnd);
    this.#cut(rest, readAt + length, rest);
  }
}

function indexOfNewline(bytes: Buffer, start: number, end: number): number {
  if (end - start > 128) {
    const at = bytes.subarray(start, end).indexOf(NEWLINE);
    return at < 0 ? -1 : start + at;
  }
  for (let at = start; at < end; at++) if (bytes[at] === NEWLINE) return at;
  return -1;
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = bytes[i];
    if (c !== 0x20 && c !== 0x0d && c !== 0x09 && c !== NEWLINE) return false;
  }
  return true;
}
