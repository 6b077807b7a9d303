/**
 * Admission without sockets: whose turn it is, who is turned away, and that nobody is forgotten. The clock is the
 * test's own.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { addressKey } from '../src/addresses.js';
import { Admission, type Arrival } from '../src/gate/admission.js';
import { FairQueue } from '../src/gate/fair-queue.js';
import type { OpenSession } from '../src/gate/sessions.js';
import { TokenBucket } from '../src/gate/token-bucket.js';
import { LIMITS } from '../src/limits.js';
import type { TurnedAwayReason } from '../src/telemetry/admission-counts.js';

const SEED = 20_261_121;

describe('addresses', () => {
  for (const [address, key] of [
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::ffff:c000:207', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::ffff', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
    ['::2:3:4:5:6:7:8', '0:2:3:4::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
  ] as const)
    it(`${address} counts as ${key}`, () => assert.equal(addressKey(address), key));

  it('of one /64 are one stranger, of two are two', () => {
    const address = fc.array(fc.nat(0xffff), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(address, fc.nat(7), fc.integer({ min: 1, max: 0xffff }), (groups, at, change) => {
        const other = groups.map((group, i) => (i === at ? group ^ change : group));
        const [a, b] = [groups, other].map((each) => addressKey(each.map((g) => g.toString(16)).join(':')));
        fc.pre(!a!.includes('.') && !b!.includes('.'));
        assert.equal(a === b, at >= 4);
      }),
      { seed: SEED },
    );
  });
});

describe('the accept rate', () => {
  it('lets in no more than its burst and its rate in any stretch of time, and no less when asked', () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 1, max: 30 })), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 0, max: 50 }),
        steps,
        (rate, burst, asks) => {
          const bucket = new TokenBucket(rate, burst, 0);
          const taken: number[] = [];
          let nowMs = 0;
          for (const [pauseMs, count] of asks) {
            nowMs += pauseMs;
            let refused = false;
            for (let i = 0; i < count; i++) {
              if (bucket.take(nowMs)) taken.push(nowMs);
              else refused = true;
            }
            if (!refused) continue;
            assert.ok(bucket.waitMs > 0 && bucket.waitMs <= 1000 / rate + 1e-6);
          }
          const atOnce = Math.max(1, burst);
          for (let from = 0; from < taken.length; from++)
            for (let to = from; to < taken.length; to++) {
              const allowed = atOnce + ((taken[to]! - taken[from]!) * rate) / 1000;
              assert.ok(
                to - from + 1 <= allowed + 1e-6,
                `${to - from + 1} in ${taken[to]! - taken[from]!} ms`,
              );
            }
        },
      ),
      { seed: SEED, numRuns: 60 },
    );
    const busy = new TokenBucket(2000, 100, 0);
    let passed = 0;
    for (let ms = 0; ms <= 1000; ms++) while (busy.take(ms)) passed++;
    assert.ok(passed >= 2099 && passed <= 2100, `${passed} in a second`);
  });

  it('has a token exactly when it says', () => {
    const bucket = new TokenBucket(3, 1, 0);
    assert.ok(bucket.take(0));
    assert.ok(!bucket.take(0));
    const { waitMs } = bucket;
    assert.ok(!bucket.take(waitMs - 0.01));
    assert.ok(bucket.take(waitMs + 0.01));
  });
});

/** The same, as plainly as it can be said. */
class PlainQueue {
  readonly #capacity: number;
  lanes: { address: string; items: number[] }[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.lanes.reduce((sum, { items }) => sum + items.length, 0);
  }

  /** Addresses that may have to give way when `address` brings one more. */
  longest(address: string): { length: number; addresses: string[] } {
    const length = Math.max(0, ...this.lanes.map(({ items }) => items.length));
    const own = this.lanes.find((lane) => lane.address === address)?.items.length ?? 0;
    if (own + 1 >= length) return { length, addresses: [] };
    return {
      length,
      addresses: this.lanes.filter(({ items }) => items.length === length).map((l) => l.address),
    };
  }

