/**
 * A world for the command centre without threads and sockets: nodes that come and go, a link that takes its time or
 * breaks, a disk that is slow, full or loses what it had not written, a clock. A seed drives all of it.
 *
 * What really happened (which node got what) is kept apart from what the centre believes.
 */
import assert from 'node:assert/strict';
import type { Random } from '../bench/random.js';
import { matchesPattern } from '../src/access/pattern.js';
import type { Actor } from '../src/access/principal.js';
import { CommandCenter, readKeptCommands } from '../src/commands/center.js';
import type { OutgoingCommand } from '../src/commands/delivery.js';
import { CommandError } from '../src/commands/errors.js';
import { type CommandRecord, isOver } from '../src/commands/record.js';
import { NodeRegistry } from '../src/registry/registry.js';
import {
  StateBacklogFull,
  type StateChange,
  type StateSection,
  type StateStore,
} from '../src/state/store.js';

export const ACTOR: Actor = {
  principal: {
    kind: 'local',
    tokenId: null,
    name: 'local',
    roles: new Set(['admin']),
    scope: { nodes: null, eventTypes: null },
    expiresMs: null,
  },
  from: 'local',
};

const SLOT = 0;

/** The event loop's. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A store whose disk writes when it is told to. */
export class SlowStore implements StateStore {
  readonly disk = new Map<string, string>();
  full = false;
  #pending: { changes: readonly StateChange[]; done: () => void }[] = [];

  write(changes: readonly StateChange[]): Promise<void> {
    if (this.full) throw new StateBacklogFull();
    return new Promise((done) => this.#pending.push({ changes, done }));
  }

  async *read(section: StateSection): AsyncGenerator<readonly [string, string]> {
    const keys = [...this.disk.keys()].filter((key) => key.startsWith(`${section}/`)).sort();
    for (const key of keys) yield [key.slice(section.length + 1), this.disk.get(key)!];
  }

  async close(): Promise<void> {
    this.flush(Number.POSITIVE_INFINITY);
  }

  /** The first so many writes reach the disk, each as a whole. */
  flush(writes: number): void {
    for (const { changes, done } of this.#pending.splice(0, writes)) {
      for (const { section, key, value } of changes) {
        if (value === undefined) this.disk.delete(`${section}/${key}`);
        else this.disk.set(`${section}/${key}`, value);
      }
      done();
    }
  }

  /** What was not written is lost. */
  lose(): void {
    this.#pending = [];
  }
}

interface Link {
  readonly session: number;
  readonly name: string;
  readonly nodeId: bigint;
  /** Posted by main, not written to the socket yet. */
  readonly waiting: OutgoingCommand[];
}

export class World {
  readonly store = new SlowStore();
  registry = new NodeRegistry();
  center!: CommandCenter;
  nowMs = Date.UTC(2026, 10, 20);
  /** What nodes got, in order, by name. */
  readonly delivered: { readonly id: string; readonly name: string }[] = [];
  /** Commands whose makers were told that they are safe. */
  readonly promised = new Set<string>();
  readonly promisedRollouts = new Set<string>();
  /** Commands that were called off, and those of them that somebody was told are. */
  cancelled = new Set<string>();
  readonly promisedCancelled = new Set<string>();
  readonly #random: Random;
  readonly #links = new Map<number, Link>();
  #session = 0;
  #nodeId = 1n;

  constructor(random: Random) {
    this.#random = random;
  }

  async start(): Promise<void> {
    this.registry = new NodeRegistry();
    const kept = await readKeptCommands(this.store);
    this.center = new CommandCenter(
      {
        store: this.store,
        nodes: { byId: (id) => this.registry.byId(id), list: () => this.registry.list() },
        audit: { record() {} },
        ttlMs: 60_000,
        timeoutMs: 30_000,
        nowMs: () => this.nowMs,
        post: (_slot, command) => this.#links.get(command.session)?.waiting.push(command),
        matches: matchesPattern,
      },
      kept,
    );
    assert.equal(this.center.unreadable, 0);
  }

