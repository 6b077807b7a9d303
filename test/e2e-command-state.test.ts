/** What is promised about commands holds over restarts, however Core ends; and a repeated request is done once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandedNode, commandOf, give, inState, type Json, post, rolloutOver } from './command-client.js';
import { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { type Answer, get } from './rest-client.js';

const ID = 2n ** 64n - 1n;
const node = { id: ID, name: 'n' };
const PATH = `/api/v1/nodes/${ID}/commands`;

async function newest(core: CoreProcess, query = ''): Promise<Json[]> {
  return (await get(core.ports.backend_port, `/api/v1/commands?limit=1000${query}`)).json.commands;
}

test('killed in a stream of commands: everything that was answered is there, and nothing comes twice', async (t) => {
  let core = await CoreProcess.start(t);
  const answered = new Set<string>();
  const received: string[] = [];
  let number = 0;
  for (let round = 0; round < 3; round++) {
    const at = await CommandedNode.register(core, { id: ID - BigInt(round), name: 'n' });
    const { backend_port } = core.ports;
    let killed = false;
    const client = async () => {
      while (!killed) {
        const command = { GetPotStatus: `p${number++}` };
        const path = `/api/v1/nodes/${at.identity.id}/commands`;
        const answer = await post(backend_port, path, { command }).catch(() => undefined);
        if (answer === undefined) return;
        assert.equal(answer.status, 202, answer.text);
        answered.add(answer.json.id);
        // Some answers come in at the same time, so that the kill finds commands in every state.
        const [, pot] = /"(p\d+)"/.exec(at.commands.all.at(-1) ?? '') ?? [];
        if (pot !== undefined && number % 3 === 0) await at.says(pot, 'Running');
      }
    };
    const clients = Array.from({ length: 4 }, client);
    await poll('enough was answered', () => (answered.size >= (round + 1) * 60 ? true : undefined));
    killed = true;
    await core.crash();
    await Promise.all(clients);
    received.push(...at.commands.all);
    core = await CoreProcess.start(t, { folder: core.folder });
  }
  const kept = new Map<string, Json>();
  let after = '';
  for (;;) {
    const { json } = await get(core.ports.backend_port, `/api/v1/commands?limit=1000${after}`);
    for (const command of json.commands) kept.set(command.id, command);
    if (json.next === null) break;
    after = `&after=${json.next}`;
  }
  for (const id of answered) assert.ok(kept.has(id), `${id} was promised`);
  const last = await CommandedNode.register(core, { id: 5n, name: 'n' });
  // Whatever was not sent before is sent now, once those that wait for an answer since before the crash have got it.
  await poll('all are done', async () => {
    const waiting = [...(await newest(core, '&state=sent')), ...(await newest(core, '&state=queued'))];
    for (const { command } of waiting) await last.says(command.GetPotStatus, 'Running');
    return waiting.length === 0 ? true : undefined;
  });
  received.push(...last.commands.all);
  const counts = (await get(core.ports.backend_port, '/metrics')).text;
  assert.match(counts, /honeybee_commands\{state="queued"\} 0\n/);
  assert.equal(new Set(received).size, received.length, 'no command came twice');
  await core.stop();
});

test('what was going on goes on: queued, sent and in progress, over a crash', async (t) => {
  const first = await CoreProcess.start(t);
  let at = await CommandedNode.register(first, node);
  const install = { InstallPot: { pot_id: 'p', honeypot_type: 'x', auto_start: true } };
  const progressing = await give(first, ID, install);
  const restart = await give(first, ID, 'Restart');
  await at.command(1);
  await at.says('p', 'Installing', 'cloning');
  await inState(first, progressing, 'in_progress');
  await inState(first, restart, 'sent');
  const queued = await give(first, ID, { StopPot: 'q' });
  const expiring = await give(first, ID, { StopPot: 'r' }, { ttl_seconds: 1 });
  await first.crash();

  const second = await CoreProcess.start(t, { folder: first.folder });
  assert.equal((await commandOf(second, progressing)).state, 'in_progress');
  assert.equal((await commandOf(second, queued)).state, 'queued');
  await inState(second, expiring, 'timed_out');
  at = await CommandedNode.register(second, { id: 3n, name: 'n' });
  assert.match((await inState(second, restart, 'done')).result.note, /Core itself was restarted/);
  assert.equal(await at.command(0), '{"StopPot":"q"}');
  await at.says('p', 'Running');
  await inState(second, progressing, 'done');
  await at.says('q', 'Stopped');
  await inState(second, queued, 'done');
  assert.equal(at.commands.all.length, 1);
  assert.equal((await second.stop()).code, 0);

  const third = await CoreProcess.start(t, { folder: first.folder });
  const commands = await newest(third);
  assert.deepEqual(
    commands.map(({ id, state }) => [id, state]),
    [
      [expiring, 'timed_out'],
      [queued, 'done'],
      [restart, 'done'],
      [progressing, 'done'],
    ],
  );
  await third.stop();
});

test('a rollout goes on over a crash, and its counts are right', async (t) => {
  const first = await CoreProcess.start(t);
  const names = Array.from({ length: 6 }, (_, number) => ({ id: BigInt(number + 1), name: `n${number}` }));
  const before = await Promise.all(names.map((identity) => CommandedNode.register(first, identity)));
  const made = await post(first.ports.backend_port, '/api/v1/commands', {
    command: { RestartPot: 'p' },
    rolling: { max_in_flight: 2, max_failures: 3 },
  });
  const told = before.filter(({ commands }) => commands.all.length > 0);
  await poll('two are told', () => {
    told.splice(0, 2, ...before.filter(({ commands }) => commands.all.length > 0));
    return told.length === 2 ? true : undefined;
  });
  await told[0]!.says('p', 'Failed');
  await poll('a third is told', () =>
    before.filter(({ commands }) => commands.all.length > 0).length === 3 ? true : undefined,
  );
  await first.crash();
  const second = await CoreProcess.start(t, { folder: first.folder });
  const path = `/api/v1/rollouts/${made.json.id}`;
  const { json } = await get(second.ports.backend_port, path);
  assert.equal(json.counts.failed, 1);
  assert.equal(json.state, 'running');
  const after = await Promise.all(names.map((identity) => CommandedNode.register(second, identity)));
  const alreadyTold = before.map(({ commands }) => commands.all.length > 0);
  let over: Json;
  await poll('it ends', async () => {
    for (const [at, back] of after.entries()) {
      const isTold = alreadyTold[at] || back.commands.all.length > 0;
      if (isTold) await back.says('p', 'Running');
    }
    over = (await get(second.ports.backend_port, path)).json;
    return over.ended === null ? undefined : over;
  });
  assert.deepEqual([over.state, over.counts.done, over.counts.failed], ['done', 5, 1]);
  for (const [at, back] of after.entries())
    assert.equal(back.commands.all.length, alreadyTold[at] ? 0 : 1, `${back.identity.name} was told once`);
  assert.equal((await rolloutOver(second, made.json.id)).nodes, 6);
  await second.stop();
});

test('the same request with the same key is done once, and answered alike: at once, later, after a crash', async (t) => {
  const first = await CoreProcess.start(t);
  const at = await CommandedNode.register(first, node);
  const headers = { 'idempotency-key': 'again-1' };
  const body = { command: { StopPot: 'p' } };
  const ask = (core: CoreProcess, more = body as unknown, with_ = headers): Promise<Answer> =>
    post(core.ports.backend_port, PATH, more, with_);
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(first)));
  for (const answer of answers) {
    assert.equal(answer.status, 202);
    assert.equal(answer.text, answers[0]!.text);
  }
  await at.command(0);
  await at.says('p', 'Stopped');
  await inState(first, answers[0]!.json.id, 'done');
  assert.equal((await ask(first)).text, answers[0]!.text, 'the first answer, though it is over');
  const other = await ask(first, { command: { StopPot: 'q' } });
  assert.equal(other.status, 422);
  assert.match(other.text, /IDEMPOTENCY_CONFLICT/);
  assert.equal((await ask(first, { ...body, ttl_seconds: 9 })).status, 422);
  assert.equal((await ask(first, body, { 'idempotency-key': 'a key' })).status, 400);
  const everybody = { command: 'UpdateConfig' };
  const rollouts = await Promise.all(
    Array.from({ length: 3 }, () =>
      post(first.ports.backend_port, '/api/v1/commands', everybody, { 'idempotency-key': 'all' }),
    ),
  );
  for (const rollout of rollouts) assert.equal(rollout.text, rollouts[0]!.text);
  await first.crash();
  const second = await CoreProcess.start(t, { folder: first.folder });
  assert.equal((await ask(second)).text, answers[0]!.text);
  assert.equal((await ask(second, { command: 'Restart' })).status, 422);
  const again = await post(second.ports.backend_port, '/api/v1/commands', everybody, {
    'idempotency-key': 'all',
  });
  assert.equal(again.text, rollouts[0]!.text);
  assert.equal((await newest(second)).length, 2, 'one command, one member of the rollout');
  await second.stop();
});

test('a command that a dying thread was about to send is never sent again', async (t) => {
  const core = await CoreProcess.start(t, { settings: { 'server.debug': true, 'ingest.shards': 1 } });
  const at = await CommandedNode.register(core, node);
  const before = await give(core, ID, { StopPot: 'a' });
  await at.command(0);
  await inState(core, before, 'sent');
  await post(core.ports.backend_port, '/debug/shards/0/kill').catch(() => undefined);
  await at.client.gone();
  await core.line('shard restarted');
  const ids = [before];
  ids.push(await give(core, ID, { StopPot: 'b' }));
  const back = await poll('it can register', () => CommandedNode.tryToRegister(core, node));
  assert.equal(await back.command(0), '{"StopPot":"b"}');
  await back.says('a', 'Stopped');
  await back.says('b', 'Stopped');
  for (const id of ids) await inState(core, id, 'done');
  assert.deepEqual(back.commands.all, ['{"StopPot":"b"}']);
  await core.stop();
});
