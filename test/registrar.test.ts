/**
 * Verdicts about registrations, while sessions come, go and get their numbers again, and while the disk takes its time.
 * Registry, doorkeeper, enrolments and store are the real ones; shards are a list of what they are told.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { Registrar } from '../src/gate/registrar.js';
import { type OpenSession, Sessions } from '../src/gate/sessions.js';
import { Ledger } from '../src/ledger/ledger.js';
import { createLedgerTable } from '../src/memory/ledger-table.js';
import type { RingObserver } from '../src/memory/ring.js';
import { createSessionTable } from '../src/memory/session-table.js';
import { REGISTRY_LIMITS } from '../src/registry/limits.js';
import { NodeRegistry } from '../src/registry/registry.js';
import { RegistrySaver } from '../src/registry/saver.js';
import type { CloseReason, MainToShard } from '../src/shard/messages.js';
import { StateBacklogFull, type StateChange } from '../src/state/store.js';
import { afterwards } from './core-process.js';
import { poll } from './deadline.js';
import { EnrolmentRun } from './enrolment-run.js';

class Run {
  readonly enrolment: EnrolmentRun;
  readonly table = createSessionTable(16);
  readonly sessions = new Sessions(this.table, 2);
  readonly posts: (MainToShard & { session: number })[] = [];
  readonly registry: NodeRegistry;
  readonly saver: RegistrySaver;
  readonly registrar: Registrar;
  /** What is written waits here while it is set. */
  held: (() => void)[] | undefined;
  full = false;
  /** What is in the rings is in the log. */
  ringsRead = true;

  static async start(t: TestContext, mode: 'off' | 'optional' | 'required'): Promise<Run> {
    const run = new Run(await EnrolmentRun.start(t, mode));
    afterwards(t, () => run.saver.close());
    return run;
  }

  private constructor(enrolment: EnrolmentRun) {
    this.enrolment = enrolment;
    const { store } = enrolment;
    const write = store.write.bind(store);
    store.write = (changes: readonly StateChange[]) => {
      if (this.full) throw new StateBacklogFull();
      const { held } = this;
      if (held === undefined) return write(changes);
      return new Promise<void>((resolve) => held.push(resolve)).then(() => write(changes));
    };
    this.saver = new RegistrySaver(store, this.table);
    this.registry = new NodeRegistry(REGISTRY_LIMITS, this.saver);
    const ring = { passed: () => this.ringsRead, published: 0 } as unknown as RingObserver;
    const door = {
      runningSlots: () => [0, 1],
      post: (_slot: number, message: MainToShard) => void this.posts.push(message as never),
      ring: () => ring,
    };
    this.registrar = new Registrar(this.registry, this.sessions, this.table, door, {
      ledger: new Ledger(createLedgerTable(16)),
      doorkeeper: enrolment.doorkeeper,
      keeper: this.saver,
      logger: pino({ level: 'silent' }),
      matchNodeName: false,
      listener: { registered() {}, closed() {}, potUpdated() {} },
      nextSeq: () => 1,
    });
  }

  connect(slot = 0): OpenSession {
    return this.sessions.open(slot, '192.0.2.1:4000', '192.0.2.1')!;
  }

  register(
    open: OpenSession,
    id: bigint,
    name: string,
    totpCode: string | null = null,
    isNumbered = false,
  ): void {
    const registration = {
      nodeId: String(id),
      nodeName: name,
      address: 'a',
      port: 1,
      nodeType: 'Full' as const,
    };
    this.registrar.receive({
      type: 'register',
      session: open.number,
      registration,
      totpCode,
      certificateNames: undefined,
      isNumbered,
    });
  }

  closed(open: OpenSession, reason: CloseReason = 'connection lost'): void {
    this.registrar.receive({ type: 'closed', session: open.number, status: 'Unknown', reason, published: 0 });
  }

  hold(): void {
    this.held = [];
  }

  release(): void {
    const held = this.held!;
    this.held = undefined;
    for (const resolve of held) resolve();
  }

  told(type: MainToShard['type'], session: OpenSession): Promise<MainToShard & { session: number }> {
    return poll(`${type} for ${session.number}`, () =>
      this.posts.find((post) => post.type === type && post.session === session.number),
    );
  }

  /** Everything that waits for promises or turns of the event loop has had its time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

test('nobody is told yes before the disk has it', async (t) => {
  const run = await Run.start(t, 'optional');
  run.hold();
  const [stranger, newcomer] = [run.connect(), run.connect()];
  run.register(stranger, 1n, 'no code');
  run.register(newcomer, 2n, 'with code', '123456');
  await run.settle();
  assert.deepEqual(run.posts, []);
  run.release();
  const accept = await run.told('accept', newcomer);
  assert.match(String(accept.type === 'accept' && accept.totpKey), /^[A-Z2-7]{32}$/);
  const plain = await run.told('accept', stranger);
  assert.equal(plain.type === 'accept' && plain.totpKey, undefined);
});

test('a session that has gone meanwhile is not told, nor is the next one with its number; its name is unknown again', async (t) => {
  const run = await Run.start(t, 'optional');
  run.hold();
  const open = run.connect();
  run.register(open, 1n, 'bee', '123456');
  assert.equal(run.enrolment.enrolments.get('bee')?.state, 'active');
  run.closed(open);
  const next = run.connect();
  assert.equal(next.number, open.number);
  run.release();
  await poll('the enrolment is withdrawn', () =>
    run.enrolment.enrolments.get('bee') === undefined ? true : undefined,
  );
  assert.deepEqual(run.posts, []);
  assert.equal(run.registry.byId(1n)?.session, null);
});

test('who takes over waits until the one before was told that it is registered', async (t) => {
  const run = await Run.start(t, 'off');
  run.hold();
  const [first, second, third] = [run.connect(), run.connect(1), run.connect()];
  run.register(first, 1n, 'bee');
  run.register(second, 1n, 'bee');
  run.register(third, 1n, 'bee');
  await run.settle();
  assert.deepEqual(
    run.posts.map(({ type, session }) => [type, session]),
    [['refuse', second.number]],
  );
  run.release();
  await run.told('close', first);
  assert.deepEqual(
    run.posts.slice(1).map(({ type, session }) => [type, session]),
    [
      ['accept', first.number],
      ['close', first.number],
    ],
  );
  run.closed(first, 'taken over by a new connection');
  await run.told('accept', third);
  assert.equal(run.registry.byId(1n)?.session, third.number);
});

test('a registration that waited takes over from nobody who came later', async (t) => {
  const run = await Run.start(t, 'off');
  const before = run.connect(0);
  run.register(before, 1n, 'bee');
  await run.told('accept', before);
  run.ringsRead = false;
  run.closed(before);
  // It has to wait until the ring of the other shard is read, and its node does not wait for that: it comes again.
  const stale = run.connect(1);
  run.register(stale, 1n, 'bee');
  const fresh = run.connect(0);
  run.register(fresh, 1n, 'bee');
  await run.told('accept', fresh);
  run.ringsRead = true;
  const refusal = await run.told('refuse', stale);
  assert.equal(refusal.type === 'refuse' && refusal.code, 'NODE_ALREADY_REGISTERED');
  await run.settle();
  assert.ok(!run.posts.some(({ type }) => type === 'close'));
  assert.equal(run.registry.byId(1n)?.session, fresh.number);
});

test('nor does one whose shard was slow to read it', async (t) => {
  const run = await Run.start(t, 'off');
  const [stale, fresh] = [run.connect(1), run.connect(0)];
  run.register(fresh, 1n, 'bee');
  await run.told('accept', fresh);
  run.register(stale, 1n, 'bee');
  await run.told('refuse', stale);
  assert.equal(run.registry.byId(1n)?.session, fresh.number);
});

test('of two that wait for the same connection to close the one that came last is let in', async (t) => {
  const run = await Run.start(t, 'off');
  const other = run.connect(0);
  run.register(other, 2n, 'bee');
  await run.told('accept', other);
  run.ringsRead = false;
  run.closed(other);
  const stale = run.connect(1);
  run.register(stale, 1n, 'bee', null, true);
  run.ringsRead = true;
  const [before, fresh] = [run.connect(0), run.connect(0)];
  run.register(before, 1n, 'bee', null, true);
  run.register(fresh, 1n, 'bee', null, true);
  await run.told('close', before);
  await run.told('refuse', stale);
  run.closed(before, 'taken over by a new connection');
  await run.told('accept', fresh);
  assert.ok(!run.posts.some((post) => post.type === 'refuse' && post.session === fresh.number));
});

test('a proven name takes over from everybody who is connected under it, whatever their ids', async (t) => {
  const run = await Run.start(t, 'optional');
  const twins = [run.connect(), run.connect(1)];
  run.register(twins[0]!, 1n, 'bee');
  run.register(twins[1]!, 2n, 'bee');
  for (const twin of twins) await run.told('accept', twin);
  const { secret } = await run.enrolment.enrolments.enrol('bee');
  const owner = run.connect();
  run.register(owner, 3n, 'bee', run.enrolment.code(secret));
  for (const twin of twins) {
    await run.told('close', twin);
    run.closed(twin, 'taken over by a new connection');
  }
  await run.told('accept', owner);
  run.registry.assertInvariants();
  assert.deepEqual(
    run.registry.connectedAs('bee').map(({ id }) => id),
    [3n],
  );
});

test('without a code nobody is superseded', async (t) => {
  const run = await Run.start(t, 'required');
  const { secret } = await run.enrolment.enrolments.enrol('bee');
  const owner = run.connect();
  run.register(owner, 1n, 'bee', run.enrolment.code(secret));
  await run.told('accept', owner);
  for (const code of [null, '000000', run.enrolment.code(secret, 2)]) {
    const thief = run.connect();
    run.register(thief, 1n, 'bee', code);
    const refusal = await run.told('refuse', thief);
    assert.equal(refusal.type === 'refuse' && refusal.code, 'AUTHENTICATION_FAILED');
  }
  await run.settle();
  assert.ok(!run.posts.some(({ type }) => type === 'close'));
});

test('a name that is revoked while its node waits for a connection to close is refused, and closed where it is connected', async (t) => {
  const run = await Run.start(t, 'required');
  const { secret } = await run.enrolment.enrolments.enrol('bee');
  const [first, second] = [run.connect(), run.connect()];
  run.register(first, 1n, 'bee', run.enrolment.code(secret));
  await run.told('accept', first);
  run.register(second, 2n, 'bee', run.enrolment.code(secret, 1));
  await run.told('close', first);
  await run.enrolment.enrolments.revoke('bee');
  run.closed(first);
  const refusal = await run.told('refuse', second);
  assert.equal(refusal.type === 'refuse' && refusal.code, 'AUTHENTICATION_FAILED');
  const again = await run.enrolment.enrolments.enrol('bee');
  const third = run.connect();
  run.register(third, 3n, 'bee', run.enrolment.code(again.secret));
  await run.told('accept', third);
  run.posts.length = 0;
  run.registrar.dismiss('bee', 'enrolment revoked');
  const close = await run.told('close', third);
  assert.equal(close.type === 'close' && close.reason, 'enrolment revoked');
});

test('a disk that takes no more refuses, and leaves nobody enrolled, connected or spent', async (t) => {
  const run = await Run.start(t, 'optional');
  const { secret } = await run.enrolment.enrolments.enrol('enrolled');
  run.full = true;
  const cases: [string, string | null][] = [
    ['plain', null],
    ['newcomer', '123456'],
    ['enrolled', run.enrolment.code(secret)],
  ];
  const sessions: OpenSession[] = [];
  for (const [at, [name, code]] of cases.entries()) {
    const open = run.connect();
    sessions.push(open);
    run.register(open, BigInt(at + 1), name, code);
    const refusal = await run.told('refuse', open);
    assert.equal(refusal.type === 'refuse' && refusal.code, 'NODE_REGISTRATION_FAILED');
  }
  assert.equal(run.registry.counts().connected, 0);
  assert.equal(run.enrolment.enrolments.get('newcomer'), undefined);
  run.registry.assertInvariants();
  for (const open of sessions) run.closed(open, 'registration refused');
  run.full = false;
  for (const [at, [name, code]] of cases.entries()) {
    const open = run.connect();
    run.posts.length = 0;
    run.register(open, BigInt(at + 1), name, code);
    await run.told('accept', open);
  }
});

test('a node is removed: at once when it is gone, after its connection has closed when it is there', async (t) => {
  const run = await Run.start(t, 'off');
  assert.equal(await run.registrar.remove(1n), false);
  const open = run.connect();
  run.register(open, 1n, 'bee');
  await run.told('accept', open);
  const removals = [run.registrar.remove(1n), run.registrar.remove(1n)];
  const close = await run.told('close', open);
  assert.equal(close.type === 'close' && close.reason, 'removed from the registry');
  assert.notEqual(run.registry.byId(1n), undefined, 'while its last frames are read');
  const successor = run.connect();
  run.register(successor, 1n, 'bee');
  run.closed(open, 'removed from the registry');
  assert.deepEqual(await Promise.all(removals), [true, true]);
  await run.told('accept', successor);
  assert.equal(run.registry.byId(1n)?.registrations, 1, 'a new record');
  run.closed(successor);
  assert.equal(await run.registrar.remove(1n), true);
  assert.equal(run.registry.size, 0);
  await run.saver.close();
  const keys: string[] = [];
  for await (const [key] of run.enrolment.store.read('node')) keys.push(key);
  assert.deepEqual(keys, [], 'nothing is left on the disk');
});

test('a shard that dies in the middle of it all leaves nothing hanging', async (t) => {
  const run = await Run.start(t, 'optional');
  run.hold();
  const [deciding, superseding] = [run.connect(0), run.connect(1)];
  run.register(deciding, 1n, 'bee', '123456');
  run.register(superseding, 1n, 'bee', null);
  const removal = run.registrar.remove(1n);
  assert.deepEqual(run.registrar.abandon(0), [], 'nobody was announced');
  run.release();
  assert.equal(await removal, true);
  const refusal = await run.told('refuse', superseding);
  assert.equal(refusal.type === 'refuse' && refusal.code, 'AUTHENTICATION_FAILED');
  run.registry.assertInvariants();
  await poll('the secret that nobody was told is withdrawn', () =>
    run.enrolment.enrolments.get('bee') === undefined ? true : undefined,
  );
});
