/**
 * The node registry: who is connected, who was, and what is remembered of them.
 *
 * Owned by main. No I/O, no threads, no clock: time is passed in, so a seed can drive it. Input can make it refuse,
 * never throw; it throws only when main itself breaks the rules.
 *
 * Who a node is. Nodes draw a new id at every start, `node_name` is what lasts. So a record belongs to its name, and the
 * id is where it can be found at present:
 *
 *                        name as before                         other name
 *   id is connected      supersede: old session closes first    refuse, NODE_ALREADY_REGISTERED
 *   id is disconnected   the record goes on                     the record gives way, see `register`
 *   id is new            the name's last disconnected record goes on under the new id, else a new record
 *
 * A name that is an identity (its node has proven it) supersedes whoever is connected under it, whatever the id. A node that
 * numbers its events supersedes those under its name that do, too: it restarted, or its network broke, and Core has not
 * noticed yet. As another node it would have to count from 1, and everything it sends again would be taken a second time.
 *
 * Indexes: by id (all), by session (connected), by name (connected and disconnected apart, oldest first). One more order,
 * of all disconnected records by age, says which one gives way when the registry is full.
 */
import { NODE_STATUSES, type NodeStatus } from '../protocol/node-status-update.js';
import type { PotStatus } from '../protocol/pot-status-update.js';
import { boundedText } from './bounded-text.js';
import { ByName } from './by-name.js';
import { createEntry, type Entry, type RestoredNode, restoreEntry } from './entry.js';
import { assertRegistryInvariants } from './invariants.js';
import { NO_JOURNAL, type RegistryJournal } from './journal.js';
import { REGISTRY_LIMITS, type RegistryLimits } from './limits.js';
import { LinkedOrder } from './order.js';
import type { NodeRecord } from './record.js';
import {
  ALREADY_REGISTERED,
  NOT_THIS_CONNECTION,
  REGISTRY_FULL,
  type RegistrationDecision,
  type RegistrationRequest,
} from './registration.js';
import { SortedEntries } from './sorted-entries.js';

export interface SessionEnd {
  /** `Stopped` after a `NodeDrop`, `Unknown` otherwise. */
  readonly status: 'Stopped' | 'Unknown';
  readonly nowMs: number;
  /** Last frame of the session, from the session table; without it, `nowMs`. */
  readonly lastSeenMs?: number;
  /** How it spoke: bits of protocol/dialect.ts. */
  readonly dialect?: number;
}

export interface PotUpdate {
  readonly potId: string;
  readonly potType: string;
  readonly status: PotStatus;
  readonly message: string | null;
  readonly nowMs: number;
}

export interface NodeCounts {
  readonly known: number;
  readonly connected: number;
  readonly byStatus: Readonly<Record<NodeStatus, number>>;
}

export class NodeRegistry {
  readonly #limits: RegistryLimits;
  readonly #byId = new Map<bigint, Entry>();
  readonly #bySession = new Map<number, Entry>();
  readonly #connectedByName = new ByName();
  readonly #disconnectedByName = new ByName();
  readonly #disconnectedByAge = new LinkedOrder<Entry>();
  readonly #statusCounts: Record<NodeStatus, number>;
  readonly #journal: RegistryJournal;
  #potCount = 0;
  #nextSerial = 1;
  readonly #sorted = new SortedEntries();
  /** Counts what changed in any record, see {@link NodeRecord.changed}. */
  #changes = 0;

  constructor(limits: RegistryLimits = REGISTRY_LIMITS, journal: RegistryJournal = NO_JOURNAL) {
    this.#limits = limits;
    this.#journal = journal;
    this.#statusCounts = Object.fromEntries(NODE_STATUSES.map((status) => [status, 0])) as Record<
      NodeStatus,
      number
    >;
  }

