/**
 * Scenario `scan`: how fast one core turns a buffer of frames into accepted events, for each scanner there is, with
 * plain `JSON.parse` as the yardstick. Runs in main, on bytes made before the clock starts.
 */
import { blockOf, makeBlocks } from './generator.js';
import type { ScenarioResult } from './result.js';
import type { Context } from './settings.js';

export interface Scanner {
  readonly name: string;
  /** Events accepted in `bytes`, which holds whole lines of one node; `nodeId` is the one it registered. */
  scan(bytes: Buffer, nodeId: string): number;
}

const NEWLINE = 10;
/** As much as a shard reads at once. */
const SCAN_BYTES = 512 * 1024;
export const SCAN_TITLE = 'scan, one core';
export const BASELINE = 'JSON.parse';

/** What a Core in JavaScript without a scanner would do: cut lines, parse, look at the fields. */
const jsonParse: Scanner = {
  name: BASELINE,
  scan(bytes, nodeId) {
    let accepted = 0;
    let start = 0;
    while (start < bytes.length) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline;
      const frame = JSON.parse(bytes.toString('utf8', start, end)) as {
        version?: unknown;
        message?: { PotEvent?: Record<string, unknown> };
      };
      const event = frame.message?.PotEvent;
      // The id has lost its last digits in the number: comparing as numbers is the best this way can do.
      if (
        frame.version === 2 &&
        event?.node_id === Number(nodeId) &&
        typeof event.pot_id === 'string' &&
        typeof event.pot_type === 'string' &&
        typeof event.event_type === 'string' &&
        typeof event.timestamp === 'string' &&
        typeof event.data === 'object' &&
        event.data !== null
      ) {
        accepted += 1;
      }
      start = end + 1;
    }
    return accepted;
  },
};

/** Every scanner that can run here. Core's own ones are added in this list. */
async function availableScanners(): Promise<Scanner[]> {
  return [jsonParse];
}

export async function runScan(durationMs: number, context: Context): Promise<ScenarioResult> {
  const { settings } = context;
  const { mix, eventBytes, seed } = settings;
  const blocks = makeBlocks({ nodes: 1, seed, mix, eventBytes, blockBytes: SCAN_BYTES });
  const bytes = blockOf(blocks, 0);
  const nodeId = blocks.nodeIds[0]!;
  const events = blocks.eventStart.length - 1;
  const scanners = await availableScanners();
  const problems: string[] = [];
  const figures = [];
  for (const [number, scanner] of scanners.entries()) {
    context.onProgress(number / scanners.length, scanner.name);
    await new Promise((resolve) => setImmediate(resolve));
    const accepted = scanner.scan(bytes, nodeId);
    if (accepted !== events) problems.push(`${scanner.name} accepted ${accepted} of ${events} valid events`);
    run(scanner, bytes, nodeId, durationMs / 4);
    const perSecond = run(scanner, bytes, nodeId, durationMs);
    figures.push({
      name: scanner.name,
      megabytes_per_second: (perSecond * bytes.length) / 1e6,
      events_per_second: perSecond * events,
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

/** Whole buffers a second. */
function run(scanner: Scanner, bytes: Buffer, nodeId: string, durationMs: number): number {
  const startMs = performance.now();
  let rounds = 0;
  let elapsedMs = 0;
  do {
    scanner.scan(bytes, nodeId);
    rounds += 1;
    elapsedMs = performance.now() - startMs;
  } while (elapsedMs < durationMs);
  return (rounds / elapsedMs) * 1000;
}
