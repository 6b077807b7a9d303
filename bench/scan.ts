/**
 * Scenario `scan`: how fast one core turns a buffer of frames into accepted events, for each scanner there is, with
 * plain `JSON.parse` as the yardstick. Runs in main, on bytes made before the clock starts.
 */
import { LIMITS } from '../src/limits.js';
import { resolveMode } from '../src/native/addon.js';
import { createScanner, STOP } from '../src/native/scanner.js';
import { blockOf, makeBlocks } from './generator.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';

interface Contestant {
  readonly name: string;
  /** Events accepted in the buffer of this run. */
  scan(): number;
}

interface Input {
  /** Whole lines of one node. */
  readonly bytes: Buffer;
  /** The id it registered. */
  readonly nodeId: string;
}

const NEWLINE = 10;
/** As much as a shard reads at once. */
const SCAN_BYTES = 512 * 1024;
export const SCAN_TITLE = 'scan, one core';
export const BASELINE = 'JSON.parse';

/** What a Core without a scanner would do: cut lines, parse, look at the fields. */
function jsonParse({ bytes, nodeId }: Input): Contestant {
  // The id has lost its last digits in the number: comparing as numbers is the best this way can do.
  const wanted = Number(nodeId);
  const isEvent = (start: number, end: number): boolean => {
    const frame = JSON.parse(bytes.toString('utf8', start, end)) as Envelope;
    const event = frame.message?.PotEvent;
    return (
      frame.version === 2 &&
      event?.node_id === wanted &&
      typeof event.pot_id === 'string' &&
      typeof event.pot_type === 'string' &&
      typeof event.event_type === 'string' &&
      typeof event.timestamp === 'string' &&
      typeof event.data === 'object' &&
      event.data !== null
    );
  };
  return {
    name: BASELINE,
    scan() {
      let accepted = 0;
      for (let start = 0; start < bytes.length; ) {
        const newline = bytes.indexOf(NEWLINE, start);
        if (isEvent(start, newline)) accepted += 1;
        start = newline + 1;
      }
      return accepted;
    },
  };
}

interface Envelope {
  readonly version?: unknown;
  readonly message?: { readonly PotEvent?: Record<string, unknown> };
}

/** Core's own, as a shard uses it: validate, and copy what is good to shared memory. */
function coreScanner(mode: 'native' | 'portable', { bytes, nodeId }: Input): Contestant {
  const source = Buffer.alloc(bytes.length + LIMITS.paddingBytes);
  bytes.copy(source);
  const target = new Uint8Array(new SharedArrayBuffer(bytes.length));
  const scanner = createScanner(mode, { source, target }, LIMITS.frameBytes);
  scanner.setNodeId(Buffer.from(nodeId));
  return {
    name: mode === 'native' ? 'native' : 'twin',
    scan() {
      let accepted = 0;
      let copiedBytes = 0;
      let at = 0;
      let stop: number;
      do {
        stop = scanner.scan(at, bytes.length, copiedBytes, target.length - copiedBytes, at > 0);
        accepted += scanner.events;
        copiedBytes += scanner.copiedBytes;
        at = scanner.position;
        // `full` cannot be: the target holds the whole source. What is slow is not an event, and counts as missing.
      } while (stop === STOP.slow && at < bytes.length);
      return accepted;
    },
  };
}

/** Every way that can run here, the yardstick first. */
function contestants(input: Input): Contestant[] {
  const { mode } = resolveMode('auto');
  const all = [jsonParse(input), coreScanner('portable', input)];
  if (mode === 'native') all.push(coreScanner('native', input));
  return all;
}

export async function runScan(durationMs: number, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const { mix, eventBytes, seed } = settings;
  const blocks = makeBlocks({ nodes: 1, seed, mix, eventBytes, blockBytes: SCAN_BYTES });
  const bytes = blockOf(blocks, 0);
  const events = blocks.eventStart.length - 1;
  const scanners = contestants({ bytes, nodeId: blocks.nodeIds[0]! });
  const problems: string[] = [];
  const figures = [];
  for (const [number, scanner] of scanners.entries()) {
    context.onProgress(number / scanners.length, scanner.name);
    await new Promise((resolve) => setImmediate(resolve));
    const accepted = scanner.scan();
    if (accepted !== events) problems.push(`${scanner.name} accepted ${accepted} of ${events} valid events`);
    roundsPerSecond(scanner, durationMs / 4);
    const rounds = roundsPerSecond(scanner, durationMs);
    figures.push({
      name: scanner.name,
      megabytes_per_second: (rounds * bytes.length) / 1e6,
      events_per_second: rounds * events,
    });
  }
  return {
    scenario: SCAN_TITLE,
    ok: problems.length === 0,
    problems,
    parameters: { mix, buffer_bytes: bytes.length },
    scanners: figures,
  };
}

/** Whole buffers scanned in a second. */
function roundsPerSecond(scanner: Contestant, durationMs: number): number {
  const startMs = performance.now();
  let rounds = 0;
  let elapsedMs = 0;
  do {
    scanner.scan();
    rounds += 1;
    elapsedMs = performance.now() - startMs;
  } while (elapsedMs < durationMs);
  return (rounds / elapsedMs) * 1000;
}
