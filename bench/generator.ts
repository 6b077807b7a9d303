/**
 * Makes everything a run will send before its clock starts: for each node a block of events that the load writes over
 * and over, and the table of where each event begins, which the verifiers compare against.
 *
 * The memory is shared: load, consumers and log check read the same bytes. Nothing writes them after this.
 */
import { EVENT_PREFIX, EventMaker, type Mix } from './events.js';
import { Random } from './random.js';

export interface BlockPlan {
  readonly nodes: number;
  readonly seed: number;
  readonly mix: Mix;
  /** Length of a uniform event with its newline. */
  readonly eventBytes: number;
  /** Least bytes of one node's block. */
  readonly blockBytes: number;
}

export interface EventBlocks {
  readonly nodes: number;
  readonly nodeIds: readonly string[];
  readonly nodeNames: readonly string[];
  /** All blocks, one behind the other. */
  readonly bytes: Uint8Array;
  /** Where each event starts in `bytes`, and one more entry: where the last one ends. */
  readonly eventStart: Uint32Array;
  /** Per node the number of its first event in `eventStart`, and one more entry. */
  readonly firstEvent: Uint32Array;
}

const KiB = 1024;
const MiB = 1024 * KiB;
/** Blocks of all nodes together stay in the last-level cache, so that comparing costs Core as little as possible. */
const TOTAL_BLOCK_BYTES = 16 * MiB;
const BLOCK_BYTES_MAX = 256 * KiB;
const BLOCK_BYTES_MIN = 8 * KiB;

export function defaultBlockBytes(nodes: number): number {
  return Math.max(BLOCK_BYTES_MIN, Math.min(BLOCK_BYTES_MAX, Math.floor(TOTAL_BLOCK_BYTES / nodes)));
}

/**
 * Ids drawn from the whole unsigned 64-bit range: most have 20 digits and lie far above 2^53, where a JavaScript
 * number would change them. One in sixteen is small, so that lengths differ too.
 */
export function makeNodeIds(count: number, random: Random): string[] {
  const ids = new Set<string>();
  while (ids.size < count) {
    const wide = random.u64();
    const id = ids.size % 16 === 15 ? (wide & 0x1f_ffff_ffff_ffffn) + 1n : wide | (1n << 63n);
    ids.add(String(id));
  }
  return [...ids];
}

export function makeBlocks(plan: BlockPlan): EventBlocks {
  const random = new Random(plan.seed);
  const nodeIds = makeNodeIds(plan.nodes, random);
  const maker = new EventMaker(random);
  const starts: number[] = [];
  const firstEvent = new Uint32Array(new SharedArrayBuffer((plan.nodes + 1) * 4));
  let staging = Buffer.allocUnsafe(plan.nodes * (plan.blockBytes + 64 * KiB));
  let end = 0;
  nodeIds.forEach((nodeId, node) => {
    firstEvent[node] = starts.length;
    const blockStart = end;
    for (let eventNumber = 0; end - blockStart < plan.blockBytes; eventNumber++) {
      const frame =
        plan.mix === 'uniform'
          ? maker.uniform(nodeId, eventNumber, plan.eventBytes)
          : maker.real(nodeId, eventNumber);
      starts.push(end);
      const lengthBytes = Buffer.byteLength(frame);
      if (end + lengthBytes > staging.length) staging = Buffer.concat([staging], staging.length * 2);
      end += staging.write(frame, end);
    }
  });
  firstEvent[plan.nodes] = starts.length;
  starts.push(end);
  const bytes = new Uint8Array(new SharedArrayBuffer(end));
  bytes.set(staging.subarray(0, end));
  const eventStart = new Uint32Array(new SharedArrayBuffer(starts.length * 4));
  eventStart.set(starts);
  const nodeNames = nodeIds.map((_, node) => `bench-${plan.seed}-${node}`);
  return { nodes: plan.nodes, nodeIds, nodeNames, bytes, eventStart, firstEvent };
}

/** Events in a node's block. */
export function blockEvents(blocks: EventBlocks, node: number): number {
  return blocks.firstEvent[node + 1]! - blocks.firstEvent[node]!;
}

/** A node's block as it goes over the wire. */
export function blockOf(blocks: EventBlocks, node: number): Buffer {
  const start = blocks.eventStart[blocks.firstEvent[node]!]!;
  const end = blocks.eventStart[blocks.firstEvent[node + 1]!]!;
  return Buffer.from(blocks.bytes.buffer, blocks.bytes.byteOffset + start, end - start);
}

/**
 * The same blocks as a server sends them with one WebSocket message per event: every event without its newline, behind
 * the frame header of an unmasked, unfragmented text message. Comparing against these bytes needs no parsing.
 */
export function frameBlocks(blocks: EventBlocks): EventBlocks {
  const events = blocks.eventStart.length - 1;
  const eventStart = new Uint32Array(events + 1);
  const bytes = Buffer.allocUnsafe(blocks.bytes.length + events * 9);
  let end = 0;
  for (let event = 0; event < events; event++) {
    eventStart[event] = end;
    const from = blocks.eventStart[event]!;
    const to = blocks.eventStart[event + 1]! - 1;
    end = writeTextHeader(bytes, end, to - from);
    bytes.set(blocks.bytes.subarray(from, to), end);
    end += to - from;
  }
  eventStart[events] = end;
  return { ...blocks, bytes: bytes.subarray(0, end), eventStart };
}

/** Header bytes of an unmasked text frame with this payload. */
function textHeaderBytes(payloadBytes: number): number {
  return payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10;
}

function writeTextHeader(target: Buffer, offset: number, payloadBytes: number): number {
  target[offset] = 0x81;
  switch (textHeaderBytes(payloadBytes)) {
    case 2:
      target[offset + 1] = payloadBytes;
      return offset + 2;
    case 4:
      target[offset + 1] = 126;
      return target.writeUInt16BE(payloadBytes, offset + 2);
    default:
      target[offset + 1] = 127;
      return target.writeBigUInt64BE(BigInt(payloadBytes), offset + 2);
  }
}

/** Offset of the node id's digits in an event. */
export const NODE_ID_OFFSET = Buffer.byteLength(EVENT_PREFIX);
