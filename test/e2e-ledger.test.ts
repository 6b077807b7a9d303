/**
 * The ledger: whatever nodes send, and however Core ends, frames = accepted + duplicates + refused, and what it says is
 * in the log of a node is in the log.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { ackEvent, ackRegistration } from './ack-node.js';
import { type Cleanup, CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { NodeClient } from './node-client.js';
import { frame, messageName, nodeIdOf, numberedEvent, registration, statusUpdate } from './node-frames.js';
import { ask, get } from './rest-client.js';

const SEED = Number(process.env.SEED ?? 20261121);

interface Account {
  readonly id: string;
  readonly node_name: string;
  readonly [field: string]: number | string | boolean | object;
}

function logLines(dataDir: string): string[] {
  const folder = join(dataDir, 'log');
  const names = readdirSync(folder).filter((name) => name.endsWith('.ndjson'));
  return names.sort().flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1));
}

/** What the log holds of each node, by the serial number of its record: who has an id is said by the notices. */
function countLog(lines: readonly string[]): Map<string, { records: number; events: number }> {
  const names = new Map<string, string>();
  const counts = new Map<string, { records: number; events: number }>();
  for (const line of lines) {
    const name = messageName(line);
    const id = nodeIdOf(line);
    if (name === 'NodeRegistered') names.set(id!, JSON.parse(line).message.NodeRegistered.node_name);
    if (name === 'NodeRegistered' || name === 'NodeDisconnected') continue;
    const own = names.get(id!)!;
    const count = counts.get(own) ?? { records: 0, events: 0 };
    counts.set(own, count);
    count.records++;
    if (name === 'PotEvent') count.events++;
  }
  return counts;
}

async function accounts(core: CoreProcess): Promise<Account[]> {
  return (await get(core.ports.backend_port, '/api/v1/ledger/nodes')).json.nodes;
}

async function totals(core: CoreProcess): Promise<Account> {
  return (await get(core.ports.backend_port, '/api/v1/ledger')).json.nodes;
}

function assertBalanced(account: Account): void {
  const { frames, accepted, duplicates, refused, balanced } = account;
  assert.equal(
    frames,
    (accepted as number) + (duplicates as number) + (refused as number),
    JSON.stringify(account),
  );
  assert.equal(balanced, true);
}

/** A node that sends anything. */
class Chatter {
  readonly name: string;
  readonly numbered: boolean;
  id: bigint;
  client!: NodeClient;
  seq = 0;
  readonly #random: Random;

  constructor(n: number, random: Random) {
    this.name = `chatter-${n}`;
    this.numbered = n % 2 === 0;
    this.id = BigInt(1000 + n);
    this.#random = random;
  }

  async connect(port: number): Promise<void> {
    this.client = await NodeClient.connect(port);
    await this.client.send(`${this.numbered ? ackRegistration(this) : registration(this)}\n`);
    const ack = JSON.parse(await this.client.answer('RegistrationAck')).message.RegistrationAck;
    assert.equal(ack.accepted, true, JSON.stringify(ack));
  }

  /** Core has read everything: it answers in order. */
  async heard(): Promise<void> {
    const from = this.client.answers.all.length;
    await this.client.send(`${this.numbered ? ackRegistration(this) : registration(this)}\n`);
    assert.match(await this.client.answer('RegistrationAck', from), /already registered/);
  }

  /** Frames of all kinds. */
  async talk(count: number): Promise<void> {
    const random = this.#random;
    const texts = Array.from({ length: count }, () => {
      switch (random.below(12)) {
        case 0:
          return statusUpdate(this.id, random.pick(['Running', 'Deploying']));
        case 1:
          // Whose it is Core puts in front, or the node says it itself. In the body it says nothing.
          return random.below(2) === 0
            ? frame('NodeEvent', '{"type":"Started","node_id":99}')
            : `{"version":2,"message":{"NodeEvent":"Alarm"},"node_id":${this.id}}`;
        case 2:
          return statusUpdate(99n, 'Running');
        case 3:
          return '{"version":2,"message":{"PotEvent":{';
        case 4:
          return frame('PotEvent', `{"node_id":${this.id},"seq":${++this.seq},"pot_id":5}`);
        case 5:
          return this.numbered
            ? ackEvent(this.id, Math.max(1, this.seq - 2), this.name)
            : numberedEvent(this.id, 1);
        case 6:
          this.seq += 2;
          return ackEvent(this.id, this.seq, this.name);
        default:
          return ackEvent(this.id, ++this.seq, this.name, 'x'.repeat(random.below(300)));
      }
    });
    await this.client.send(`${texts.join('\n')}\n`);
  }
}

const SETTINGS = { 'ingest.shards': 2, 'admission.max_errors_per_minute': 0, 'ingest.error_replies': false };

async function talkingCore(t: Cleanup, random: Random) {
  const core = await CoreProcess.start(t, { settings: SETTINGS });
  const nodes = Array.from({ length: 8 }, (_, n) => new Chatter(n, random));
  for (const node of nodes) await node.connect(core.ports.node_port);
  return { core, nodes };
}

/** All that was sent is read, and in the log. */
async function quiet(core: CoreProcess, nodes: readonly Chatter[]): Promise<Account[]> {
  await Promise.all(nodes.map((node) => node.heard()));
  return poll('every record is logged', async () => {
    const all = await accounts(core);
    return all.every((one) => one.records === one.logged_records) ? all : undefined;
  });
}

