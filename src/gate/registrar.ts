/**
 * Decides about registrations and keeps the registry in step with what the shards report. Owned by main.
 *
 *   register --doorkeeper: name and code--> registry: id and name --durable--> accept
 *
 * Three things may hold a decision back, all so that a node's records stay in order over its connections: the
 * connection it takes over must have closed, what its last connection left in another shard's ring must have been
 * written, and the notice that a dead shard owes for it must have been given. A decision to accept is told to the node
 * only when all that it rests on is durable: the spent code or the new secret, and the node's record.
 */
import type { Logger } from 'pino';
import type { SessionListener } from '../commands/session-listener.js';
import { BoundedLog } from '../enrolment/bounded-log.js';
import {
  AUTHENTICATION_FAILED,
  type Doorkeeper,
  type Entry,
  NoEntry,
  type Pass,
} from '../enrolment/doorkeeper.js';
import type { ErrorCode } from '../errors.js';
import type { Ledger } from '../ledger/ledger.js';
import { NO_ROW } from '../memory/ledger-table.js';
import { SESSION, SESSION_STRIDE } from '../memory/session-table.js';
import type { NodeRegistration } from '../protocol/node-registration.js';
import type { NodeRecord } from '../registry/record.js';
import type { RegistrationDecision } from '../registry/registration.js';
import type { NodeRegistry } from '../registry/registry.js';
import type { CloseReason, Orphan, ShardToMain } from '../shard/messages.js';
import { StateBacklogFull } from '../state/store.js';
import { LastRecords } from './last-records.js';
import type { OpenSession, Sessions } from './sessions.js';
import type { ShardDoor } from './shard-door.js';

/** How often a waiting registration looks whether a ring has been read. */
const RING_POLL_MS = 5;

/** The session itself, not its number: a number is given out again when its connection has gone. */
interface Waiting {
  readonly open: OpenSession;
  readonly registration: NodeRegistration;
  readonly pass: Pass;
  readonly isNumbered: boolean;
}

type Accepted = Extract<RegistrationDecision, { kind: 'accept' }>;

/** What the registrar needs of whoever keeps the registry. Both may throw StateBacklogFull. */
export interface RecordKeeper {
  commit(record: NodeRecord): Promise<void>;
  commitForgotten(): Promise<void>;
}

export class Registrar {
  readonly #registry: NodeRegistry;
  readonly #sessions: Sessions;
  readonly #table: Float64Array;
  readonly #shards: ShardDoor;
  readonly #ledger: Ledger;
  readonly #doorkeeper: Doorkeeper;
  readonly #keeper: RecordKeeper;
  readonly #logger: Logger;
  /** A node's certificate must bear its name. */
  readonly #matchNodeName: boolean;
  readonly #refusals: BoundedLog;
  /** Accepted, but not told yet; resolves when they are. */
  readonly #accepting = new Map<OpenSession, Promise<void>>();
  readonly #listener: SessionListener;
  /** A shard may be writing to the row of this node because of a dead letter that is tried again. */
  isReplaying: (nodeId: bigint, name: string) => boolean = () => false;
  readonly #nextSeq: () => number;
  /** By the session that has to close first. */
  readonly #superseding = new Map<number, Waiting>();
  /** Sessions whose nodes are forgotten once they have closed. */
  readonly #removing = new Map<number, ((done: Promise<void>) => void)[]>();
  readonly #lastRecords = new LastRecords();

  constructor(
    registry: NodeRegistry,
    sessions: Sessions,
    table: Float64Array,
    shards: ShardDoor,
    parts: {
      readonly ledger: Ledger;
      readonly doorkeeper: Doorkeeper;
      readonly keeper: RecordKeeper;
      readonly logger: Logger;
      readonly matchNodeName: boolean;
      readonly listener: SessionListener;
      /** The number that the next record in the log gets. */
      readonly nextSeq: () => number;
    },
  ) {
    this.#registry = registry;
    this.#sessions = sessions;
    this.#table = table;
    this.#shards = shards;
    this.#ledger = parts.ledger;
    this.#doorkeeper = parts.doorkeeper;
    this.#keeper = parts.keeper;
    this.#logger = parts.logger;
    this.#refusals = new BoundedLog(parts.logger);
    this.#matchNodeName = parts.matchNodeName;
    this.#listener = parts.listener;
    this.#nextSeq = parts.nextSeq;
  }

  receive(message: Extract<ShardToMain, { type: 'register' | 'status' | 'pot' | 'closed' }>): void {
    switch (message.type) {
      case 'register': {
        const open = this.#sessions.get(message.session);
        if (open !== undefined) this.#admit(open, message);
        break;
      }
      case 'status':
        this.#registry.status(message.session, message.status);
        break;
      case 'pot':
        this.#registry.pot(message.session, { ...message, nowMs: Date.now() });
        this.#listener.potUpdated(message.session, message);
        break;
      case 'closed':
        this.#closed(message);
        break;
    }
  }

