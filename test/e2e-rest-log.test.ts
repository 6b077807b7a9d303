/**
 * A real Core asked about its log, its ledger and its consumers, over REST, on /metrics and by the command line: they say
 * the same, and what the nodes sent is what they say.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cli } from './cli-run.js';
import { type Cleanup, CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { numberedEvent, statusUpdate } from './node-frames.js';
import { ask, get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const FIRST = { id: 18_446_744_073_709_551_615n, name: 'eu-1' };
const SECOND = { id: 7n, name: 'us-1' };
const EVENTS = 200;

/** Two nodes that have sent events, a status, and what is refused. */
async function withNodes(t: Cleanup): Promise<CoreProcess> {
  const core = await CoreProcess.start(t, { settings: { 'storage.segment_bytes': 65_536 } });
  for (const identity of [FIRST, SECOND]) {
    const node = await NodeClient.register(core.ports.node_port, identity);
    t.after(() => node.socket.destroy());
    for (let n = 0; n < EVENTS; n++) await node.send(`${numberedEvent(identity.id, n, 'x'.repeat(200))}\n`);
    await node.send(`${statusUpdate(identity.id, 'Running')}\n`);
  }
  const bad = await NodeClient.register(core.ports.node_port, { id: 9n, name: 'bad' });
  t.after(() => bad.socket.destroy());
  await bad.send('{"version":2,"message":{"Nothing":{}}}\nno JSON\n');
  await bad.send(`${statusUpdate(8n, 'Running')}\n`);
  await bad.answer('Error');
  const port = core.ports.backend_port;
  await poll('everything is durable', async () => {
    const { nodes, log } = (await get(port, '/api/v1/ledger')).json;
    return (
      (nodes.events === 2 * EVENTS &&
        nodes.refused === 3 &&
        nodes.logged_records === nodes.records &&
        log.durable_seq === log.next_seq) ||
      undefined
    );
  });
  return core;
}

test('the ledger: every frame is accounted for, of each node and in all, on REST, metrics and the command line', async (t) => {
  const core = await withNodes(t);
  const port = core.ports.backend_port;
  const { nodes: all } = (await get(port, '/api/v1/ledger')).json;
  assert.equal(all.frames, all.accepted + all.duplicates + all.refused);
  assert.equal(all.balanced, true);
  const { text } = await get(port, '/api/v1/ledger/nodes');
  assert.ok(text.includes('"node_id":18446744073709551615,"id":"18446744073709551615"'), text);
  const rows = JSON.parse(text).nodes;
  assert.equal(rows.length, 3);
  for (const row of rows) {
    assert.equal(row.balanced, true);
    assert.equal(row.frames, row.accepted + row.duplicates + row.refused, row.node_name);
    const { json } = await get(port, `/api/v1/nodes/${row.id}`);
    for (const field of ['frames', 'accepted', 'refused', 'logged_records', 'balanced'])
      assert.equal(json.ledger[field], row[field], field);
  }
  for (const field of ['frames', 'accepted', 'refused', 'events', 'logged_events', 'bytes_in'])
    assert.equal(
      rows.reduce((sum: number, row: Record<string, number>) => sum + row[field]!, 0),
      all[field],
      field,
    );
  const byName = Object.fromEntries(rows.map((row: { node_name: string }) => [row.node_name, row]));
  assert.equal(byName['eu-1'].events, EVENTS);
  assert.equal(byName.bad.refused, 3);
  assert.equal(byName.bad.refused_by_code.MESSAGE_PARSE_FAILED, 1);
  assert.equal(byName.bad.refused_by_code.INVALID_NODE_ID, 1);

  const names = async (query: string) =>
    (await get(port, `/api/v1/ledger/nodes?${query}`)).json.nodes.map(
      ({ node_name }: { node_name: string }) => node_name,
    );
  assert.deepEqual(await names('node=eu-*'), ['eu-1']);
  assert.deepEqual(await names('node=18446744073709551615'), ['eu-1']);
  assert.deepEqual(await names('node=nobody'), []);
  assert.deepEqual(await names('limit=2'), ['us-1', 'bad']);
  assert.deepEqual(await names('limit=2&after=9'), ['eu-1']);

  const { text: metrics } = await get(port, '/metrics');
  const metric = (name: string) => Number(new RegExp(`^honeybee_${name} (.+)$`, 'm').exec(metrics)![1]);
  assert.equal(metric('ledger_frames_total\\{result="accepted"\\}'), all.accepted);
  assert.equal(metric('ledger_frames_total\\{result="refused"\\}'), 3);
  assert.equal(metric('ledger_records_total\\{stage="logged"\\}'), all.logged_records);
  assert.equal(metric('ledger_balanced'), 1);

  const dir = ['--storage.dir', core.dataDir];
  const shown = await cli(['ledger', ...dir], { cwd: core.folder });
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^frames +408 = 405 accepted \+ 0 duplicates \+ 3 refused$/m);
  assert.match(shown.stdout, /^eu-1 +18446744073709551615 +202 +202 +0 +0 +0 +\d+ +-$/m);
  const one = await cli(['ledger', '--node', '18446744073709551615', ...dir], { cwd: core.folder });
  assert.match(one.stdout, /^node +eu-1, id 18446744073709551615$/m);
  assert.doesNotMatch(one.stdout, /us-1/);
  const json = await cli(['ledger', '--json', '--node', 'b*', ...dir], { cwd: core.folder });
  assert.equal(JSON.parse(json.stdout).nodes.nodes[0].refused, 3);
  const nobody = await cli(['ledger', '--node', 'nobody', ...dir], { cwd: core.folder });
  assert.equal(nobody.code, 65, nobody.stderr);
  const status = await cli(['status', ...dir], { cwd: core.folder });
  assert.match(status.stdout, /^durable +records up to (\d+) of \1; fsync every 50 ms/m);
  assert.match(status.stdout, /^kept +records from 1 on, /m);
  await core.stop();
  const gone = await cli(['ledger', ...dir], { cwd: core.folder });
  assert.deepEqual([gone.code, gone.stdout], [69, '']);
  assert.match(gone.stderr, /no Core runs on /);
});