  get full(): boolean {
    return this.size >= this.#capacity;
  }

  add(address: string, item: number): void {
    const lane = this.lanes.find((one) => one.address === address);
    if (lane) lane.items.push(item);
    else this.lanes.push({ address, items: [item] });
  }

  removeNewest(address: string): number {
    const lane = this.lanes.find((one) => one.address === address)!;
    const item = lane.items.pop()!;
    if (lane.items.length === 0) this.lanes = this.lanes.filter((one) => one !== lane);
    return item;
  }

  take(): number | undefined {
    const lane = this.lanes.shift();
    const item = lane?.items.shift();
    if (lane !== undefined && lane.items.length > 0) this.lanes.push(lane);
    return item;
  }
}

describe('the queue', () => {
  it('lets addresses take turns, keeps the order of each, and is bounded at the cost of who has the most', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.nat(5).map((address) => `10.0.0.${address}`) },
      { weight: 2, arbitrary: fc.constant('10.0.0.0') },
      { weight: 3, arbitrary: fc.constant(undefined) },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(step, { minLength: 1, maxLength: 400 }),
        (capacity, steps) => {
          const queue = new FairQueue<{ address: string; number: number }>(capacity);
          const plain = new PlainQueue(capacity);
          steps.forEach((address, number) => {
            if (address === undefined) {
              assert.equal(queue.take()?.number, plain.take());
            } else {
              const victims = plain.longest(address).addresses;
              const gaveWay = queue.push(address, { address, number });
              if (!plain.full) {
                assert.equal(gaveWay, undefined);
                plain.add(address, number);
              } else if (victims.length === 0) {
                assert.equal(gaveWay?.number, number, 'who has the most is turned away');
              } else {
                assert.ok(victims.includes(gaveWay!.address), 'one of those with the most gives way');
                assert.equal(plain.removeNewest(gaveWay!.address), gaveWay!.number, 'its newest');
                plain.add(address, number);
              }
            }
            assert.equal(queue.size, plain.size);
            queue.assertInvariants();
          });
        },
      ),
      { seed: SEED, numRuns: 150 },
    );
  });

  it('gives a newcomer the next turn but one beside a flood, however long that is', () => {
    const queue = new FairQueue<string>(20_000);
    for (let i = 0; i < 10_000; i++) queue.push('flood', `flood ${i}`);
    assert.equal(queue.take(), 'flood 0');
    queue.push('bee', 'bee');
    assert.deepEqual([queue.take(), queue.take(), queue.take()], ['flood 1', 'bee', 'flood 2']);
  });

  it('has room for a newcomer when floods from several addresses fill it', () => {
    const queue = new FairQueue<string>(100);
    for (let i = 0; i < 1000; i++) queue.push(`flood ${i % 3}`, `flood ${i}`);
    assert.equal(queue.size, 100);
    assert.match(queue.push('bee', 'bee')!, /^flood/);
    const order = Array.from({ length: 100 }, () => queue.take()!);
    assert.equal(order.indexOf('bee'), 3);
    const flood0 = order.filter((name) => name !== 'bee' && Number(name.split(' ')[1]) % 3 === 0);
    assert.deepEqual(
      flood0,
      flood0.toSorted((a, b) => Number(a.split(' ')[1]) - Number(b.split(' ')[1])),
    );
  });
});

interface Caller extends Arrival {
  readonly number: number;
}

/** Shards that accept everything, and what became of each caller. */
class House {
  nowMs = 0;
  slots: number[] = [0];
  sessionsLeft = Number.POSITIVE_INFINITY;
  readonly admitted: Caller[] = [];
  readonly turnedAway: { caller: Caller; reason: TurnedAwayReason }[] = [];
  readonly sessions = new Map<number, OpenSession>();
  readonly admission: Admission<Caller>;
  #callers = 0;

