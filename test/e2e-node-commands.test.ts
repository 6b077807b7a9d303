/** Commands, from REST to the node and back: every one of them to every end it can come to. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { CommandedNode, commandOf, coreOfFile, give, inState, post, remove } from './command-client.js';
import type { CoreProcess } from './core-process.js';
import { frame } from './node-frames.js';
import { get } from './rest-client.js';

/** One Core for all tests of this file; each has a node of its own, with an id that no double holds. */
const shared = coreOfFile();
let core: CoreProcess;
let ID = 2n ** 64n - 100n;
let node = { id: ID, name: 'n' };

beforeEach(() => {
  core = shared.running;
  ID += 1n;
  node = { id: ID, name: `node ${ID}` };
});

const INSTALL = { InstallPot: { pot_id: 'p', honeypot_type: 'cowrie', auto_start: true } };
const INSTALL_ONLY = { InstallPot: { pot_id: 'p', honeypot_type: 'cowrie', auto_start: false } };

/** What the node says, in order, and what the command is at the end. */
const ENDS: readonly (readonly [command: unknown, says: readonly string[], state: string])[] = [
  [INSTALL, ['Installing', 'Stopped', 'Running'], 'done'],
  [INSTALL, ['Installing', 'Failed'], 'failed'],
  [INSTALL_ONLY, ['Installing', 'Stopped'], 'done'],
  [INSTALL_ONLY, ['Running'], 'done'],
  [{ DeployPot: 'p' }, ['Installing', 'Stopped', 'Running'], 'done'],
  [{ DeployPot: 'p' }, ['Failed'], 'failed'],
  [{ RestartPot: 'p' }, ['Stopped', 'Running'], 'done'],
  [{ RestartPot: 'p' }, ['Stopped', 'Failed'], 'failed'],
  [{ StopPot: 'p' }, ['Running', 'Stopped'], 'done'],
  [{ StopPot: 'p' }, ['Failed'], 'failed'],
  [{ GetPotStatus: 'p' }, ['Failed'], 'done'],
  [{ GetPotLogs: 'p' }, ['Running'], 'done'],
  [{ GetPotMetrics: 'p' }, ['Installing'], 'done'],
  [{ GetPotInfo: 'p' }, ['Stopped'], 'done'],
];

test('each command to a pot ends with what the node reports of that pot', async () => {
  const at = await CommandedNode.register(core, node);
  for (const [number, [command, says, state]] of ENDS.entries()) {
    const id = await give(core, ID, command);
    assert.equal(await at.command(number), JSON.stringify(command));
    await inState(core, id, 'sent');
    // Another pot's affairs are no answer.
    await at.says('other', 'Failed', 'not this one');
    for (const [step, status] of says.entries()) {
      await at.says('p', status, `${status} now`);
      await inState(core, id, step === says.length - 1 ? state : 'in_progress');
    }
    const over = await commandOf(core, id);
    const last = says.at(-1)!;
    assert.deepEqual(over.result, {
      pot_id: 'p',
      pot_type: 'cowrie',
      status: last,
      message: `${last} now`,
      truncated: false,
    });
    assert.deepEqual(
      over.history.map((entry: { state: string }) => entry.state),
      says.length === 1 ? ['queued', 'sent', state] : ['queued', 'sent', 'in_progress', state],
    );
    assert.deepEqual(
      over.error,
      state === 'failed' ? { code: 'COMMAND_FAILED', reason: 'Failed now' } : null,
    );
    assert.equal(over.due, null);
  }
});

test('ids keep their digits, and who asked stands with the command', async () => {
  await CommandedNode.register(core, node);
  const id = await give(core, ID, { GetPotInfo: 'p' });
  const { text } = await get(core.ports.backend_port, `/api/v1/commands/${id}`);
  assert.ok(text.includes(`"node":{"node_id":${ID},"id":"${ID}","node_name":"${node.name}"}`), text);
  const { by } = await commandOf(core, id);
  assert.equal(by.kind, 'anonymous');
  assert.match(by.from, /^127\.0\.0\.1:\d+$/);
});

