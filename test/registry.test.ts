/**
 * The node registry: the rules of who a node is, one by one, and all of them at once against a naive model that keeps
 * one list and scans it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NODE_STATUSES, type NodeStatus } from '../src/protocol/node-status-update.js';
import { LinkedOrder } from '../src/registry/order.js';
import type { NodeRecord } from '../src/registry/record.js';
import type { RegistrationDecision, RegistrationRequest } from '../src/registry/registration.js';
import { NodeRegistry } from '../src/registry/registry.js';

const SMALL = { nodes: 4, potsPerNode: 2, potFieldLength: 8, potsInAll: 5 };

function request(
  nodeId: bigint,
  nodeName: string,
  session: number,
  nowMs = 1,
  isNumbered = false,
): RegistrationRequest {
  return {
    isNumbered,
    nodeId,
    nodeName,
    address: '0.0.0.0',
    port: 8080,
    nodeType: 'Full',
    session,
    shard: session % 2,
    remote: `127.0.0.1:${40_000 + session}`,
    nowMs,
  };
}

function accepted(decision: RegistrationDecision): Extract<RegistrationDecision, { kind: 'accept' }> {
  assert.equal(decision.kind, 'accept');
  return decision as Extract<RegistrationDecision, { kind: 'accept' }>;
}

function end(registry: NodeRegistry, session: number, nowMs = 2) {
  return registry.disconnected(session, { status: 'Unknown', nowMs });
}

function pot(registry: NodeRegistry, session: number, potId: string, message: string | null = null) {
  return registry.pot(session, { potId, potType: 'cowrie', status: 'Running', message, nowMs: 3 });
}

test('a new node is accepted, connected, and found by id and session', () => {
  const registry = new NodeRegistry();
  const { record, takesOver, formerId } = accepted(registry.register(request(2n ** 64n - 1n, 'a', 7)));
  assert.equal(takesOver, false);
  assert.equal(formerId, null);
  assert.equal(record.status, 'Connected');
  assert.equal(record.id, 18446744073709551615n);
  assert.equal(registry.byId(18446744073709551615n), record);
  assert.equal(registry.bySession(7), record);
  assert.deepEqual(registry.counts().connected, 1);
});

test('ids that one double could not tell apart are different nodes', () => {
  const registry = new NodeRegistry();
  const first = accepted(registry.register(request(2n ** 53n, 'a', 1))).record;
  const second = accepted(registry.register(request(2n ** 53n + 1n, 'b', 2))).record;
  assert.notEqual(first, second);
  assert.equal(registry.byId(9007199254740993n)?.name, 'b');
});

test('the same id and name while connected supersedes: nothing changes until the old session is reported closed', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1)));
  assert.deepEqual(registry.register(request(1n, 'a', 2)), { kind: 'supersede', session: 1, shard: 1 });
  assert.equal(registry.byId(1n)?.session, 1);
  end(registry, 1, 2);
  const again = accepted(registry.register(request(1n, 'a', 2)));
  assert.equal(again.takesOver, true);
  assert.equal(again.formerId, null);
  assert.equal(again.record.session, 2);
  assert.equal(again.record.registrations, 2);
});

test('the same id under another name is refused while the first is connected', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1)));
  const decision = registry.register(request(1n, 'b', 2));
  assert.equal(decision.kind === 'refuse' && decision.code, 'NODE_ALREADY_REGISTERED');
  assert.equal(registry.byId(1n)?.name, 'a');
  assert.equal(registry.bySession(2), undefined);
});

test('a name that is back under a new id takes over its record, and the old id finds nothing', () => {
  const registry = new NodeRegistry();
  const before = accepted(registry.register(request(1n, 'a', 1))).record;
  pot(registry, 1, 'p1');
  end(registry, 1, 50);
  const { record, takesOver, formerId } = accepted(registry.register(request(2n, 'a', 2, 60)));
  assert.equal(record, before);
  assert.equal(takesOver, true);
  assert.equal(formerId, 1n);
  assert.equal(registry.byId(1n), undefined);
  assert.equal(registry.byId(2n), record);
  assert.deepEqual([...record.pots.keys()], ['p1']);
  assert.equal(registry.size, 1);
});

test('a node that numbers its events is the one under its name that does, whatever its id: the earlier one is over', () => {
  const registry = new NodeRegistry();
  const before = accepted(registry.register(request(1n, 'a', 1, 1, true))).record;
  accepted(registry.register(request(2n, 'a', 2, 1, false)));
  assert.deepEqual(registry.register(request(3n, 'a', 3, 1, true)), {
    kind: 'supersede',
    session: 1,
    shard: 1,
  });
  end(registry, 1);
  const { record, formerId } = accepted(registry.register(request(3n, 'a', 3, 1, true)));
  assert.equal(record, before);
  assert.equal(formerId, 1n);
  assert.equal(registry.byId(2n)?.session, 2, 'the one that does not number its events stays');
});

test('two connected nodes may share a name; the one that left last goes on first', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1)));
  assert.equal(accepted(registry.register(request(2n, 'a', 2))).takesOver, false);
  assert.equal(registry.counts().connected, 2);
  end(registry, 1);
  end(registry, 2);
  assert.equal(accepted(registry.register(request(3n, 'a', 3))).formerId, 2n);
  assert.equal(accepted(registry.register(request(4n, 'a', 4))).formerId, 1n);
});

test('a disconnected record gives way to another name under its id, and nothing of it is inherited', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1)));
  pot(registry, 1, 'p1');
  end(registry, 1, 2);
  const { record, takesOver } = accepted(registry.register(request(1n, 'b', 2)));
  assert.equal(takesOver, false);
  assert.equal(record.name, 'b');
  assert.equal(record.pots.size, 0);
  assert.equal(registry.size, 1);
  end(registry, 2);
  assert.equal(accepted(registry.register(request(5n, 'a', 3))).takesOver, false, 'the name a starts anew');
});

test('a node that is not connected can be removed, and nothing of it is left; one that is cannot', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1)));
  accepted(registry.register(request(2n, 'b', 2)));
  pot(registry, 1, 'p');
  assert.throws(() => registry.remove(1n), /while it was connected/);
  end(registry, 1);
  assert.equal(registry.remove(1n), true);
  registry.assertInvariants();
  assert.equal(registry.byId(1n), undefined);
  assert.equal(registry.remove(1n), false);
  assert.deepEqual([registry.counts().known, registry.counts().connected], [1, 1]);
  assert.equal(accepted(registry.register(request(3n, 'a', 3))).takesOver, false);
});

test('a connection may repeat its registration, and never becomes another node', () => {
  const registry = new NodeRegistry();
  const { record } = accepted(registry.register(request(1n, 'a', 1)));
  registry.status(1, 'Running');
  const again = accepted(registry.register({ ...request(1n, 'a', 1), port: 99 }));
  assert.equal(again.takesOver, false);
  assert.equal(again.record, record);
  assert.equal(record.reportedPort, 99);
  assert.equal(record.status, 'Connected');
  const otherId = registry.register(request(2n, 'a', 1));
  assert.equal(otherId.kind === 'refuse' && otherId.code, 'INVALID_NODE_ID');
  const otherName = registry.register(request(1n, 'b', 1));
  assert.equal(otherName.kind === 'refuse' && otherName.code, 'NODE_ALREADY_REGISTERED');
  assert.equal(registry.size, 1);
});

test('a full registry forgets the node that has been gone longest, and refuses only when all are connected', () => {
  const registry = new NodeRegistry(SMALL);
  for (let n = 1; n <= 4; n++) accepted(registry.register(request(BigInt(n), `n${n}`, n)));
  const full = registry.register(request(5n, 'n5', 5));
  assert.equal(full.kind === 'refuse' && full.code, 'NODE_REGISTRATION_FAILED');
  end(registry, 3);
  end(registry, 1);
  accepted(registry.register(request(5n, 'n5', 5)));
  assert.equal(registry.byId(3n), undefined);
  assert.notEqual(registry.byId(1n), undefined);
  assert.equal(registry.size, 4);
});

test('pots are bounded per node, in all, and in length, and what is not kept is counted', () => {
  const registry = new NodeRegistry(SMALL);
  const { record } = accepted(registry.register(request(1n, 'a', 1)));
  assert.equal(pot(registry, 1, 'p1'), 'stored');
  assert.equal(pot(registry, 1, 'a pot id that is too long'), 'overflow');
  assert.equal(pot(registry, 1, 'p2', '1234567\u{1f41d}'), 'stored');
  assert.equal(record.pots.get('p2')?.message, '1234567', 'no half of a surrogate pair is left');
  assert.equal(pot(registry, 1, 'p3'), 'overflow');
  assert.equal(pot(registry, 1, 'p1', 'news'), 'stored', 'a known pot is updated at the bound');
  assert.equal(record.pots.get('p1')?.message, 'news');
  assert.equal(record.potsOverflow, 2);
  assert.equal(pot(registry, 9, 'p1'), 'no-session');
  for (const session of [2, 3]) accepted(registry.register(request(BigInt(session), `n${session}`, session)));
  assert.equal(pot(registry, 2, 'x'), 'stored');
  assert.equal(pot(registry, 2, 'y'), 'stored');
  assert.equal(pot(registry, 3, 'x'), 'stored');
  assert.equal(pot(registry, 3, 'y'), 'overflow', 'five pots in all');
  assert.equal(pot(registry, 1, '__proto__'), 'overflow');
});

test('a status is a change only when it differs, and nothing is changed for an unknown session', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1)));
  assert.equal(registry.status(1, 'Running'), true);
  assert.equal(registry.status(1, 'Running'), false);
  assert.equal(registry.status(2, 'Running'), false);
  assert.equal(end(registry, 2), null);
  assert.equal(registry.counts().byStatus.Running, 1);
});

test('last seen is what the session says, else the moment it ended', () => {
  const registry = new NodeRegistry();
  accepted(registry.register(request(1n, 'a', 1, 10)));
  registry.disconnected(1, { status: 'Stopped', nowMs: 400, lastSeenMs: 100 });
  assert.equal(registry.byId(1n)?.lastSeenMs, 100);
  assert.equal(registry.byId(1n)?.status, 'Stopped');
  accepted(registry.register(request(1n, 'a', 2, 500)));
  assert.equal(end(registry, 2, 600)?.lastSeenMs, 600);
  accepted(registry.register(request(1n, 'a', 3, 700)));
  registry.disconnected(3, { status: 'Unknown', nowMs: 900, lastSeenMs: 0 });
  assert.equal(registry.byId(1n)?.lastSeenMs, 700, 'never before the session began');
});

test('a registry that churns at its bound keeps every connected node and stays at the bound', () => {
  const registry = new NodeRegistry({ ...SMALL, nodes: 5_000 });
  for (let n = 1; n <= 15_000; n++) {
    accepted(registry.register(request(BigInt(n), 'all of one name', n)));
    accepted(registry.register(request(BigInt(n) + 1_000_000n, `name ${n}`, n + 1_000_000)));
    end(registry, n + 1_000_000);
    if (n > 2_000) end(registry, n - 2_000);
  }
  assert.equal(registry.size, 5_000);
  assert.equal(registry.counts().connected, 2_000);
});

test('an order gives back what was put in, oldest first, wherever something is taken out', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat(20), { nil: undefined }), { maxLength: 60, size: 'max' }),
      (steps) => {
        const order = new LinkedOrder<number>();
        const links: ReturnType<typeof order.append>[] = [];
        steps.forEach((takeOut, at) => {
          if (takeOut === undefined || links.length === 0) links.push(order.append(at));
          else order.remove(links.splice(takeOut % links.length, 1)[0]!);
          assert.deepEqual(
            [...order],
            links.map((link) => link.value),
          );
          assert.equal(order.first, links[0]?.value);
          assert.equal(order.last, links.at(-1)?.value);
        });
      },
    ),
    { seed: 7, numRuns: 200 },
  );
});

type Step =
  | { kind: 'register'; id: bigint; name: string; session: number; isNumbered: boolean }
  | { kind: 'disconnected'; session: number; status: 'Stopped' | 'Unknown' }
  | { kind: 'status'; session: number; status: NodeStatus }
  | { kind: 'pot'; session: number; potId: string };

interface ModelNode {
  id: bigint;
  name: string;
  session: number | null;
  isNumbered: boolean;
  status: NodeStatus;
  pots: string[];
  registrations: number;
  leftAt: number;
  cameAt: number;
}

/** One list, everything found by scanning it; written from the protocol's sentences, not from the registry. */
class Model {
  nodes: ModelNode[] = [];
  clock = 0;

