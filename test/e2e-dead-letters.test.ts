/**
 * Dead letters of a real Core: what is refused can be found with its bytes, over a crash too; what is good by now, or was
 * corrected, goes into the log and the stream; what is not, does not.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cli } from './cli-run.js';
import { CoreProcess, temporaryFolder } from './core-process.js';
import { poll, within } from './deadline.js';
import { readDeadLetters, readLog } from './event-log.js';
import { NodeClient } from './node-client.js';
import { frame, nodeEventOf, potEvent, potStatus, registration, statusUpdate } from './node-frames.js';
import { get, post } from './rest-client.js';
import { StreamClient } from './stream-client.js';

const ID = 18446744073709551615n;

interface Row {
  readonly id: number;
  readonly code: string;
  readonly reason: string;
  readonly node_name: string | null;
  readonly bytes: string;
  readonly truncated: boolean;
  readonly masked: boolean;
  readonly replayed: { readonly outcome: string } | null;
}

async function rows(port: number, query = ''): Promise<Row[]> {
  const { status, json, text } = await get(port, `/api/v1/dead-letters${query}`);
  assert.equal(status, 200, text);
  return json.dead_letters;
}

/** Waits until so many are listed, the newest first. */
function listed(port: number, count: number): Promise<Row[]> {
  return poll(`${count} dead letters`, async () => {
    const all = await rows(port, '?limit=1000');
    return all.length === count ? all : undefined;
  });
}

async function bytesOf(port: number, id: number): Promise<{ bytes: Buffer; headers: Headers }> {
  const url = `http://127.0.0.1:${port}/api/v1/dead-letters/${id}/bytes`;
  const answer = await within(url, fetch(url));
  assert.equal(answer.status, 200);
  return { bytes: Buffer.from(await answer.arrayBuffer()), headers: answer.headers };
}

const replay = (port: number, id: number, query = '', body?: unknown) =>
  post(port, `/api/v1/dead-letters/${id}/replay${query}`, body === undefined ? {} : { body });

test('every refused frame is kept with its bytes, numbered, over a crash, and is found by its number', async (t) => {
  const folder = temporaryFolder(t);
  const bad = [
    Buffer.from('nonsense'),
    Buffer.from([0x7b, 0xff, 0x00, 0x1b, 0x5b, 0x32, 0x4a]),
    Buffer.from(potEvent(ID - 1n, '{}')),
    Buffer.from(`{"version":2,"message":{"X":{"pad":"${'x'.repeat(60_000)}"}}}`),
    Buffer.from(`{"version":2,"message":{"X":{"pad":"${'y'.repeat(70_000)}"}}}`),
    Buffer.from(`{"version":2,"message":{"X":{"pad":"${'z'.repeat(60_000)}","totp_code":"135791"}}}`),
  ];
  const first = await CoreProcess.start(t, { folder });
  const node = await NodeClient.register(first.ports.node_port, { id: ID, name: 'bad' });
  for (const bytes of bad) await node.send(Buffer.concat([bytes, Buffer.from('\n')]));
  const before = await listed(first.ports.backend_port, bad.length);
  await first.crash();
  const core = await CoreProcess.start(t, { folder });
  const port = core.ports.backend_port;
  assert.deepEqual(await rows(port), before, 'the same after a crash');
  assert.deepEqual(
    before.map(({ id }) => id),
    [6, 5, 4, 3, 2, 1],
  );
  for (const [at, bytes] of bad.entries()) {
    const kept = await bytesOf(port, at + 1);
    assert.equal(kept.headers.get('content-type'), 'application/octet-stream');
    assert.match(kept.headers.get('content-disposition')!, /^attachment;/);
    assert.equal(kept.headers.get('x-content-type-options'), 'nosniff');
    const { json: row } = await get(port, `/api/v1/dead-letters/${at + 1}`);
    const expected = Buffer.from(bytes.toString('latin1').replace('135791', '******'), 'latin1');
    assert.ok(kept.bytes.equals(expected.subarray(0, 64 * 1024)), `letter ${at + 1}`);
    assert.deepEqual([row.size, row.truncated, row.masked], [bytes.length, at === 4, at === 5]);
    assert.equal(Buffer.from(row.bytes, 'base64').compare(kept.bytes), 0);
  }
  assert.deepEqual(
    (await rows(port, '?code=INVALID_NODE_ID,MESSAGE_PARSE_FAILED&order=oldest')).map(({ id }) => id),
    [1, 2, 3],
  );
  assert.deepEqual(await rows(port, '?since=2100-01-01'), []);
  assert.equal((await rows(port, `?node=${ID}`)).length, 6);
  assert.equal((await rows(port, '?node=good*')).length, 0);
  const other = await NodeClient.register(core.ports.node_port, { id: 5n, name: 'other' });
  await other.send('again\n');
  assert.equal((await listed(port, 7))[0]!.id, 7);
  for (const [path, status] of [
    ['/8', 404],
    ['/999999999999999', 404],
    ['/9999999999999999', 404],
    ['/99999999999999999999', 400],
    ['/0', 400],
    ['/-1', 400],
    ['/1e3', 400],
    ['/..%2f1', 400],
    ['/x/bytes', 400],
    ['/8/bytes', 404],
    ['?limit=0', 400],
    ['?code=NONE', 400],
    ['?since=yesterday', 400],
    ['?since=2026-13-45', 400],
    ['?after=-1', 400],
    ['?order=none', 400],
    ['?what=1', 400],
  ] as const)
    assert.equal((await get(port, `/api/v1/dead-letters${path}`)).status, status, path);
});

