/**
 * Core ends without order (its aggregator dies, the process is killed, a disk kept half a line) and is started again
 * on the same data: nothing that a consumer saw is missing, no sequence number is used twice, no record is torn.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { readDeadLetters, readLog, splitLines } from './event-log.js';
import { startLoad } from './load-node.js';
import { NodeClient } from './node-client.js';
import { messageName, numberedEvent } from './node-frames.js';
import { post } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const DEBUG = { 'server.debug': true };
/** Small, so that the log has several segments. */
const SEGMENT_BYTES = 1024 * 1024;

/** The segments as they lie there, torn or not. */
function rawLog(dataDir: string): Buffer {
  const folder = join(dataDir, 'log');
  const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  return Buffer.concat(names.sort().map((name) => readFileSync(join(folder, name))));
}

function newestSegment(dataDir: string): string {
  const folder = join(dataDir, 'log');
  const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  return join(folder, names.sort().at(-1)!);
}

/** The whole lines of the log, which recovery may not touch. */
function wholeLines(content: Buffer): Buffer {
  return content.subarray(0, content.lastIndexOf(0x0a) + 1);
}

interface Unclean {
  readonly folder: string;
  readonly dataDir: string;
  /** All that a consumer was sent. */
  readonly seen: Buffer;
}

/** A Core under load that comes to an end by `end`. */
async function endUnderLoad(t: TestContext, end: (core: CoreProcess) => Promise<void>): Promise<Unclean> {
  const folder = temporaryFolder(t);
  const core = await CoreProcess.start(t, {
    folder,
    settings: { ...DEBUG, 'ingest.shards': 2, 'storage.segment_bytes': SEGMENT_BYTES },
  });
  const stream = await StreamClient.connect(core.ports.proxy_port, 'batch');
  const nodes = await startLoad(t, core.ports.node_port, 8, { watchers: [stream] });
  await stream.messages('PotEvent', 20_000);
  await end(core);
  for (const node of nodes) node.dontReconnect();
  await stream.gone();
  await Promise.all(nodes.map((node) => node.stop()));
  return { folder, dataDir: core.dataDir, seen: stream.content };
}

/** Starts Core on what was left, lets a node send something, stops it; asserts that the old lines are untouched. */
async function goOn(t: TestContext, { folder, dataDir, seen }: Unclean): Promise<CoreProcess> {
  const before = wholeLines(rawLog(dataDir));
  assert.ok(before.subarray(0, seen.length).equals(seen), 'everything a consumer saw is in the log');
  const lineCount = splitLines(before).length;
  const core = await CoreProcess.start(t, { folder, settings: { 'storage.segment_bytes': SEGMENT_BYTES } });
  assert.equal(
    (await core.ready()).next_seq,
    lineCount + 1,
    'the next sequence number follows the last line',
  );
  const node = await NodeClient.register(core.ports.node_port, { id: 5n, name: 'after' });
  const stream = await StreamClient.connect(core.ports.proxy_port, 'events');
  await node.send(`${numberedEvent(5n, 1)}\nnonsense\n`);
  await stream.messages('PotEvent');
  await node.end();
  assert.equal((await core.stop()).code, 0);
  const log = readLog(dataDir);
  assert.ok(log.content.subarray(0, before.length).equals(before), 'no line was changed or left out');
  const added = log.lines.slice(lineCount).map(messageName);
  assert.deepEqual(added, ['NodeRegistered', 'PotEvent', 'NodeDisconnected']);
  return core;
}

test('the aggregator dies: the process ends in order with code 70, and the next start goes on', async (t) => {
  const left = await endUnderLoad(t, async (core) => {
    assert.equal((await post(core.ports.backend_port, '/debug/aggregator/kill')).status, 202);
    assert.deepEqual(await core.exit(10_000), { code: 70, signal: null });
    const last = core.lines.all.find(({ msg }) => msg === 'the aggregator is gone, Core ends');
    assert.ok(last, core.story());
    assert.match(String(last.reason), /fault injected/);
    assert.equal(core.stderr, '', 'said once, in the log');
  });
  await goOn(t, left);
});

test('the process is killed: the next start goes on behind the last whole line', async (t) => {
  const left = await endUnderLoad(t, (core) => core.crash());
  await goOn(t, left);
});

test('half a line at the end of the log is cut off, and said', async (t) => {
  const left = await endUnderLoad(t, (core) => core.crash());
  const torn = numberedEvent(1n, 1).slice(0, 100);
  // What the kill itself left behind the last newline is part of the torn line, if there is anything.
  const raw = rawLog(left.dataDir);
  const rest = raw.length - wholeLines(raw).length;
  appendFileSync(newestSegment(left.dataDir), torn);
  const core = await goOn(t, left);
  const line = await core.line('log recovered after an unclean end');
  assert.equal(line.tornBytes, rest + torn.length);
});

test('an index that is missing or cut off is made again from the data', async (t) => {
  const left = await endUnderLoad(t, (core) => core.crash());
  const index = newestSegment(left.dataDir).replace('.ndjson', '.idx');
  truncateSync(index, 32 + 20);
  await goOn(t, left);
  rmSync(newestSegment(left.dataDir).replace('.ndjson', '.idx'));
  await goOn(t, { ...left, seen: Buffer.alloc(0) });
});

test('a dead letter that was torn does not take the next one with it', async (t) => {
  const folder = temporaryFolder(t);
  const first = await CoreProcess.start(t, { folder });
  const node = await NodeClient.register(first.ports.node_port, { id: 1n, name: 'first' });
  await node.send('nonsense\n');
  await node.answer('Error');
  await node.end();
  await first.stop();
  const file = join(first.dataDir, 'dead-letters', '00000000000000000001.ndjson');
  appendFileSync(file, readFileSync(file).subarray(0, 60));
  const second = await CoreProcess.start(t, { folder });
  const other = await NodeClient.register(second.ports.node_port, { id: 2n, name: 'second' });
  await other.send('nonsense\n');
  await other.answer('Error');
  await other.end();
  await second.stop();
  assert.deepEqual(
    readDeadLetters(second.dataDir).map(({ node_name }) => node_name),
    ['first', 'second'],
  );
});

test('a start without anything to recover says nothing about it', async (t) => {
  const folder = temporaryFolder(t);
  for (const expected of [1, 3]) {
    const core = await CoreProcess.start(t, { folder });
    assert.equal((await core.ready()).next_seq, expected);
    await (await NodeClient.register(core.ports.node_port, { id: 1n, name: 'n' })).end();
    assert.equal((await core.stop()).code, 0);
    assert.ok(!core.lines.all.some(({ msg }) => msg === 'log recovered after an unclean end'));
  }
});
