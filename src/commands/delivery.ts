/**
 * Brings commands to nodes: in the order in which they were made, one at a time to a connection, so many at a time to a
 * node, and never one twice.
 *
 *   queue --hand, durable--> shard --the socket took it--> sent
 *     ^                        |
 *     +---- connection gone ---+        a shard that died cannot tell: then it counts as sent
 *
 * Owned by main. `settle` hands over what may be handed over by now; whoever changed something calls it.
 */
import { type UnitCommandName, unitName } from './command.js';
import { type Connection, type Mailbox, Mailboxes } from './mailbox.js';
import { type CommandRecord, isWithNode } from './record.js';
import type { RegisteredNode } from './session-listener.js';
import type { CommandTable } from './table.js';

/** A command on its way to a connection. */
export interface OutgoingCommand {
  readonly session: number;
  readonly command: string;
  /** As an object; see `unit`. */
  readonly json: string;
  /** Connections that spell unit values as bare strings get this name instead. */
  readonly unit: UnitCommandName | null;
}

export interface DeliveryParts {
  readonly table: CommandTable;
  nowMs(): number;
  post(slot: number, command: OutgoingCommand): void;
  isKnown(nodeId: bigint, name: string): boolean;
  /** A member of a rollout that was called off is not handed over any more. */
  mayGo(record: CommandRecord): boolean;
  cancel(record: CommandRecord, reason: string): void;
}

const REMOVED = 'the node was removed';