test('what is good by now, or was corrected, goes into the log and the stream byte for byte, and once', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port: port, proxy_port } = core.ports;
  const stream = await StreamClient.connect(proxy_port, 'events');
  // An event of a node that nobody knows yet; one with a wrong id; a status; a registration.
  const early = potEvent(ID, '{"n":1.10,"big":123456789012345678901234567890}');
  const wrong = potEvent(7n, '{"n":2}');
  const stranger = await NodeClient.connect(node_port);
  await stranger.send(`${early}\n`);
  await listed(port, 1);
  const unknown = await replay(port, 1);
  assert.deepEqual([unknown.json.outcome, unknown.json.code], ['refused', 'NODE_NOT_FOUND']);
  const node = await NodeClient.register(node_port, { id: ID, name: 'bee' });
  await node.send(`${potStatus(ID, 'cowrie-1', 'cowrie', 'Running')}\n${statusUpdate(ID, 'Running')}\n`);
  await node.send(`${wrong}\n${registration({ id: ID, name: 'other' })}\n${frame('NodeEvent', '"Slept"')}\n`);
  await listed(port, 4);

  await t.test('a dry run says what would become of it, and does nothing', async () => {
    const { json } = await replay(port, 1, '?dry_run=true');
    assert.deepEqual(
      [json.outcome, json.dry_run, json.records, json.events],
      ['accepted', true, ['PotEvent'], 1],
    );
    assert.equal((await get(port, '/api/v1/dead-letters/1')).json.replayed, null);
  });

  const accepted = await replay(port, 1);
  assert.equal(accepted.status, 200, accepted.text);
  assert.match(accepted.text, new RegExp(`"outcome":"accepted".*"node_id":${ID}`));
  await stream.seen('the event', (line) => line === early);
  assert.equal((await get(port, '/api/v1/dead-letters/1')).json.replayed.outcome, 'accepted');

  await t.test('a second time only by force', async () => {
    const again = await replay(port, 1);
    assert.deepEqual([again.status, again.json.code], [409, 'REPLAYED_BEFORE']);
    assert.equal((await replay(port, 1, '?force=true')).json.outcome, 'accepted');
    await stream.seen('the event twice', (line) => line === early, 2);
  });

  await t.test('refused again is refused again, and no new dead letter', async () => {
    const { json } = await replay(port, 2);
    assert.deepEqual([json.outcome, json.code], ['refused', 'INVALID_NODE_ID']);
    const never = await replay(port, 3);
    assert.deepEqual([never.status, never.json.code], [422, 'NOT_REPLAYABLE']);
    assert.equal((await replay(port, 99)).status, 404);
    assert.equal((await rows(port)).length, 4);
  });

  await t.test('a corrected frame is taken, as JSON and as bytes, also of a node that has left', async () => {
    await node.send('{"version":2,"message":"NodeDrop"}\n');
    await node.gone();
    await poll('the node has left', async () =>
      (await get(port, `/api/v1/nodes/${ID}`)).json.connected === false ? true : undefined,
    );
    const corrected = potEvent(ID, '{"n":2}');
    assert.equal((await replay(port, 2, '', { frame: `${corrected}\n` })).json.outcome, 'accepted');
    await stream.seen('the corrected event', (line) => line === corrected);
    const url = `http://127.0.0.1:${port}/api/v1/dead-letters/4/replay`;
    const body = frame('NodeEvent', '"Stopped"');
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await within('replay', fetch(url, { method: 'POST', body, headers }));
    assert.equal(answer.status, 200, await answer.clone().text());
    assert.deepEqual(((await answer.json()) as { records: string[] }).records, ['NodeEvent']);
    await stream.seen('the node event', (line) => line === nodeEventOf(ID, '"Stopped"'));
    const status = (await get(port, `/api/v1/nodes/${ID}`)).json.status;
    const late = statusUpdate(ID, 'Failed');
    assert.equal((await replay(port, 4, '?force=true', { frame: late })).json.outcome, 'accepted');
    await stream.seen('the status', (line) => line === late);
    assert.equal((await get(port, `/api/v1/nodes/${ID}`)).json.status, status, 'history, not the present');
  });

  await t.test('bodies that are no frame are refused by the same rules', async () => {
    for (const [body, status] of [
      ['', 200],
      ['{', 400],
      ['{"frame":""}', 400],
      ['{"frame":5}', 400],
      ['{"other":"x"}', 400],
      ['[]', 400],
    ] as const) {
      const answer = await post(port, '/api/v1/dead-letters/3/replay', body === '' ? {} : { body });
      assert.equal(answer.status, body === '' ? 422 : status, `${body}: ${answer.text}`);
    }
    const text = await post(port, '/api/v1/tokens', {});
    assert.notEqual(text.status, 201);
    const elsewhere = await within(
      'bytes where none are taken',
      fetch(`http://127.0.0.1:${port}/api/v1/tokens`, {
        method: 'POST',
        body: 'x',
        headers: { 'content-type': 'application/octet-stream' },
      }),
    );
    assert.equal(elsewhere.status, 415);
  });

  const entries = (await get(port, '/api/v1/audit?action=dead-letter.replay')).json.entries;
  assert.deepEqual(
    entries.map(({ outcome }: { outcome: string }) => outcome).sort(),
    [...Array(5).fill('done'), ...Array(6).fill('refused')].sort(),
  );
  const stats = (await get(port, '/api/v1/stats')).json;
  assert.equal(stats.dead_letters.frames, 4);
  const [row] = (await get(port, '/api/v1/ledger/nodes')).json.nodes;
  const { frames, accepted: good, refused, duplicates, records, logged_records, balanced } = row;
  // Registration, two updates, three bad frames, the farewell; then five that were good by now, and one that was not.
  assert.deepEqual([frames, good, refused, duplicates, balanced], [7 + 6, 4 + 5, 3 + 1, 0, true]);
  assert.equal(records, logged_records);
  const metrics = (await get(port, '/metrics')).text;
  assert.match(metrics, /dead_letters_replayed_accepted_total(\{[^}]*\})? 5\n/);
  assert.deepEqual(await core.stop(), { code: 0, signal: null });
  assert.ok(readLog(core.dataDir).content.equals(stream.content), 'the log holds what the consumer saw');
});

