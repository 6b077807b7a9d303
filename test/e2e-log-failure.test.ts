/**
 * A disk that fails under a running Core: it ends at once, with 74 and a text for people, and the next start goes on without
 * giving a number twice. The failing files are links to devices: one refuses writes (EIO), one cannot be fsynced.
 */
import assert from 'node:assert/strict';
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { segmentName } from '../src/log/format.js';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { NodeClient } from './node-client.js';
import { numberedEvent } from './node-frames.js';
import { StreamClient } from './stream-client.js';

const LINUX = existsSync('/proc/self/mem');

async function failing(t: TestContext, device: string, ending: string) {
  const folder = temporaryFolder(t);
  const core = await CoreProcess.start(t, { folder });
  const stream = await StreamClient.connect(core.ports.proxy_port, 'events');
  symlinkSync(device, join(core.dataDir, 'log', `${segmentName(1)}.${ending}`));
  // It ends while this node registers, or soon after.
  const node = NodeClient.register(core.ports.node_port, { id: 1n, name: 'first' }).catch(() => undefined);
  const exit = await core.exit(10_000);
  await node;
  assert.deepEqual(exit, { code: 74, signal: null }, core.story());
  assert.equal(core.stderr, '', 'said once, in the log');
  const last = core.lines.all.find(({ msg }) => msg === 'the aggregator is gone, Core ends');
  assert.ok(last, core.story());
  await stream.gone();
  return { folder, reason: String(last.reason) };
}

for (const [what, ending] of [
  ['a segment', 'ndjson'],
  ['an index', 'idx'],
] as const) {
  test(`${what} that cannot be written ends Core with 74`, { skip: !LINUX }, async (t) => {
    const { folder, reason } = await failing(t, '/proc/self/mem', ending);
    assert.match(reason, /^the event log cannot be written: EIO/);
    assert.doesNotMatch(reason, /\n/, 'no stack trace');
    const next = await CoreProcess.start(t, { folder });
    const node = await NodeClient.register(next.ports.node_port, { id: 2n, name: 'second' });
    await node.send(`${numberedEvent(2n, 1)}\n`);
    await node.end();
    assert.equal((await next.stop()).code, 0);
  });
}

test('an fsync that fails ends Core with 74, and its numbers are not given again', {
  skip: !LINUX,
}, async (t) => {
  const { folder, reason } = await failing(t, '/dev/null', 'ndjson');
  assert.match(reason, /^the event log cannot be forced to the disk; .* fsync: /);
  const next = await CoreProcess.start(t, { folder });
  const said = await next.line(
    'the newest records may be lost; their sequence numbers are left out, so that none is used twice',
  );
  assert.ok(Number(said.skippedNumbers) > 0);
  assert.ok(Number((await next.ready()).next_seq) > 1_000);
  assert.equal((await next.stop()).code, 0);
});
