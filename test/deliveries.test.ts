/**
 * Between the log and memory: no gap, no duplicate, whatever happens when. A model of log, reader and recipients, moved
 * by a seed; each recipient checks every record, position and gap that it is given.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { AGGREGATOR, createAggregatorCounters } from '../src/memory/counters.js';
import type { Filter, Start } from '../src/query/filter.js';
import { Deliveries } from '../src/stream/deliveries.js';
import type { Recipient } from '../src/stream/recipient.js';
import { seeded } from './framer-run.js';
import { ModelLog, ModelOutlet, ModelReader } from './stream-model.js';

const BUFFER_BYTES = 400;
const turn = () => new Promise((resolve) => setImmediate(resolve));
const FILTER: Filter = {
  nodes: undefined,
  pots: undefined,
  potTypes: undefined,
  eventTypes: ['wanted'],
  text: undefined,
  sinceMs: undefined,
  untilMs: undefined,
  eventsOnly: true,
};

interface Member {
  readonly outlet: ModelOutlet;
  readonly recipient: Recipient;
}

class World {
  readonly log = new ModelLog();
  readonly counters = createAggregatorCounters();
  readonly deliveries: Deliveries;
  readonly random: () => number;
  members: Member[] = [];
  readonly gone: ModelOutlet[] = [];
  reader: ModelReader | undefined;
  readerWanted = 0;
  deaths = 0;

  constructor(seed: number) {
    this.random = seeded(seed);
    this.deliveries = new Deliveries(this.log, BUFFER_BYTES, this.counters, undefined, {
      readerWanted: () => this.readerWanted++,
      flush: () => {},
    });
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.random() * from.length)]!;
  }

  append(): void {
    const records = 1 + Math.floor(this.random() * 12);
    const bytes = this.log.append(records);
    if (this.deliveries.wanted) this.deliveries.publish(bytes, records);
    this.log.tailFromSeq = Math.max(this.log.tailFromSeq, this.log.nextSeq - 30);
    this.deliveries.written();
  }

  join(): void {
    const { nextSeq } = this.log;
    const from: Start = this.pick([
      { kind: 'latest' },
      { kind: 'earliest' },
      { kind: 'seq', seq: 1 },
      { kind: 'seq', seq: 1 + Math.floor(this.random() * nextSeq) },
      { kind: 'seq', seq: nextSeq },
      { kind: 'seq', seq: nextSeq + 100 },
    ] as const);
    const filtered = this.random() < 0.25;
    const outlet = new ModelOutlet(filtered);
    const recipient = this.deliveries.add(outlet, {
      from,
      filter: filtered ? FILTER : undefined,
      scope: undefined,
      durableOnly: this.random() < 0.2,
      positions: this.random() < 0.6,
    });
    this.members.push({ outlet, recipient });
  }

  leave(): void {
    const member = this.pick(this.members);
    this.deliveries.remove(member.recipient);
    this.members = this.members.filter((other) => other !== member);
    this.gone.push(member.outlet);
  }

  drain({ outlet, recipient }: Member, all = false): void {
    if (outlet.bufferedBytes === 0) return;
    outlet.bufferedBytes = all ? 0 : Math.floor(outlet.bufferedBytes * this.random());
    this.deliveries.drained(recipient);
  }

  renewReader(): void {
    this.reader = new ModelReader(this.log, this.random);
    this.deliveries.useReader(this.reader);
  }

  killReader(): void {
    this.reader?.die();
    this.reader = undefined;
    this.deaths++;
  }

  async step(): Promise<void> {
    const { random } = this;
    const what = random();
    if (what < 0.3) this.append();
    else if (what < 0.35) this.join();
    else if (what < 0.37 && this.members.length > 0) this.leave();
    else if (what < 0.38) this.killReader();
    else if (what < 0.39)
      this.log.oldestSeq += Math.floor(random() * (this.log.nextSeq - this.log.oldestSeq));
    else if (what < 0.4) this.log.damaged.add(Math.floor(random() * this.log.nextSeq));
    else if (what < 0.45) this.log.durableSeq = this.log.nextSeq;
    else if (what < 0.5) this.deliveries.tick();
    else if (what < 0.75 && this.members.length > 0) this.drain(this.pick(this.members));
    else this.reader?.step();
    if (this.reader === undefined && this.readerWanted > 0 && random() < 0.3) this.renewReader();
    if (random() < 0.4) await turn();
    this.check();
  }

  check(): void {
    for (const { outlet, recipient } of this.members) {
      assert.equal(outlet.failed, undefined);
      if (recipient.mode === 'live') assert.equal(recipient.nextSeq, this.log.nextSeq);
      assert.ok(recipient.nextSeq >= outlet.expectedSeq);
      assert.ok(recipient.ahead >= 0 && recipient.ahead <= LIMITS.replayChunksAhead);
    }
    const behind = this.members.filter(({ recipient }) => recipient.mode === 'log').length;
    assert.equal(this.counters[AGGREGATOR.consumers_in_log], behind);
  }

  /** Everything is read by everybody. */
  async settle(): Promise<void> {
    this.log.durableSeq = this.log.nextSeq;
    this.deliveries.written();
    for (let round = 0; round < 3_000; round++) {
      if (this.reader === undefined && this.readerWanted > 0) this.renewReader();
      // Feeds that follow never make room.
      if (this.reader !== undefined) this.reader.places = this.members.length;
      this.reader?.step();
      for (const member of this.members) this.drain(member, true);
      if (round % 20 === 0) this.deliveries.tick();
      await turn();
      if (this.members.every(({ recipient }) => recipient.nextSeq === this.log.nextSeq)) return;
    }
    assert.fail(
      `not all have caught up: ${JSON.stringify(this.members.map(({ recipient }) => recipient.state))}`,
    );
  }
}