  constructor(acceptsPerSecond: number, connectionsPerAddress = 1000, slots = 1) {
    this.slots = Array.from({ length: slots }, (_, slot) => slot);
    this.admission = new Admission(
      { acceptsPerSecond, connectionsPerAddress, slots },
      {
        runningSlots: () => this.slots,
        admit: (caller, slots) => {
          if (this.sessionsLeft === 0) return 'max_connections';
          this.sessionsLeft--;
          const { number, address } = caller;
          const session = { number, turn: number, slot: slots[0]!, remote: 'r', address, fd: undefined };
          this.admitted.push(caller);
          this.sessions.set(number, session);
          return session;
        },
        turnAway: (caller, reason) => this.turnedAway.push({ caller, reason }),
        nowMs: () => this.nowMs,
      },
    );
  }

  call(address: string, times = 1): void {
    for (let i = 0; i < times; i++) this.admission.arrive({ address, number: this.#callers++ });
  }

  leave(number: number): void {
    this.sessionsLeft++;
    const session = this.sessions.get(number)!;
    this.sessions.delete(number);
    this.admission.left(session);
  }

  registered(): void {
    for (const session of this.sessions.values()) this.admission.registered(session);
  }

  get calls(): number {
    return this.#callers;
  }
}

/** Lets time pass in small steps, so that every timer fires about when it is due. */
function pass(t: { mock: { timers: { tick(ms: number): void } } }, house: House, ms: number): void {
  for (let i = 0; i < ms; i++) {
    house.nowMs++;
    t.mock.timers.tick(1);
  }
}

describe('admission', () => {
  it('lets a connection through at once while nobody waits', () => {
    const house = new House(10);
    house.call('a');
    assert.equal(house.admitted.length, 1);
    assert.equal(house.admission.counts().mostWaiting, 1);
  });

  it('admits at its rate, and addresses in turns', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const house = new House(100);
    house.call('flood', 50);
    house.call('bee', 2);
    const before = house.admitted.length;
    assert.equal(before, 5, 'the burst: 50 ms of 100 a second');
    pass(t, house, 10);
    assert.equal(house.admitted.length, before + 1);
    pass(t, house, 30);
    const after = house.admitted.slice(before).map(({ address }) => address);
    assert.deepEqual(after, ['flood', 'bee', 'flood', 'bee']);
    pass(t, house, 2000);
    const flood = house.admitted.filter(({ address }) => address === 'flood').map(({ number }) => number);
    assert.deepEqual(
      flood,
      [...flood].sort((a, b) => a - b),
      'each address keeps its order',
    );
    assert.equal(house.admitted.length, 52);
  });

  it('counts who waits and who is connected against the limit of an address', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const house = new House(20, 3);
    house.call('a', 4);
    house.call('b', 3);
    assert.deepEqual(
      house.turnedAway.map(({ caller, reason }) => [caller.number, reason]),
      [[3, 'per_address']],
    );
    assert.equal(house.admitted.length, 1);
    pass(t, house, 500);
    assert.equal(house.admitted.length, 6);
    house.call('a');
    assert.equal(house.turnedAway.length, 2);
    house.leave(0);
    house.call('a');
    pass(t, house, 200);
    assert.equal(house.admitted.at(-1)!.number, house.calls - 1);
    house.leave(1);
    house.leave(2);
    house.leave(house.calls - 1);
    assert.equal(house.admission.ofAddress('a'), 0);
  });

  it('hands a shard no more strangers than it may have at once, until they have registered or gone', () => {
    const house = new House(1_000_000);
    house.call('a', LIMITS.registeringPerShard + 10);
    assert.equal(house.admitted.length, LIMITS.registeringPerShard);
    house.admission.registered(house.sessions.get(5)!);
    house.leave(6);
    assert.equal(house.admitted.length, LIMITS.registeringPerShard + 2);
    house.leave(5);
    assert.equal(house.admitted.length, LIMITS.registeringPerShard + 2, 'it had made room already');
    house.registered();
    assert.equal(house.admitted.length, LIMITS.registeringPerShard + 10);
  });

  it('uses every shard, and waits while there is none', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const house = new House(1_000_000, 1000, 2);
    house.call('a', 2 * LIMITS.registeringPerShard + 1);
    assert.equal(house.admitted.length, 2 * LIMITS.registeringPerShard);
    house.slots = [];
    house.registered();
    pass(t, house, 500);
    assert.equal(house.admission.counts().waiting, 1);
    house.slots = [1];
    pass(t, house, 50);
    assert.equal(house.admission.counts().waiting, 0);
  });

