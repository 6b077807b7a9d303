/**
 * Decides about registrations and keeps the registry in step with what the shards report. Owned by main.
 *
 * Three things may hold an acceptance back, all so that a node's records stay in order over its connections: the
 * connection it takes over must have closed, what its last connection left in another shard's ring must have been
 * written, and the notice that a dead shard owes for it must have been given.
 */
import type { Logger } from 'pino';
import type { ErrorCode } from '../errors.js';
import type { RingObserver } from '../memory/ring.js';
import { SESSION, SESSION_STRIDE } from '../memory/session-table.js';
import type { NodeRegistration } from '../protocol/node-registration.js';
import type { NodeRegistry } from '../registry/registry.js';
import { sessionTotals } from '../registry/session-totals.js';
import type { Orphan, ShardToMain } from '../shard/messages.js';
import type { OpenSession, Sessions } from './sessions.js';
import type { ShardDoor } from './shard-door.js';

/** How often a waiting registration looks whether a ring has been read. */
const RING_POLL_MS = 5;

/** The session itself, not its number: a number is given out again when its connection has gone. */
interface Waiting {
  readonly open: OpenSession;
  readonly registration: NodeRegistration;
}

/** Where the last records of a node that has left are: in which ring, up to which run. */
interface LastRun {
  readonly slot: number;
  readonly ring: RingObserver;
  readonly published: number;
}

export class Registrar {
  readonly #registry: NodeRegistry;
  readonly #sessions: Sessions;
  readonly #table: Float64Array;
  readonly #shards: ShardDoor;
  readonly #logger: Logger;
  /** By the session that has to close first. */
  readonly #superseding = new Map<number, Waiting>();
  readonly #lastRuns = new Map<bigint, LastRun>();
  /** Sessions of nodes that are to be forgotten once they have closed, and who waits for that. */
  readonly #removing = new Map<number, (() => void)[]>();
  /** Nodes of dead shards: by the slot whose next shard gives notice that they have gone. */
  readonly #noticeOwed = new Map<bigint, number>();

  constructor(
    registry: NodeRegistry,
    sessions: Sessions,
    table: Float64Array,
    shards: ShardDoor,
    logger: Logger,
  ) {
    this.#registry = registry;
    this.#sessions = sessions;
    this.#table = table;
    this.#shards = shards;
    this.#logger = logger;
  }

  receive(message: Extract<ShardToMain, { type: 'register' | 'status' | 'pot' | 'closed' }>): void {
    switch (message.type) {
      case 'register': {
        const open = this.#sessions.get(message.session);
        if (open !== undefined) this.#decide({ open, registration: message.registration });
        break;
      }
      case 'status':
        this.#registry.status(message.session, message.status);
        break;
      case 'pot':
        this.#registry.pot(message.session, { ...message, nowMs: Date.now() });
        break;
      case 'closed':
        this.#closed(message);
        break;
    }
  }

  /** Forgets a node; a connected one is disconnected first. Resolves when it has gone; false where none is known. */
  async remove(id: bigint): Promise<boolean> {
    const record = this.#registry.byId(id);
    if (record === undefined) return false;
    const { session, shard } = record;
    if (session === null || shard === null) return this.#registry.remove(id);
    await new Promise<void>((resolve) => {
      const waiting = this.#removing.get(session);
      this.#removing.set(session, [...(waiting ?? []), resolve]);
      if (waiting === undefined)
        this.#shards.post(shard, { type: 'close', session, reason: 'removed from the registry' });
    });
    return true;
  }

  /** The shard of a slot died: its sessions are over. Answers the nodes whose notice is owed to the stream. */
  abandon(slot: number): Orphan[] {
    const orphans: Orphan[] = [];
    for (const { number } of this.#sessions.ofSlot(slot)) {
      const record = this.#disconnected(number, 'Unknown');
      if (record !== null && this.#table[number * SESSION_STRIDE + SESSION.announced] === 1) {
        orphans.push({ nodeId: String(record.id), nodeName: record.name });
        this.#noticeOwed.set(record.id, slot);
      }
      this.#sessions.close(number);
      this.#goOn(number);
    }
    return orphans;
  }