  get links(): readonly Link[] {
    return [...this.#links.values()];
  }

  /** A node of that name registers, with its old id or a new one; it takes over where it is still connected. */
  register(name: string): void {
    const old = this.links.find((link) => link.name === name);
    const keepsId = this.#random.below(2) === 0;
    const known = this.registry.list().find((record) => record.name === name);
    const nodeId = keepsId && known !== undefined ? known.id : this.#nodeId++;
    if (old !== undefined) this.disconnect(old, false);
    const session = ++this.#session;
    const decision = this.registry.register({
      nodeId,
      nodeName: name,
      address: 'a',
      port: 1,
      nodeType: 'Full',
      session,
      shard: SLOT,
      remote: 'r',
      nowMs: this.nowMs,
    });
    assert.equal(decision.kind, 'accept');
    this.#links.set(session, { session, name, nodeId, waiting: [] });
    const formerId = decision.kind === 'accept' ? decision.formerId : null;
    this.center.registered({ session, slot: SLOT, nodeId, formerId, name });
  }

  /** The shard writes to the socket, and says so. */
  deliver(link: Link): void {
    const command = link.waiting.shift();
    if (command === undefined) return;
    this.#arrived(link, command);
    this.center.sent(link.session, command.command);
  }

  /** The connection is gone. Where the shard died, a command may have arrived without a word about it. */
  disconnect(link: Link, shardDied: boolean): void {
    this.#links.delete(link.session);
    if (shardDied) this.#perhapsArrived(link);
    this.registry.disconnected(link.session, { status: 'Unknown', nowMs: this.nowMs });
    this.center.closed(link.session, shardDied);
  }

  /** Core is killed and starts again; what was not on the disk is lost, what was on its way may have arrived. */
  async crash(): Promise<void> {
    this.store.flush(this.#random.below(4));
    for (const link of this.links) this.#perhapsArrived(link);
    this.#links.clear();
    this.store.lose();
    this.store.full = false;
    this.center.close();
    this.store.lose();
    await turn();
    this.cancelled = new Set(this.promisedCancelled);
    await this.start();
  }

  /** Core stops in order and starts again. */
  async restart(): Promise<void> {
    this.store.full = false;
    for (const link of this.links) this.disconnect(link, false);
    this.center.close();
    await this.store.close();
    await this.start();
  }

  submit(name: string, command: unknown, key?: string): void {
    const record = this.registry.list().find((each) => each.name === name);
    if (record === undefined) return;
    this.center
      .submit(record.id, {
        command,
        actor: ACTOR,
        ttlMs: this.#random.pick([1_000, 20_000, 3_600_000]),
        timeoutMs: this.#random.pick([2_000, 30_000, 3_600_000]),
        idempotencyKey: key,
      })
      .then((made) => this.promised.add(made.id))
      .catch(allowed);
  }

  broadcast(command: unknown, maxInFlight: number | null, maxFailures: number | null): void {
    this.center
      .broadcast({
        command,
        actor: ACTOR,
        filter: { connected: null },
        rolling: { maxInFlight, maxFailures },
      })
      .then((made) => this.promisedRollouts.add(made.plan.id))
      .catch(allowed);
  }

  cancel(id: string): void {
    this.center
      .cancel(id, ACTOR)
      .then(() => this.promisedCancelled.add(id))
      .catch(allowed);
    if (this.center.find(id)?.phase !== 'cancelled') return;
    assert.ok(!this.delivered.some((each) => each.id === id), `${id} was sent, and then called off`);
    this.cancelled.add(id);
  }

  all(): CommandRecord[] {
    return [...this.center.commands({})].map(({ id }) => this.center.find(id)!);
  }

  live(): CommandRecord[] {
    return this.all().filter(({ phase }) => !isOver(phase));
  }

  #perhapsArrived(link: Link): void {
    for (const command of link.waiting) if (this.#random.below(2) === 0) this.#arrived(link, command);
  }

  #arrived(link: Link, { command: id }: OutgoingCommand): void {
    assert.ok(!this.cancelled.has(id), `${id} was called off, and then sent`);
    assert.ok(!this.delivered.some((each) => each.id === id), `${id} came twice`);
    this.delivered.push({ id, name: link.name });
  }
}

/** What the centre may say no with. */
export function allowed(error: unknown): void {
  if (!(error instanceof CommandError)) throw error;
  assert.ok(['CONFLICT', 'STATE_UNAVAILABLE', 'IDEMPOTENCY_CONFLICT', 'NODE_NOT_FOUND'].includes(error.code));
}