test('what a node says in answer is kept up to 16 Ki characters, and said to be cut above', async () => {
  const at = await CommandedNode.register(core, node);
  for (const [number, length] of [16_384, 16_385, 40_000].entries()) {
    const id = await give(core, ID, { GetPotLogs: 'p' });
    await at.command(number);
    await at.says('p', 'Running', 'x'.repeat(length));
    const { result } = await inState(core, id, 'done');
    assert.equal(result.message.length, Math.min(length, 16_384));
    assert.equal(result.truncated, length > 16_384);
  }
});

test('one update ends one command: the oldest of its pot that it can end', async () => {
  const at = await CommandedNode.register(core, node);
  const ids = [];
  for (const command of [{ StopPot: 'p' }, { GetPotStatus: 'p' }, { GetPotStatus: 'p' }])
    ids.push(await give(core, ID, command));
  await at.command(2);
  for (const id of ids) await inState(core, id, 'sent');
  await at.says('p', 'Running');
  await inState(core, ids[1]!, 'done');
  assert.equal((await commandOf(core, ids[0]!)).state, 'sent');
  assert.equal((await commandOf(core, ids[2]!)).state, 'sent');
  await at.says('p', 'Stopped');
  await inState(core, ids[0]!, 'done');
  assert.equal((await commandOf(core, ids[2]!)).state, 'sent');
});

test('GetInstalledPots collects the answers of all pots until the node is quiet', async () => {
  const at = await CommandedNode.register(core, node);
  const id = await give(core, ID, 'GetInstalledPots');
  assert.equal(await at.command(0), '{"GetInstalledPots":{}}');
  await inState(core, id, 'sent');
  const status = await give(core, ID, { GetPotStatus: 'b' });
  await at.command(1);
  await at.says('a', 'Running', 'one');
  await at.says('b', 'Stopped');
  await at.says('a', 'Failed', 'two');
  const { result } = await inState(core, id, 'done');
  assert.deepEqual(result, {
    pots: [
      { pot_id: 'a', pot_type: 'cowrie', status: 'Failed', message: 'two', truncated: false },
      { pot_id: 'b', pot_type: 'cowrie', status: 'Stopped', message: null, truncated: false },
    ],
    complete: true,
  });
  assert.equal((await commandOf(core, status)).state, 'done', 'a copy: others get their answer too');
});

test('GetInstalledPots of a node without pots times out, and says why', async () => {
  await CommandedNode.register(core, node);
  const id = await give(core, ID, { GetInstalledPots: null }, { timeout_seconds: 1 });
  const { error } = await inState(core, id, 'timed_out');
  assert.equal(error.code, 'COMMAND_TIMEOUT');
  assert.match(error.reason, /no answer within 1 s: .*a node without pots has nothing to say/);
});

test('UpdateConfig is done when it was sent; a command without outcome times out', async () => {
  const at = await CommandedNode.register(core, node);
  const update = await give(core, ID, { UpdateConfig: {} });
  assert.equal(await at.command(0), '{"UpdateConfig":{}}');
  assert.match((await inState(core, update, 'done')).result.note, /no answer/);
  const id = await give(core, ID, { DeployPot: 'p' }, { timeout_seconds: 1 });
  await at.command(1);
  await at.says('p', 'Installing', 'half way');
  assert.equal((await inState(core, id, 'in_progress')).message, 'Installing: half way');
  const { error, message } = await inState(core, id, 'timed_out');
  assert.deepEqual(error, {
    code: 'COMMAND_TIMEOUT',
    reason: 'sent, but the node did not report the outcome within 1 s',
  });
  assert.equal(message, null);
});

