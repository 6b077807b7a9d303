/**
 * The cursors of named consumers, and who is connected under which name.
 *
 *   unknown --claim()--> claimed --started()--> kept --acked()--> kept ... --remove()--> unknown
 *                           '--gone()--> unknown
 *
 * A name begins to exist when its stream has begun. It belongs to whoever made it, by the name of the token, so that a
 * token can be replaced; administrators may use all. One connection at a time: the newest takes over.
 *
 * Cursors are saved together, at most every LIMITS.cursorSaveMs. Retention is held by what is on the disk: a cursor
 * that is older after a crash must still find its records.
 *
 * Owned by main.
 */
import type { AuditTrail } from '../access/audit.js';
import type { Actor, Principal } from '../access/principal.js';
import { LIMITS } from '../limits.js';
import { StateBacklogFull, type StateStore } from '../state/store.js';
import { type CursorRecord, decodeCursor, encodeCursor } from './cursor-record.js';
import type { NamedConsumer, NamedConsumersView } from './named-consumers.js';

interface Entry {
  readonly name: string;
  readonly owner: string;
  readonly createdBy: string;
  readonly createdMs: number;
  acknowledgedMs: number;
  /** 0 while it is claimed. */
  nextSeq: number;
  /** As it is on the disk; 0: it is not. */
  savedSeq: number;
  /** On their way there, in this order: any of them may be what a crash leaves. */
  readonly saving: number[];
  /** The consumer that has the name, and who that is. */
  connection: number | undefined;
  /** The one whose stream began last: what it acknowledges counts until the next one's begins, also when that has the name. */
  streaming: number | undefined;
  actor: Actor | undefined;
}

export type Claim =
  /** `cursor`: where it goes on; undefined for a new name. `replaced`: the consumer that had the name until now. */
  | { readonly kind: 'granted'; readonly cursor: number | undefined; readonly replaced: number | undefined }
  | { readonly kind: 'refused'; readonly why: 'foreign' | 'full' };

/** The oldest record that is still needed, and by whom. */
export interface OldestCursor {
  readonly name: string;
  readonly nextSeq: number;
}

export class Cursors implements NamedConsumersView {
  /** Names in the state that could not be read: they start anew. */
  readonly damaged: number;
  readonly #store: Pick<StateStore, 'write'>;
  readonly #audit: AuditTrail;
  readonly #entries = new Map<string, Entry>();
  readonly #byConnection = new Map<number, Entry>();
  readonly #unsaved = new Set<Entry>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #oldest: OldestCursor | null = null;
  #onOldest: (oldest: OldestCursor | null) => void = () => {};
  /** Closes the connection of a consumer that was removed. */
  onRemoved: (connection: number) => void = () => {};

  static async open(store: Pick<StateStore, 'read' | 'write'>, audit: AuditTrail): Promise<Cursors> {
    const kept: Entry[] = [];
    let damaged = 0;
    for await (const [name, text] of store.read('consumer')) {
      const record = decodeCursor(text);
      if (record === undefined) damaged++;
      else kept.push({ ...newEntry(name, record), savedSeq: record.nextSeq });
    }
    return new Cursors(store, audit, kept, damaged);
  }

  private constructor(
    store: Pick<StateStore, 'write'>,
    audit: AuditTrail,
    kept: readonly Entry[],
    damaged: number,
  ) {
    this.#store = store;
    this.#audit = audit;
    this.damaged = damaged;
    for (const entry of kept) this.#entries.set(entry.name, entry);
    this.#findOldest();
  }

  /** Told at once, and of every change. */
  set onOldest(tell: (oldest: OldestCursor | null) => void) {
    this.#onOldest = tell;
    tell(this.#oldest);
  }

  list(): readonly NamedConsumer[] {
    const all = [...this.#entries.values()].filter(({ nextSeq }) => nextSeq > 0).map(shown);
    return all.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): NamedConsumer | undefined {
    const entry = this.#entries.get(name);
    return entry === undefined || entry.nextSeq === 0 ? undefined : shown(entry);
  }

  /** May this principal use the name? A name that is free may be taken by anybody. */
  mayUse(name: string, principal: Principal): boolean {
    const entry = this.#entries.get(name);
    return entry === undefined || entry.owner === ownerOf(principal) || principal.roles.has('admin');
  }

  /** The consumer wants to have the name from now on. */
  claim(name: string, connection: number, actor: Actor): Claim {
    if (!this.mayUse(name, actor.principal)) return { kind: 'refused', why: 'foreign' };
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      if (this.#entries.size >= LIMITS.namedConsumers) return { kind: 'refused', why: 'full' };
      const nowMs = Date.now();
      entry = newEntry(name, {
        owner: ownerOf(actor.principal),
        createdBy: actor.principal.name,
        createdMs: nowMs,
        acknowledgedMs: nowMs,
        nextSeq: 0,
      });
      entry.actor = actor;
      this.#entries.set(name, entry);
    }
    const replaced = entry.connection;
    entry.connection = connection;
    this.#byConnection.set(connection, entry);
    return { kind: 'granted', cursor: entry.nextSeq === 0 ? undefined : entry.nextSeq, replaced };
  }

  /** Its stream begins here. */
  started(connection: number, nextSeq: number): void {
    const entry = this.#entryOf(connection);
    if (entry === undefined) return;
    entry.streaming = connection;
    const isNew = entry.nextSeq === 0;
    if (isNew)
      this.#audit.record({
        actor: entry.actor!,
        action: 'consumer.create',
        target: entry.name,
        outcome: 'done',
        detail: { next_seq: nextSeq },
      });
    if (entry.nextSeq === nextSeq) return;
    entry.nextSeq = nextSeq;
    this.#unsaved.add(entry);
    // At once: one that is not known after a crash would start at the end, and miss what it was promised.
    this.#save();
    this.#findOldest();
  }

