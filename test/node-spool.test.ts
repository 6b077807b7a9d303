/**
 * The node that people copy (scripts/node.ts) with its spool: nothing is lost and nothing arrives twice, whatever
 * breaks. Against a stand-in for Core that acknowledges, and forgets what it had not acknowledged when it "crashes".
 */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { poll } from './deadline.js';
import {
  ack,
  type CoreDouble,
  folder,
  lines,
  NodeProcess,
  startCore,
  startNode,
  upTo,
} from './node-double.js';

/** What Core does about EventAck, in a few lines: takes what is new, keeps it, says so when it is told to. */
class Acking {
  readonly core: CoreDouble;
  /** Numbers in `n` by `seq`: what is on this Core's disk, and what it only has in memory. */
  readonly durable = new Map<number, unknown>();
  #taken = new Map<number, unknown>();
  #looked = 0;
  duplicates = 0;
  acknowledges = true;
  offers = true;

  constructor(core: CoreDouble) {
    this.core = core;
    core.onRegistration = (socket) => {
      this.take();
      const fields = this.offers ? { features: ['event_ack'], last_seq: this.lastSeq } : {};
      socket.write(ack({ accepted: true, ...fields }));
    };
    core.on('change', () => {
      this.take();
      if (this.acknowledges) this.acknowledge();
    });
  }

  get lastSeq(): number {
    return Math.max(0, ...this.durable.keys());
  }