test('whatever happens when: everybody is given everything once, in order, or told what is missing', async (t) => {
  const seeds = Number(process.env.SEED ?? 0) || Math.floor(Math.random() * 1e9);
  t.diagnostic(`seed ${seeds}`);
  let toLog = 0;
  let toLive = 0;
  let gaps = 0;
  let deaths = 0;
  for (let run = 0; run < 60; run++) {
    const world = new World(seeds + run);
    for (let step = 0; step < 400; step++) await world.step();
    await world.settle();
    for (const { outlet, recipient } of world.members) {
      assert.ok(outlet.expectedSeq <= recipient.nextSeq);
      if (recipient.isWhole)
        assert.equal(recipient.mode, 'live', 'whoever may be served from memory is, in the end');
      if (recipient.isEverything) assert.equal(outlet.expectedSeq, world.log.nextSeq);
      assert.equal(outlet.got, recipient.records);
      assert.equal(
        outlet.gaps.reduce((sum, { firstSeq, nextSeq }) => sum + nextSeq - firstSeq, 0),
        recipient.missing,
      );
      if (recipient.terms.positions) assert.ok(outlet.positions.length + outlet.gaps.length > 0);
      else assert.equal(outlet.positions.length, 0, 'who has not asked is not told');
    }
    toLog += world.counters[AGGREGATOR.consumers_to_log]!;
    toLive += world.counters[AGGREGATOR.consumers_to_live]!;
    gaps += world.counters[AGGREGATOR.stream_gaps]!;
    deaths += world.deaths;
  }
  t.diagnostic(`${toLog} to the log, ${toLive} to memory, ${gaps} gaps, ${deaths} deaths of the reader`);
  assert.ok(toLog > 50 && toLive > 50 && gaps > 50 && deaths > 50, 'the model does what it is for');
});

for (const fault of ['skips', 'repeats'] as const)
  test(`a reader that ${fault} records is found out: the consumer is told that it cannot be served`, async () => {
    const world = new World(7);
    for (let batch = 0; batch < 50; batch++) world.append();
    world.renewReader();
    world.reader!.fault = fault;
    const outlet = new ModelOutlet(false);
    world.log.tailFromSeq = world.log.nextSeq;
    const recipient = world.deliveries.add(outlet, {
      from: { kind: 'seq', seq: 2 },
      filter: undefined,
      scope: undefined,
      durableOnly: true,
      positions: true,
    });
    world.log.durableSeq = world.log.nextSeq;
    for (let round = 0; round < 500 && outlet.failed === undefined; round++) {
      world.reader!.step();
      world.drain({ outlet, recipient }, true);
      await turn();
    }
    assert.match(outlet.failed!, /the reader is at/);
  });

test('a live one whose buffer is full gets nothing more, and the log once it has emptied; the others go on', async () => {
  const world = new World(1);
  const slow = new ModelOutlet(false);
  const fast = new ModelOutlet(false);
  const terms = {
    from: { kind: 'latest' },
    filter: undefined,
    scope: undefined,
    durableOnly: false,
  } as const;
  const slowOne = world.deliveries.add(slow, { ...terms, positions: true });
  const fastOne = world.deliveries.add(fast, { ...terms, positions: false });
  assert.deepEqual(slow.positions, [1], 'told where it starts');
  for (let batch = 0; batch < 200; batch++) {
    world.append();
    world.drain({ outlet: fast, recipient: fastOne }, true);
  }
  assert.equal(slowOne.mode, 'log');
  assert.equal(fastOne.mode, 'live');
  assert.equal(fast.expectedSeq, world.log.nextSeq);
  assert.ok(slow.peakBytes <= BUFFER_BYTES + 200, `${slow.peakBytes} bytes were buffered`);
  assert.equal(world.readerWanted, 0, 'while nothing can be sent the reader is not troubled');
  world.members = [{ outlet: slow, recipient: slowOne }];
  await world.settle();
  assert.equal(slowOne.mode, 'live');
  assert.equal(slow.expectedSeq, world.log.nextSeq);
  assert.equal(slow.positions.at(-1), world.log.nextSeq);
});

test('when Core stops: who is live ends at once, who reads the log gets the rest if that is quick', async () => {
  const world = new World(3);
  for (let batch = 0; batch < 50; batch++) world.append();
  world.log.durableSeq = world.log.nextSeq;
  world.renewReader();
  const terms = { filter: undefined, scope: undefined, durableOnly: true, positions: true };
  const live = new ModelOutlet(false);
  world.deliveries.add(live, { ...terms, from: { kind: 'latest' }, durableOnly: false });
  const reading = new ModelOutlet(false);
  const recipient = world.deliveries.add(reading, { ...terms, from: { kind: 'earliest' } });
  const stuck = new ModelOutlet(false);
  world.deliveries.add(stuck, { ...terms, from: { kind: 'seq', seq: 1 } });
  stuck.bufferedBytes = LIMITS.replayBacklogBytes + 1;
  world.deliveries.finish();
  assert.ok(live.isOver && !reading.isOver && !stuck.isOver);
  for (let round = 0; round < 500 && !reading.isOver; round++) {
    world.reader!.step();
    world.drain({ outlet: reading, recipient }, true);
    await turn();
  }
  assert.ok(reading.isOver);
  assert.equal(reading.expectedSeq, world.log.nextSeq);
  assert.equal(reading.positions.at(-1), world.log.nextSeq);
  const startMs = performance.now();
  while (!stuck.isOver && performance.now() - startMs < 10 * LIMITS.streamFinishMs) await turn();
  assert.ok(stuck.isOver, 'the others when the time is over');
  assert.deepEqual(stuck.positions, [1]);
});
