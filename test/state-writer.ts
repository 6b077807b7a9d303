/**
 * A process that writes state and says what it was promised: a line with a number on standard output once that number
 * is durable. For tests that kill it.
 *
 *   node state-writer.js FOLDER FIRST
 */
import { writeSync } from 'node:fs';
import { openStateStore } from '../src/state/store.js';

const [folder, first] = process.argv.slice(2);
const STDOUT = 1;

const store = await openStateStore(folder!, { onTrouble: () => {} });
let number = Number(first);
for (;;) {
  // Several writes at once, of several changes each: pairs that must be there together or not at all.
  const writes = Array.from({ length: 7 }, async () => {
    const own = number++;
    const key = String(own).padStart(12, '0');
    await store.write([
      { section: 'node', key, value: `node ${own}` },
      { section: 'command', key, value: `command ${own}` },
      ...(own % 3 === 2 ? [{ section: 'node', key: String(own - 1).padStart(12, '0') } as const] : []),
    ]);
    writeSync(STDOUT, `${own}\n`);
  });
  await Promise.all(writes);
}