  register(request: RegistrationRequest): RegistrationDecision {
    const own = this.#bySession.get(request.session);
    if (own !== undefined) return this.#registerAgain(own, request);

    const holder = this.#byId.get(request.nodeId);
    if (holder !== undefined && holder.session !== null && holder.shard !== null) {
      if (holder.name !== request.nodeName) return ALREADY_REGISTERED;
      return { kind: 'supersede', session: holder.session, shard: holder.shard };
    }

    const rival = this.#rivalOf(request);
    if (rival !== undefined && rival.session !== null && rival.shard !== null)
      return { kind: 'supersede', session: rival.session, shard: rival.shard };

    // Several disconnected records may bear the name (two nodes shared it while connected): the one that left last goes
    // on, because a node that restarts is back within seconds and the others may be gone for good.
    const earlier =
      holder?.name === request.nodeName ? holder : this.#disconnectedByName.last(request.nodeName);

    // A disconnected record of another name has the id: an id copied from an example, a renamed node, or chance. Its
    // pots and totals are that other node's, so they are not inherited, and as an id finds one record only, the
    // record that has lost its id is forgotten.
    if (holder !== undefined && holder !== earlier) this.#forget(holder);

    if (earlier !== undefined) {
      const formerId = earlier.id === request.nodeId ? null : earlier.id;
      if (formerId !== null) {
        this.#byId.delete(formerId);
        this.#sorted.outdated();
      }
      this.#leaveDisconnected(earlier);
      this.#connect(earlier, request);
      return { kind: 'accept', record: earlier, takesOver: true, formerId };
    }

    if (!this.#makeRoom()) return REGISTRY_FULL;
    const entry = createEntry(this.#nextSerial++, request);
    this.#sorted.outdated();
    this.#statusCounts[entry.status] += 1;
    this.#connect(entry, request);
    return { kind: 'accept', record: entry, takesOver: false, formerId: null };
  }

  /** The session has ended. Null when no node has that session (it never registered, or this was said before). */
  disconnected(session: number, end: SessionEnd): NodeRecord | null {
    const entry = this.#bySession.get(session);
    if (entry === undefined) return null;
    this.#bySession.delete(session);
    this.#connectedByName.remove(entry);
    entry.session = null;
    entry.shard = null;
    // Not before its start: the row of a session that never got a frame counted still says 0.
    entry.lastSeenMs = Math.max(entry.lastSeenMs, end.lastSeenMs ?? end.nowMs);
    entry.dialect = end.dialect ?? entry.dialect;
    this.#setStatus(entry, end.status);
    this.#enterDisconnected(entry);
    this.#journal.changed(entry);
    return entry;
  }

  /** True when the status is another one than before. */
  status(session: number, status: NodeStatus): boolean {
    const entry = this.#bySession.get(session);
    if (entry === undefined || entry.status === status) return false;
    this.#setStatus(entry, status);
    return true;
  }

  /** `overflow`: the update was fine, but a bound keeps it from being remembered; the record counts it. */
  pot(session: number, update: PotUpdate): 'stored' | 'overflow' | 'no-session' {
    const entry = this.#bySession.get(session);
    if (entry === undefined) return 'no-session';
    const isNew = entry.potTable === null || !entry.potTable.has(update.potId);
    if (isNew && !this.#hasRoomForPot(entry, update.potId)) {
      entry.potsOverflow += 1;
      this.#journal.changed(entry);
      this.#touch(entry);
      return 'overflow';
    }
    if (entry.potTable === null) {
      entry.potTable = new Map();
      entry.pots = entry.potTable;
    }
    const { potFieldLength } = this.#limits;
    const before = entry.potTable.get(update.potId);
    const after = {
      potId: update.potId,
      potType: boundedText(update.potType, potFieldLength),
      status: update.status,
      message: update.message === null ? null : boundedText(update.message, potFieldLength),
      updatedMs: update.nowMs,
    };
    entry.potTable.set(update.potId, after);
    if (isNew) this.#potCount += 1;
    // The time alone is no news: nodes repeat themselves.
    if (
      before?.potType !== after.potType ||
      before.status !== after.status ||
      before.message !== after.message
    )
      this.#journal.potChanged(entry, update.potId);
    this.#touch(entry);
    return 'stored';
  }

  /** Puts back what was kept; before anything else happens. False where the bounds, or another record, forbid it. */
  restore(record: RestoredNode): boolean {
    if (this.#byId.size >= this.#limits.nodes || this.#byId.has(record.id)) return false;
    if (this.#potCount + record.pots.size > this.#limits.potsInAll) return false;
    if (record.pots.size > this.#limits.potsPerNode) return false;
    const entry = restoreEntry(record);
    this.#touch(entry);
    this.#sorted.outdated();
    this.#byId.set(entry.id, entry);
    this.#statusCounts[entry.status] += 1;
    this.#potCount += entry.pots.size;
    this.#enterDisconnected(entry);
    this.reserveSerial(entry.serial);
    return true;
  }

  /** No new record gets this serial number, or one below it. */
  reserveSerial(serial: number): void {
    this.#nextSerial = Math.max(this.#nextSerial, serial + 1);
  }

  /** Of all that were ever given. */
  get highestSerial(): number {
    return this.#nextSerial - 1;
  }

  /** Forgets a disconnected node. False where none has the id; a connected one must be disconnected first. */
  remove(id: bigint): boolean {
    const entry = this.#byId.get(id);
    if (entry === undefined) return false;
    if (entry.session !== null) throw new Error('a node was removed while it was connected');
    this.#forget(entry);
    return true;
  }

  /** Nodes that are connected under a name, longest first. */
  connectedAs(name: string): NodeRecord[] {
    return this.#connectedByName.of(name);
  }

  /** Of the nodes with a name the one that connected last, or else the one that left last. */
  latestNamed(name: string): NodeRecord | undefined {
    return this.#connectedByName.last(name) ?? this.#disconnectedByName.last(name);
  }

  /** Connected nodes in no particular order; goes on while nodes come and go. */
  connected(): IterableIterator<NodeRecord> {
    return this.#bySession.values();
  }

  bySession(session: number): NodeRecord | undefined {
    return this.#bySession.get(session);
  }

  byId(id: bigint): NodeRecord | undefined {
    return this.#byId.get(id);
  }

  /** All records in the order of their ids, or those behind an id. An array that never changes, of the live records. */
  list(after?: bigint): readonly NodeRecord[] {
    return after === undefined ? this.#sorted.all(this.#byId) : this.#sorted.after(after, this.#byId);
  }

  counts(): NodeCounts {
    return { known: this.#byId.size, connected: this.#bySession.size, byStatus: { ...this.#statusCounts } };
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Throws when indexes, counts and bounds do not agree. Walks everything: for tests, after each step. */
  assertInvariants(): void {
    assertRegistryInvariants({
      limits: this.#limits,
      byId: this.#byId,
      bySession: this.#bySession,
      connectedByName: this.#connectedByName,
      disconnectedByName: this.#disconnectedByName,
      disconnectedByAge: this.#disconnectedByAge,
      statusCounts: this.#statusCounts,
      potCount: this.#potCount,
      sorted: this.#sorted.all(this.#byId),
    });
  }

  /**
   * A second registration on a connection that has one. The same node may repeat itself; a connection never
   * becomes another node, because its frames in flight would be counted for the wrong one.
   */
  #registerAgain(own: Entry, request: RegistrationRequest): RegistrationDecision {
    if (own.id !== request.nodeId) return NOT_THIS_CONNECTION;
    if (own.name !== request.nodeName) return ALREADY_REGISTERED;
    own.type = request.nodeType;
    own.reportedAddress = boundedText(request.address, this.#limits.potFieldLength);
    own.reportedPort = request.port;
    own.registrations += 1;
    this.#setStatus(own, 'Connected');
    this.#journal.changed(own);
    return { kind: 'accept', record: own, takesOver: false, formerId: null };
  }

  /** Who is connected under a name that this one says is its own. */
  #rivalOf({ nodeName, isIdentity, isNumbered }: RegistrationRequest): Entry | undefined {
    if (isIdentity) return this.#connectedByName.first(nodeName);
    return isNumbered ? this.#connectedByName.of(nodeName).find((entry) => entry.isNumbered) : undefined;
  }

  #connect(entry: Entry, request: RegistrationRequest): void {
    if (entry.id !== request.nodeId || entry.idSinceSeq === null) entry.idSinceSeq = request.nextSeq ?? null;
    entry.id = request.nodeId;
    entry.type = request.nodeType;
    entry.reportedAddress = boundedText(request.address, this.#limits.potFieldLength);
    entry.reportedPort = request.port;
    entry.remote = request.remote;
    entry.session = request.session;
    entry.shard = request.shard;
    entry.isNumbered = request.isNumbered === true;
    entry.connectedSinceMs = request.nowMs;
    entry.lastSeenMs = request.nowMs;
    entry.registrations += 1;
    this.#setStatus(entry, 'Connected');
    this.#byId.set(entry.id, entry);
    this.#bySession.set(request.session, entry);
    this.#connectedByName.append(entry);
    this.#journal.changed(entry);
  }

  #setStatus(entry: Entry, status: NodeStatus): void {
    this.#statusCounts[entry.status] -= 1;
    this.#statusCounts[status] += 1;
    entry.status = status;
    this.#touch(entry);
  }

  /** Something of the record that REST shows is another now; whoever changes one calls this. */
  #touch(entry: Entry): void {
    this.#changes += 1;
    entry.changed = this.#changes;
  }

  #enterDisconnected(entry: Entry): void {
    entry.ageLink = this.#disconnectedByAge.append(entry);
    this.#disconnectedByName.append(entry);
  }

  #leaveDisconnected(entry: Entry): void {
    if (entry.ageLink === null)
      throw new Error('a record left the disconnected ones without being one of them');
    this.#disconnectedByAge.remove(entry.ageLink);
    entry.ageLink = null;
    this.#disconnectedByName.remove(entry);
  }

  /** Only for disconnected records: nobody who is connected is ever forgotten. */
  #forget(entry: Entry): void {
    this.#leaveDisconnected(entry);
    this.#byId.delete(entry.id);
    this.#sorted.outdated();
    this.#statusCounts[entry.status] -= 1;
    this.#potCount -= entry.pots.size;
    this.#journal.forgotten(entry, this.highestSerial);
  }

  /** False when every record is connected: then there is nobody who could give way. */
  #makeRoom(): boolean {
    if (this.#byId.size < this.#limits.nodes) return true;
    const oldest = this.#disconnectedByAge.first;
    if (oldest === undefined) return false;
    this.#forget(oldest);
    return true;
  }

  /** A pot whose id is too long is not remembered at all: cut, it could pass for another one. */
  #hasRoomForPot(entry: Entry, potId: string): boolean {
    return (
      potId.length <= this.#limits.potFieldLength &&
      entry.pots.size < this.#limits.potsPerNode &&
      this.#potCount < this.#limits.potsInAll
    );
  }
}
