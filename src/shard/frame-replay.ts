/**
 * A frame that was refused once is tried again: judged as if its node had sent it now, and passed on like any other if
 * it is good. No connection is needed for that, and nothing but records comes of it: no answer to the node, no other
 * status in the registry, no dead letter where it is refused again. Runs in the shard that has the node's connection, or
 * in any if it has none.
 *
 * One dead letter may hold several objects (what was sent behind a registration that was refused). They are all passed
 * on, or none of them.
 */
import { type ErrorCode, errorIndex } from '../errors.js';
import { SHARD } from '../memory/counters.js';
import { LEDGER, LEDGER_STRIDE, NO_ROW } from '../memory/ledger-table.js';
import { eventSeq } from '../protocol/event-seq.js';
import { messageName } from '../protocol/fields.js';
import { type FrameReader, KIND, type Kind } from '../protocol/frame-reader.js';
import { objectEnds } from './bytes.js';
import type { ReplayNode, ReplayOrder, ReplayVerdict } from './messages.js';
import { NodeAccount } from './node-account.js';
import { isEvent, KIND_COUNTER, namedNode, recordOf, wrongOf } from './node-frame.js';
import type { ShardContext } from './session.js';

type Context = Pick<ShardContext, 'reader' | 'output' | 'counters' | 'ledger' | 'maxFrameBytes'>;

interface Part {
  readonly start: number;
  readonly end: number;
}

type Refusal = Extract<ReplayVerdict, { kind: 'refused' | 'never' }>;

/** Throws RingStopped. */
export function replayFrame(context: Context, { frame, node, dryRun }: ReplayOrder): ReplayVerdict {
  const { reader, counters, output } = context;
  const parts = partsOf(reader, frame);
  if (node === null) {
    const named = firstNamed(reader, frame, parts);
    if (named !== undefined) return { kind: 'names', nodeId: named };
  }
  for (const part of parts) {
    const refusal = judge(context, frame, part, node);
    if (refusal === undefined) continue;
    if (refusal.kind === 'refused' && !dryRun) countRefused(context, node, refusal.code);
    return refusal;
  }
  if (node === null) throw new Error('a frame of nobody was found good');
  output.nowMs = Date.now();
  const passing = new Passing(context, node);
  const records: string[] = [];
  let events = 0;
  for (const { start, end } of parts) {
    const kind = reader.read(frame, start, end);
    records.push(isEvent(kind) ? 'PotEvent' : messageName(reader.message));
    if (isEvent(kind)) events++;
    if (!dryRun) passing.pass(kind);
  }
  if (!dryRun) {
    counters[SHARD.replayed]!++;
    counters[SHARD.replayed_accepted]!++;
  }
  return { kind: 'accepted', records, events };
}

/** The whole, or its objects where it is nothing but several of them. */
function partsOf(reader: FrameReader, frame: Uint8Array): Part[] {
  const whole = { start: 0, end: frame.length };
  if (reader.read(frame, 0, frame.length) !== KIND.refused || reader.code !== 'MESSAGE_PARSE_FAILED')
    return [whole];
  const ends = objectEnds(frame, 0, frame.length, true);
  if (ends.length < 2) return [whole];
  return ends.map((end, at) => ({ start: ends[at - 1] ?? 0, end }));
}

/** Digits of the node that the first good frame names which names one. */
function firstNamed(reader: FrameReader, frame: Uint8Array, parts: readonly Part[]): string | undefined {
  for (const { start, end } of parts) {
    const kind = reader.read(frame, start, end);
    if (kind === KIND.refused || kind === KIND.nodeRegistration) continue;
    const named = namedNode(reader);
    if (named !== undefined) return named;
  }
  return undefined;
}

function judge(
  { reader, ledger, maxFrameBytes }: Context,
  frame: Uint8Array,
  { start, end }: Part,
  node: ReplayNode | null,
): Refusal | undefined {
  if (end - start > maxFrameBytes) {
    const reason = `the frame is larger than ${maxFrameBytes} bytes`;
    return { kind: 'refused', code: 'INVALID_MESSAGE_FORMAT', reason };
  }
  const kind = reader.read(frame, start, end);
  if (kind === KIND.refused) return { kind: 'refused', code: reader.code, reason: reader.reason };
  if (kind === KIND.nodeRegistration)
    return { kind: 'never', reason: 'a registration cannot be tried again: its node sends another one' };
  if (kind === KIND.nodeDrop)
    return { kind: 'never', reason: 'a NodeDrop makes no record: there is nothing to be tried again' };
  if (node === null)
    return { kind: 'refused', code: 'NODE_NOT_FOUND', reason: 'nothing says which node it is of' };
  const wrong = wrongOf(reader, kind, Buffer.from(node.id, 'latin1'), node.numbered);
  if (wrong !== undefined) return { kind: 'refused', ...wrong };
  if (!node.numbered || node.row === NO_ROW || !isEvent(kind)) return undefined;
  // A start after a crash counts the log again, and takes the highest number there for one that its node has reached.
  const takenSeq = ledger[node.row * LEDGER_STRIDE + LEDGER.taken_seq]!;
  if (eventSeq(reader) <= takenSeq) return undefined;
  const reason = `PotEvent.seq is above ${takenSeq}, the highest that was taken from its node: leave it out`;
  return { kind: 'refused', code: 'INVALID_MESSAGE_FORMAT', reason };
}

/** Passes frames on as a session does. A number that an event bears stays in it and counts no more: it was taken when the
 *  frame was refused, or its node has sent the event again since. */
class Passing {
  readonly #context: Context;
  readonly #account: NodeAccount;
  readonly #node: ReplayNode;
  readonly #potTypes: ReadonlyMap<string, string>;

  constructor(context: Context, node: ReplayNode) {
    this.#context = context;
    this.#account = accountOf(context, node);
    this.#node = node;
    this.#potTypes = new Map(node.potTypes);
  }

  /** The frame in the reader. */
  pass(kind: Kind): void {
    const { reader, output, counters } = this.#context;
    const { row } = this.#account;
    const counter = KIND_COUNTER[kind];
    if (counter !== undefined) counters[SHARD[counter]]!++;
    if (isEvent(kind)) counters[SHARD.events]!++;
    counters[SHARD.frames]!++;
    const { bytes, frameStart, frameEnd } = reader;
    const seq = this.#node.numbered && isEvent(kind) ? eventSeq(reader) : 0;
    const terms = { nodeId: this.#node.id, potTypes: this.#potTypes, nowMs: output.nowMs, seq };
    const text = recordOf(reader, kind, terms);
    if (text !== undefined) output.record(text, row, isEvent(kind), 0);
    else output.frame(bytes, frameStart, frameEnd, row, isEvent(kind), 0);
    this.#account.record(isEvent(kind), 0);
  }
}

function countRefused(context: Context, node: ReplayNode | null, code: ErrorCode): void {
  const { counters } = context;
  counters[SHARD.replayed]!++;
  counters[SHARD.frames]!++;
  counters[SHARD[`refused_${code}`]]!++;
  if (node === null) return;
  const account = accountOf(context, node);
  account.refused(errorIndex(code), 0);
}

/** The row of the node: nobody else writes to it now, see ReplayNode. */
function accountOf({ ledger }: Context, { row }: ReplayNode): NodeAccount {
  const account = new NodeAccount();
  if (row !== NO_ROW) account.settle(ledger, row);
  return account;
}
