/**
 * Checks a stream of records against what was sent, while it arrives. Each node sends its block of events over and over,
 * so its events must come back as exactly that repetition: nothing missing, nothing twice, in order, byte for byte.
 *
 *   blocks of node 7:  | event 0 | event 1 | event 2 | ... | event K-1 | event 0 | ...
 *                                 ^ place: the next one that may arrive
 *
 * The fast path compares spans of many events at once and allocates nothing; where events of different nodes meet it
 * looks the next one's node up by the digits of its id. Whatever it cannot match is told apart by the slow path,
 * {@link Verifier.record}: Core's own notices, events cut by a read's end, and faults.
 *
 * Owned by the thread that reads the stream. The fast path works on lines (`\n` behind each event) or on the raw bytes
 * of WebSocket frames with one event each: a framed block is as predictable as the block itself.
 */
import { EVENT_PREFIX, NUMBER_MARK } from './events.js';
import { type FaultCounts, Faults, printable } from './faults.js';
import { blockEvents, type EventBlocks, frameBlocks, NODE_ID_OFFSET } from './generator.js';
import { NodeIndex } from './node-index.js';

const PREFIX = Buffer.from(EVENT_PREFIX);
const MARK = Buffer.from(NUMBER_MARK);
const DIGIT_0 = 48;
/** Records of Core or of nodes that stand between events. */
const NOTICES = [
  'NodeRegistered',
  'NodeDisconnected',
  'NodeStatusUpdate',
  'PotStatusUpdate',
  'StreamPosition',
] as const;
const NOTICE_PREFIXES = [
  ...NOTICES.map((name) => Buffer.from(`{"version":2,"message":{"${name}":`)),
  // A NodeEvent: whose it is stands in front.
  Buffer.from('{"node_id":'),
];

export interface VerifierOptions {
  /** {@link Verifier.match} is given raw frames of one event each, not lines. */
  readonly framed: boolean;
  /** Events of nodes that are not ours are counted, not faults: for a Core that has other nodes too. */
  readonly othersAllowed: boolean;
}

export interface VerifierSummary {
  readonly events: number;
  readonly bytes: number;
  readonly notices: number;
  readonly others: number;
  readonly faultCounts: FaultCounts;
  readonly faults: readonly string[];
}

export class Verifier {
  readonly faults = new Faults();
  /** Verified so far. Bytes are those of the lines the nodes sent, newline included, also for frames. */
  events = 0;
  bytes = 0;
  notices = 0;
  others = 0;
  /** Called for events in order: node, how many of its events came before, how many came now. */
  onMatch: ((node: number, first: number, count: number) => void) | undefined;

  /** What the nodes send, and what the fast path compares with: the same, or the same in frames. */
  readonly #lines: EventBlocks;
  readonly #units: EventBlocks;
  readonly #lineBytes: Buffer;
  readonly #unitBytes: Buffer;
  readonly #framed: boolean;
  readonly #othersAllowed: boolean;
  readonly #index: NodeIndex;
  /** Per node the event of its block that comes next, and how many came before in all (with those skipped). */
  readonly #place: Uint32Array;
  readonly #position: Float64Array;
  /** Per node the positions that were skipped and have not come late. */
  readonly #skipped = new Map<number, Set<number>>();
  /** The node of the last event: the best guess for the next one. */
  #guess = 0;

  constructor(blocks: EventBlocks, options: VerifierOptions) {
    this.#lines = blocks;
    this.#units = options.framed ? frameBlocks(blocks) : blocks;
    this.#lineBytes = viewOf(this.#lines);
    this.#unitBytes = viewOf(this.#units);
    this.#framed = options.framed;
    this.#othersAllowed = options.othersAllowed;
    this.#index = new NodeIndex(blocks.nodeIds);
    this.#place = new Uint32Array(blocks.nodes);
    this.#position = new Float64Array(blocks.nodes);
  }

  /** Whole expected events from `start` on: checks and counts them, returns where they end. */
  match(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      const matched = this.#matchNode(this.#guess, buffer, at, end);
      if (matched > 0) {
        at += matched;
        continue;
      }
      const node = this.#index.find(buffer, this.#idOffset(buffer, at), end);
      if (node < 0 || node === this.#guess) return at;
      const other = this.#matchNode(node, buffer, at, end);
      if (other === 0) return at;
      this.#guess = node;
      at += other;
    }
    return at;
  }

