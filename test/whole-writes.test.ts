/** Whether the other side can have a write: on real sockets, with a peer that reads when it is told to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WholeWrites } from '../src/shard/whole-writes.js';
import { poll, within } from './deadline.js';

/** Both ends of a connection; the peer does not read yet. */
async function pair(t: TestContext): Promise<{ socket: Socket; peer: Socket }> {
  const server = createServer({ pauseOnConnect: true });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [peer] = (await once(server, 'connection')) as [Socket];
  socket.on('error', () => {});
  peer.on('error', () => {});
  t.after(() => {
    socket.destroy();
    peer.destroy();
    server.close();
  });
  return { socket, peer };
}

/** Writes until the kernel takes no more; what was written. */
async function fill(socket: Socket): Promise<number> {
  let length = 0;
  while (socket.writableLength === 0) {
    socket.write('.'.repeat(1 << 20));
    length += 1 << 20;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return length;
}

test('a write is taken when the system has all of it, and nothing gets between its bytes', async (t) => {
  const { socket, peer } = await pair(t);
  const writes = new WholeWrites(socket);
  const filler = await fill(socket);
  const taken: string[] = [];
  const texts = ['a'.repeat(50_000), 'b'.repeat(3_000_000), 'c'];
  for (const text of texts) writes.write(text, () => taken.push(text[0]!));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(taken, []);
  assert.equal(writes.waitingLength, texts.join('').length, 'none has left: something else is in front');
  assert.equal(writes.isTorn, false);
  socket.write('other');
  let got = '';
  peer.setEncoding('latin1').on('data', (chunk: string) => {
    got += chunk;
  });
  peer.resume();
  await poll('all is there', () => (got.length === filler + texts.join('').length + 5 ? true : undefined));
  await poll('all is taken', () => (taken.length === 3 ? true : undefined));
  assert.deepEqual(taken, ['a', 'b', 'c']);
  assert.ok(got.replace(/^\.+/, '').replace('other', '') === texts.join(''));
  for (const text of texts) assert.ok(got.includes(text));
});

test('a connection that ends with a torn write: it was not taken, and the peer does not have it', async (t) => {
  const { socket, peer } = await pair(t);
  const writes = new WholeWrites(socket);
  let taken = false;
  const text = `${'x'.repeat(64 << 20)}end`;
  writes.write(text, () => {
    taken = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(writes.isTorn, true);
  writes.stop();
  socket.destroy();
  let length = 0;
  peer.on('data', (chunk: Buffer) => {
    length += chunk.length;
  });
  peer.resume();
  await within('the end', once(peer, 'close'));
  assert.ok(length < text.length);
  assert.equal(taken, false);
});