test('Restart is done when the node is back under whatever id; what was asked for meanwhile comes then', async () => {
  const at = await CommandedNode.register(core, node);
  const restart = await give(core, ID, { Restart: {} });
  const behind = await give(core, ID, { GetPotStatus: 'p' });
  assert.equal(await at.command(0), '{"Restart":{}}');
  await inState(core, restart, 'sent');
  await at.client.send(`${frame('NodeDrop', '{}')}\n`);
  await at.client.gone();
  assert.equal((await commandOf(core, restart)).state, 'sent');
  const back = await CommandedNode.register(core, { id: 5n, name: node.name });
  await inState(core, restart, 'done');
  assert.equal(await back.command(0), '{"GetPotStatus":"p"}');
  await back.says('p', 'Running');
  await inState(core, behind, 'done');
  assert.deepEqual(at.commands.all, ['{"Restart":{}}'], 'nothing was sent behind the restart');
});

test('a connection that spells unit values as bare strings gets them so; another one gets objects', async () => {
  const at = await CommandedNode.register(core, node);
  await at.client.send(`${frame('NodeEvent', '"Started"')}\n`);
  // An answer to a command behind it: by then the event was read.
  await give(core, ID, { GetPotStatus: 'p' });
  await at.command(0);
  await at.says('p', 'Running');
  for (const command of ['UpdateConfig', { UpdateConfig: {} }, { GetInstalledPots: null }, 'Restart'])
    await give(core, ID, command);
  await at.command(4);
  assert.deepEqual(at.commands.all.slice(1), [
    '"UpdateConfig"',
    '"UpdateConfig"',
    '"GetInstalledPots"',
    '"Restart"',
  ]);
  await at.leave(core);
  const next = await CommandedNode.register(core, node);
  await next.client.send(`${frame('NodeEvent', '{"type":"Started"}')}\n`);
  await give(core, ID, 'UpdateConfig');
  assert.equal(await next.command(0), '{"UpdateConfig":{}}');
});

test('a node that is away gets its commands when it is back, in order, under its new id', async () => {
  const first = await CommandedNode.register(core, node);
  await first.leave(core);
  const ids = [];
  for (let pot = 0; pot < 20; pot++) ids.push(await give(core, ID, { GetPotStatus: `p${pot}` }));
  const gone = await give(core, ID, { GetPotStatus: 'gone' }, { ttl_seconds: 1 });
  const { error } = await inState(core, gone, 'timed_out');
  assert.match(error.reason, /^not sent within its time to live of 1 s/);
  const back = await CommandedNode.register(core, { id: 77n, name: node.name });
  for (let pot = 0; pot < 20; pot++) {
    assert.equal(await back.command(pot), `{"GetPotStatus":"p${pot}"}`);
    await back.says(`p${pot}`, 'Running');
  }
  for (const id of ids) await inState(core, id, 'done');
  assert.equal(back.commands.all.length, 20);
  const listed = await get(core.ports.backend_port, '/api/v1/nodes/77/commands');
  assert.equal(listed.json.commands.length, 21, 'found under its new id');
});

test('an outcome that is reported after a reconnect counts', async () => {
  const first = await CommandedNode.register(core, node);
  const id = await give(core, ID, INSTALL);
  await first.command(0);
  await first.says('p', 'Installing');
  await inState(core, id, 'in_progress');
  await first.leave(core, 'reset');
  const back = await CommandedNode.register(core, { id: 9n, name: node.name });
  await back.says('p', 'Running');
  await inState(core, id, 'done');
  assert.deepEqual(back.commands.all, [], 'it was not sent again');
});

