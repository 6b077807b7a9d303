/**
 * A frame that was refused once is tried again: judged as if its node had sent it now, and passed on like any other if
 * it is good. No connection is needed for that, and nothing but records comes of it: no answer to the node, no other
 * status in the registry, no dead letter where it is refused again. Runs in the shard that has the node's connection, or
 * in any if it has none.
 *
 * One dead letter may hold several objects (what was sent behind a registration that was refused). They are all passed
 * on, or none of them.
 */
import type { ErrorCode } from '../errors.js';
import { SHARD } from '../memory/counters.js';
import { FIELD, messageName } from '../protocol/fields.js';
import { type FrameReader, KIND, type Kind } from '../protocol/frame-reader.js';
import { objectEnds } from './bytes.js';
import type { ReplayOrder, ReplayVerdict } from './messages.js';
import { isEvent, isOfNode, KIND_COUNTER, NOT_OWN_ID, namesNode, recordOf } from './node-frame.js';
import type { ShardContext } from './session.js';

type Context = Pick<ShardContext, 'reader' | 'output' | 'counters' | 'maxFrameBytes'>;

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
  const digits = Buffer.from(node?.id ?? '', 'latin1');
  for (const part of parts) {
    const refusal = judge(context, frame, part, digits);
    if (refusal === undefined) continue;
    if (refusal.kind === 'refused' && !dryRun) countRefused(counters, refusal.code);
    return refusal;
  }
  output.nowMs = Date.now();
  const potTypes = new Map(node?.potTypes);
  const id = BigInt(node?.id ?? 0);
  const records: string[] = [];
  let events = 0;
  for (const { start, end } of parts) {
    const kind = reader.read(frame, start, end);
    records.push(isEvent(kind) ? 'PotEvent' : messageName(reader.message));
    if (isEvent(kind)) events++;
    if (!dryRun) pass(context, kind, potTypes, id);
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
    if (kind !== KIND.refused && kind !== KIND.nodeRegistration && namesNode(kind))
      return reader.raw(FIELD.node_id);
  }
  return undefined;
}

function judge(
  { reader, maxFrameBytes }: Context,
  frame: Uint8Array,
  { start, end }: Part,
  digits: Uint8Array,
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
  if (digits.length === 0)
    return { kind: 'refused', code: 'NODE_NOT_FOUND', reason: 'nothing says which node it is of' };
  return isOfNode(reader, kind, digits) ? undefined : { kind: 'refused', ...NOT_OWN_ID };
}

/** Passes the frame in the reader on as a session does. */
function pass(
  { reader, output, counters }: Context,
  kind: Kind,
  potTypes: ReadonlyMap<string, string>,
  nodeId: bigint,
): void {
  const counter = KIND_COUNTER[kind];
  if (counter !== undefined) counters[SHARD[counter]]!++;
  counters[SHARD.frames]!++;
  if (isEvent(kind)) counters[SHARD.events]!++;
  const text = recordOf(reader, kind, potTypes, output.nowMs);
  if (text !== undefined) return output.record(text);
  const { bytes, frameStart, frameEnd } = reader;
  if (namesNode(kind)) return output.frame(bytes, frameStart, frameEnd);
  const low = Number(BigInt.asIntN(32, nodeId));
  const high = Number(BigInt.asIntN(32, nodeId >> 32n));
  output.frameOf(low, high, bytes, frameStart, frameEnd);
}

function countRefused(counters: Float64Array, code: ErrorCode): void {
  counters[SHARD.replayed]!++;
  counters[SHARD.frames]!++;
  counters[SHARD[`refused_${code}`]]!++;
}