  take(): void {
    for (const { name, fields } of this.core.frames.slice(this.#looked)) {
      if (name !== 'PotEvent') continue;
      const { seq, data } = fields as { seq: number; data: { n: number } };
      assert.ok(Number.isSafeInteger(seq) && seq > 0, 'every event is numbered');
      const known = this.durable.get(seq) ?? this.#taken.get(seq);
      if (known === undefined) this.#taken.set(seq, data.n);
      else {
        this.duplicates++;
        assert.equal(data.n, known, `event ${seq} is the same each time it is sent`);
      }
    }
    this.#looked = this.core.frames.length;
  }

  acknowledge(): void {
    for (const [seq, n] of this.#taken) this.durable.set(seq, n);
    if (this.#taken.size === 0) return;
    this.#taken.clear();
    const text = `{"version":2,"message":{"EventAck":{"node_id":1,"seq":${this.lastSeq}}}}\n`;
    if (this.offers) this.core.sockets.at(-1)!.write(text);
  }

  /** What was not acknowledged is gone, and the connection. */
  crash(): void {
    this.#taken.clear();
    this.core.sockets.at(-1)!.resetAndDestroy();
  }

  /** The numbers in `n`, in the order of `seq`. */
  get stored(): unknown[] {
    return [...this.durable].sort(([a], [b]) => a - b).map(([, n]) => n);
  }
}

async function acking(t: TestContext): Promise<Acking> {
  return new Acking(await startCore(t));
}

const spoolOf = (t: TestContext) => join(folder(t), 'spool');
const spooledBytes = (spool: string) =>
  (existsSync(spool) ? readdirSync(spool) : [])
    .filter((name) => name.endsWith('.ndjson'))
    .reduce((sum, name) => sum + statSync(join(spool, name)).size, 0);

const countSpooled = (spool: string) =>
  readdirSync(spool)
    .filter((name) => name.endsWith('.ndjson'))
    .reduce((sum, name) => sum + readFileSync(join(spool, name), 'latin1').split('\n').length - 1, 0);

describe("the node's spool", { concurrency: 4 }, () => {
  it('numbers events, and ends when Core has all of a file on its disk', async (t) => {
    const side = await acking(t);
    const [spool, file] = [spoolOf(t), join(folder(t), 'pot.json')];
    writeFileSync(file, lines(0, 2000));
    side.acknowledges = false;
    const node = startNode(t, side.core, '--file', file, '--spool', spool, '--id', '1', '--pot-type', 'test');
    await side.core.until('all events', () => side.core.of('PotEvent').length === 2000);
    assert.equal(node.exitCode, undefined, 'sent is not acknowledged');
    side.acknowledges = true;
    side.acknowledge();
    assert.equal(await node.ended(), 0, node.err);
    assert.deepEqual(side.core.frames[0]!.fields.features, ['event_ack']);
    assert.equal(
      side.core.of('PotEvent')[6]!.text,
      '{"version":2,"message":{"PotEvent":{"node_id":1,"seq":7,"pot_id":"test-01","pot_type":"test","event_type":"test.line",' +
        `"timestamp":"2024-01-26T21:59:42.991117Z","data":{"n":6,"big":${2n ** 64n + 6n}}}}}`,
    );
    assert.deepEqual(side.stored, upTo(2000));
    const { sent, acknowledged, spooled, unsent } = node.summary;
    assert.deepEqual([sent, acknowledged, spooled, unsent], [2000, 2000, 0, 0]);
    assert.equal(spooledBytes(spool), 0);
    assert.deepEqual(
      readdirSync(spool).filter((name) => name.endsWith('.ndjson')),
      ['00000000000000002001.ndjson'],
      'the next number is kept',
    );
    assert.equal(JSON.parse(readFileSync(join(spool, 'state'), 'utf8')).node_id, '1');
  });

  it('sends again what was not acknowledged, and only that', async (t) => {
    const side = await acking(t);
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 5000));
    let crashes = 0;
    side.acknowledges = false;
    side.core.on('change', () => {
      const { length } = side.core.of('PotEvent');
      if (length > 1000 * (crashes + 1) && crashes < 4) {
        crashes++;
        if (crashes % 2 === 0) side.acknowledge();
        side.crash();
      }
      if (crashes === 4) side.acknowledges = true;
    });
    const node = startNode(t, side.core, '--file', file, '--spool', spoolOf(t), '--id', '1');
    assert.equal(await node.ended(), 0, node.err);
    assert.deepEqual(side.stored, upTo(5000));
    assert.equal(node.summary.reconnects, 4);
    assert.ok(node.summary.sent! > 5000, 'some were sent again');
  });

  it('survives its own death, a torn tail, and never uses a number twice', async (t) => {
    const side = await acking(t);
    const spool = spoolOf(t);
    side.acknowledges = false;
    const run = async () => {
      const node = startNode(t, side.core, '--listen', '0', '--spool', spool, '--id', '1');
      const peer = net.connect(await node.listening(), '127.0.0.1');
      t.after(() => peer.destroy());
      return { node, peer };
    };
    for (let round = 0; round < 4; round++) {
      const { node, peer } = await run();
      peer.write(lines(round * 300, round * 300 + 300));
      await side.core.until(
        `round ${round} was sent`,
        () => new Set(side.core.numbers()).size === round * 300 + 300,
      );
      if (round === 1) side.acknowledge();
      node.child.kill('SIGKILL');
      await node.ended();
      // Half an event that was never forced to the disk, so never sent; and what a loss of power leaves: zeros.
      const newest = join(
        spool,
        readdirSync(spool)
          .filter((name) => name.endsWith('.ndjson'))
          .sort()
          .at(-1)!,
      );
      if (round === 2)
        appendFileSync(newest, '{"version":2,"message":{"PotEvent":{"node_id":1,"seq":901,"pot_i');
      if (round === 3) appendFileSync(newest, Buffer.alloc(5000));
    }
    side.acknowledges = true;
    const { node, peer } = await run();
    assert.match(node.err, /no whole event; cut/);
    peer.write(lines(1200, 1201));
    await side.core.until('the last one', () => side.durable.size === 1201);
    assert.deepEqual(side.stored, upTo(1201));
    assert.deepEqual(
      [...side.durable.keys()].sort((a, b) => a - b),
      upTo(1202).slice(1),
    );
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.equal(node.summary.spooled, 0);
  });

  it('keeps events while Core is away, says how many, and sends them when it is started again', async (t) => {
    const side = await acking(t);
    const spool = spoolOf(t);
    const first = startNode(t, side.core, '--listen', '0', '--spool', spool, '--id', '1');
    const port = await first.listening();
    await side.core.until('a session', () => side.core.of('NodeStatusUpdate').length > 0);
    side.core.onRegistration = (socket) => socket.destroy();
    side.core.sockets[0]!.destroy();
    const peer = net.connect(port, '127.0.0.1').end(lines(0, 500));
    t.after(() => peer.destroy());
    await new Promise((resolve) => peer.resume().on('close', resolve));
    first.child.kill('SIGTERM');
    assert.equal(await first.ended(), 0);
    assert.deepEqual([first.summary.spooled, first.summary.unsent], [500, 0]);

    const again = new Acking(side.core);
    const second = startNode(t, side.core, '--no-listen', '--spool', spool, '--id', '1');
    await side.core.until('all', () => again.durable.size === 500);
    assert.deepEqual(again.stored, upTo(500));
    second.child.kill('SIGTERM');
    assert.equal(await second.ended(), 0);
  });

  it('reads no more when the spool is full, and loses nothing by that', async (t) => {
    const side = await acking(t);
    side.acknowledges = false;
    const file = join(folder(t), 'pot.json');
    const total = 30_000;
    writeFileSync(file, lines(0, total, `,"pad":"${'p'.repeat(200)}"`));
    const spool = spoolOf(t);
    const node = startNode(
      t,
      side.core,
      ...['--file', file, '--spool', spool, '--spool-bytes', '1048576', '--id', '1'],
    );
    await side.core.until('a full spool', () => spooledBytes(spool) >= 1024 * 1024);
    let seen = -1;
    // Full is when nothing more comes although nothing stops it but the bound.
    await poll('quiet', async () => {
      const before = seen;
      seen = side.core.frames.length;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return side.core.frames.length === before ? true : undefined;
    });
    assert.ok(side.core.of('PotEvent').length < total);
    // Of what is in memory a batch may still be on its way to the disk when it becomes full.
    assert.ok(spooledBytes(spool) < 24 * 1024 * 1024, `${spooledBytes(spool)}`);
    side.acknowledges = true;
    side.acknowledge();
    assert.equal(await node.ended(), 0, node.err);
    assert.deepEqual(side.stored, upTo(total));
  });

  it('goes on when a file as large as the whole spool is acknowledged', async (t) => {
    const side = await acking(t);
    const options = ['--spool', spoolOf(t), '--spool-bytes', String(1 << 20), '--id', '1'];
    const node = startNode(t, side.core, '--listen', '0', ...options);
    const peer = net.connect(await node.listening(), '127.0.0.1');
    t.after(() => peer.destroy());
    const large = (n: number, bytes: number) => lines(n, n + 1, `,"large":"${'x'.repeat(bytes)}"`);
    const sent = [large(0, 200_000), large(1, 950_000), large(2, 10)];
    for (const [at, line] of sent.entries()) {
      peer.write(line);
      await side.core.until(`event ${at}`, () => side.stored.length === at + 1);
    }
    assert.deepEqual(side.stored, upTo(3));
  });

  it('says so when Core does not acknowledge, and keeps nothing back for ever', async (t) => {
    const side = await acking(t);
    side.offers = false;
    const [spool, file] = [spoolOf(t), join(folder(t), 'pot.json')];
    writeFileSync(file, lines(0, 1000));
    const node = startNode(t, side.core, '--file', file, '--spool', spool, '--id', '1');
    assert.equal(await node.ended(), 0, node.err);
    assert.match(node.err, /does not acknowledge events/);
    assert.deepEqual(side.core.numbers(), upTo(1000));
    assert.equal(node.summary.spooled, 0);
    assert.equal(spooledBytes(spool), 0);
  });

  it('a node that lost its spool uses no number that Core may know', async (t) => {
    const side = await acking(t);
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 10));
    const first = startNode(t, side.core, '--file', file, '--spool', spoolOf(t), '--id', '1');
    assert.equal(await first.ended(), 0, first.err);
    const second = startNode(t, side.core, '--file', file, '--spool', spoolOf(t), '--id', '1');
    assert.equal(await second.ended(), 0, second.err);
    assert.match(second.err, /this spool does not/);
    assert.deepEqual(side.stored, [...upTo(10), ...upTo(10)]);
    assert.ok(side.lastSeq > 1_000_000);
  });

