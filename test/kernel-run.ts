/**
 * Run by kernels.test.ts in a process of its own, because simdjson chooses its kernel once: the native scanner against
 * the oracle under the kernel that the environment forces. Ends with 77 where this machine does not have it.
 */
import fc from 'fast-check';
import { loadAddon } from '../src/native/addon.js';
import { BAD_FRAMES, event, GOOD_FRAMES } from './frame-table.js';
import { anyLine, SEED } from './frames.js';
import { ScannerRun } from './scanner-run.js';

if (loadAddon().kernel() !== process.env.SIMDJSON_FORCE_IMPLEMENTATION) process.exit(77);

const run = new ScannerRun('native', 1 << 20);
const good = Buffer.from(event());
for (const { bytes } of [...GOOD_FRAMES, ...BAD_FRAMES])
  if (!bytes.includes(10)) run.check([good, bytes, good]);

// Every byte that matters at every place of an event, with a neighbour that a string could run into.
const original = Buffer.from(event('{"a":"b\\u00e9","é":[true]}'));
const neighbour = Buffer.from(`x"${event()}`);
for (let at = 0; at < original.length; at++) {
  for (const byte of [0x00, 0x20, 0x22, 0x5c, 0x7b, 0x80, 0xc3, 0xe2, 0xff]) {
    const line = Buffer.from(original);
    line[at] = byte;
    run.check([line, good, line.subarray(0, at + 1), neighbour, good], at % 64);
  }
}

let starts = 0;
fc.assert(
  fc.property(fc.array(anyLine, { minLength: 1, maxLength: 12 }), (lines) => {
    run.check(lines, starts++ % 131);
  }),
  { seed: SEED + 5, numRuns: 300 },
);
