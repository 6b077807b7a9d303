/**
 * EventAck: what Core acknowledges is on the disk, what it does not acknowledge is sent again, and whatever happens between
 * the two nothing is lost and nothing is twice in the log.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CheckpointFiles } from '../src/ledger/checkpoint.js';
import { LEDGER, type LedgerField } from '../src/memory/ledger-table.js';
import { AckNode, ackEvent, ackRegistration, loggedSeqs } from './ack-node.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { NodeClient } from './node-client.js';
import { frame, messageName, potEvent } from './node-frames.js';
import { get, post } from './rest-client.js';
import { TlsFiles } from './tls-files.js';

/** Lines of the log as it is now; the last one may not be whole. */
function logLines(dataDir: string): string[] {
  const folder = join(dataDir, 'log');
  const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  return names.sort().flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1));
}

/** 1 to count, each once and in order. */
function assertAll(lines: readonly string[], name: string, count: number): void {
  const seqs = loggedSeqs(lines, name);
  assert.deepEqual(
    seqs.filter((seq, at) => seq !== at + 1).slice(0, 10),
    [],
    `${name}: not in order, or more than once: ${seqs.length} of ${count}`,
  );
  assert.equal(seqs.length, count, name);
}

/** The last checkpoint's rows by serial number. */
function ledgerOf(dataDir: string): Map<number, Record<LedgerField, number>> {
  const checkpoint = new CheckpointFiles(join(dataDir, 'ledger')).read(Number.MAX_SAFE_INTEGER)!;
  return new Map(
    checkpoint.rows.map((cells) => [
      cells[LEDGER.serial]!,
      Object.fromEntries(Object.entries(LEDGER).map(([name, at]) => [name, cells[at]])) as never,
    ]),
  );
}

function assertBalanced(row: Record<LedgerField, number>): void {
  const refused = Object.entries(row).reduce((sum, [n, v]) => sum + (n.startsWith('refused_') ? v : 0), 0);
  assert.equal(row.frames, row.records + row.quiet + row.duplicates + refused, JSON.stringify(row));
  assert.equal(row.records, row.logged_records, JSON.stringify(row));
}