  register({ id, name, session, isNumbered }: Extract<Step, { kind: 'register' }>): string {
    const own = this.nodes.find((node) => node.session === session);
    if (own !== undefined) {
      if (own.id !== id) return 'INVALID_NODE_ID';
      if (own.name !== name) return 'NODE_ALREADY_REGISTERED';
      own.status = 'Connected';
      own.registrations += 1;
      return 'accept';
    }
    const holder = this.nodes.find((node) => node.id === id);
    if (holder !== undefined && holder.session !== null) {
      return holder.name === name ? `supersede ${holder.session}` : 'NODE_ALREADY_REGISTERED';
    }
    const rivals = this.nodes
      .filter((node) => node.name === name && node.session !== null && node.isNumbered)
      .sort((a, b) => a.cameAt - b.cameAt);
    if (isNumbered && rivals[0] !== undefined) return `supersede ${rivals[0].session}`;
    const candidates = this.nodes.filter((node) => node.name === name && node.session === null);
    const goesOn = candidates.find((node) => node.id === id) ?? this.#lastToLeave(candidates, -1);
    this.nodes = this.nodes.filter((node) => node === goesOn || node.id !== id);
    if (goesOn === undefined && this.nodes.length >= SMALL.nodes) {
      const gone = this.#lastToLeave(
        this.nodes.filter((node) => node.session === null),
        1,
      );
      if (gone === undefined) return 'NODE_REGISTRATION_FAILED';
      this.nodes = this.nodes.filter((node) => node !== gone);
    }
    const node: ModelNode = goesOn ?? {
      id,
      name,
      session,
      status: 'Connected',
      pots: [],
      isNumbered,
      registrations: 0,
      leftAt: 0,
      cameAt: 0,
    };
    this.clock += 1;
    Object.assign(node, {
      id,
      session,
      isNumbered,
      cameAt: this.clock,
      status: 'Connected',
      registrations: node.registrations + 1,
    });
    this.nodes = [...this.nodes.filter((other) => other !== node), node];
    return goesOn === undefined ? 'accept' : 'accept takes over';
  }

  #lastToLeave(nodes: ModelNode[], direction: 1 | -1): ModelNode | undefined {
    return [...nodes].sort((a, b) => direction * (a.leftAt - b.leftAt))[0];
  }

  apply(step: Exclude<Step, { kind: 'register' }>): void {
    const node = this.nodes.find((one) => one.session === step.session);
    if (node === undefined) return;
    switch (step.kind) {
      case 'disconnected':
        this.clock += 1;
        Object.assign(node, {
          session: null,
          status: step.status,
          leftAt: this.clock,
        });
        return;
      case 'status':
        node.status = step.status;
        return;
      case 'pot': {
        const inAll = this.nodes.reduce((sum, one) => sum + one.pots.length, 0);
        if (node.pots.includes(step.potId)) return;
        if (step.potId.length > SMALL.potFieldLength || node.pots.length >= SMALL.potsPerNode) return;
        if (inAll < SMALL.potsInAll) node.pots.push(step.potId);
      }
    }
  }
}