  /** The next shard of a slot has put the notices it owed in its ring, which is read behind the dead one's. */
  noticesGiven(slot: number): void {
    const ring = this.#shards.ring(slot);
    const { published } = ring;
    for (const [id, owing] of this.#noticeOwed) {
      if (owing !== slot) continue;
      this.#noticeOwed.delete(id);
      this.#lastRuns.set(id, { slot, ring, published });
    }
  }

  /** Forgets what rings have passed; call it now and then. */
  sweep(): void {
    for (const [id, last] of this.#lastRuns) if (last.ring.passed(last.published)) this.#lastRuns.delete(id);
  }

  #decide({ open, registration }: Waiting): void {
    const session = open.number;
    if (this.#sessions.get(session) !== open) return;
    const nodeId = BigInt(registration.nodeId);
    const last = this.#lastRuns.get(nodeId);
    if (
      this.#noticeOwed.has(nodeId) ||
      (last !== undefined && last.slot !== open.slot && !last.ring.passed(last.published))
    ) {
      setTimeout(() => this.#decide({ open, registration }), RING_POLL_MS);
      return;
    }
    const decision = this.#registry.register({
      ...registration,
      nodeId,
      session,
      shard: open.slot,
      remote: open.remote,
      nowMs: Date.now(),
    });
    const node = { node: registration.nodeName, node_id: registration.nodeId, remote: open.remote };
    switch (decision.kind) {
      case 'accept': {
        const potTypes = [...decision.record.pots.values()].map((pot) => [pot.potId, pot.potType] as const);
        this.#shards.post(open.slot, {
          type: 'accept',
          session,
          message: 'Registration successful',
          potTypes,
        });
        this.#logger.info({ ...node, shard: open.slot, known: decision.takesOver }, 'node registered');
        break;
      }
      case 'supersede': {
        const waiting = this.#superseding.get(decision.session);
        // A third connection of the same node: the second one gives way.
        if (waiting !== undefined)
          this.#refuse(waiting.open, 'NODE_ALREADY_REGISTERED', 'a newer connection of this node took over');
        this.#superseding.set(decision.session, { open, registration });
        this.#takeOver(decision.session, decision.shard);
        break;
      }
      case 'refuse':
        this.#logger.warn({ ...node, code: decision.code }, 'registration refused');
        this.#refuse(open, decision.code, decision.message);
        break;
    }
  }

  /** Closes the connection whose node has another one now. In portable mode main has to read what came on it first:
   *  a turn of the event loop does that. */
  #takeOver(session: number, slot: number): void {
    setImmediate(() =>
      setImmediate(() => {
        if (!this.#superseding.has(session)) return;
        this.#shards.post(slot, { type: 'close', session, reason: 'taken over by a new connection' });
      }),
    );
  }

  #refuse(open: OpenSession, code: ErrorCode, message: string): void {
    if (this.#sessions.get(open.number) !== open) return;
    this.#shards.post(open.slot, { type: 'refuse', session: open.number, code, message });
  }

  #closed({ session, status, reason, published }: Extract<ShardToMain, { type: 'closed' }>): void {
    const open = this.#sessions.get(session);
    if (open === undefined) return;
    const record = this.#disconnected(session, status);
    if (record !== null) {
      this.#lastRuns.set(record.id, { slot: open.slot, ring: this.#shards.ring(open.slot), published });
      this.#logger.info({ node: record.name, node_id: String(record.id), reason }, 'node disconnected');
    }
    this.#sessions.close(session);
    this.#goOn(session);
  }

  #disconnected(session: number, status: 'Stopped' | 'Unknown') {
    const record = this.#registry.disconnected(session, {
      status,
      nowMs: Date.now(),
      lastSeenMs: this.#table[session * SESSION_STRIDE + SESSION.last_seen_ms]!,
      totals: sessionTotals(this.#table, session),
    });
    const removing = this.#removing.get(session);
    if (removing !== undefined) {
      this.#removing.delete(session);
      if (record !== null) this.#registry.remove(record.id);
      for (const done of removing) done();
    }
    return record;
  }

  /** A session has gone: the registration that waited for it is decided now. */
  #goOn(session: number): void {
    const waiting = this.#superseding.get(session);
    if (waiting === undefined) return;
    this.#superseding.delete(session);
    this.#decide(waiting);
  }
}
