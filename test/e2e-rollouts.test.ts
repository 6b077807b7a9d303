/** One command to many nodes: who is chosen, how many at a time, when it stops; over REST, with real nodes. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import {
  CommandedNode,
  coreOfFile,
  inState,
  type Json,
  post,
  remove,
  rolloutOver,
} from './command-client.js';
import type { CoreProcess } from './core-process.js';
import { poll } from './deadline.js';
import { get } from './rest-client.js';

const shared = coreOfFile();
let core: CoreProcess;
let group = 0;

beforeEach(() => {
  core = shared.running;
  group += 1;
});

/** So many nodes of this test, which no pattern of another test matches. */
function nodes(count: number): Promise<CommandedNode[]> {
  return Promise.all(
    Array.from({ length: count }, (_, number) =>
      CommandedNode.register(core, { id: BigInt(group * 1000 + number + 1), name: `g${group}-${number}` }),
    ),
  );
}

async function rollout(body: Record<string, unknown>): Promise<Json> {
  const answer = await post(core.ports.backend_port, '/api/v1/commands', {
    filter: { name: `g${group}-*` },
    ...body,
  });
  assert.equal(answer.status, 202, answer.text);
  assert.equal(answer.headers.location, `/api/v1/rollouts/${answer.json.id}`);
  return answer.json;
}

async function members(id: string, more = ''): Promise<Json[]> {
  return (await get(core.ports.backend_port, `/api/v1/commands?rollout_id=${id}&limit=1000${more}`)).json
    .commands;
}

test('all nodes that match are told at once, and counted to their ends', async () => {
  const all = await nodes(6);
  const made = await rollout({ command: { GetPotStatus: 'p' } });
  assert.equal(made.nodes, 6);
  assert.equal(made.counts.queued, 6);
  await Promise.all(all.map((node) => node.command(0)));
  for (const node of all) await node.says('p', 'Running');
  const over = await rolloutOver(core, made.id);
  assert.equal(over.state, 'done');
  assert.equal(over.counts.done, 6);
  const ids = await members(made.id);
  assert.deepEqual(
    ids.map(({ node, state, rollout_id }) => [node.node_name, state, rollout_id]).sort(),
    all.map(({ identity }) => [identity.name, 'done', made.id]),
  );
});

test('the filter chooses by name, type, status and connection, once and for all', async () => {
  const all = await nodes(4);
  await all[3]!.leave(core);
  const chosen = async (filter: Json) => {
    const answer = await post(core.ports.backend_port, '/api/v1/commands', {
      command: 'UpdateConfig',
      filter,
    });
    if (answer.status === 409) return [];
    return (await members(answer.json.id)).map(({ node }) => node.node_name).sort();
  };
  const name = `g${group}-*`;
  const [a, b, c, d] = all.map(({ identity }) => identity.name);
  assert.deepEqual(await chosen({ name }), [a, b, c], 'connected ones, where nothing is said');
  assert.deepEqual(await chosen({ name, connected: false }), [d]);
  assert.deepEqual(await chosen({ name, connected: null }), [a, b, c, d]);
  assert.deepEqual(await chosen({ name: `g${group}-1` }), [b]);
  assert.deepEqual(await chosen({ name: `*${group}-2` }), [c]);
  assert.deepEqual(await chosen({ name, node_type: 'Agent' }), []);
  assert.deepEqual(await chosen({ name, node_type: 'Full', status: 'Connected' }), [a, b, c]);
  assert.deepEqual(await chosen({ name, status: 'Failed' }), []);
  const refused = await post(core.ports.backend_port, '/api/v1/commands', {
    command: 'UpdateConfig',
    filter: { nodetype: 'Full' },
  });
  assert.equal(refused.status, 400, 'a filter with a typo would be a command to everybody');
});

test('rolling: never more at a time than asked for', async () => {
  const all = await nodes(7);
  const made = await rollout({ command: { RestartPot: 'p' }, rolling: { max_in_flight: 2 } });
  const answered = new Set<CommandedNode>();
  for (let done = 0; done < 7; done++) {
    const expected = Math.min(2, 7 - done);
    const waiting = await poll(`${expected} more are told`, () => {
      const told = all.filter((node) => node.commands.all.length > 0 && !answered.has(node));
      assert.ok(told.length <= 2, `${told.length} at a time`);
      return told.length === expected ? told : undefined;
    });
    answered.add(waiting[0]!);
    await waiting[0]!.says('p', 'Running');
  }
  assert.equal((await rolloutOver(core, made.id)).counts.done, 7);
});