test('a node that has to prove who it is does not get what a stranger sent in its name', async (t) => {
  const core = await CoreProcess.start(t);
  const { node_port, backend_port: port } = core.ports;
  const proven = await NodeClient.register(node_port, { id: ID, name: 'proven', code: '000000' });
  const forged = potEvent(ID, '{"forged":true}');
  const stranger = await NodeClient.connect(node_port);
  await stranger.send(`${forged}\n`);
  await listed(port, 1);
  const impostor = await NodeClient.connect(node_port);
  await impostor.send(`${registration({ id: 5n, name: 'proven', code: '246802' })}\n${forged}\n`);
  await impostor.gone();
  const letters = (await listed(port, 3)).filter(({ code }) => code === 'NODE_NOT_FOUND');
  assert.deepEqual(letters.map(({ node_name }) => node_name).sort(), [null, 'proven'].sort());
  for (const { id } of letters) {
    const { status, json } = await replay(port, id);
    assert.deepEqual([status, json.code], [409, 'REPLAY_UNPROVEN']);
  }
  // A registration is no frame that can be tried again: its code is gone, and it makes no record.
  const [refused] = (await rows(port)).filter(({ code }) => code === 'AUTHENTICATION_FAILED');
  assert.deepEqual([refused!.masked, (await replay(port, refused!.id)).status], [true, 422]);
  // What the node itself sent over its connection is its own.
  await proven.send(`${potEvent(7n, '{"mine":true}')}\n`);
  const [own] = await listed(port, 4);
  const corrected = { frame: potEvent(ID, '{"mine":true}') };
  assert.equal((await replay(port, own!.id, '', corrected)).json.outcome, 'accepted');
  await core.stop();
  const log = readLog(core.dataDir).content;
  assert.ok(!log.includes('forged') && log.includes('mine'));
});

