/** The reader thread: every feed gives exactly what is in the log, in order, or says what is missing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogStage, linesOf } from './log-stage.js';

function line(i: number): string {
  return `{"version":2,"message":{"PotEvent":{"node_id":${1 + (i % 3)},"n":${i},"pad":"${'x'.repeat(i % 97)}"}}}`;
}

test('from every record on, over segments: everything behind it, nothing else', async () => {
  const stage = new LogStage(2_000);
  try {
    for (let i = 0; i < 120; ) {
      const batch = [];
      for (let n = 0; n < 1 + (i % 7) && i < 120; n++) batch.push(line(i++));
      stage.append(batch);
    }
    for (let seq = 1; seq <= 121; seq++) {
      const items = await stage.all({ from: { kind: 'seq', seq } });
      assert.deepEqual(linesOf(items), stage.lines.slice(seq - 1), `from ${seq}`);
      assert.equal(items.at(-1)!.type, 'end');
    }
  } finally {
    await stage.close();
  }
});
