/**
 * Reads the log a Core has written, from the first segment to the last, and verifies it like a stream: every event
 * that was sent, once, in order per node, byte for byte. Runs after Core has ended.
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { EventBlocks } from './generator.js';
import { LineFeeder } from './lines.js';
import { Verifier, type VerifierSummary } from './verifier.js';

export interface LogCheck {
  readonly summary: VerifierSummary;
  readonly segments: number;
  readonly bytes: number;
  /** CRC-32 of all segments, one behind the other, as 8 hex digits. */
  readonly checksum: string;
}

const READ_BYTES = 512 * 1024;
/** Between two looks at the event loop, so that progress is shown. */
const READS_PER_TURN = 256;

export async function checkLog(
  dir: string,
  blocks: EventBlocks,
  sent: Float64Array,
  onProgress: (bytes: number) => void,
): Promise<LogCheck> {
  const verifier = new Verifier(blocks, { framed: false, othersAllowed: false });
  const lines = new LineFeeder(verifier);
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const segments = readdirSync(dir)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
  let bytes = 0;
  let reads = 0;
  let checksum = 0;
  for (const segment of segments) {
    const file = openSync(join(dir, segment), 'r');
    try {
      for (;;) {
        const readBytes = readSync(file, buffer, 0, buffer.length, null);
        if (readBytes === 0) break;
        checksum = crc32(buffer.subarray(0, readBytes), checksum);
        lines.feed(buffer, 0, readBytes);
        bytes += readBytes;
        if (++reads % READS_PER_TURN === 0) {
          onProgress(bytes);
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    } finally {
      closeSync(file);
    }
  }
  if (!lines.atBoundary) verifier.faults.add('protocol', 'the log ends inside a record');
  verifier.finish(sent);
  return {
    summary: verifier.summary(),
    segments: segments.length,
    bytes,
    checksum: checksum.toString(16).padStart(8, '0'),
  };
}