test('rolling: after too many failures the rest is cancelled, what was sent goes on', async () => {
  const all = await nodes(8);
  const made = await rollout({
    command: { DeployPot: 'p' },
    rolling: { max_in_flight: 3, max_failures: 2 },
  });
  const told = () => all.filter((node) => node.commands.all.length > 0);
  await poll('three are told', () => (told().length === 3 ? true : undefined));
  const [one, two, three] = told();
  await one!.says('p', 'Failed', 'no');
  await poll('a fourth is told', () => (told().length === 4 ? true : undefined));
  const fourth = told().find((node) => ![one, two, three].includes(node))!;
  await two!.says('p', 'Failed');
  const stopped = await poll('it stops', async () => {
    const { json } = await get(core.ports.backend_port, `/api/v1/rollouts/${made.id}`);
    return json.state === 'stopped' && json.counts.cancelled === 4 ? json : undefined;
  });
  assert.equal(stopped.ended, null, 'two are still at it');
  assert.match(stopped.reason, /^2 nodes failed/);
  await three!.says('p', 'Running');
  await fourth.says('p', 'Running');
  const over = await rolloutOver(core, made.id);
  assert.deepEqual(
    [over.state, over.counts.done, over.counts.failed, over.counts.cancelled],
    ['stopped', 2, 2, 4],
  );
  assert.equal(told().length, 4, 'nobody else was told');
  const [cancelled] = await members(made.id, '&state=cancelled');
  assert.equal(cancelled.error.code, 'COMMAND_CANCELLED');
});

test('a rollout can be cancelled as a whole, once', async () => {
  const all = await nodes(5);
  const made = await rollout({ command: { StopPot: 'p' }, rolling: { max_in_flight: 1 } });
  const first = await poll('one is told', () => all.find((node) => node.commands.all.length > 0));
  const { backend_port } = core.ports;
  const cancelled = await remove(backend_port, `/api/v1/rollouts/${made.id}`);
  assert.equal(cancelled.status, 200);
  assert.equal(cancelled.json.state, 'cancelled');
  assert.equal((await remove(backend_port, `/api/v1/rollouts/${made.id}`)).status, 409);
  await first.says('p', 'Stopped');
  const over = await rolloutOver(core, made.id);
  assert.deepEqual([over.counts.done, over.counts.cancelled], [1, 4]);
  assert.equal((await remove(backend_port, '/api/v1/rollouts/rol_x')).status, 404);
});

test('lists page through everything once, the newest first', async () => {
  const all = await nodes(5);
  const made = await rollout({ command: 'UpdateConfig' });
  await rolloutOver(core, made.id);
  const seen: string[] = [];
  let after = '';
  for (;;) {
    const { json } = await get(
      core.ports.backend_port,
      `/api/v1/commands?rollout_id=${made.id}&limit=2${after}`,
    );
    seen.push(...json.commands.map(({ id }: Json) => id));
    if (json.next === null) break;
    after = `&after=${json.next}`;
  }
  assert.equal(seen.length, all.length);
  assert.deepEqual(seen, [...seen].sort().reverse());
  const rollouts = (await get(core.ports.backend_port, '/api/v1/rollouts?limit=1')).json;
  assert.equal(rollouts.rollouts[0].id, made.id);
  const older = (await get(core.ports.backend_port, `/api/v1/rollouts?after=${rollouts.next}`)).json;
  assert.ok(older.rollouts.every(({ id }: Json) => id < made.id));
  for (const query of ['limit=0', 'limit=1001', 'limit=x', 'after=x', 'state=gone', 'nosuch=1'])
    assert.equal((await get(core.ports.backend_port, `/api/v1/commands?${query}`)).status, 400, query);
});

test('a rollout to a single node goes on over a reconnect', async () => {
  const [one] = await nodes(1);
  const made = await rollout({
    command: { InstallPot: { pot_id: 'p', honeypot_type: 'x', auto_start: true } },
  });
  await one!.command(0);
  await one!.leave(core, 'reset');
  const back = await CommandedNode.register(core, { id: 999_000n + BigInt(group), name: `g${group}-0` });
  await back.says('p', 'Running');
  assert.equal((await rolloutOver(core, made.id)).counts.done, 1);
  const [member] = await members(made.id);
  await inState(core, member.id, 'done');
});