  acked(connection: number, nextSeq: number): void {
    const entry = this.#entryOf(connection);
    if (entry?.streaming !== connection || nextSeq <= entry.nextSeq) return;
    entry.nextSeq = nextSeq;
    entry.acknowledgedMs = Date.now();
    this.#saveSoon(entry);
  }

  gone(connection: number): void {
    const entry = this.#byConnection.get(connection);
    if (entry === undefined) return;
    this.#byConnection.delete(connection);
    if (entry.connection === connection) entry.connection = undefined;
    // Of one that was replaced it may still be heard that its stream had begun.
    if (entry.nextSeq > 0 || [...this.#byConnection.values()].includes(entry)) return;
    if (this.#entries.get(entry.name) === entry) this.#entries.delete(entry.name);
  }

  /** Rejects with StateBacklogFull, with nothing done. */
  async remove(name: string, actor: Actor): Promise<boolean> {
    const entry = this.#entries.get(name);
    if (entry === undefined || entry.nextSeq === 0) return false;
    const durable = this.#store.write([{ section: 'consumer', key: name }]);
    this.#entries.delete(name);
    this.#unsaved.delete(entry);
    if (entry.connection !== undefined) this.onRemoved(entry.connection);
    this.#findOldest();
    this.#audit.record({
      actor,
      action: 'consumer.remove',
      target: name,
      outcome: 'done',
      detail: { next_seq: entry.nextSeq },
    });
    await durable;
    return true;
  }

  /** Everything that was acknowledged is on its way to the disk after this. The state is closed next: it knows how long a
   *  disk that takes nothing may be waited for. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#closed = true;
    this.#save();
  }

  /** Undefined where its name was removed meanwhile. */
  #entryOf(connection: number): Entry | undefined {
    const entry = this.#byConnection.get(connection);
    return entry !== undefined && this.#entries.get(entry.name) === entry ? entry : undefined;
  }

  #saveSoon(entry: Entry): void {
    this.#unsaved.add(entry);
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#save();
    }, LIMITS.cursorSaveMs);
  }

  #save(): void {
    if (this.#unsaved.size === 0) return;
    const entries = [...this.#unsaved].map((entry) => ({ entry, seq: entry.nextSeq }));
    try {
      const durable = this.#store.write(
        entries.map(({ entry }) => ({ section: 'consumer', key: entry.name, value: encodeCursor(entry) })),
      );
      this.#unsaved.clear();
      for (const { entry, seq } of entries) entry.saving.push(seq);
      void durable.then(() => this.#saved(entries));
    } catch (error) {
      if (!(error instanceof StateBacklogFull)) throw error;
      // They stay what they are on the disk, which is older, and nothing is lost by that.
      for (const { entry } of entries) this.#saveSoon(entry);
    }
  }

  #saved(entries: readonly { readonly entry: Entry; readonly seq: number }[]): void {
    for (const { entry, seq } of entries) {
      entry.saving.shift();
      entry.savedSeq = seq;
    }
    this.#findOldest();
  }

  #findOldest(): void {
    let oldest: OldestCursor | null = null;
    for (const { name, nextSeq, savedSeq, saving } of this.#entries.values()) {
      if (nextSeq === 0) continue;
      let needed = savedSeq === 0 ? nextSeq : Math.min(nextSeq, savedSeq);
      for (const seq of saving) needed = Math.min(needed, seq);
      if (oldest === null || needed < oldest.nextSeq) oldest = { name, nextSeq: needed };
    }
    if (oldest?.name === this.#oldest?.name && oldest?.nextSeq === this.#oldest?.nextSeq) return;
    this.#oldest = oldest;
    this.#onOldest(oldest);
  }
}

function newEntry(name: string, record: CursorRecord): Entry {
  return {
    name,
    ...record,
    savedSeq: 0,
    saving: [],
    connection: undefined,
    streaming: undefined,
    actor: undefined,
  };
}

function ownerOf({ kind, name }: Principal): string {
  return `${kind}:${name}`;
}

function shown(entry: Entry): NamedConsumer {
  const { name, nextSeq, createdMs, acknowledgedMs, createdBy, connection } = entry;
  return { name, nextSeq, createdMs, acknowledgedMs, createdBy, connected: connection !== undefined };
}
