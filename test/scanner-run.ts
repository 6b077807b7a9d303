/**
 * Runs a scanner over lines the way a session does, and checks what it did against the oracle: what it copied, in
 * which order and byte for byte, which lines it handed back, and that it kept its hands off everything else.
 */
import assert from 'node:assert/strict';
import { LIMITS } from '../src/limits.js';
import { type Mode, resolveMode } from '../src/native/addon.js';
import { createScanner, type Scanner, STOP } from '../src/native/scanner.js';
import { idFieldOf } from '../src/protocol/fields.js';
import { FrameReader, KIND } from '../src/protocol/frame-reader.js';
import { judge, type Verdict } from './frame-oracle.js';
import { NODE_ID } from './frame-table.js';

export const MODES: readonly Mode[] = ['native', 'portable'];

/** For node:test: why tests of a mode cannot run here, or false. */
export function skipped(mode: Mode): string | false {
  return mode === 'native' && resolveMode('auto').mode !== 'native'
    ? 'the native addon was not built on this machine'
    : false;
}

/** What stands in the target before a scan writes there. */
const UNTOUCHED = 0xa5;

export interface Item {
  /** Handed back, for the reader; otherwise copied to the target. */
  readonly slow: boolean;
  readonly bytes: Buffer;
}

export interface Run {
  readonly items: Item[];
  readonly position: number;
  /** How often the target was full. */
  readonly fulls: number;
}

/** A scanner, its buffers, and a reader for what it hands back. */
export class ScannerRun {
  readonly mode: Mode;
  readonly maxFrameBytes: number;
  readonly source: Buffer;
  readonly target: Buffer;
  readonly scanner: Scanner;
  readonly #reader = new FrameReader();
  nodeId: string;

  constructor(mode: Mode, sourceBytes: number, maxFrameBytes: number = LIMITS.frameBytes, nodeId = NODE_ID) {
    this.mode = mode;
    this.maxFrameBytes = maxFrameBytes;
    this.source = Buffer.alloc(sourceBytes + LIMITS.paddingBytes);
    this.target = Buffer.alloc(sourceBytes + 256, UNTOUCHED);
    this.scanner = createScanner(mode, { source: this.source, target: this.target }, maxFrameBytes);
    this.nodeId = nodeId;
    this.use(nodeId);
  }

  use(nodeId: string): void {
    this.nodeId = nodeId;
    this.scanner.setNodeId(Buffer.from(nodeId));
  }

  /** Puts bytes into the source; what is behind them there is as a longer read before would have left it. */
  put(bytes: Uint8Array, start = 0, stale = 0x22): number {
    this.source.set(bytes, start);
    const end = start + bytes.length;
    this.source.fill(stale, end, Math.min(this.source.length, end + 4096));
    return end;
  }