test('many are tried again at once while Core is killed: none is lost from the log without saying so', async (t) => {
  const folder = temporaryFolder(t);
  const first = await CoreProcess.start(t, { folder });
  const node = await NodeClient.register(first.ports.node_port, { id: 1n, name: 'n' });
  const count = 40;
  for (let n = 0; n < count; n++) await node.send(`${potEvent(2n, `{"n":${n}}`)}\n`);
  await listed(first.ports.backend_port, count);
  const corrected = (n: number) => potEvent(1n, `{"n":${n}}`);
  const answers: number[] = [];
  const all = Array.from({ length: count }, async (_, n) => {
    const answer = await replay(first.ports.backend_port, n + 1, '', { frame: corrected(n) }).catch(
      () => undefined,
    );
    if (answer?.status === 200) answers.push(n);
    if (answers.length === 10) first.signal('SIGKILL');
  });
  await Promise.allSettled(all);
  await first.exit();
  const core = await CoreProcess.start(t, { folder });
  const after = await rows(core.ports.backend_port, '?order=oldest&limit=1000');
  await core.stop();
  const log = readLog(core.dataDir).content.toString('utf8');
  for (const { id, replayed } of after) {
    const isInLog = log.includes(corrected(id - 1));
    if (answers.includes(id - 1)) assert.ok(replayed !== null, `${id} was answered and is not marked`);
    if (isInLog) assert.ok(replayed !== null, `${id} is in the log and not marked`);
    if (replayed === null) assert.ok(!isInLog);
  }
  assert.ok(answers.length >= 10);
});