test('nodes that share a name each get their own commands', async () => {
  const one = await CommandedNode.register(core, { id: ID, name: node.name });
  const two = await CommandedNode.register(core, { id: 2n, name: node.name });
  const forOne = await give(core, ID, { GetPotStatus: 'one' });
  const forTwo = await give(core, 2n, { GetPotStatus: 'two' });
  assert.equal(await one.command(0), '{"GetPotStatus":"one"}');
  assert.equal(await two.command(0), '{"GetPotStatus":"two"}');
  await two.says('one', 'Running');
  await two.says('two', 'Running');
  await inState(core, forTwo, 'done');
  assert.equal((await commandOf(core, forOne)).state, 'sent', 'what the other one says is no answer');
});

test('a queued command can be cancelled, and is not sent; one that was sent cannot', async () => {
  const { backend_port } = core.ports;
  const first = await CommandedNode.register(core, node);
  const sent = await give(core, ID, { StopPot: 'p' });
  await first.command(0);
  await inState(core, sent, 'sent');
  const refused = await remove(backend_port, `/api/v1/commands/${sent}`);
  assert.equal(refused.status, 409);
  assert.match(refused.text, /CONFLICT.*cannot be unsent/);
  await first.leave(core);
  const queued = await give(core, ID, { StopPot: 'q' });
  const cancelled = await remove(backend_port, `/api/v1/commands/${queued}`);
  assert.equal(cancelled.status, 200);
  assert.equal(cancelled.json.state, 'cancelled');
  assert.deepEqual(cancelled.json.error, {
    code: 'COMMAND_CANCELLED',
    reason: 'cancelled by anonymous',
  });
  assert.equal((await remove(backend_port, `/api/v1/commands/${queued}`)).status, 409);
  const behind = await give(core, ID, { StopPot: 'r' });
  const back = await CommandedNode.register(core, node);
  assert.equal(await back.command(0), '{"StopPot":"r"}');
  await inState(core, behind, 'sent');
  assert.equal((await remove(backend_port, '/api/v1/commands/cmd_00000000000000000000000000')).status, 404);
  assert.equal((await remove(backend_port, '/api/v1/commands/x')).status, 404);
});

test('a bad command names the field, an unknown node says so, and nothing is made', async () => {
  const { backend_port } = core.ports;
  await CommandedNode.register(core, node);
  const ask = (body: unknown, id: unknown = ID) => post(backend_port, `/api/v1/nodes/${id}/commands`, body);
  const bad = await ask({ command: { InstallPot: { pot_id: 'p', honeypot_type: 'x', autostart: true } } });
  assert.equal(bad.status, 400);
  assert.match(bad.text, /INVALID_COMMAND.*command\.InstallPot\.autostart is not a field/);
  assert.equal((await ask({ command: 'Restart', ttl: 5 })).status, 400);
  assert.equal((await ask({ command: 'Restart', ttl_seconds: '5' })).status, 400);
  assert.equal((await ask({})).status, 400);
  assert.equal((await ask('{"command":')).status, 400);
  assert.match((await ask({ command: 'Restart' }, 17)).text, /NODE_NOT_FOUND/);
  assert.match((await ask({ command: 'Restart' }, 0)).text, /INVALID_NODE_ID/);
  assert.deepEqual((await get(backend_port, `/api/v1/nodes/${ID}/commands`)).json, {
    commands: [],
    next: null,
  });
});

test('what waits for a node that is removed is cancelled, and says why', async () => {
  const { backend_port } = core.ports;
  const gone = await CommandedNode.register(core, { id: 31n, name: 'removed' });
  await gone.leave(core);
  const id = await give(core, 31n, { StopPot: 'p' });
  assert.equal((await remove(backend_port, '/api/v1/nodes/31')).status, 204);
  const { error } = await inState(core, id, 'cancelled');
  assert.equal(error.code, 'COMMAND_CANCELLED');
  assert.match(error.reason, /removed/);
  // One that comes again under the name is another node, and is not told.
  const again = await CommandedNode.register(core, { id: 31n, name: 'removed' });
  const next = await give(core, 31n, { StopPot: 'q' });
  assert.equal(await again.command(0), '{"StopPot":"q"}');
  await inState(core, next, 'sent');
});
