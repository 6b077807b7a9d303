/**
 * Feeds a framer from a list of reads and records what it cuts; and a naive model of the same that sees the whole
 * stream at once, to compare with.
 */
import { LIMITS } from '../src/limits.js';
import { Framer, type FrameSink, ShardBuffer } from '../src/shard/framer.js';

export type Cut = 'frame' | 'torn' | 'oversized' | 'fatal';

export interface Recorded {
  readonly cut: Cut;
  /** Without the white space around it; of what is oversized only that it is. */
  readonly text: string;
}

export interface Manner {
  /** Lines go to the sink in one go, as to a scanner. */
  readonly scannable: boolean;
  /** Stops accepting after every so many frames, until everything read has been held once. */
  readonly holdEvery?: number;
  readonly maxFrameBytes?: number;
}

/** One for all tests: as in a shard, what other connections left in it must not matter. */
const buffer = new ShardBuffer();

class Recorder implements FrameSink {
  accepting = true;
  ended = false;
  readonly scannable: boolean;
  readonly records: Recorded[] = [];
  readonly #holdEvery: number;
  readonly #maxFrameBytes: number;

  constructor({ scannable, holdEvery = 0, maxFrameBytes = LIMITS.frameBytes }: Manner) {
    this.scannable = scannable;
    this.#holdEvery = holdEvery;
    this.#maxFrameBytes = maxFrameBytes;
  }

  lines(start: number, end: number): number {
    let at = start;
    while (this.accepting) {
      const newline = buffer.bytes.indexOf(10, at);
      if (newline < 0 || newline >= end) return at;
      const text = buffer.bytes.toString('latin1', at, newline).trim();
      if (newline - at > this.#maxFrameBytes && text !== '') this.#record('oversized', '');
      else if (text !== '') this.#record('frame', text);
      at = newline + 1;
    }
    return at;
  }

  line(bytes: Uint8Array, start: number, end: number): void {
    this.#record('frame', textOf(bytes, start, end));
  }

  object(bytes: Uint8Array, start: number, end: number, torn: boolean): void {
    this.#record(torn ? 'torn' : 'frame', textOf(bytes, start, end));
  }

  oversized(_bytes: Uint8Array, _start: number, _end: number, fatal: boolean): void {
    this.#record(fatal ? 'fatal' : 'oversized', '');
    if (fatal) {
      this.ended = true;
      this.accepting = false;
    }
  }

  #record(cut: Cut, text: string): void {
    if (!this.accepting && cut !== 'fatal') throw new Error(`${cut} after it stopped accepting`);
    this.records.push({ cut, text });
    if (this.#holdEvery > 0 && this.records.length % this.#holdEvery === 0) this.accepting = false;
  }
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
    .toString('latin1')
    .trim();
}

/** What a framer makes of a stream that comes in reads ending at `cuts`, and then ends. */
export function feed(bytes: Buffer, cuts: readonly number[], manner: Manner): Recorded[] {
  const sink = new Recorder(manner);
  const framer = new Framer(buffer, sink, manner.maxFrameBytes ?? LIMITS.frameBytes);
  // A connection that waits for a verdict is not read from; when it came, what was held goes on first.
  const verdict = () => {
    while (!sink.accepting && !sink.ended) {
      sink.accepting = true;
      framer.resume();
    }
  };
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    while (at < cut && !sink.ended) {
      const piece = bytes.subarray(at, Math.min(cut, at + LIMITS.readBytes));
      buffer.readArea.set(piece);
      framer.receive(piece.length);
      at += piece.length;
      verdict();
    }
  }
  if (!sink.ended) framer.finish();
  return sink.records;
}

/** The same, said plainly: the whole stream is there, and nothing is ever held. */
export function model(bytes: Buffer, maxFrameBytes: number = LIMITS.frameBytes): Recorded[] {
  const text = bytes.toString('latin1');
  const records: Recorded[] = [];
  const add = (cut: Cut, from: number, to: number): boolean => {
    const frame = text.slice(from, to);
    if (frame.trim() === '') return true;
    if (frame.length <= maxFrameBytes) records.push({ cut, text: frame.trim() });
    else records.push({ cut: lines ? 'oversized' : 'fatal', text: '' });
    return lines || frame.length <= maxFrameBytes;
  };
  let lines = false;
  let afterOneLine = false;
  let at = text.startsWith('\xef\xbb\xbf') ? 3 : 0;
  while (at < text.length) {
    if (lines) {
      const newline = text.indexOf('\n', at);
      const end = newline < 0 ? text.length : newline;
      add('frame', at, end);
      at = end + 1;
      continue;
    }
    const c = text[at]!;
    if (c === '\n' && afterOneLine) {
      lines = true;
      at++;
    } else if (' \t\r\n'.includes(c)) {
      at++;
    } else if (c !== '{') {
      const junk = /[^\n{]*/y;
      junk.lastIndex = at;
      junk.exec(text);
      records.push({ cut: 'torn', text: text.slice(at, junk.lastIndex).trim() });
      at = junk.lastIndex;
      afterOneLine = false;
    } else {
      const { end, whole } = objectEnd(text, at);
      if (!add(whole ? 'frame' : 'torn', at, end)) return records;
      afterOneLine = whole && !text.slice(at, end).includes('\n');
      at = whole ? end : end + 1;
    }
  }
  return records;
}

/** Where the object at `start` ends: behind its last brace, at a newline inside a string, or with the text. */
function objectEnd(text: string, start: number): { end: number; whole: boolean } {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at++) {
    const c = text[at];
    if (inString) {
      if (c === '\\' && text[at + 1] !== undefined) {
        at++;
      } else if (c === '"') inString = false;
      else if (c === '\n') return { end: at, whole: false };
    } else if (c === '"') inString = true;
    else if (c === '{') depth++;
    else if (c === '}' && --depth === 0) return { end: at + 1, whole: true };
  }
  return { end: text.length, whole: false };
}

/** Junk is passed on as it comes in; how it is cut says nothing. What stands together is made one. */
export function joinJunk(records: readonly Recorded[]): Recorded[] {
  const joined: Recorded[] = [];
  for (const { cut, text } of records) {
    const last = joined.at(-1);
    const junk = cut === 'torn' && !text.startsWith('{');
    const blank = junk ? text.replace(/\s/g, '') : text;
    if (junk && last?.cut === 'torn' && !last.text.startsWith('{'))
      joined[joined.length - 1] = { cut, text: last.text + blank };
    else joined.push({ cut, text: blank });
  }
  return joined;
}

/** Random places to cut a stream of so many bytes at: few or many, seldom, or always together. */
export function randomCuts(random: () => number, bytes: number): number[] {
  const cuts: number[] = [];
  const step = [1, 3, 40, 400, bytes][Math.floor(random() * 5)]!;
  for (let at = 0; at < bytes; ) {
    at += 1 + Math.floor(random() * step);
    if (at < bytes) cuts.push(at);
  }
  return cuts;
}

export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
