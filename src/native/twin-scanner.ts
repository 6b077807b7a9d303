/**
 * The scanner in JavaScript, for machines without a C++ compiler: the same answers as native/scanner.h, slower.
 * It judges each line with the reference reader, so it accepts exactly what that accepts as a documented event.
 */
import { isUtf8 } from 'node:buffer';
import { eventSeq } from '../protocol/event-seq.js';
import { FIELD, VALUE } from '../protocol/fields.js';
import { FrameReader, KIND } from '../protocol/frame-reader.js';
import { EventShape } from './event-shape.js';
import { type Scanner, type ScannerBuffers, STOP } from './scanner.js';

const NEWLINE = 0x0a;

export class TwinScanner implements Scanner {
  position = 0;
  copiedBytes = 0;
  events = 0;
  slowStart = 0;
  slowEnd = 0;
  readonly #source: Uint8Array;
  readonly #target: Uint8Array;
  readonly #maxFrameBytes: number;
  readonly #reader = new FrameReader();
  readonly #shape = new EventShape();
  #nodeId: Uint8Array = new Uint8Array(0);
  /** Of the next event; 0: numbers are not looked at. */
  #seq = 0;
  /** The whole region is UTF-8, so its lines need no check of their own. */
  #utf8 = false;
  #limit = 0;
  /** Of the last line that was an event. */
  #frameStart = 0;
  #frameEnd = 0;

  constructor({ source, target }: ScannerBuffers, maxFrameBytes: number) {
    this.#source = source;
    this.#target = target;
    this.#maxFrameBytes = maxFrameBytes;
  }

  setNodeId(digits: Uint8Array): void {
    if (digits === this.#nodeId) return;
    this.#nodeId = digits;
    // A shape holds the id of the node it was learnt from.
    this.#shape.forget();
  }

  setSeq(seq: number): void {
    if ((seq === 0) !== (this.#seq === 0)) this.#shape.forget();
    this.#seq = seq;
  }

  scan(start: number, end: number, targetOffset: number, targetSpace: number, resume: boolean): number {
    const source = this.#source;
    if (!resume) {
      this.#limit = source.subarray(start, end).lastIndexOf(NEWLINE) + start + 1;
      this.#utf8 = isUtf8(source.subarray(start, this.#limit));
    }
    this.events = 0;
    let target = targetOffset;
    let runStart = start;
    let runEnd = start;
    let at = start;
    let stop: number = STOP.done;
    while (at < this.#limit) {
      const newline = source.indexOf(NEWLINE, at);
      if (isBlank(source, at, newline)) {
        at = newline + 1;
        continue;
      }
      if (!this.#isEvent(at, newline)) {
        this.slowStart = at;
        this.slowEnd = newline;
        at = newline + 1;
        stop = STOP.slow;
        break;
      }
      const frameStart = this.#frameStart;
      const frameEnd = this.#frameEnd;
      if (target + (runEnd - runStart) + (frameEnd - frameStart + 1) > targetOffset + targetSpace) {
        stop = STOP.full;
        break;
      }
      if (frameStart !== runEnd) {
        target = this.#copy(runStart, runEnd, target);
        runStart = frameStart;
      }
      runEnd = frameEnd;
      if (frameEnd === newline) {
        runEnd++;
      } else {
        target = this.#copy(runStart, runEnd, target);
        this.#target[target++] = NEWLINE;
        runStart = runEnd = newline + 1;
      }
      this.events++;
      if (this.#seq > 0) this.#seq++;
      at = newline + 1;
    }
    target = this.#copy(runStart, runEnd, target);
    this.position = at;
    this.copiedBytes = target - targetOffset;
    return stop;
  }

  #copy(start: number, end: number, target: number): number {
    if (end > start) this.#target.set(this.#source.subarray(start, end), target);
    return target + (end - start);
  }

  #isEvent(start: number, end: number): boolean {
    const reader = this.#reader;
    if (end - start > this.#maxFrameBytes) return false;
    if (this.#utf8 && this.#shape.matches(this.#source, start, end, this.#seq)) {
      this.#frameStart = start;
      this.#frameEnd = end;
      return true;
    }
    if (reader.read(this.#source, start, end, this.#utf8) !== KIND.potEvent) return false;
    const { frameStart, frameEnd } = reader;
    if (reader.type(FIELD.pot_type) === VALUE.absent) return false;
    if (!reader.holds(FIELD.node_id, this.#nodeId, 0, this.#nodeId.length)) return false;
    if (this.#seq > 0 && eventSeq(reader) !== this.#seq) return false;
    this.#frameStart = frameStart;
    this.#frameEnd = frameEnd;
    this.#shape.learn(reader, this.#seq > 0);
    return true;
  }
}

function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const c = bytes[i];
    if (c !== 0x20 && c !== 0x0d && c !== 0x09) return false;
  }
  return true;
}
