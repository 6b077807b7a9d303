/**
 * Tries refused frames again: finds the node a dead letter is of, gives the frame to a shard, and remembers what came of it.
 * Owned by main.
 *
 *   letter --node known, not accepted before--> mark `unknown` --> shard: judge, ring --> log --> mark `accepted` | `refused`
 *
 * The mark comes first: who finds `unknown` knows that the frame may be in the log. And `accepted` comes when it is: what is in a
 * ring is lost with the process.
 */
import { LIMITS } from '../limits.js';
import { LEDGER, LEDGER_STRIDE, NO_ROW } from '../memory/ledger-table.js';
import type { RingObserver } from '../memory/ring.js';
import type { NodeRecord } from '../registry/record.js';
import type { MainToShard, ReplayNode, ReplayVerdict, ShardToMain } from '../shard/messages.js';
import type { Letter } from './line.js';
import type { ReplayMarks } from './marks.js';
import type { DeadLetterReader } from './reader.js';
import {
  type DeadLetterService,
  ReplayError,
  type ReplayMark,
  type ReplayRequest,
  type ReplayResult,
} from './service.js';

export interface ReplayParts {
  readonly reader: DeadLetterReader;
  readonly marks: ReplayMarks;
  readonly nodes: {
    byId(id: bigint): NodeRecord | undefined;
    /** Of those with this name the one that is connected, or was last. */
    latestNamed(name: string): NodeRecord | undefined;
  };
  readonly shards: {
    runningSlots(): readonly number[];
    post(slot: number, message: MainToShard): void;
    /** The ring that the slot's present shard writes to. */
    ring(slot: number): Pick<RingObserver, 'published' | 'passed'>;
  };
  readonly ledger: {
    readonly table: Float64Array;
    rowFor(serial: number): number;
  };
  /** Nobody else can speak for a node of this name: it has to prove who it is. */
  mustProve(name: string): boolean;
}

interface Waiting {
  readonly slot: number;
  /** Its row in the ledger is the shard's until it has answered. */
  readonly node: NodeRecord | null;
  answered(verdict: ReplayVerdict): void;
  failed(error: ReplayError): void;
}

/** How often it is looked whether a ring has been read. */
const RING_POLL_MS = 2;

const UNKNOWN = 'it was begun, and nobody knows how it ended: look for it in the log before it is forced';