export class Delivery {
  readonly #parts: DeliveryParts;
  readonly #table: CommandTable;
  readonly #mailboxes: Mailboxes;
  readonly #mailboxOf = new WeakMap<CommandRecord, Mailbox>();
  readonly #unsettled = new Set<Mailbox>();

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
    this.#table = parts.table;
    this.#mailboxes = new Mailboxes(parts.isKnown);
  }

  mailboxOfSession(session: number): Mailbox | undefined {
    return this.#mailboxes.bySession(session);
  }

  /** Commands of a node that are not over. */
  liveCountOf(name: string, nodeId: bigint): number {
    return this.#mailboxes.find(name, nodeId)?.liveCount ?? 0;
  }

  /** A command that waits for its node, connected or not. */
  enqueue(record: CommandRecord, connection: Connection | null): void {
    const mailbox = this.#mailboxes.findOrMake(record.nodeName, record.nodeId);
    if (connection !== null && mailbox.connection?.session !== connection.session)
      this.#mailboxes.connect(mailbox, connection);
    this.#mailboxOf.set(record, mailbox);
    mailbox.enqueue(record);
    this.#unsettled.add(mailbox);
  }

  /** A command that this Core found when it started. */
  restore(record: CommandRecord): void {
    if (record.phase === 'held') return;
    const mailbox =
      this.#mailboxes.find(record.nodeName, record.nodeId) ??
      (this.#parts.isKnown(record.nodeId, record.nodeName)
        ? undefined
        : this.#mailboxes.ofName(record.nodeName)[0]) ??
      this.#mailboxes.findOrMake(record.nodeName, record.nodeId);
    this.#mailboxOf.set(record, mailbox);
    if (record.phase === 'queued') return mailbox.enqueue(record);
    if (record.phase === 'handing')
      this.#table.move(record, 'sent', this.#parts.nowMs(), {
        message: 'Core ended while it was being sent: it may have arrived',
        dueMs: record.dueMs,
      });
    mailbox.inFlight.add(record);
  }

  /** The node is there. Answers a Restart that it was sent: it has come back. */
  registered({ session, slot, nodeId, formerId, name }: RegisteredNode): CommandRecord | undefined {
    const mailbox = this.#mailboxes.find(name, formerId, nodeId);
    if (mailbox === undefined) return undefined;
    mailbox.nodeId = nodeId;
    mailbox.removed = false;
    if (mailbox.connection?.session !== session) this.#mailboxes.connect(mailbox, { session, slot });
    this.#unsettled.add(mailbox);
    for (const record of mailbox.inFlight) if (record.command.name === 'Restart') return record;
    return undefined;
  }

  closed(session: number, shardDied: boolean): void {
    const mailbox = this.#mailboxes.bySession(session);
    if (mailbox === undefined) return;
    this.#mailboxes.disconnect(mailbox);
    this.#unsettled.add(mailbox);
    const { handing } = mailbox;
    mailbox.handing = null;
    if (handing === null || handing.record.phase !== 'handing') return;
    const { record, posted } = handing;
    if (shardDied && posted) {
      mailbox.inFlight.add(record);
      this.#table.move(record, 'sent', this.#parts.nowMs(), {
        message: 'the thread that was sending it failed: it may have arrived',
      });
      return;
    }
    this.#putBack(mailbox, record);
    if (mailbox.removed) this.#parts.cancel(record, REMOVED);
  }

  /** The socket took it. Answers the command, unless it was over by then. */
  sent(session: number, id: string): CommandRecord | undefined {
    const mailbox = this.#mailboxes.bySession(session);
    const handing = mailbox?.handing;
    if (mailbox === undefined || handing?.record.id !== id) return undefined;
    const { record } = handing;
    mailbox.handing = null;
    this.#unsettled.add(mailbox);
    if (record.phase !== 'handing') return undefined;
    mailbox.inFlight.add(record);
    this.#table.move(record, 'sent', this.#parts.nowMs());
    return record;
  }

  /** What waits for the node is cancelled, and what comes back from its connection will be. */
  nodeRemoved(name: string, nodeId: bigint): void {
    const mailbox = this.#mailboxes.find(name, nodeId);
    if (mailbox === undefined) return;
    mailbox.removed = true;
    for (const record of [...mailbox.queue]) this.#parts.cancel(record, REMOVED);
  }

  over(record: CommandRecord): void {
    const mailbox = this.#mailboxOf.get(record);
    if (mailbox === undefined) return;
    mailbox.remove(record);
    this.#unsettled.add(mailbox);
  }

  settle(): void {
    for (const mailbox of this.#unsettled) {
      this.#unsettled.delete(mailbox);
      if (!this.#handNext(mailbox)) return;
      this.#mailboxes.sweep(mailbox);
    }
  }

  /** False when the state takes nothing now: everything stays as it is until the next tick. */
  #handNext(mailbox: Mailbox): boolean {
    const record = mailbox.queue[0];
    const { connection } = mailbox;
    if (record === undefined || connection === null || !mailbox.isOpen) return true;
    if (!this.#parts.mayGo(record)) return true;
    mailbox.queue.shift();
    const durable = this.#table.move(record, 'hand', this.#parts.nowMs());
    if (durable === undefined) {
      this.#putBack(mailbox, record);
      this.#unsettled.add(mailbox);
      return false;
    }
    const handing = { record, connection, posted: false };
    mailbox.handing = handing;
    void durable.then(() => {
      if (mailbox.handing !== handing) return;
      if (record.phase === 'handing') {
        handing.posted = true;
        this.#parts.post(connection.slot, {
          session: connection.session,
          command: record.id,
          json: record.json,
          unit: unitName(record.command),
        });
        return;
      }
      // It was given up on while the disk had no room for it.
      mailbox.handing = null;
      this.#unsettled.add(mailbox);
    });
    return true;
  }

  #putBack(mailbox: Mailbox, record: CommandRecord): void {
    this.#table.move(record, 'put_back', this.#parts.nowMs());
    mailbox.enqueue(record);
  }

  /** Throws when mailboxes and commands do not agree. Walks everything: for tests. */
  assertInvariants(): void {
    for (const record of this.#table.allLive()) {
      if (record.phase === 'held') continue;
      const mailbox = this.#mailboxOf.get(record);
      const places = [
        mailbox?.queue.includes(record) === true && record.phase === 'queued',
        mailbox?.handing?.record === record && record.phase === 'handing',
        mailbox?.inFlight.has(record) === true && isWithNode(record.phase),
      ];
      if (places.filter(Boolean).length !== 1)
        throw new Error(`command ${record.id} (${record.phase}) stands in ${places.join(', ')}`);
    }
  }
}