test('the command line lists, shows, exports and replays; without a Core it only reads', async (t) => {
  const folder = temporaryFolder(t);
  const core = await CoreProcess.start(t, { folder });
  const hb = (...args: string[]) =>
    cli(['deadletter', ...args, '--storage.dir', core.dataDir], { cwd: folder });
  const evil = '\u001b[2J\u009b31m\u202e\r\n\u0007';
  const node = await NodeClient.register(core.ports.node_port, {
    id: ID,
    name: `bee${evil.replace(/[\r\n]/g, '')}`,
  });
  const json = JSON.stringify(evil).slice(1, -1);
  await node.send(`${frame('PotEvent', `{"${json}":1}`)}\n`);
  await node.send(Buffer.concat([Buffer.from([0x1b, 0x5b, 0x32, 0x4a, 0x9b, 0x07]), Buffer.from('\n')]));
  await node.send(`${potEvent(7n, '{"n":1}')}\n${potEvent(8n, '{"n":2}')}\n`);
  await listed(core.ports.backend_port, 4);

  for (const running of [true, false]) {
    if (!running) await core.stop();
    await t.test(`${running ? 'with' : 'without'} a Core`, async () => {
      const list = await hb('list');
      assert.equal(list.code, 0, list.stderr);
      assert.equal(list.stdout.split('\n').length, 6);
      const outputs = [list, await hb('list', '--json'), await hb('export')];
      for (const id of ['1', '2', '3']) outputs.push(await hb('show', id), await hb('show', id, '--json'));
      for (const { code, stdout, stderr } of outputs) {
        assert.equal(code, 0, stderr);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
        assert.doesNotMatch(stdout + stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
      }
      const shown = await hb('show', '2');
      assert.match(shown.stdout, /^code {6}MESSAGE_PARSE_FAILED$/m);
      assert.match(shown.stdout, /^00000000 {2}1b 5b 32 4a 9b 07 +\|\.\[2J\.\.\|$/m);
      const parsed = JSON.parse((await hb('list', '--json', '--limit', '2')).stdout) as Row[];
      assert.deepEqual(
        parsed.map(({ id }) => id),
        [4, 3],
      );
      const file = join(folder, `export-${running}.ndjson`);
      const exported = await hb('export', '--code', 'INVALID_NODE_ID', '--output', file);
      assert.deepEqual([exported.code, exported.stderr], [0, '2 dead letters\n']);
      assert.equal((await hb('show', '9')).code, 65);
    });
    if (!running) break;
    await t.test('frames are tried again', async () => {
      const refused = await hb('replay', '3', '4', '1');
      assert.equal(refused.code, 65);
      assert.match(
        refused.stdout,
        /^3: refused: INVALID_NODE_ID: .*\n4: refused: .*\n1: refused: INVALID_MESSAGE/,
      );
      const file = join(folder, 'frame.json');
      writeFileSync(file, `${potEvent(ID, '{"n":1}')}\n`);
      assert.equal((await hb('replay', '3', '--file', file, '--dry-run')).stdout, '3: accepted: PotEvent\n');
      const good = await hb('replay', '3', '--file', file);
      assert.deepEqual([good.code, good.stdout], [0, '3: accepted: PotEvent\n']);
      const again = await hb('replay', '3', '--file', file);
      assert.equal(again.code, 65);
      assert.match(again.stdout, /^3: not tried: it was accepted at/);
      const all = await hb('replay', '--all', '--code', 'INVALID_NODE_ID', '--json');
      assert.deepEqual([all.code, all.stdout.split('\n').length], [65, 2], 'the accepted one is left out');
      assert.match((await hb('list')).stdout, /^3 .* accepted /m);
    });
  }
  const none = await hb('replay', '3');
  assert.equal(none.code, 69);
  assert.match(none.stderr, /no Core runs/);
  for (const args of [
    [],
    ['lst'],
    ['show'],
    ['show', 'x'],
    ['show', '0'],
    ['replay'],
    ['replay', '--all'],
    ['replay', '1', '--all', '--code', 'INVALID_NODE_ID'],
    ['replay', '1', '--code', 'INVALID_NODE_ID'],
    ['list', '--code', 'INVALID'],
    ['list', '--since', 'yesterday'],
    ['list', '--limit', '0'],
    ['list', '--force'],
    ['export', '--json'],
  ])
    assert.equal((await hb(...args)).code, 64, args.join(' '));
  assert.equal(readDeadLetters(core.dataDir).length, 4);
});