const session = fc.nat(11);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('register' as const),
        id: fc.constantFrom(1n, 2n, 3n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 64n - 1n),
        name: fc.constantFrom('a', 'b', 'c', '__proto__'),
        session,
        isNumbered: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('disconnected' as const),
        session,
        status: fc.constantFrom('Stopped' as const, 'Unknown' as const),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('status' as const),
        session,
        status: fc.constantFrom(...NODE_STATUSES),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('pot' as const),
        session,
        potId: fc.constantFrom('p', 'q', 'r', '__proto__', 'constructor'),
      }),
    },
  ),
  { maxLength: 80, size: 'max' },
);

function shown(record: NodeRecord): Omit<ModelNode, 'leftAt' | 'cameAt' | 'isNumbered'> {
  return {
    id: record.id,
    name: record.name,
    session: record.session,
    status: record.status,
    pots: [...record.pots.keys()],
    registrations: record.registrations,
  };
}

function outcome(decision: RegistrationDecision): string {
  switch (decision.kind) {
    case 'accept':
      return decision.takesOver ? 'accept takes over' : 'accept';
    case 'supersede':
      return `supersede ${decision.session}`;
    case 'refuse':
      return decision.code;
  }
}

test('after any steps the indexes agree with each other and with a list that is scanned', () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(steps, (run) => {
      const registry = new NodeRegistry(SMALL);
      const model = new Model();
      run.forEach((step, at) => {
        switch (step.kind) {
          case 'register': {
            const decided = outcome(
              registry.register(request(step.id, step.name, step.session, at, step.isNumbered)),
            );
            assert.equal(decided, model.register(step));
            const kind = decided.split(' ')[0] === 'supersede' ? 'supersede' : decided;
            seen.set(kind, (seen.get(kind) ?? 0) + 1);
            break;
          }
          case 'disconnected':
            registry.disconnected(step.session, {
              status: step.status,
              nowMs: at,
            });
            model.apply(step);
            break;
          case 'status':
            registry.status(step.session, step.status);
            model.apply(step);
            break;
          case 'pot':
            pot(registry, step.session, step.potId);
            model.apply(step);
            break;
        }
        registry.assertInvariants();
        assert.deepEqual(
          registry.list().map(shown),
          model.nodes
            .map(({ leftAt: _, cameAt: __, isNumbered: ___, ...node }) => node)
            .sort((left, right) => (left.id < right.id ? -1 : 1)),
        );
        for (const node of model.nodes) {
          const record = registry.byId(node.id);
          assert.ok(record !== undefined && record.name === node.name);
          if (node.session !== null) assert.equal(registry.bySession(node.session), record);
        }
      });
    }),
    { seed: 20_261_120, numRuns: 500 },
  );
  const outcomes = ['accept', 'accept takes over', 'supersede', 'NODE_ALREADY_REGISTERED', 'INVALID_NODE_ID'];
  for (const kind of [...outcomes, 'NODE_REGISTRATION_FAILED'])
    assert.ok((seen.get(kind) ?? 0) > 20, `${kind} was met`);
});