/** Kills Core while more comes in, with much in the log that no checkpoint has counted. */
async function crashBehindCheckpoint(core: CoreProcess, nodes: readonly Chatter[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.heard()));
  const folder = join(core.dataDir, 'ledger');
  const newest = () =>
    Math.max(
      ...readdirSync(folder).map(
        (name) => statSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      ),
    );
  const count = async () => (await totals(core)).logged_events as number;
  // Another checkpoint comes two seconds after the last one at the soonest, if something was logged.
  const lastMs = newest();
  await nodes[0]!.talk(10);
  await poll('a checkpoint', () => (newest() > lastMs ? true : undefined));
  const before = await count();
  const talks = nodes.map((node) => node.talk(1500));
  await poll('some of it is in the log', async () => ((await count()) > before + 1000 ? true : undefined));
  await core.crash();
  await Promise.all(talks);
}

function assertSame(before: Account[], after: Account[], fields: readonly string[]): void {
  const pick = (all: Account[]) =>
    all.map((one) => Object.fromEntries(['node_name', ...fields].map((field) => [field, one[field]])));
  assert.deepEqual(pick(after), pick(before));
}

test(`the equation holds at every moment, and after every end of Core the log is what the ledger says (seed ${SEED})`, async (t) => {
  const random = new Random(SEED);
  let { core, nodes } = await talkingCore(t, random);
  for (let round = 0; round < 4; round++) {
    const talks = nodes.map((node) => node.talk(1500));
    for (let look = 0; look < 5; look++) {
      for (const account of await accounts(core)) assertBalanced(account);
      assertBalanced(await totals(core));
    }
    await Promise.all(talks);
    const orderly = round === 3;
    const before = orderly ? await quiet(core, nodes) : [];
    if (orderly) await core.stop();
    else await crashBehindCheckpoint(core, nodes);
    if (round === 1) {
      // One of the two checkpoints is lost or damaged: the other one and more of the log do.
      const folder = join(core.dataDir, 'ledger');
      const [name] = readdirSync(folder).filter((one) => !one.endsWith('.tmp'));
      if (random.below(2) === 0) rmSync(join(folder, name!));
      else writeFileSync(join(folder, name!), readFileSync(join(folder, name!)).fill(7, 100, 200));
    }
    // All of them: the whole log is counted.
    if (round === 2) rmSync(join(core.dataDir, 'ledger'), { recursive: true });
    const lines = logLines(core.dataDir);
    core = await CoreProcess.start(t, { folder: core.folder, settings: SETTINGS });
    if (!orderly) {
      const { records } = await core.line('counted what the log holds for the ledger');
      assert.ok((records as number) > 500, `${records} records behind the checkpoint`);
    }
    const after = await accounts(core);
    const inLog = countLog(lines);
    for (const account of after) {
      assertBalanced(account);
      const found = inLog.get(account.node_name) ?? { records: 0, events: 0 };
      assert.equal(account.logged_events, found.events, `${account.node_name} in round ${round}`);
      assert.equal(account.events, found.events);
      assert.equal(account.logged_records, found.records, account.node_name);
    }
    const { logged_events, logged_records } = await totals(core);
    assert.equal(logged_events, lines.filter((line) => messageName(line) === 'PotEvent').length);
    const notices = lines.filter((line) => /^Node(Registered|Disconnected)$/.test(messageName(line)));
    assert.equal(logged_records, lines.length - notices.length, 'each record of the log is somewhere');
    if (orderly) {
      const fields = [
        'frames',
        'accepted',
        'duplicates',
        'refused',
        'refused_by_code',
        'missing',
        'bytes_in',
        'taken_seq',
      ];
      // But the shards saw each connection close, which is no frame.
      assertSame(before, after, fields);
    }
    for (const node of nodes) {
      if (random.below(2) === 0) node.id += 100n;
      await node.connect(core.ports.node_port);
    }
  }
  await core.stop();
});

test('who is forgotten stays in the totals, also after a restart, and a row has one owner', async (t) => {
  const random = new Random(SEED);
  let { core, nodes } = await talkingCore(t, random);
  await Promise.all(nodes.map((node) => node.talk(500)));
  await quiet(core, nodes);
  const before = await totals(core);
  for (const node of nodes.slice(0, 5)) {
    const { status } = await ask(core.ports.backend_port, 'DELETE', `/api/v1/nodes/${node.id}`);
    assert.equal(status, 204);
  }
  assert.equal((await accounts(core)).length, 3);
  const fresh = Array.from({ length: 5 }, (_, n) => new Chatter(100 + n, random));
  for (const node of fresh) await node.connect(core.ports.node_port);
  for (const account of await accounts(core))
    if (account.node_name.startsWith('chatter-10')) assert.equal(account.frames, 1, 'its registration');
  const after = await totals(core);
  assert.equal(after.frames, (before.frames as unknown as number) + 5);
  assert.equal(after.logged_records, before.logged_records);
  await core.stop();
  core = await CoreProcess.start(t, { folder: core.folder, settings: SETTINGS });
  const again = await totals(core);
  assertBalanced(again);
  for (const field of ['frames', 'accepted', 'refused', 'duplicates', 'logged_records', 'bytes_in'])
    assert.equal(again[field], after[field], field);
  await core.crash();
});
