/**
 * The command centre: takes commands from whoever may give them, brings them to nodes, follows them to their end, and
 * keeps all of it over restarts.
 *
 * Owned by main. It joins the parts: the table (what there is), delivery (the way to nodes), answers (the way back) and
 * rollouts. Time, sessions and the registry come in from outside. Whoever asks gets records that are live: to be read at
 * once, and never to be changed.
 */
import type { AuditTrail } from '../access/audit.js';
import type { Actor, Principal } from '../access/principal.js';
import { LIMITS } from '../limits.js';
import type { NodeRecord } from '../registry/record.js';
import type { StateStore } from '../state/store.js';
import { Answers } from './answers.js';
import type { ArchiveLimits, CommandSummary } from './archive.js';
import { Delivery, type OutgoingCommand } from './delivery.js';
import { CommandError } from './errors.js';
import { isId } from './id.js';
import { idempotencyMark, principalKey } from './idempotency.js';
import { asCreated, type CommandRecord, type CommandState, isOver, newRecord } from './record.js';
import {
  type BroadcastRequest,
  type CommandQuery,
  type CommandRequest,
  cancelRefusal,
  inTime,
  parsed,
  requesterOf,
  stateUnavailable,
  unknownCommand,
  unknownRollout,
} from './request.js';
import { type NodeFilter, Rollout, readRollouts } from './rollout.js';
import { Rollouts } from './rollouts.js';
import type { RegisteredNode, ReportedPot, SessionListener } from './session-listener.js';
import { StateWriter } from './state-writer.js';
import { CommandTable, putOf } from './table.js';

export interface CenterParts {
  readonly store: StateStore;
  readonly nodes: { byId(id: bigint): NodeRecord | undefined; list(): readonly NodeRecord[] };
  readonly audit: AuditTrail;
  /** Where a request does not say: `commands.ttl_seconds`, `commands.timeout_seconds`. */
  readonly ttlMs: number;
  readonly timeoutMs: number;
  nowMs(): number;
  /** To the shard in that slot. */
  post(slot: number, command: OutgoingCommand): void;
  /** Does a pattern of node names, with `*`, match a name? */
  matches(pattern: string, name: string): boolean;
  readonly archiveLimits?: ArchiveLimits;
}

/** What the state had when this Core started. */
export interface KeptCommands {
  readonly commands: readonly (readonly [id: string, text: string])[];
  readonly rollouts: ReadonlyMap<string, string>;
}

export interface CommandCounts {
  /** Commands that are not over, by state. */
  readonly live: Readonly<Record<CommandState, number>>;
  /** How many came into each state since Core started. */
  readonly entered: Readonly<Record<CommandState, number>>;
}

/** Commands that are made, or given up on, before the event loop gets its turn. */
const SLICE = 512;

export async function readKeptCommands(store: StateStore): Promise<KeptCommands> {
  const commands: (readonly [string, string])[] = [];
  const rollouts = new Map<string, string>();
  for await (const [id, text] of store.read('rollout')) rollouts.set(id, text);
  for await (const entry of store.read('command')) commands.push(entry);
  return { commands, rollouts };
}

export class CommandCenter implements SessionListener {
  /** Texts in the state that were no commands. */
  readonly unreadable: number;
  readonly #parts: CenterParts;
  readonly #table: CommandTable;
  readonly #delivery: Delivery;
  readonly #answers: Answers;
  readonly #rollouts: Rollouts;
  /** Members of rollouts that are being made. */
  #reserved = 0;
  #settling = false;
  #closed = false;
  #more: NodeJS.Immediate | undefined;

