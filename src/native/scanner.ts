/**
 * The scanner of a shard: finds in a buffer of lines the documented PotEvents of one node and copies them, each as
 * one line, behind each other into the ring. Two implementations with the same answers: the addon, and the twin in
 * JavaScript (twin-scanner.ts).
 *
 *   source  [ headroom | bytes read .............. | padding ]
 *                      ^start                ^end
 *   after scan():      position: behind the last line done     copiedBytes, events: what went to the ring
 *
 * Nothing here judges bad input: a line that is not a plain good event is handed back, and the caller reads it with
 * protocol/frame-reader.ts.
 */
import { LIMITS } from '../limits.js';
import { type Addon, loadAddon, type Mode, type NativeScannerHandle } from './addon.js';
import { TwinScanner } from './twin-scanner.js';

const SEQ_AT = 24;

/** Why a scan ended: all complete lines done; a line for the slow way; the next event does not fit the target. */
export const STOP = { done: 0, slow: 1, full: 2 } as const;

export interface Scanner {
  /** Behind the last line that was dealt with. */
  position: number;
  /** Bytes written to the target, and the events in them. */
  copiedBytes: number;
  events: number;
  /** With STOP.slow: the line, without its newline. `position` is behind it. */
  slowStart: number;
  slowEnd: number;
  /** Sets whose events are good ones: the digits of the registered id. */
  setNodeId(digits: Uint8Array): void;
  /** Only events whose `seq` is this one, and the following ones each one more, are good ones then; 0: theirs is not looked at. */
  setSeq(seq: number): void;
  /** Scans the complete lines in source[start, end). `resume`: the bytes are those of the last call, and start is
   *  where it stopped. */
  scan(start: number, end: number, targetOffset: number, targetSpace: number, resume: boolean): number;
}

export interface ScannerBuffers {
  /** LIMITS.paddingBytes behind the last byte ever scanned must belong to it. */
  readonly source: Uint8Array;
  readonly target: Uint8Array;
}

export function createScanner(mode: Mode, buffers: ScannerBuffers, maxFrameBytes: number): Scanner {
  return mode === 'native'
    ? new NativeScanner(loadAddon(), buffers, maxFrameBytes)
    : new TwinScanner(buffers, maxFrameBytes);
}

class NativeScanner implements Scanner {
  position = 0;
  copiedBytes = 0;
  events = 0;
  slowStart = 0;
  slowEnd = 0;
  readonly #addon: Addon;
  readonly #handle: NativeScannerHandle;
  readonly #result = new Int32Array(5);
  /** Length, digits, and from SEQ_AT on the same of the next `seq`; the addon reads it at every scan. */
  readonly #nodeId = new Uint8Array(48);

  constructor(addon: Addon, { source, target }: ScannerBuffers, maxFrameBytes: number) {
    this.#addon = addon;
    this.#handle = addon.createScanner(
      source,
      target,
      this.#result,
      this.#nodeId,
      maxFrameBytes,
      LIMITS.nestingDepth,
    );
  }

  setNodeId(digits: Uint8Array): void {
    this.#nodeId[0] = digits.length;
    for (let i = 0; i < digits.length; i++) this.#nodeId[i + 1] = digits[i]!;
  }

  setSeq(seq: number): void {
    const digits = seq === 0 ? '' : String(seq);
    this.#nodeId[SEQ_AT] = digits.length;
    for (let i = 0; i < digits.length; i++) this.#nodeId[SEQ_AT + 1 + i] = digits.charCodeAt(i);
  }

  scan(start: number, end: number, targetOffset: number, targetSpace: number, resume: boolean): number {
    const stop = this.#addon.scan(this.#handle, start, end, targetOffset, targetSpace, resume ? 1 : 0);
    const result = this.#result;
    this.position = result[0]!;
    this.copiedBytes = result[1]!;
    this.events = result[2]!;
    this.slowStart = result[3]!;
    this.slowEnd = result[4]!;
    return stop;
  }
}