  for (const isEarly of [false, true])
    it(`a node that was put back from a copy loses nothing that it takes from then on${isEarly ? ', also before Core lets it in' : ''}`, async (t) => {
      const side = await acking(t);
      const [file, spool] = [join(folder(t), 'pot.json'), spoolOf(t)];
      const run = async (from: number) => {
        writeFileSync(file, lines(from, from + 10));
        const node = startNode(t, side.core, '--file', file, '--spool', spool, '--id', '1');
        assert.equal(await node.ended(), 0, node.err);
        return node;
      };
      await run(0);
      cpSync(spool, `${spool}.copy`, { recursive: true });
      await run(10);
      rmSync(spool, { recursive: true });
      cpSync(`${spool}.copy`, spool, { recursive: true });
      const before = spooledBytes(spool);
      const { onRegistration } = side.core;
      side.core.onRegistration = async (socket) => {
        if (isEarly) await poll('events have numbers', () => spooledBytes(spool) > before || undefined);
        onRegistration(socket);
      };
      const node = await run(20);
      assert.match(node.err, /this spool does not/);
      assert.deepEqual(side.stored, upTo(30));
      assert.equal(node.summary.acknowledged, 10);
      assert.ok(side.lastSeq > 1_000_000);
      await run(30);
      assert.deepEqual(side.stored, upTo(40));
    });