test('named consumers and deliveries: how far each is, and one that is forgotten begins anew', async (t) => {
  const core = await withNodes(t);
  const { backend_port: port, proxy_port } = core.ports;
  const query = { consumer: 'siem', from: 1, batch: 1 };
  const siem = await StreamClient.open(proxy_port, 'batch', { query });
  t.after(() => siem.socket.terminate());
  const { next_seq: end } = (await get(port, '/api/v1/log')).json;
  await poll('it has everything', () => siem.positions.at(-1) === end || undefined);
  siem.ack(100);
  const found = await poll('its cursor moves', async () => {
    const { consumers } = (await get(port, '/api/v1/consumers')).json;
    return consumers[0]?.next_seq === 100 ? consumers[0] : undefined;
  });
  assert.deepEqual([found.name, found.connected, found.lag], ['siem', true, end - 100]);
  assert.deepEqual((await get(port, '/api/v1/consumers/siem')).json, found);
  const { deliveries } = (await get(port, '/api/v1/deliveries')).json;
  assert.equal(deliveries.length, 1);
  const [delivery] = deliveries;
  assert.deepEqual(
    [delivery.name, delivery.kind, delivery.next_seq, delivery.lag, delivery.records, delivery.missing],
    ['siem', 'websocket', end, 0, end - 1, 0],
  );
  const { consumers } = (await get(port, '/api/v1/ledger')).json;
  assert.deepEqual(
    [consumers.connected, consumers.named, consumers.slowest, consumers.slowest_next_seq],
    [1, 1, 'siem', 100],
  );
  const { text: metrics } = await get(port, '/metrics');
  assert.match(metrics, /^honeybee_named_consumer_sequence\{consumer="siem"\} 100$/m);
  assert.match(
    metrics,
    new RegExp(`^honeybee_named_consumer_lag_records\\{consumer="siem"\\} ${end - 100}$`, 'm'),
  );
  const shown = await cli(['ledger', '--storage.dir', core.dataDir], { cwd: core.folder });
  assert.match(shown.stdout, /^siem +100 +\d+ +yes /m);

  assert.equal((await ask(port, 'DELETE', '/api/v1/consumers/siem')).status, 204);
  await siem.closed;
  assert.equal((await get(port, '/api/v1/consumers/siem')).status, 404);
  assert.equal((await ask(port, 'DELETE', '/api/v1/consumers/siem')).status, 404);
  assert.deepEqual((await get(port, '/api/v1/consumers')).json, { consumers: [] });
  const audit = (await get(port, '/api/v1/audit?action=consumer.remove')).json.entries;
  assert.deepEqual(
    audit.map(({ target, outcome }: Record<string, string>) => [target, outcome]),
    [['siem', 'done']],
  );
  await core.stop();
});

test('events over REST are the log of Core, also after it was killed and has started again', async (t) => {
  const core = await withNodes(t);
  const lines = async (port: number, query: string) =>
    (await get(port, `/api/v1/events?format=ndjson&records=all&${query}`)).text.split('\n').slice(0, -2);
  const before = await lines(core.ports.backend_port, '');
  await core.crash();
  const again = await CoreProcess.start(t, { folder: core.folder });
  const after = await lines(again.ports.backend_port, `before=${before.length + 1}`);
  // When a record was received is said of its batch, and batches end when Core does.
  const unchanging = (line: string) => line.replace(/"received":"[^"]*",/, '');
  assert.deepEqual(after.map(unchanging), before.map(unchanging));
  const { events } = (await get(again.ports.backend_port, '/api/v1/events?limit=1&node=18446744073709551615'))
    .json;
  assert.equal(events[0].event.message.PotEvent.data.n, EVENTS - 1);
  await again.stop();
  const log = readLog(core.dataDir).lines;
  assert.deepEqual(
    before.map((line) => /"event":(.*)\}$/.exec(line)![1]),
    log.slice(0, before.length),
  );
});
