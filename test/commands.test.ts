/**
 * The life of commands against the world: whatever nodes, links, disk and Core itself do, in whatever order, no command
 * reaches a node twice, none that was promised is lost, every one ends, and the counts agree.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../bench/random.js';
import { evidenceOf } from '../src/commands/evidence.js';
import { parseCommand } from '../src/commands/parse.js';
import {
  COMMAND_STATES,
  type CommandEvent,
  isOver,
  nextPhase,
  PHASES,
  type Phase,
  stateOf,
} from '../src/commands/record.js';
import { LIMITS } from '../src/limits.js';
import { POT_STATUSES } from '../src/protocol/pot-status-update.js';
import { ACTOR, allowed, turn, World } from './command-world.js';

const SEEDS = 30;
const NAMES = ['a', 'b', 'c', 'd'];
const POT_COMMANDS: readonly unknown[] = [
  { InstallPot: { pot_id: 'p', honeypot_type: 'x', auto_start: true } },
  { InstallPot: { pot_id: 'q', honeypot_type: 'x', auto_start: false } },
  { DeployPot: 'p' },
  { StopPot: 'q' },
  { RestartPot: 'p' },
  { GetPotStatus: 'p' },
  { GetPotLogs: 'q' },
];
const COMMANDS = [...POT_COMMANDS, 'GetInstalledPots', 'Restart', 'UpdateConfig'];

async function step(world: World, random: Random): Promise<void> {
  const name = random.pick(NAMES);
  const link = world.links.length > 0 ? random.pick(world.links) : undefined;
  switch (random.below(20)) {
    case 0:
    case 1:
      return world.register(name);
    case 2:
      if (link !== undefined && random.below(2) === 0) world.disconnect(link, false);
      return;
    case 3:
      if (link !== undefined && random.below(3) === 0) world.disconnect(link, true);
      return;
    case 4:
    case 5:
    case 6:
      return world.submit(
        name,
        // A restart holds up everything behind it.
        random.below(4) === 0 ? random.pick(COMMANDS) : random.pick(POT_COMMANDS),
        random.below(4) === 0 ? `key ${random.below(5)}` : undefined,
      );
    case 7:
      if (random.below(3) === 0)
        world.broadcast(random.pick(COMMANDS), random.pick([null, 1, 2]), random.pick([null, 1, 2]));
      return;
    case 8:
    case 9:
    case 10:
      for (const each of world.links) if (random.below(2) === 0) world.deliver(each);
      return;
    case 11:
    case 12:
    case 13:
      if (link !== undefined)
        world.center.potUpdated(link.session, {
          potId: random.pick(['p', 'q', 'r']),
          potType: 'x',
          status: random.pick(POT_STATUSES),
          message: random.pick([null, 'text']),
        });
      return;
    case 14:
      world.nowMs += random.below(10) === 0 ? 40_000 : random.pick([50, 100, 300, 1_100]);
      return world.center.tick();
    case 15: {
      const live = world.live();
      if (live.length > 0 && random.below(3) === 0) world.cancel(random.pick(live).id);
      return;
    }
    case 16:
      world.store.full = random.below(6) === 0;
      return;
    case 17:
      if (random.below(6) === 0) return random.below(2) === 0 ? world.crash() : world.restart();
      if (random.below(4) === 0) {
        const running = world.center.rollouts().find(({ state }) => state === 'running');
        if (running !== undefined) void world.center.cancelRollout(running.plan.id, ACTOR).catch(allowed);
      }
      return;
    default:
      return world.store.flush(random.pick([1, 5, 1_000]));
  }
}

/** Nobody asks for anything more, the disk works, and time passes. */
async function settle(world: World): Promise<void> {
  world.store.full = false;
  for (let round = 0; round < 200 && world.live().length > 0; round++) {
    for (const link of world.links) world.deliver(link);
    world.nowMs += 60_000;
    world.center.tick();
    world.store.flush(Number.POSITIVE_INFINITY);
    await turn();
  }
}

let deliveries = 0;

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`nothing is sent twice, lost or left without an end (seed ${seed})`, async () => {
    const random = new Random(seed);
    const world = new World(random);
    await world.start();
    for (const name of NAMES) world.register(name);
    for (let steps = 0; steps < 600; steps++) {
      await step(world, random);
      await turn();
      world.center.assertInvariants();
    }
    await settle(world);
    deliveries += world.delivered.length;
    const all = world.all();
    const ids = new Set(all.map(({ id }) => id));
    for (const id of world.promised) assert.ok(ids.has(id), `${id} was promised`);
    for (const id of world.promisedRollouts) {
      const rollout = world.center.rollout(id);
      const members = all.filter(({ rolloutId }) => rolloutId === id);
      assert.equal(members.length, rollout.plan.nodes);
      assert.notEqual(rollout.endedMs, null, `${id} is over`);
      for (const state of COMMAND_STATES)
        assert.equal(members.filter(({ phase }) => phase === state).length, rollout.counts[state], state);
    }
    const arrived = new Set(world.delivered.map(({ id }) => id));
    for (const record of all) {
      assert.ok(isOver(record.phase), `${record.id} ends: ${record.phase}`);
      if (record.phase === 'done' || record.phase === 'failed')
        assert.ok(
          arrived.has(record.id) || record.history.some(({ message }) => message?.includes('may have')),
        );
      if (record.phase === 'cancelled')
        assert.ok(!arrived.has(record.id), `${record.id} is called off and arrived`);
      if (record.error?.reason.startsWith('not sent')) assert.ok(!arrived.has(record.id));
      const states = record.history.map(({ state }) => state);
      assert.equal(states[0], 'queued');
      assert.equal(states.at(-1), stateOf(record.phase));
    }
    const single = new Set(all.filter(({ rolloutId }) => rolloutId === null).map(({ id }) => id));
    for (const name of NAMES) {
      const order = world.delivered.filter((each) => each.name === name && single.has(each.id));
      assert.deepEqual(
        order,
        [...order].sort((a, b) => (a.id < b.id ? -1 : 1)),
        `${name} got them in order`,
      );
    }
    for (const state of COMMAND_STATES) assert.equal(world.center.counts().live[state], 0);
  });
}