  it('what a node that was put back from a copy took and could not send is not lost when it is started again before Core lets it in', async (t) => {
    const side = await acking(t);
    const [file, spool] = [join(folder(t), 'pot.json'), spoolOf(t)];
    const start = (from: number) => {
      writeFileSync(file, lines(from, from + 10));
      return startNode(t, side.core, '--file', file, '--spool', spool, '--id', '1');
    };
    const run = async (from: number) => {
      const node = start(from);
      assert.equal(await node.ended(), 0, node.err);
    };
    await run(0);
    cpSync(spool, `${spool}.copy`, { recursive: true });
    await run(10);
    rmSync(spool, { recursive: true });
    cpSync(`${spool}.copy`, spool, { recursive: true });
    const { onRegistration } = side.core;
    side.core.onRegistration = (socket) => socket.destroy();
    let bytes = 0;
    for (const from of [20, 30]) {
      const node = start(from);
      const full = await poll('ten more events are on the disk', () => {
        const now = spooledBytes(spool);
        return now > bytes && countSpooled(spool) === from - 10 ? now : undefined;
      });
      bytes = full;
      node.child.kill('SIGKILL');
      await node.ended();
    }
    side.core.onRegistration = onRegistration;
    await run(40);
    assert.deepEqual(side.stored, upTo(50));
    await run(50);
    assert.deepEqual(side.stored, upTo(60));
  });

  it('refuses the spool of another node, a damaged one, and one that is in use', async (t) => {
    const side = await acking(t);
    side.acknowledges = false;
    const spool = spoolOf(t);
    const node = startNode(t, side.core, '--listen', '0', '--spool', spool, '--id', '1');
    const peer = net.connect(await node.listening(), '127.0.0.1');
    t.after(() => peer.destroy());
    peer.write(lines(0, 10));
    await side.core.until('sent', () => side.core.of('PotEvent').length === 10);
    const more = ['--no-listen', '--spool', spool];
    const busy = startNode(t, side.core, ...more, '--id', '1');
    assert.equal(await busy.ended(), 69);
    assert.match(busy.err, /in use by another node/);
    node.child.kill('SIGKILL');
    await node.ended();
    const other = startNode(t, side.core, ...more, '--id', '2');
    assert.equal(await other.ended(), 64);
    assert.match(other.err, /holds events of node 1, not of 2/);
    const [name] = readdirSync(spool).filter((found) => found.endsWith('.ndjson'));
    writeFileSync(join(spool, '00000000000000000011.ndjson'), '');
    truncateSync(join(spool, name!), 1000);
    const damaged = new NodeProcess(['--core', side.core.address, ...more, '--id', '1']);
    assert.equal(await damaged.ended(), 64);
    assert.match(damaged.err, /is damaged at byte/);
  });
});
