/** The node that people copy (scripts/node.ts): where its events come from, and that it holds back what it cannot send. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ack, type Fields, folder, lines, startCore, startNode, upTo } from './node-double.js';

describe("the node's input", { concurrency: 4 }, () => {
  it('counts and skips what is no event, or wraps it with --raw', async (t) => {
    const core = await startCore(t);
    const file = join(folder(t), 'pot.json');
    const huge = `{"n":0,"x":"${'y'.repeat(1024 * 1024 - 40)}"}`;
    writeFileSync(
      file,
      `\ufeff${lines(0, 1)}\n  \nno json\r\n[1]\n${huge}\n${'z'.repeat(2_000_000)}\n${lines(1, 2, `,"pad":"${'p'.repeat(70_000)}"`)}`,
    );
    appendFileSync(file, Buffer.from('{"n":2,"latin":"\xe9"}\n', 'latin1'));
    const node = startNode(t, core, '--file', file);
    assert.equal(await node.ended(), 0);
    assert.deepEqual(core.numbers(), [0, 1, 2]);
    const { lines: read, sent, skipped, oversized } = node.summary;
    assert.deepEqual({ read, sent, skipped, oversized }, { read: 7, sent: 3, skipped: 2, oversized: 2 });
    for (const said of [/not a JSON object/, /above 1 MiB/, /stay under 64 KiB/, /not UTF-8/])
      assert.match(node.err, said);

    const raw = startNode(t, core, '--file', file, '--raw');
    assert.equal(await raw.ended(), 0);
    const told = core
      .of('PotEvent')
      .map(({ fields }) => (fields.data as Fields).raw)
      .filter((text) => text !== undefined);
    assert.deepEqual(told, ['no json', '[1]']);
  });

  it('takes JSON lines on its port, torn, from several peers, each in order', async (t) => {
    const core = await startCore(t);
    const node = startNode(t, core, '--listen', '0');
    const port = await node.listening();
    const peers = [0, 1000, 2000].map((from) => {
      const peer = net.connect(port, '127.0.0.1');
      const bytes = Buffer.from(lines(from, from + 1000, ',"pot_id":"é"').slice(0, -1));
      for (let at = 0; at < bytes.length; at += 997) peer.write(bytes.subarray(at, at + 997));
      return peer.end();
    });
    await Promise.all(peers.map((peer) => once(peer.resume(), 'close')));
    await core.until('all lines', () => core.of('PotEvent').length === 3000);
    for (const from of [0, 1000, 2000]) {
      const mine = core.numbers().filter((n) => (n as number) >= from && (n as number) < from + 1000);
      assert.deepEqual(
        mine,
        upTo(1000).map((n) => n + from),
      );
    }
    assert.equal(core.frames[0]!.fields.port, port);
    const pots = core.of('PotStatusUpdate').map(({ fields }) => [fields.pot_id, fields.status]);
    assert.ok(
      pots.some(([id, status]) => id === 'é' && status === 'Running'),
      'a pot met later is announced',
    );
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.equal(core.frames.at(-1)!.name, 'NodeDrop');
  });

  it('holds honeypots back while Core is away, keeps a bounded number of events, and loses none', async (t) => {
    const core = await startCore(t);
    let answer = () => {};
    core.onRegistration = (socket) => {
      answer = () => void socket.write(ack({ accepted: true }));
    };
    startNode(t, core, '--listen', '0', '--quiet');
    await core.until('registration', () => core.of('NodeRegistration').length === 1);
    const peer = net.connect(core.frames[0]!.fields.port as number, '127.0.0.1');
    t.after(() => peer.destroy());
    const count = 50_000;
    const text = lines(0, count, `,"pad":"${'x'.repeat(900)}"`);
    let taken = 0; // characters are bytes here; written piece by piece, because a socket reports only whole writes
    const writing = (async () => {
      for (; taken < text.length; taken += 65_536)
        await new Promise((done) => peer.write(text.slice(taken, taken + 65_536), done));
    })();
    // That something does not happen can only be seen by waiting: not a byte more for a while.
    for (let [still, last] = [0, 0]; still < 5 && taken < text.length; last = taken) {
      await delay(100);
      still = last > 0 && taken === last ? still + 1 : 0;
    }
    assert.ok(
      taken > 10_000_000 && taken < text.length - 10_000_000,
      `${taken} of ${text.length} bytes were taken`,
    );
    answer();
    await writing;
    await core.until('all lines', () => core.of('PotEvent').length === count);
    assert.deepEqual(core.numbers(), upTo(count));
  });

  it('waits for a Core that does not read, and sends everything when it does', async (t) => {
    const core = await startCore(t);
    core.onRegistration = (socket) => {
      socket.write(ack({ accepted: true }));
      socket.pause();
      setTimeout(() => socket.resume(), 300);
    };
    const file = join(folder(t), 'pot.json');
    writeFileSync(file, lines(0, 20_000, `,"pad":"${'x'.repeat(900)}"`));
    const node = startNode(t, core, '--file', file, '--heartbeat-seconds', '0.02');
    assert.equal(await node.ended(), 0);
    assert.deepEqual(core.numbers(), upTo(20_000));
  });

  it('follows a file across appends, truncation and rotation', async (t) => {
    const core = await startCore(t);
    const file = join(folder(t), 'pot.json');
    const node = startNode(t, core, '--file', file, '--follow', '--no-listen');
    const arrive = (count: number) => core.until(`${count} lines`, () => core.of('PotEvent').length >= count);
    await node.until('waiting for the file', () => /waiting/.test(node.err));
    writeFileSync(file, lines(0, 10));
    await arrive(10);
    const torn = lines(10, 12);
    appendFileSync(file, torn.slice(0, torn.length - 30));
    await arrive(11);
    appendFileSync(file, torn.slice(torn.length - 30));
    await arrive(12);
    renameSync(file, `${file}.1`);
    appendFileSync(`${file}.1`, lines(12, 15).slice(0, -1)); // the writer has not noticed yet, and stops in a line
    writeFileSync(file, lines(15, 20));
    await arrive(20);
    writeFileSync(file, lines(20, 22)); // truncated: shorter than before
    await arrive(22);
    appendFileSync(file, '{"n":"half');
    node.child.kill('SIGTERM');
    assert.equal(await node.ended(), 0);
    assert.deepEqual(core.numbers(), upTo(22));
    assert.equal(node.summary.skipped, 0, 'half a line is no line');
  });
});
