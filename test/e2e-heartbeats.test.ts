/**
 * Nodes that fall silent: they read Unknown, then their connection is closed; a heartbeat in time brings them back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { NodeClient } from './node-client.js';
import { isNotice, numberedEvent, statusUpdate } from './node-frames.js';
import { get } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const SETTINGS = { 'ingest.unknown_after_seconds': 1, 'ingest.close_after_seconds': 3 };

test('a silent node reads Unknown, then is disconnected; one that speaks again is back', async (t) => {
  const core = await CoreProcess.start(t, { settings: SETTINGS });
  const { node_port, backend_port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'events');
  const [silent, sleepy, busy] = await Promise.all(
    ['silent', 'sleepy', 'busy'].map((name, at) =>
      NodeClient.register(node_port, { id: BigInt(at) + 1n, name }),
    ),
  );
  const row = async (id: number) => (await get(backend_port, `/api/v1/nodes/${id}`)).json;
  const startMs = performance.now();
  let busyStatus = '';
  let sent = 0;
  const talk = async () => {
    await busy!.send(`${numberedEvent(3n, sent++)}\n`);
    busyStatus = (await row(3)).status;
    assert.equal(busyStatus, 'Connected', 'who sends events is not silent');
  };

  await t.test('after unknown_after_seconds it reads Unknown and is still connected', async () => {
    const unknown = await poll('both read Unknown', async () => {
      await talk();
      const rows = await Promise.all([row(1), row(2)]);
      return rows.every(({ status }) => status === 'Unknown') ? rows : undefined;
    });
    assert.ok(performance.now() - startMs >= 1_000);
    assert.ok(unknown.every(({ connected }) => connected));
  });

  await t.test('whatever it sends brings it back to what it was', async () => {
    await sleepy!.send(`${numberedEvent(2n, 0)}\n`);
    await poll('it reads as before', async () => ((await row(2)).status === 'Connected' ? true : undefined));
  });

  await t.test('a heartbeat says how it is now', async () => {
    await sleepy!.send(`${statusUpdate(2n, 'Running')}\n`);
    await poll('it runs again', async () => ((await row(2)).status === 'Running' ? true : undefined));
    await stream.seen('its status', (line) => line === statusUpdate(2n, 'Running'));
  });

  await t.test('after close_after_seconds it is disconnected', async () => {
    const isOver = (line: string) => isNotice(line, 'NodeDisconnected', 1n);
    await poll('it is closed', async () => {
      await talk();
      return stream.lines.some(isOver) ? true : undefined;
    });
    assert.ok(performance.now() - startMs >= 3_000);
    assert.match(stream.lines.find(isOver)!, /"status":"Unknown","reason":"silent for too long"/);
    await silent!.gone();
    const gone = await poll('REST knows', async () => {
      const json = await row(1);
      return json.connected ? undefined : json;
    });
    assert.equal(gone.status, 'Unknown');
    assert.equal((await row(3)).connected, true);
  });

  await busy!.end();
  await sleepy!.end();
  assert.equal((await core.stop()).code, 0);
});