export class Replays implements DeadLetterService {
  readonly #parts: ReplayParts;
  readonly #underWay = new Set<number>();
  readonly #waiting = new Map<number, Waiting>();
  #lastNumber = 0;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
  }

  page(...query: Parameters<DeadLetterService['page']>): ReturnType<DeadLetterService['page']> {
    return this.#parts.reader.page(...query);
  }

  find(id: number): ReturnType<DeadLetterService['find']> {
    return this.#parts.reader.find(id);
  }

  marks(ids: readonly number[]): Promise<readonly (ReplayMark | undefined)[]> {
    return Promise.all(ids.map((id) => this.#parts.marks.of(id)));
  }

  async replay(request: ReplayRequest): Promise<ReplayResult> {
    const { id } = request;
    if (this.#underWay.has(id))
      throw new ReplayError('under-way', 'this dead letter is being tried again now');
    if (this.#underWay.size >= LIMITS.replaysAtOnce)
      throw new ReplayError('busy', 'as many dead letters as may be are being tried again now');
    this.#underWay.add(id);
    try {
      return await this.#replay(request);
    } finally {
      this.#underWay.delete(id);
    }
  }

  /** From a shard. */
  receive({ replay, verdict }: Extract<ShardToMain, { type: 'replayed' }>): void {
    this.#waiting.get(replay)?.answered(verdict);
  }

  /** The shard of a slot has died: what it was trying may be in its ring, or not. */
  abandon(slot: number): void {
    for (const waiting of this.#waiting.values())
      if (waiting.slot === slot) waiting.failed(new ReplayError('unknown', UNKNOWN));
  }

  /** A shard has not answered yet about the node with this id or name, and may be writing to its row in the ledger. */
  isUnderWay(nodeId: bigint, name: string): boolean {
    for (const { node } of this.#waiting.values())
      if (node !== null && (node.id === nodeId || node.name === name)) return true;
    return false;
  }

  close(): Promise<void> {
    for (const waiting of this.#waiting.values()) waiting.failed(new ReplayError('unknown', UNKNOWN));
    return this.#parts.marks.close();
  }

  async #replay({ id, frame, force, dryRun }: ReplayRequest): Promise<ReplayResult> {
    const { marks, reader } = this.#parts;
    const found = await reader.findAnyway(id);
    if (found === undefined) throw new ReplayError('not-found', 'no dead letter with this number is kept');
    const { letter } = found;
    if (frame === undefined) checkWhole(letter);
    const before = await marks.of(id);
    if (before !== undefined && before.outcome !== 'refused' && !force && !dryRun) throw triedBefore(before);
    if (before === undefined && !dryRun && !(await marks.hasRoom((await reader.oldest()) ?? id)))
      throw new ReplayError('busy', 'as many dead letters as can be remembered were tried again');

    const bytes = frame ?? letter.bytes;
    const node = letter.nodeId === null ? null : this.#nodeOf(letter.nodeId, letter.nodeName);
    if (node === undefined) return notKnown(letter.nodeId);
    if (node !== null) this.#checkProof(letter, node, force);
    // Judged first: a frame that says itself whose it is is then given to that node's shard, and a mark is only left
    // where something can come of it.
    let verdict = await this.#ask(letter, node, bytes, true);
    let whose = node;
    if (verdict.kind === 'names') {
      whose = this.#nodeOf(verdict.nodeId, null) ?? null;
      if (whose === null) return notKnown(verdict.nodeId);
      this.#checkProof(letter, whose, force);
      verdict = await this.#ask(letter, whose, bytes, true);
    }
    const refusal = refusalOf(verdict);
    if (dryRun) return refusal ?? this.#accepted(verdict, whose!);

    const timeMs = Date.now();
    if (refusal === undefined) await marks.set(id, { timeMs, outcome: 'unknown' });
    verdict = await this.#ask(letter, whose, bytes, false);
    const result = refusalOf(verdict) ?? this.#accepted(verdict, whose!);
    // One that is in the log already stays so, whatever is made of it now.
    const kept = result.outcome === 'refused' && before !== undefined && before.outcome !== 'refused';
    await marks.set(id, kept ? before : { timeMs, outcome: result.outcome });
    return result;
  }

  #accepted(verdict: ReplayVerdict, node: NodeRecord): ReplayResult {
    if (verdict.kind !== 'accepted') throw new Error(`a shard answers ${verdict.kind} to a known node`);
    return { outcome: 'accepted', nodeId: String(node.id), records: verdict.records, events: verdict.events };
  }

  /** The node with this id, unless it is another one by now: nodes draw new ids, their names last. */
  #nodeOf(digits: string, name: string | null): NodeRecord | undefined {
    const { nodes } = this.#parts;
    const holder = nodes.byId(BigInt(digits));
    if (holder !== undefined && (name === null || holder.name === name)) return holder;
    return name === null ? undefined : nodes.latestNamed(name);
  }

  /** What a connection sent that was not registered, anybody may have sent. */
  #checkProof({ code, nodeId }: Letter, { name }: NodeRecord, force: boolean): void {
    const registered = nodeId !== null && code !== 'NODE_NOT_FOUND';
    if (registered || force || !this.#parts.mustProve(name)) return;
    throw new ReplayError(
      'unproven',
      'it came over a connection that had not registered, and its node has to prove who it is: nothing shows that it is of this node',
    );
  }

  #ask(letter: Letter, whose: NodeRecord | null, frame: Uint8Array, dryRun: boolean): Promise<ReplayVerdict> {
    const { shards } = this.#parts;
    const slot = this.#slotFor(whose);
    if (slot === undefined) throw new ReplayError('busy', 'no shard is running now');
    const replay = ++this.#lastNumber;
    return new Promise((resolve, reject) => {
      const fail = (error: ReplayError) =>
        reject(dryRun ? new ReplayError('busy', 'no shard has judged it in time') : error);
      // Who asked has gone then; the shard, which may be waiting for the disk, still has the frame.
      let looking: NodeJS.Timeout | undefined;
      const timer = setTimeout(() => {
        clearInterval(looking);
        fail(new ReplayError('unknown', UNKNOWN));
      }, LIMITS.replayTimeoutMs).unref();
      const give = (verdict: ReplayVerdict) => {
        clearTimeout(timer);
        clearInterval(looking);
        resolve(verdict);
      };
      this.#waiting.set(replay, {
        slot,
        node: whose,
        failed: (error) => {
          clearTimeout(timer);
          this.#waiting.delete(replay);
          fail(error);
        },
        answered: (verdict) => {
          this.#waiting.delete(replay);
          if (dryRun || verdict.kind !== 'accepted') return give(verdict);
          const ring = shards.ring(slot);
          const { published } = ring;
          looking = setInterval(() => ring.passed(published) && give(verdict), RING_POLL_MS).unref();
        },
      });
      shards.post(slot, {
        type: 'replay',
        replay,
        frame,
        dryRun,
        node: whose && this.#asNode(letter, whose),
      });
    });
  }

  /** The shard that has the node's connection, or any where there is none. */
  #slotFor(node: NodeRecord | null): number | undefined {
    const running = this.#parts.shards.runningSlots();
    const own = node?.shard ?? null;
    if (own !== null) return running.includes(own) ? own : undefined;
    // The one that has something of this node under way, or two would write to its row.
    for (const { node: other, slot } of this.#waiting.values())
      if (other === node && node !== null) return slot;
    return running[0];
  }

  #asNode({ nodeId }: Letter, node: NodeRecord): ReplayNode {
    const { ledger, nodes } = this.#parts;
    const row = ledger.rowFor(node.serial);
    const holder = nodeId === null ? undefined : nodes.byId(BigInt(nodeId));
    return {
      // That its connection had registered is what the frame must bear, whichever it has now; but not one that stands for
      // another node by now: whoever reads the log would take the record for that one's.
      id: nodeId === null || (holder !== undefined && holder !== node) ? String(node.id) : nodeId,
      row,
      numbered: row !== NO_ROW && ledger.table[row * LEDGER_STRIDE + LEDGER.numbered] === 1,
      potTypes: [...node.pots.values()].map(({ potId, potType }) => [potId, potType] as const),
    };
  }
}

function checkWhole({ truncated, masked }: Letter): void {
  if (truncated)
    throw new ReplayError('never', 'only its first bytes were kept: give the whole frame to try it again');
  if (masked)
    throw new ReplayError('never', 'one-time codes in it were overwritten: give a frame to try instead');
}

function triedBefore({ outcome, timeMs }: ReplayMark): ReplayError {
  const time = new Date(timeMs).toISOString();
  const what =
    outcome === 'accepted' ? `it was accepted at ${time}` : `it was begun at ${time}, and may be in the log`;
  return new ReplayError('before', `${what}: force tries it once more`);
}

function notKnown(nodeId: string | null): ReplayResult {
  return { outcome: 'refused', code: 'NODE_NOT_FOUND', reason: `no node with the id ${nodeId} is known` };
}

/** Throws where it can never be accepted. */
function refusalOf(verdict: ReplayVerdict): Extract<ReplayResult, { outcome: 'refused' }> | undefined {
  if (verdict.kind === 'never') throw new ReplayError('never', verdict.reason);
  if (verdict.kind !== 'refused') return undefined;
  return { outcome: 'refused', code: verdict.code, reason: verdict.reason };
}