test('a node that numbers its events is told what is on the disk, and may send again what is not', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port } = core.ports;
  const node = new AckNode(2n ** 63n + 5n, 'acked');

  await t.test('acknowledgements come, and are as far as the disk', async () => {
    assert.equal(await node.connect(node_port), 0);
    for (let round = 0; round < 5; round++) {
      await node.send(1000);
      await node.allAcked();
      assert.ok(loggedSeqs(logLines(core.dataDir), node.name).length >= node.acked, 'in the log');
    }
    assert.ok(node.acks >= 5);
  });

  await t.test('what is sent again is dropped, counted, and acknowledged once more', async () => {
    const { id, client } = node;
    const from = client.answers.all.length;
    const again = [4998, 4999, 5000].map((seq) => ackEvent(id, seq, node.name));
    await client.send(`${again.join('\n')}\n`);
    assert.match(await client.answer('EventAck', from), /"seq":5000\}/);
    assert.equal(client.answers.all.filter((line) => messageName(line) === 'Error').length, 0);
  });

  await t.test('what is skipped is taken, and counted as missing', async () => {
    node.lastSeq += 10;
    await node.send(5);
    await node.allAcked();
  });

  await t.test(
    'a refused event counts as taken once it is kept; one of another number does not',
    async () => {
      const from = node.client.answers.all.length;
      await node.sendBad();
      await node.allAcked();
      assert.match(await node.client.answer('Error', from), /pot_id/);
      await node.send(3);
      await node.allAcked();
      const { id, client } = node;
      const far = 2 ** 53 - 1;
      await client.send(`${frame('PotEvent', `{"node_id":${id},"seq":${far},"pot_id":7}`)}\n`);
      await node.send(3);
      await node.allAcked();
    },
  );

  await t.test('numbers that are none are refused, and name the field', async () => {
    const { id, client } = node;
    const values = ['0', '-1', '1.5', '1e3', '9007199254740992', '"7"', 'null', '[1]', 'true', '01'];
    for (const value of values) {
      const text = ackEvent(id, 7, 'x').replace('"seq":7', `"seq":${value}`);
      await client.send(`${text}\n`);
    }
    const twice = ackEvent(id, 7, 'x').replace('"seq":7', `"seq":7,"seq":8`);
    await client.send(`${twice}\n`);
    await poll('all are dead letters', () => {
      const file = join(core.dataDir, 'dead-letters');
      const text = readdirSync(file)
        .map((name) => readFileSync(join(file, name), 'utf8'))
        .join('');
      const found = text.split('PotEvent.seq is not an integer').length - 1;
      return found === values.length - 1 + 1 ? true : undefined; // 01 is no JSON
    });
    await node.send(2);
    await node.allAcked();
  });

  await t.test('other shapes of events are numbered, too, and keep their numbers in the log', async () => {
    const { id, client } = node;
    const compiled = frame(
      'PotEvent',
      `{"node_id":${id},"seq":${node.lastSeq + 1},"pot_id":"p","event":"compiled","timestamp":1700000000}`,
    );
    const legacy = frame(
      'PotStatusUpdate',
      `{"node_id":${id},"seq":${node.lastSeq + 2},"pot_id":"p","pot_type":"t","status":"","message":"m"}`,
    );
    node.lastSeq += 2;
    await client.send(`${compiled}\n${legacy}\n`);
    await node.allAcked();
    const lines = logLines(core.dataDir);
    assert.equal(lines.filter((line) => line.includes(`"seq":${node.lastSeq - 1},`)).length, 1);
    assert.equal(lines.filter((line) => line.includes(`"seq":${node.lastSeq},`)).length, 1);
  });

  await t.test("without the feature a field `seq` is nobody's business", async () => {
    const plain = await NodeClient.register(node_port, { id: 4n, name: 'plain' });
    const events = ['"x"', '1', '1', '{"a":1}'].map((seq) =>
      potEvent(4n, '{"plain":1}').replace('"pot_id"', `"seq":${seq},"pot_id"`),
    );
    await plain.send(`${events.join('\n')}\n`);
    await poll('they are in the log', () => {
      const lines = logLines(core.dataDir).filter((line) => line.includes('"plain":1'));
      return lines.length === events.length ? (assert.deepEqual(lines, events) ?? true) : undefined;
    });
    assert.ok(!plain.answers.all.join().includes('event_ack'));
    await plain.end();
  });

  await t.test(
    'features that are not known are passed over; what is no list of names is refused',
    async () => {
      const other = await NodeClient.connect(node_port);
      await other.send(`${ackRegistration({ id: 5n, name: 'other' }, '["teleport"]')}\n`);
      const ack = await other.answer('RegistrationAck');
      assert.ok(ack.includes('"accepted":true') && !ack.includes('features'), ack);
      await other.end();
      for (const features of ['"event_ack"', 'null', '{}', '[1]', '["a",null]']) {
        const wrong = await NodeClient.connect(node_port);
        await wrong.send(`${ackRegistration({ id: 6n, name: 'wrong' }, features)}\n`);
        assert.match(await wrong.answer('Error'), /NodeRegistration\.features is not an array of strings/);
        wrong.reset();
      }
    },
  );

  await core.stop();
  const row = [...ledgerOf(core.dataDir).values()].find(({ numbered }) => numbered === 1)!;
  assertBalanced(row);
  assert.equal(row.taken_seq, node.lastSeq);
  assert.equal(row.durable_seq, 0 + node.lastSeq);
  assert.equal(row.duplicates, 3);
  assert.equal(row.missing, 10);
  const events = logLines(core.dataDir).filter((line) => line.includes(`"node_id":${node.id},"seq"`)).length;
  assert.equal(row.logged_events, events);
});