  it('does not let strangers who say nothing keep others out', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const house = new House(1_000_000, 100_000);
    house.call('loris', 3 * LIMITS.registeringPerShard);
    pass(t, house, 10);
    house.call('bee');
    assert.equal(house.admitted.length, LIMITS.registeringPerShard);
    pass(t, house, LIMITS.registeringMs - 12);
    assert.equal(house.admitted.length, LIMITS.registeringPerShard);
    pass(t, house, 5);
    assert.ok(house.admitted.some(({ address }) => address === 'bee'));
    pass(t, house, LIMITS.registeringMs * 2);
    assert.equal(house.admission.counts().waiting, 0);
  });

  it('is not held up by a long wait for a shard when a token is due sooner', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const house = new House(1400, 100_000);
    house.call('a', LIMITS.registeringPerShard + 20);
    pass(t, house, 5);
    house.call('a', 200);
    house.registered();
    const before = house.admitted.length;
    pass(t, house, 3);
    assert.ok(house.admitted.length > before, 'tokens came meanwhile');
  });

  it('turns away in order when it stops, and everybody who comes later', () => {
    const house = new House(20);
    house.call('a', 4);
    house.call('b', 2);
    const admitted = house.admitted.length;
    house.admission.stop();
    house.call('c');
    assert.equal(house.admitted.length, admitted);
    assert.deepEqual(
      house.turnedAway.map(({ caller, reason }) => [caller.number, reason]),
      [1, 4, 2, 5, 3, 6].map((number) => [number, 'stopping']),
    );
    assert.equal(house.admission.counts().waiting, 0);
  });

  it('forgets nobody: who came was admitted, was turned away, or waits', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const step = fc.oneof(
      fc.record({ call: fc.nat(4), times: fc.integer({ min: 1, max: 60 }) }),
      fc.record({ leave: fc.nat(1000) }),
      fc.record({ pass: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ slots: fc.nat(2) }),
      fc.constant({ registered: true }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 3000 }), (steps, rate) => {
        const house = new House(rate, 90, 2);
        house.sessionsLeft = 150;
        for (const one of steps) {
          if ('call' in one) house.call(`10.0.0.${one.call}`, one.times);
          else if ('leave' in one) {
            const numbers = [...house.sessions.keys()];
            if (numbers.length > 0) house.leave(numbers[one.leave % numbers.length]!);
          } else if ('pass' in one) pass(t, house, one.pass);
          else if ('slots' in one) house.slots = [[], [1], [0, 1]][one.slots]!;
          else house.registered();
          const { waiting, admitted, turnedAway } = house.admission.counts();
          const away = Object.values(turnedAway).reduce((sum, count) => sum + count, 0);
          assert.equal(waiting + admitted + away, house.calls);
          assert.equal(admitted, house.admitted.length);
          assert.equal(away, house.turnedAway.length);
          let ofAddresses = 0;
          for (let n = 0; n < 5; n++) {
            const count = house.admission.ofAddress(`10.0.0.${n}`);
            assert.ok(count <= 90, 'the limit of an address');
            ofAddresses += count;
          }
          assert.equal(ofAddresses, waiting + house.sessions.size, 'everybody open counts for an address');
        }
        house.slots = [0, 1];
        for (let i = 0; i < 300 && house.admission.counts().waiting > 0; i++) {
          house.registered();
          pass(t, house, 50 + Math.ceil(3000 / rate));
        }
        assert.equal(house.admission.counts().waiting, 0, 'everybody gets a turn');
        house.admission.stop();
      }),
      { seed: SEED, numRuns: 40 },
    );
  });
});