test('the worlds were not at a standstill', () => {
  assert.ok(deliveries > 10 * SEEDS, `${deliveries} deliveries`);
});

test('the life of a command: every event in every phase', () => {
  const events: CommandEvent[] = [
    'release',
    'hand',
    'put_back',
    'sent',
    'progress',
    'done',
    'failed',
    'time_out',
    'cancel',
  ];
  const lives: Record<Phase, Partial<Record<CommandEvent, Phase>>> = {
    held: { release: 'queued', cancel: 'cancelled' },
    queued: { hand: 'handing', time_out: 'timed_out', cancel: 'cancelled' },
    handing: { put_back: 'queued', sent: 'sent', time_out: 'timed_out' },
    sent: { progress: 'in_progress', done: 'done', failed: 'failed', time_out: 'timed_out' },
    in_progress: { progress: 'in_progress', done: 'done', failed: 'failed', time_out: 'timed_out' },
    done: {},
    failed: {},
    timed_out: {},
    cancelled: {},
  };
  for (const phase of PHASES)
    for (const event of events)
      assert.equal(nextPhase(phase, event), lives[phase][event], `${event} while ${phase}`);
});

test('what each update says about each command', () => {
  const say = (given: unknown, pot = 'p') => {
    const parsed = parseCommand(given);
    assert.ok(parsed.ok);
    return POT_STATUSES.map((status) => evidenceOf(parsed.command, pot, status)).join(' ');
  };
  const install = (auto_start: boolean) => ({ InstallPot: { pot_id: 'p', honeypot_type: 'x', auto_start } });
  assert.deepEqual(POT_STATUSES, ['Installing', 'Running', 'Stopped', 'Failed']);
  assert.equal(say(install(true)), 'progress done progress failed');
  assert.equal(say(install(false)), 'progress done done failed');
  assert.equal(say({ DeployPot: 'p' }), 'progress done progress failed');
  assert.equal(say({ RestartPot: 'p' }), 'progress done progress failed');
  assert.equal(say({ StopPot: 'p' }), 'progress progress done failed');
  for (const name of ['GetPotStatus', 'GetPotLogs', 'GetPotMetrics', 'GetPotInfo'])
    assert.equal(say({ [name]: 'p' }), 'done done done done');
  assert.equal(say('GetInstalledPots'), 'collect collect collect collect');
  for (const name of ['Restart', 'UpdateConfig']) assert.equal(say(name), 'none none none none');
  for (const given of [install(true), { StopPot: 'p' }, { GetPotLogs: 'p' }])
    assert.equal(say(given, 'other'), 'none none none none');
});

test('bounds: of one node, of all, of what is kept; refused with a code, and free again afterwards', async () => {
  const world = new World(new Random(1));
  await world.start();
  world.register('a');
  const { id } = world.registry.list()[0]!;
  world.disconnect(world.links[0]!, false);
  const submit = () => world.center.submit(id, { command: { StopPot: 'p' }, actor: ACTOR, ttlMs: 1_000 });
  const made = Array.from({ length: LIMITS.commandsLivePerNode }, submit);
  await assert.rejects(submit(), { code: 'NODE_QUEUE_FULL' });
  world.store.flush(Number.POSITIVE_INFINITY);
  await Promise.all(made);
  world.nowMs += 1_000;
  while (world.live().length > 0) {
    world.center.tick();
    await turn();
  }
  const after = submit();
  world.store.flush(Number.POSITIVE_INFINITY);
  assert.equal((await after).phase, 'queued');
  world.store.full = true;
  await assert.rejects(submit(), { code: 'STATE_UNAVAILABLE' });
  world.store.full = false;
  world.nowMs += LIMITS.commandsKeptMs + 1_000;
  for (let round = 0; round < 3; round++) {
    world.center.tick();
    world.store.flush(Number.POSITIVE_INFINITY);
    await turn();
  }
  world.nowMs += LIMITS.commandsKeptMs;
  world.center.tick();
  world.store.flush(Number.POSITIVE_INFINITY);
  assert.equal(world.all().length, 0, 'what is over is kept for a time');
  assert.equal(world.store.disk.size, 0);
});