  /** One whole record, without newline and frame header, that {@link match} did not take. */
  record(buffer: Buffer, start: number, end: number): void {
    const record = buffer.subarray(start, end);
    if (!startsWith(record, PREFIX)) {
      if (NOTICE_PREFIXES.some((prefix) => startsWith(record, prefix))) this.notices += 1;
      else
        this.faults.add('unexpected', `a record that is neither an event nor a notice: ${printable(record)}`);
      return;
    }
    const node = this.#index.find(record, NODE_ID_OFFSET, record.length);
    if (node < 0) {
      if (this.#othersAllowed) this.others += 1;
      else this.faults.add('unexpected', `an event of a node that sent none: ${printable(record)}`);
      return;
    }
    this.#guess = node;
    if (this.#equals(node, this.#place[node]!, record)) this.#accept(node, 1, record.length + 1);
    else this.#diagnose(node, record);
  }

  /** Adds what has not come: `sent` holds the number of events per node. */
  finish(sent: Float64Array): void {
    for (let node = 0; node < this.#lines.nodes; node++) {
      const position = this.#position[node]!;
      const expected = sent[node]!;
      if (position < expected) {
        const missing = expected - position;
        this.faults.add(
          'lost',
          `${this.#name(node)}: the last ${missing} of ${expected} events did not come`,
          missing,
        );
      } else if (position > expected) {
        const excess = position - expected;
        this.faults.add('unexpected', `${this.#name(node)}: ${excess} events more than were sent`, excess);
      }
    }
  }

  summary(): VerifierSummary {
    const { events, bytes, notices, others } = this;
    return { events, bytes, notices, others, faultCounts: this.faults.counts, faults: this.faults.told };
  }

  /** Bytes of `buffer` that are the next events of this node; 0 when the very next one is not there as a whole. */
  #matchNode(node: number, buffer: Buffer, start: number, end: number): number {
    const { eventStart, firstEvent } = this.#units;
    const next = firstEvent[node]! + this.#place[node]!;
    const from = eventStart[next]!;
    let low = next;
    let high = this.#lastEventWithin(next, firstEvent[node + 1]!, from + (end - start));
    if (high === next || !this.#same(buffer, start, from, eventStart[high]!)) {
      // Somewhere in the span another record begins: halve until the events in front of it are known.
      while (high - low > 1) {
        const middle = (low + high) >>> 1;
        const lowStart = eventStart[low]!;
        if (this.#same(buffer, start + (lowStart - from), lowStart, eventStart[middle]!)) low = middle;
        else high = middle;
      }
    } else {
      low = high;
    }
    if (low === next) return 0;
    const matchedBytes = eventStart[low]! - from;
    this.#accept(node, low - next, this.#lines.eventStart[low]! - this.#lines.eventStart[next]!);
    return matchedBytes;
  }

  #same(buffer: Buffer, at: number, from: number, to: number): boolean {
    return buffer.compare(this.#unitBytes, from, to, at, at + (to - from)) === 0;
  }

  /** The last event boundary in `next..limit` that is not behind `offset`. */
  #lastEventWithin(next: number, limit: number, offset: number): number {
    const { eventStart } = this.#units;
    if (eventStart[limit]! <= offset) return limit;
    let low = next;
    let high = limit;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (eventStart[middle]! <= offset) low = middle;
      else high = middle;
    }
    return low;
  }

  #accept(node: number, count: number, lineBytes: number): void {
    this.events += count;
    this.bytes += lineBytes;
    this.onMatch?.(node, this.#position[node]!, count);
    this.#advance(node, count);
  }

  #advance(node: number, count: number): void {
    const events = blockEvents(this.#lines, node);
    this.#place[node] = (this.#place[node]! + count) % events;
    this.#position[node]! += count;
  }

  #idOffset(buffer: Buffer, at: number): number {
    if (!this.#framed) return at + NODE_ID_OFFSET;
    const length = buffer[at + 1]!;
    return at + (length < 126 ? 2 : length === 126 ? 4 : 10) + NODE_ID_OFFSET;
  }

  /** Whether the record is the event `place` of the node's block. */
  #equals(node: number, place: number, record: Buffer): boolean {
    const { eventStart, firstEvent } = this.#lines;
    const event = firstEvent[node]! + place;
    return record.compare(this.#lineBytes, eventStart[event]!, eventStart[event + 1]! - 1) === 0;
  }

  /** An event of a known node that is not the next one: says what happened, and finds the place again. */
  #diagnose(node: number, record: Buffer): void {
    const events = blockEvents(this.#lines, node);
    const position = this.#position[node]!;
    const place = this.#place[node]!;
    const found = eventNumber(record);
    const where = `${this.#name(node)}: expected event ${position} (number ${place})`;
    if (!(found < events) || !this.#equals(node, found, record)) {
      this.faults.add('damaged', `${where}, found ${printable(record)}`);
      this.#advance(node, 1);
      return;
    }
    const ahead = (found - place + events) % events;
    const late = position - (events - ahead);
    const skipped = this.#skipped.get(node);
    if (skipped?.delete(late)) {
      this.faults.add('reordered', `${where}, found number ${found}, which was skipped before`);
      this.faults.counts.lost -= 1;
      this.events += 1;
      this.bytes += record.length + 1;
    } else if (ahead <= events / 2) {
      this.faults.add('lost', `${where}, found number ${found}: ${ahead} missing`, ahead);
      this.#skip(node, position, ahead);
      this.#advance(node, ahead);
      this.#accept(node, 1, record.length + 1);
    } else {
      this.faults.add('duplicated', `${where}, found number ${found} once more`);
    }
  }

  #skip(node: number, position: number, count: number): void {
    const skipped = this.#skipped.get(node) ?? new Set<number>();
    for (let missing = position; missing < position + count; missing++) skipped.add(missing);
    this.#skipped.set(node, skipped);
  }

  #name(node: number): string {
    return `node ${this.#lines.nodeIds[node]}`;
  }
}

function startsWith(record: Buffer, prefix: Buffer): boolean {
  return record.length >= prefix.length && record.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

/** NaN when the record carries none. */
function eventNumber(record: Buffer): number {
  const mark = record.indexOf(MARK);
  if (mark < 0) return Number.NaN;
  let value = 0;
  let at = mark + MARK.length;
  const first = at;
  for (; at < record.length; at++) {
    const digit = record[at]! - DIGIT_0;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return at > first ? value : Number.NaN;
}

function viewOf(blocks: EventBlocks): Buffer {
  return Buffer.from(blocks.bytes.buffer, blocks.bytes.byteOffset, blocks.bytes.length);
}