  /** Scans source[start, end) to its last newline; `spaceOf` is asked for the room of each call. */
  scan(start: number, end: number, spaceOf: () => number = () => this.target.length - 128): Run {
    const { scanner, source, target } = this;
    const items: Item[] = [];
    let at = start;
    let resume = false;
    let fulls = 0;
    for (let calls = 0; ; calls++) {
      assert.ok(calls <= 2 * (end - start) + 2, 'the scanner goes on for ever');
      const offset = calls % 64;
      const space = spaceOf();
      const stop = scanner.scan(at, end, offset, space, resume);
      const { position, copiedBytes, events } = scanner;
      assert.ok(position >= at && position <= end, `position ${position} in [${at}, ${end}]`);
      assert.ok(copiedBytes <= space, `${copiedBytes} bytes copied into ${space}`);
      const copied = target.subarray(offset, offset + copiedBytes);
      const lines = linesOf(copied);
      assert.equal(lines.length, events, 'events counted');
      for (const line of lines) items.push({ slow: false, bytes: Buffer.from(line) });
      copied.fill(UNTOUCHED);
      assert.equal(this.#touched(offset + copiedBytes), -1, 'written where nothing was copied to');
      at = position;
      resume = true;
      if (stop === STOP.done) return { items, position, fulls };
      if (stop === STOP.full) {
        fulls++;
        continue;
      }
      assert.equal(stop, STOP.slow);
      const { slowStart, slowEnd } = scanner;
      assert.equal(position, slowEnd + 1, 'the position is behind the slow line');
      items.push({ slow: true, bytes: Buffer.from(source.subarray(slowStart, slowEnd)) });
      this.#readAlike(slowStart, slowEnd);
    }
  }

  /** Scans lines, each ended by a newline, and compares with the oracle. How many went the slow way. */
  check(lines: readonly Buffer[], start = 0, torn: Uint8Array = Buffer.alloc(0)): number {
    const bytes = Buffer.concat([...lines.flatMap((line) => [line, Buffer.from('\n')]), torn]);
    const end = this.put(bytes, start, [0x22, 0x37, 0x7d, 0x0a, 0x5c][start % 5]!);
    const run = this.scan(start, end);
    assert.equal(run.position, end - torn.length, 'the torn line at the end was not left alone');
    assert.equal(run.fulls, 0);
    return this.compare(lines, run.items);
  }

  compare(lines: readonly Buffer[], items: readonly Item[]): number {
    let slow = 0;
    let next = 0;
    for (const line of lines) {
      const frame = trimmed(line);
      if (frame.length === 0) continue;
      const item = items[next++];
      const shown = () => `${this.mode}: ${line.toString('latin1').slice(0, 2000)}`;
      assert.ok(item !== undefined, `nothing came of ${shown()}`);
      const verdict = judge(line);
      const eligible =
        verdict.kind === 'potEvent' &&
        verdict.complete &&
        verdict.nodeId === this.nodeId &&
        line.length <= this.maxFrameBytes;
      if (item.slow) {
        slow++;
        assert.ok(item.bytes.equals(line), `handed back other bytes than ${shown()}`);
        const mayBeSlow = !eligible || (this.mode === 'native' && verdict.unusual);
        assert.ok(mayBeSlow, `handed back a plain event: ${shown()}`);
      } else {
        assert.ok(eligible, `accepted what is ${JSON.stringify(verdict)}: ${shown()}`);
        assert.ok(item.bytes.equals(frame), `copied other bytes than ${shown()}`);
      }
    }
    assert.equal(items.length, next, 'more came out than went in');
    return slow;
  }

  /** The reader, on the bytes where they stand, must say what the oracle says. */
  #readAlike(start: number, end: number): void {
    const reader = this.#reader;
    const kind = reader.read(this.source, start, end);
    const verdict: Verdict = judge(this.source.subarray(start, end));
    const shown = this.source.toString('latin1', start, Math.min(end, start + 2000));
    if (verdict.kind === 'refused') {
      assert.equal(kind, KIND.refused, shown);
      assert.equal(reader.code, verdict.code, shown);
      return;
    }
    assert.equal(kind, KIND[verdict.kind], shown);
    if (verdict.nodeId !== undefined)
      assert.equal(reader.raw(idFieldOf(reader.message)), verdict.nodeId, shown);
  }

  /** The first byte of the target that is not as it was before; only the neighbourhood is looked at. */
  #touched(end: number): number {
    const { target } = this;
    for (let at = end; at < Math.min(target.length, end + 96); at++) if (target[at] !== UNTOUCHED) return at;
    for (let at = 0; at < 64; at++) if (target[at] !== UNTOUCHED) return at;
    return -1;
  }
}

/** The lines of a buffer that ends with a newline, without it. */
export function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(10, start);
    assert.notEqual(end, -1, 'the last line has no newline');
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

/** Without the white space around it. */
export function trimmed(line: Buffer): Buffer {
  const blank = (c: number | undefined) => c === 0x20 || c === 0x09 || c === 0x0d || c === 0x0a;
  let start = 0;
  let end = line.length;
  while (start < end && blank(line[start])) start++;
  while (end > start && blank(line[end - 1])) end--;
  return line.subarray(start, end);
}