  constructor(parts: CenterParts, kept: KeptCommands) {
    this.#parts = parts;
    const writer = new StateWriter(parts.store);
    this.#table = new CommandTable(
      writer,
      {
        moved: (record, from) => this.#moved(record, from),
        evicted: (command) => this.#rollouts.evicted(command),
        ofRollout: (id) => this.#rollouts.get(id)?.plan,
      },
      parts.archiveLimits,
    );
    this.#answers = new Answers(this.#table);
    this.#delivery = new Delivery({
      table: this.#table,
      nowMs: () => parts.nowMs(),
      post: (slot, command) => parts.post(slot, command),
      isKnown: (nodeId, name) => parts.nodes.byId(nodeId)?.name === name,
      mayGo: ({ rolloutId }) => rolloutId === null || this.#rollouts.isRunning(rolloutId),
      cancel: (record, reason) => this.#cancel(record, reason),
    });
    this.#rollouts = new Rollouts(writer, {
      release: (record) => this.#release(record),
      cancel: (record, reason) => this.#cancel(record, reason),
      forget: (id) => this.#table.forget(id),
      forgetKey: (key) => this.#table.keys.forget(key),
    });
    this.unreadable = this.#restore(kept);
  }

  // ---- what somebody asks for -----------------------------------------------------------------------------------

  /** A command to one node. Resolves, when it is durable, with what it was made as. Throws a CommandError. */
  async submit(nodeId: bigint, request: CommandRequest): Promise<CommandRecord> {
    const { actor, ttlMs = this.#parts.ttlMs, timeoutMs = this.#parts.timeoutMs } = request;
    const { command, json } = parsed(request.command);
    const idempotency = this.#mark(request, { node: String(nodeId), json, ttlMs, timeoutMs });
    const known = this.#table.keys.find(idempotency);
    if (known !== undefined) {
      await inTime(known.made);
      return asCreated(this.command(known.id));
    }
    const node = this.#parts.nodes.byId(nodeId);
    if (node === undefined || !this.inScope(actor.principal, node.name))
      throw new CommandError('NODE_NOT_FOUND', 'no node with this id is known');
    this.#assertRoom(1, json.length);
    if (this.#delivery.liveCountOf(node.name, node.id) >= LIMITS.commandsLivePerNode)
      throw new CommandError(
        'NODE_QUEUE_FULL',
        `${LIMITS.commandsLivePerNode} commands wait for this node already`,
      );
    const createdMs = this.#parts.nowMs();
    const record = newRecord(
      {
        id: this.#table.ids.next('cmd', createdMs),
        nodeName: node.name,
        nodeId,
        command,
        json,
        rolloutId: null,
        requester: requesterOf(actor),
        idempotency,
        createdMs,
        ttlMs,
        timeoutMs,
      },
      'queued',
    );
    const made = this.#table.add([record], [putOf(record)]);
    if (made === undefined) throw stateUnavailable();
    this.#table.keys.add(idempotency, record.id, made);
    const detail = { command: command.name, node: node.name, node_id: String(nodeId) };
    this.#parts.audit.record({ actor, action: 'command.create', target: record.id, outcome: 'done', detail });
    this.#enqueue(record);
    this.#settle();
    await inTime(made);
    return asCreated(record);
  }

  /** A command to all nodes that match. Resolves, when it is durable, with what it was made as. Throws a CommandError. */
  async broadcast(request: BroadcastRequest): Promise<Rollout> {
    const { actor, ttlMs = this.#parts.ttlMs, timeoutMs = this.#parts.timeoutMs } = request;
    const { command, json } = parsed(request.command);
    const { nodeType = null, status = null, name = null, connected = true } = request.filter ?? {};
    const { maxInFlight = null, maxFailures = null } = request.rolling ?? {};
    const filter = { nodeType, status, name, connected };
    const rolling = { maxInFlight, maxFailures };
    const idempotency = this.#mark(request, { filter, rolling, json, ttlMs, timeoutMs });
    const known = this.#table.keys.find(idempotency);
    if (known !== undefined) {
      await inTime(known.made);
      return this.rollout(known.id).asCreated();
    }
    const nodes = this.#select(filter, actor.principal);
    if (nodes.length === 0) throw new CommandError('CONFLICT', 'no node matches the filter', 'filter');
    if (nodes.length > LIMITS.rolloutNodes)
      throw new CommandError(
        'CONFLICT',
        `${nodes.length} nodes match, and a rollout takes ${LIMITS.rolloutNodes} at most: narrow the filter`,
        'filter',
      );
    this.#assertRoom(nodes.length, 0);
    if (!this.#rollouts.makeRoom(json.length))
      throw new CommandError('TOO_MANY_COMMANDS', 'as many rollouts as Core can keep are under way');
    const createdMs = this.#parts.nowMs();
    const rollout = new Rollout({
      id: this.#table.ids.next('rol', createdMs),
      command,
      json,
      filter,
      rolling,
      nodes: nodes.length,
      requester: requesterOf(actor),
      idempotency,
      createdMs,
      ttlMs,
      timeoutMs,
    });
    const made = this.#make(rollout, nodes);
    this.#table.keys.add(idempotency, rollout.plan.id, made);
    await inTime(made);
    const detail = { command: command.name, nodes: nodes.length, name };
    const target = rollout.plan.id;
    this.#parts.audit.record({ actor, action: 'rollout.create', target, outcome: 'done', detail });
    return rollout.asCreated();
  }

  /** Throws a CommandError where there is none. */
  command(id: string): CommandRecord {
    const record = isId('cmd', id) ? this.#table.find(id) : undefined;
    if (record === undefined) throw unknownCommand();
    return record;
  }

  /** Throws a CommandError where there is none. */
  rollout(id: string): Rollout {
    const rollout = this.#rollouts.get(id);
    if (rollout === undefined) throw unknownRollout();
    return rollout;
  }

  /** A command that is kept. */
  find(id: string): CommandRecord | undefined {
    return this.#table.find(id);
  }

  /** Summaries, the newest first, and whether each is one of those asked for. To be read at once. */
  *commands(query: CommandQuery): Generator<CommandSummary & { readonly matches: boolean }> {
    for (const summary of this.#table.newest(query.after)) {
      const matches =
        (query.state === undefined || query.state === summary.state) &&
        (query.nodeName === undefined || query.nodeName === summary.nodeName) &&
        (query.rolloutId === undefined || query.rolloutId === summary.rolloutId);
      yield { ...summary, matches };
    }
  }

  rollouts(): readonly Rollout[] {
    return this.#rollouts.list();
  }

  /** Calls off a command that has not left; resolves when that is durable. Throws a CommandError where it has left, or
   *  where there is none. */
  async cancel(id: string, actor: Actor): Promise<CommandRecord> {
    const record = this.command(id);
    if (!this.inScope(actor.principal, record.nodeName)) throw unknownCommand();
    const refusal = cancelRefusal(record);
    const detail = { command: record.command.name, node: record.nodeName };
    const audited = { actor, action: 'command.cancel', target: id, detail };
    this.#parts.audit.record({ ...audited, outcome: refusal === undefined ? 'done' : 'refused' });
    if (refusal !== undefined) throw new CommandError('CONFLICT', refusal);
    const durable = this.#cancel(record, `cancelled by ${actor.principal.name}`);
    this.#settle();
    if (durable === undefined) throw stateUnavailable();
    await inTime(durable);
    return record;
  }

  /** Calls off everything of a rollout that has not left; resolves when that is durable. Throws a CommandError where it
   *  is over already. */
  async cancelRollout(id: string, actor: Actor): Promise<Rollout> {
    const rollout = this.rollout(id);
    if (!this.maySee(actor.principal, rollout)) throw unknownRollout();
    const audited = { actor, action: 'rollout.cancel', target: id };
    const refused = rollout.state !== 'running';
    this.#parts.audit.record({ ...audited, outcome: refused ? 'refused' : 'done' });
    if (refused) throw new CommandError('CONFLICT', `this rollout is ${rollout.state} already`);
    const durable = this.#rollouts.cancel(rollout, `cancelled by ${actor.principal.name}`);
    this.#settle();
    if (durable === undefined) throw stateUnavailable();
    await inTime(durable);
    return rollout;
  }

  /** May the principal see and command the node of that name? */
  inScope({ scope }: Principal, nodeName: string): boolean {
    return scope.nodes === null || this.#parts.matches(scope.nodes, nodeName);
  }

  /** Whoever sees only some nodes sees only those rollouts that are its own. */
  maySee(principal: Principal, { plan }: Rollout): boolean {
    return principal.scope.nodes === null || principalKey(principal) === principalKey(plan.requester);
  }

  counts(): CommandCounts {
    return { live: this.#table.counts, entered: this.#table.entered };
  }

  // ---- what nodes do --------------------------------------------------------------------------------------------

  registered(node: RegisteredNode): void {
    const restarted = this.#delivery.registered(node);
    if (restarted !== undefined) this.#answers.restarted(restarted, this.#parts.nowMs());
    this.#settle();
  }

  closed(session: number, shardDied: boolean): void {
    this.#delivery.closed(session, shardDied);
    this.#settle();
  }

  potUpdated(session: number, pot: ReportedPot): void {
    const mailbox = this.#delivery.mailboxOfSession(session);
    if (mailbox === undefined) return;
    this.#answers.potUpdated(mailbox, pot, this.#parts.nowMs());
    this.#settle();
  }

  /** The socket of the session took the command. */
  sent(session: number, id: string): void {
    const record = this.#delivery.sent(session, id);
    if (record !== undefined) this.#answers.sent(record, this.#parts.nowMs());
    this.#settle();
  }

  /** A node was removed from the registry: what waits for it is cancelled. */
  nodeRemoved(name: string, nodeId: bigint): void {
    this.#delivery.nodeRemoved(name, nodeId);
    this.#settle();
  }

  /** Gives up on what is due; to be called every LIMITS.commandTickMs. */
  tick(): void {
    const nowMs = this.#parts.nowMs();
    let budget = SLICE;
    for (; budget > 0; budget--) {
      const record = this.#table.deadlines.takeDue(nowMs);
      if (record === undefined) break;
      this.#answers.due(record, nowMs);
    }
    this.#table.sweep(nowMs);
    this.#settle();
    if (budget === 0) this.#later();
  }

  /** No more work of its own; the state is closed by its owner. */
  close(): void {
    clearImmediate(this.#more);
    this.#closed = true;
    this.#table.sweep(this.#parts.nowMs());
  }

  /** Throws when the parts do not agree. Walks everything: for tests. */
  assertInvariants(): void {
    this.#table.assertInvariants();
    this.#delivery.assertInvariants();
    for (const rollout of this.#rollouts.list()) {
      const total = Object.values(rollout.counts).reduce((sum, count) => sum + count, 0);
      if (total !== rollout.plan.nodes) throw new Error(`${rollout.plan.id} counts ${total} members`);
    }
  }

  // ---- inside ---------------------------------------------------------------------------------------------------

  #restore({ commands, rollouts: texts }: KeptCommands): number {
    const nowMs = this.#parts.nowMs();
    const { rollouts, unreadable } = readRollouts(texts);
    for (const rollout of rollouts) {
      const { id, idempotency } = rollout.plan;
      this.#table.ids.seen(id);
      this.#table.keys.add(idempotency, id, null);
      this.#rollouts.add(rollout);
    }
    const unreadableCommands = this.#table.restore(commands);
    for (const summary of this.#table.newest(undefined)) this.#rollouts.attachOver(summary);
    for (const record of [...this.#table.allLive()]) {
      this.#rollouts.attach(record);
      this.#delivery.restore(record);
      this.#answers.restore(record, nowMs);
    }
    return unreadable + unreadableCommands;
  }

  #moved(record: CommandRecord, from: CommandState) {
    if (isOver(record.phase)) {
      this.#delivery.over(record);
      this.#answers.over(record);
    }
    return this.#rollouts.moved(record, from);
  }

  #release(record: CommandRecord): void {
    const nowMs = this.#parts.nowMs();
    this.#table.move(record, 'release', nowMs);
    if (this.#delivery.liveCountOf(record.nodeName, record.nodeId) >= LIMITS.commandsLivePerNode)
      this.#cancel(record, `${LIMITS.commandsLivePerNode} commands wait for this node already`);
    else this.#enqueue(record);
  }

  #enqueue(record: CommandRecord): void {
    const node = this.#parts.nodes.byId(record.nodeId);
    const here = node !== undefined && node.name === record.nodeName && node.session !== null;
    const connection = here && node.shard !== null ? { session: node.session, slot: node.shard } : null;
    this.#delivery.enqueue(record, connection);
  }

  #cancel(record: CommandRecord, reason: string): Promise<void> | undefined {
    const error = { code: 'COMMAND_CANCELLED', reason } as const;
    return this.#table.move(record, 'cancel', this.#parts.nowMs(), { error });
  }

  /** Everything that became possible by what just happened. */
  #settle(): void {
    // A hook of a move may lead here again.
    if (this.#settling || this.#closed) return;
    this.#settling = true;
    try {
      if (this.#rollouts.settle(this.#parts.nowMs())) this.#later();
      this.#delivery.settle();
    } finally {
      this.#settling = false;
    }
  }

  /** Goes on once the event loop had its turn. */
  #later(): void {
    this.#more ??= setImmediate(() => {
      this.#more = undefined;
      this.tick();
    });
  }

  /** Members are made in slices; they appear, and go to the disk, all at once. */
  async #make(rollout: Rollout, nodes: readonly { id: bigint; name: string }[]): Promise<void> {
    const { id: rolloutId, command, json, requester, createdMs, ttlMs, timeoutMs } = rollout.plan;
    const records: CommandRecord[] = [];
    const changes = this.#rollouts.puts(rollout);
    this.#reserved += nodes.length;
    try {
      for (const node of nodes) {
        const id = this.#table.ids.next('cmd', createdMs);
        const of = { nodeName: node.name, nodeId: node.id, rolloutId, idempotency: null };
        const record = newRecord(
          { id, ...of, command, json, requester, createdMs, ttlMs, timeoutMs },
          'held',
        );
        records.push(record);
        changes.push(putOf(record));
        if (records.length % SLICE === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.#reserved -= nodes.length;
    }
    const durable = this.#table.add(records, changes);
    if (durable === undefined) throw stateUnavailable();
    this.#rollouts.add(rollout);
    for (const record of records) this.#rollouts.attach(record);
    this.#settle();
    await durable;
  }

  #select(filter: NodeFilter, principal: Principal): { id: bigint; name: string }[] {
    const chosen: { id: bigint; name: string }[] = [];
    for (const node of this.#parts.nodes.list()) {
      if (filter.nodeType !== null && node.type !== filter.nodeType) continue;
      if (filter.status !== null && node.status !== filter.status) continue;
      if (filter.connected !== null && (node.session !== null) !== filter.connected) continue;
      if (filter.name !== null && !this.#parts.matches(filter.name, node.name)) continue;
      if (this.inScope(principal, node.name)) chosen.push({ id: node.id, name: node.name });
    }
    return chosen;
  }

  #mark({ actor, idempotencyKey }: CommandRequest, request: Record<string, unknown>) {
    return idempotencyKey === undefined ? null : idempotencyMark(actor.principal, idempotencyKey, request);
  }

  #assertRoom(commands: number, bytes: number): void {
    const { liveCount, liveBytes } = this.#table;
    if (
      liveCount + this.#reserved + commands <= LIMITS.commandsLive &&
      liveBytes + bytes <= LIMITS.commandsLiveBytes
    )
      return;
    throw new CommandError('TOO_MANY_COMMANDS', `${liveCount} commands are under way, and no more are taken`);
  }
}