  /** The shard of a slot died: its sessions are over. Answers the nodes whose notice is owed to the stream. */
  abandon(slot: number): Orphan[] {
    const orphans: Orphan[] = [];
    for (const { number } of this.#sessions.ofSlot(slot)) {
      const record = this.#disconnected(number, 'Unknown');
      if (record !== null && this.#table[number * SESSION_STRIDE + SESSION.announced] === 1) {
        orphans.push({ nodeId: String(record.id), nodeName: record.name, serial: record.serial });
        this.#lastRecords.owe(record.id, record.name, slot);
      }
      this.#sessions.close(number);
      this.#listener.closed(number, true);
      this.#goOn(number);
    }
    return orphans;
  }

  /** The next shard of a slot has put the notices it owed in its ring, which is read behind the dead one's. */
  noticesGiven(slot: number): void {
    this.#lastRecords.noticesGiven(slot, this.#shards.ring(slot));
  }

  /** Forgets what rings have passed; call it now and then. */
  sweep(): void {
    this.#lastRecords.sweep();
  }

  #bearsItsName({ registration, certificateNames }: Extract<ShardToMain, { type: 'register' }>): boolean {
    return !this.#matchNodeName || certificateNames?.includes(registration.nodeName) === true;
  }

  /** Forgets a node; one that is connected is disconnected first. Resolves when that is durable; false: no such
   *  node. Rejects with StateBacklogFull. */
  async remove(id: bigint): Promise<boolean> {
    const record = this.#registry.byId(id);
    if (record === undefined) return false;
    if (record.session === null) {
      this.#registry.remove(id);
      await this.#forgottenDurable();
      return true;
    }
    const { session } = record;
    const removed = new Promise<void>((resolve) => {
      const waiting = this.#removing.get(session) ?? [];
      waiting.push(resolve);
      this.#removing.set(session, waiting);
    });
    this.#closeSession(session, 'removed from the registry');
    await removed;
    return true;
  }

  /** Disconnects whoever is connected under a name. */
  dismiss(name: string, reason: Extract<CloseReason, 'enrolment revoked'>): void {
    for (const { session } of this.#registry.connectedAs(name))
      if (session !== null) this.#closeSession(session, reason);
  }

  #admit(open: OpenSession, message: Extract<ShardToMain, { type: 'register' }>): void {
    const { registration, totpCode: code, isNumbered } = message;
    const { remote } = open;
    if (!this.#bearsItsName(message)) {
      const why = 'the certificate of the node does not bear its node_name';
      this.#refuse({ open, registration }, 'AUTHENTICATION_FAILED', why);
      return;
    }
    const admitted = this.#doorkeeper.admit({ name: registration.nodeName, code, remote });
    if (admitted.kind === 'refused')
      this.#refuse({ open, registration }, admitted.code, admitted.message, admitted.why);
    else this.#decide({ open, registration, pass: admitted, isNumbered });
  }

  #decide(waiting: Waiting): void {
    const { open, registration, pass, isNumbered } = waiting;
    const session = open.number;
    if (this.#sessions.get(session) !== open) return;
    if (!this.#doorkeeper.holds(pass)) {
      const why = 'the enrolment changed while the registration was decided';
      this.#refuse(waiting, 'AUTHENTICATION_FAILED', AUTHENTICATION_FAILED, why);
      return;
    }
    const nodeId = BigInt(registration.nodeId);
    const { nodeName } = registration;
    const isKnown = this.#registry.byId(nodeId)?.name === nodeName;
    const haveBeenRead = this.#lastRecords.haveBeenRead(nodeId, nodeName, open.slot, isKnown);
    if (!haveBeenRead || this.isReplaying(nodeId, nodeName)) {
      setTimeout(() => this.#decide(waiting), RING_POLL_MS);
      return;
    }
    const decision = this.#registry.register({
      ...registration,
      nodeId,
      session,
      shard: open.slot,
      remote: open.remote,
      isIdentity: pass.kind === 'proven',
      isNumbered,
      nowMs: Date.now(),
      nextSeq: this.#nextSeq(),
    });
    switch (decision.kind) {
      case 'accept':
        this.#accept(waiting, decision);
        break;
      case 'supersede': {
        const earlier = this.#superseding.get(decision.session);
        const other = earlier?.open ?? this.#sessions.get(decision.session);
        // One that had to wait, here or in its shard, may be what its node has given up by now: it takes over from nobody
        // who came later.
        if (other !== undefined && other.turn > open.turn) return this.#giveWay(waiting);
        // A third connection of the same node: the second one gives way.
        if (earlier !== undefined) this.#giveWay(earlier);
        else this.#closeSession(decision.session, 'taken over by a new connection');
        this.#superseding.set(decision.session, waiting);
        break;
      }
      case 'refuse':
        this.#refuse(waiting, decision.code, decision.message);
        break;
    }
  }

  #giveWay(waiting: Waiting): void {
    this.#refuse(waiting, 'NODE_ALREADY_REGISTERED', 'a newer connection of this node took over');
  }

  /** The registry has the node as connected now. Where its state cannot be kept that is taken back. */
  #accept(waiting: Waiting, accepted: Accepted): void {
    const { open, pass } = waiting;
    const row = this.#ledger.rowFor(accepted.record.serial);
    if (row === NO_ROW) {
      this.#disconnected(open.number, 'Unknown');
      this.#refuse(waiting, 'NODE_REGISTRATION_FAILED', 'Core has too much to forget now');
      return;
    }
    let entry: Entry | undefined;
    let recordKept: Promise<void>;
    try {
      entry = this.#doorkeeper.enter(pass);
      recordKept = this.#keeper.commit(accepted.record);
    } catch (error) {
      if (!(error instanceof StateBacklogFull || error instanceof NoEntry)) throw error;
      entry?.withdraw();
      this.#disconnected(open.number, 'Unknown');
      this.#refuse(waiting, 'NODE_REGISTRATION_FAILED', 'Core cannot write its state now');
      return;
    }
    const { withdraw, totpKey, durable } = entry;
    const told = Promise.all([durable, recordKept]).then(() => {
      this.#accepting.delete(open);
      if (this.#sessions.get(open.number) === open) this.#tell(waiting, accepted, row, totpKey);
      else withdraw();
    });
    this.#accepting.set(open, told);
  }

  /** Everything that rests on a node being registered begins here. */
  #tell(
    { open, registration }: Waiting,
    { record, takesOver, formerId }: Accepted,
    row: number,
    totpKey: string | undefined,
  ): void {
    this.#shards.post(open.slot, {
      type: 'accept',
      session: open.number,
      message: 'Registration successful',
      potTypes: [...record.pots.values()].map((pot) => [pot.potId, pot.potType] as const),
      totpKey,
      row,
      serial: record.serial,
    });
    this.#sessions.registered(open);
    const { nodeName: node, nodeId: node_id } = registration;
    const enrolled = totpKey === undefined ? {} : { enrolled: true };
    this.#logger.info(
      { node, node_id, remote: open.remote, shard: open.slot, known: takesOver, ...enrolled },
      'node registered',
    );
    this.#listener.registered({
      session: open.number,
      slot: open.slot,
      nodeId: record.id,
      formerId,
      name: node,
    });
  }

  /**
   * Closes a connection that is registered. Not before its node was told that it is, and not before what it had sent was
   * read: in portable mode main reads it, and two turns of the event loop do that.
   */
  #closeSession(session: number, reason: CloseReason): void {
    const open = this.#sessions.get(session);
    if (open === undefined) throw new Error('a node is connected by a session that is not open');
    void (this.#accepting.get(open) ?? Promise.resolve()).then(() =>
      setImmediate(() =>
        setImmediate(() => {
          if (this.#sessions.get(session) === open)
            this.#shards.post(open.slot, { type: 'close', session, reason });
        }),
      ),
    );
  }

  #refuse(
    { open, registration }: Pick<Waiting, 'open' | 'registration'>,
    code: ErrorCode,
    message: string,
    why: string = message,
  ): void {
    const { nodeName: node, nodeId: node_id } = registration;
    this.#refusals.warn({ node, node_id, remote: open.remote, code, why }, 'registration refused');
    if (this.#sessions.get(open.number) !== open) return;
    this.#shards.post(open.slot, { type: 'refuse', session: open.number, code, message });
  }

  #closed({ session, status, reason, published }: Extract<ShardToMain, { type: 'closed' }>): void {
    const open = this.#sessions.get(session);
    if (open === undefined) return;
    const record = this.#disconnected(session, status);
    if (record !== null) {
      this.#lastRecords.left(record.id, record.name, open.slot, this.#shards.ring(open.slot), published);
      this.#logger.info({ node: record.name, node_id: String(record.id), reason }, 'node disconnected');
    }
    this.#sessions.close(session);
    this.#listener.closed(session, false);
    this.#goOn(session);
  }

  #disconnected(session: number, status: 'Stopped' | 'Unknown'): NodeRecord | null {
    const record = this.#registry.disconnected(session, {
      status,
      nowMs: Date.now(),
      lastSeenMs: this.#table[session * SESSION_STRIDE + SESSION.last_seen_ms]!,
      dialect: this.#table[session * SESSION_STRIDE + SESSION.dialect]!,
    });
    const removing = this.#removing.get(session);
    if (removing === undefined) return record;
    this.#removing.delete(session);
    if (record !== null) this.#registry.remove(record.id);
    for (const resolve of removing) resolve(this.#forgottenDurable());
    return record;
  }

  /** Rejects with StateBacklogFull where the node is gone, but comes back if Core does not end in order. */
  async #forgottenDurable(): Promise<void> {
    await this.#keeper.commitForgotten();
  }

  /** A session has gone: the registration that waited for it is decided now. */
  #goOn(session: number): void {
    const waiting = this.#superseding.get(session);
    if (waiting === undefined) return;
    this.#superseding.delete(session);
    this.#decide(waiting);
  }
}
