/**
 * Loads the native addon, if there is one. The only place that knows where it lies and what it exports.
 *
 * Portable mode is a mode, not a failure: a machine without a C++ compiler has no addon, and `ingest.mode =
 * "portable"` does not load it.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** An opaque scanner of the addon. */
export type NativeScannerHandle = object & { readonly brand: unique symbol };

export interface Addon {
  createScanner(
    source: Uint8Array,
    target: Uint8Array,
    result: Int32Array,
    nodeId: Uint8Array,
    maxFrameBytes: number,
    maxDepth: number,
  ): NativeScannerHandle;
  /** Every argument is an offset or a size in bytes; the answer is one of STOP in native/scanner.ts. */
  scan(
    scanner: NativeScannerHandle,
    start: number,
    end: number,
    targetOffset: number,
    targetSpace: number,
    resume: number,
  ): number;
  lineEnds(bytes: Uint8Array, start: number, end: number, ends: Int32Array): number;
  countLines(bytes: Uint8Array, start: number, end: number): number;
  /** The offset behind so many newlines of bytes[start, end); `end` where there are fewer. */
  skipLines(bytes: Uint8Array, start: number, end: number, lines: number): number;
  /** Lines that may hold a needle; see query/line-search.ts. Flags: 1 the needle has wide characters, 2 notices, too. */
  findLines(
    bytes: Uint8Array,
    start: number,
    end: number,
    needle: Uint8Array,
    units: Uint8Array,
    flags: number,
    found: Int32Array,
  ): number;
  /** As zlib's; absent where the processor has no carry-less multiplication. */
  crc32?(bytes: Uint8Array, crc: number): number;
  copy(
    target: Uint8Array,
    targetOffset: number,
    source: Uint8Array,
    sourceOffset: number,
    length: number,
  ): void;
  /** A second descriptor of the same open file, or -errno. */
  duplicate(fd: number): number;
  closeDescriptor(fd: number): number;
  /** `done` is given 0, or the errno of a write that failed: an fsync of the same descriptor does not tell of it any more. */
  trim(fd: number, offset: number, length: number, done: (errno: number) => void): void;
  kernel(): string;
  readonly interface: number;
}

/** Of an addon that fits this file; the same stands in addon.cc. */
const INTERFACE = 3;

/** From dist/src/native/ to the package root, where scripts/native.mjs puts it. */
const ADDON_FILE = fileURLToPath(new URL('../../../build/honeybee.node', import.meta.url));

export type Mode = 'native' | 'portable';

/** What `ingest.mode` comes to on this machine; throws where `native` is asked for and cannot be had. */
export function resolveMode(wanted: 'auto' | 'native' | 'portable'): { mode: Mode; why: string } {
  if (wanted === 'portable') return { mode: 'portable', why: 'ingest.mode is "portable"' };
  if (!existsSync(ADDON_FILE)) {
    if (wanted === 'native')
      throw new Error(
        `ingest.mode is "native", but ${ADDON_FILE} was not built (no C++ compiler at install?)`,
      );
    return { mode: 'portable', why: 'the native addon was not built (no C++ compiler at install)' };
  }
  try {
    const addon = loadAddon();
    if (addon.interface !== INTERFACE)
      throw new Error('it was built from other sources than this Core, build it again: npm rebuild');
    return { mode: 'native', why: `simdjson kernel ${addon.kernel()}` };
  } catch (error) {
    if (wanted === 'native') throw error;
    return { mode: 'portable', why: `the native addon does not load: ${String(error)}` };
  }
}

/** The addon; only call it in native mode. */
export function loadAddon(): Addon {
  return createRequire(import.meta.url)(ADDON_FILE) as Addon;
}