test('nothing is lost and nothing is twice, whatever connections and Core do', async (t) => {
  const tls = new TlsFiles(t);
  const settings = {
    ...tls.settings,
    'tls.backend': false,
    'tls.proxy': false,
    'tls.plain_text': true,
    'server.debug': true,
    'ingest.shards': 2,
  };
  let core = await CoreProcess.start(t, { settings });
  const nodes = Array.from({ length: 6 }, (_, i) => new AckNode(BigInt(100 + i), `n-${i}`));
  const connect = (node: AckNode, at: number, id?: bigint) =>
    node.connect(core.ports.node_port, at % 3 === 0 ? tls.client : undefined, id);
  await Promise.all(nodes.map((node, at) => connect(node, at)));

  await t.test('connections break, and ids change', async () => {
    for (let round = 0; round < 4; round++) {
      await Promise.all(nodes.map((node) => node.send(2000)));
      // Some in the middle of what they send, some taken over by a new connection, some under a new id, whether Core has
      // noticed or not that the connection before is gone.
      await Promise.all(
        nodes.map(async (node, at) => {
          if ((at + round) % 2 === 0) node.client.socket.destroy();
          await connect(node, at, at % 2 === 0 || round % 2 === 0 ? node.id + 1000n : node.id);
        }),
      );
    }
    await Promise.all(nodes.map((node) => node.allAcked()));
  });

  await t.test('a shard dies', async () => {
    await Promise.all(nodes.map((node) => node.send(3000)));
    await Promise.all([0, 1].map((shard) => post(core.ports.backend_port, `/debug/shards/${shard}/kill`)));
    for (const shard of [0, 1]) await core.line('shard restarted', { shard });
    await Promise.all(nodes.map((node) => node.client.socket.destroy()));
    for (const [at, node] of nodes.entries()) await connect(node, at);
    await Promise.all(nodes.map((node) => node.allAcked()));
  });

  const refused = new Set<number>();
  await t.test('Core is killed, again and again', async () => {
    for (let round = 0; round < 3; round++) {
      const before = nodes.map(({ acked }) => acked);
      await Promise.all(nodes.map((node) => node.send(4000)));
      await poll('some are acknowledged', () =>
        nodes.some(({ acked }, i) => acked > before[i]!) ? true : undefined,
      );
      // The last thing that this one knows is that something it sent was refused, and kept.
      await nodes[0]!.allAcked();
      await nodes[0]!.sendBad();
      await nodes[0]!.allAcked();
      refused.add(nodes[0]!.lastSeq);
      await core.crash();
      core = await CoreProcess.start(t, { folder: core.folder, settings });
      for (const [at, node] of nodes.entries()) {
        const { acked } = node;
        assert.ok((await connect(node, at)) >= acked, 'what was acknowledged is still there');
      }
    }
    await Promise.all(nodes.map((node) => node.allAcked()));
  });

  const { json } = await get(core.ports.backend_port, '/api/v1/nodes');
  await core.stop();
  const lines = logLines(core.dataDir);
  for (const node of nodes.slice(1)) assertAll(lines, node.name, node.lastSeq);
  const sent = Array.from({ length: nodes[0]!.lastSeq }, (_, i) => i + 1).filter((seq) => !refused.has(seq));
  assert.deepEqual(loggedSeqs(lines, nodes[0]!.name), sent);
  const rows = ledgerOf(core.dataDir);
  assert.equal(rows.size, nodes.length + 1);
  for (const row of rows.values()) assertBalanced(row);
  for (const node of nodes) {
    const shown = json.nodes.find(({ node_name }: { node_name: string }) => node_name === node.name);
    assert.equal(
      shown.events,
      node === nodes[0] ? sent.length : node.lastSeq,
      'REST says what is in the log',
    );
  }
  assert.ok(existsSync(join(core.dataDir, 'ledger', 'checkpoint-0')));
});
