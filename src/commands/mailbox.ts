/**
 * The commands of one node, in order: those that wait, the one that is being handed over, those the node works on.
 *
 * A mailbox belongs to a node and not to its id, which changes: it is found by the id its record has now, else, when that
 * record is known no more, by the name alone. Nodes that share a name each have their own. Owned by main.
 */
import { LIMITS } from '../limits.js';
import type { CommandRecord } from './record.js';

export interface Connection {
  readonly session: number;
  readonly slot: number;
}

export interface Handing {
  readonly record: CommandRecord;
  readonly connection: Connection;
  /** It has left for the shard: that it goes is on the disk. */
  posted: boolean;
}

export class Mailbox {
  readonly name: string;
  nodeId: bigint;
  connection: Connection | null = null;
  /** The node was removed: what comes back is not sent again. */
  removed = false;
  /** By age. */
  readonly queue: CommandRecord[] = [];
  /** One at a time, so that order holds. It may be over before the shard has an answer. */
  handing: Handing | null = null;
  /** By age, as they were sent. */
  readonly inFlight = new Set<CommandRecord>();

  constructor(name: string, nodeId: bigint) {
    this.name = name;
    this.nodeId = nodeId;
  }

  get liveCount(): number {
    return this.queue.length + this.inFlight.size + (this.handing === null ? 0 : 1);
  }

  /** May the next one be handed over? Behind a Restart everything waits until the node is back. */
  get isOpen(): boolean {
    if (this.connection === null || this.handing !== null) return false;
    if (this.inFlight.size >= LIMITS.commandsInFlightPerNode) return false;
    for (const record of this.inFlight) if (record.command.name === 'Restart') return false;
    return true;
  }

  /** In front of those that are younger. */
  enqueue(record: CommandRecord): void {
    let at = this.queue.length;
    while (at > 0 && this.queue[at - 1]!.id > record.id) at--;
    this.queue.splice(at, 0, record);
  }

  remove(record: CommandRecord): void {
    const at = this.queue.indexOf(record);
    if (at >= 0) this.queue.splice(at, 1);
    this.inFlight.delete(record);
  }
}

/** Tells whether the registry has a node of that id and name. */
export type IsKnown = (id: bigint, name: string) => boolean;

export class Mailboxes {
  readonly #isKnown: IsKnown;
  readonly #byName = new Map<string, Mailbox[]>();
  readonly #bySession = new Map<number, Mailbox>();

  constructor(isKnown: IsKnown) {
    this.#isKnown = isKnown;
  }

  bySession(session: number): Mailbox | undefined {
    return this.#bySession.get(session);
  }

  ofName(name: string): readonly Mailbox[] {
    return this.#byName.get(name) ?? [];
  }

  /** The mailbox of a node, if there is one. */
  find(name: string, ...ids: readonly (bigint | null)[]): Mailbox | undefined {
    const all = this.#byName.get(name);
    if (all === undefined) return undefined;
    return (
      all.find(({ nodeId }) => ids.includes(nodeId)) ??
      all.find(({ nodeId, connection }) => connection === null && !this.#isKnown(nodeId, name))
    );
  }

  findOrMake(name: string, nodeId: bigint): Mailbox {
    const found = this.find(name, nodeId);
    if (found !== undefined) {
      found.nodeId = nodeId;
      return found;
    }
    const mailbox = new Mailbox(name, nodeId);
    const all = this.#byName.get(name);
    if (all === undefined) this.#byName.set(name, [mailbox]);
    else all.push(mailbox);
    return mailbox;
  }

  connect(mailbox: Mailbox, connection: Connection): void {
    this.disconnect(mailbox);
    mailbox.connection = connection;
    this.#bySession.set(connection.session, mailbox);
  }

  disconnect(mailbox: Mailbox): void {
    if (mailbox.connection !== null) this.#bySession.delete(mailbox.connection.session);
    mailbox.connection = null;
  }

  /** Forgets a mailbox that holds nothing. */
  sweep(mailbox: Mailbox): void {
    if (mailbox.liveCount > 0) return;
    this.disconnect(mailbox);
    const all = this.#byName.get(mailbox.name)?.filter((other) => other !== mailbox) ?? [];
    if (all.length === 0) this.#byName.delete(mailbox.name);
    else this.#byName.set(mailbox.name, all);
  }
}
