/**
 * What was promised, against what there is. Pure: evidence in, complaints out, so that a test can plant a fault in the
 * evidence and see that it is found.
 *
 *   1. every record of the log was sent by somebody (or is Core's own notice), byte for byte
 *   2. no event is there twice, events of a node are in the order of their numbers
 *   3. every acknowledged event is there
 *   4. an event that was refused, and acknowledged, is a dead letter
 *   5. the ledger says of each node what is in the log, and its equation holds
 *   6. every consumer was given what it says, exactly that, in order, nothing twice, nothing left out
 */
import { crc32 } from 'node:zlib';
import { messageName } from '../node-frames.js';
import type { Stretch } from './consumer.js';
import { eventFrame, eventOf } from './events.js';

export interface NodeEvidence {
  readonly name: string;
  readonly number: number;
  readonly ids: ReadonlySet<bigint>;
  readonly acked: number;
  readonly highest: number;
  /** Never sent. */
  readonly skipped: (seq: number) => boolean;
  /** Not a valid event. */
  readonly refused: (seq: number) => boolean;
}

/** What Core says of a node. */
export interface AccountEvidence {
  readonly node_name: string;
  readonly frames: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly refused: number;
  readonly events: number;
  readonly logged_events: number;
  readonly logged_records: number;
  readonly records: number;
  readonly taken_seq: number;
  readonly durable_seq: number;
  readonly balanced: boolean;
}

export interface ConsumerEvidence {
  readonly name: string;
  readonly kind: 'live' | 'resuming' | 'named';
  readonly passes: ((line: string) => boolean) | undefined;
  readonly stretches: readonly Stretch[];
  /** Where it must have got to: the end of the log, for all that resume. */
  readonly mustReach: number;
}

export interface Evidence {
  readonly seed: number;
  /** Without newlines; the first one has sequence number 1. */
  readonly lines: readonly string[];
  /** Their frames. */
  readonly deadLetters: readonly string[];
  readonly accounts: readonly AccountEvidence[];
  readonly nodes: readonly NodeEvidence[];
  readonly consumers: readonly ConsumerEvidence[];
}

/** Of each kind so many are told. */
const COMPLAINTS_MAX = 20;
const NOTICES = ['NodeRegistered', 'NodeDisconnected'];

export function judge(evidence: Evidence): string[] {
  return [
    ...judgeLog(evidence),
    ...judgeDeadLetters(evidence),
    ...judgeAccounts(evidence),
    ...evidence.consumers.flatMap((consumer) => judgeConsumer(consumer, evidence.lines)),
  ];
}

/** How many events of each node are in the log. */
export function countEvents({ lines, nodes }: Evidence): Map<string, number> {
  const owners = ownersOf(nodes);
  const counts = new Map(nodes.map(({ name }) => [name, 0]));
  for (const line of lines) {
    const event = eventOf(line);
    const owner = event && owners.get(event.id);
    if (owner !== undefined) counts.set(owner.name, counts.get(owner.name)! + 1);
  }
  return counts;
}

/** Rules 1 to 3. */
export function judgeLog({ seed, lines, nodes }: Evidence): string[] {
  const complaints: string[] = [];
  const owners = ownersOf(nodes);
  const last = new Map<NodeEvidence, number>();
  const found = new Map(nodes.map((node) => [node, new Set<number>()]));
  for (const [at, line] of lines.entries()) {
    const event = eventOf(line);
    if (event === undefined) {
      if (!NOTICES.includes(messageName(line) ?? ''))
        complaints.push(`record ${at + 1} was sent by nobody: ${short(line)}`);
      continue;
    }
    const node = owners.get(event.id);
    if (
      node === undefined ||
      event.seq > node.highest ||
      node.skipped(event.seq) ||
      node.refused(event.seq)
    ) {
      complaints.push(`record ${at + 1} is an event that nobody sent: ${short(line)}`);
      continue;
    }
    if (line !== eventFrame(seed, { node: node.number, ...event }))
      complaints.push(`record ${at + 1} is not what ${node.name} sent: ${short(line)}`);
    const numbers = found.get(node)!;
    if (numbers.has(event.seq))
      complaints.push(`record ${at + 1}: event ${event.seq} of ${node.name} is there twice`);
    else if (event.seq < (last.get(node) ?? 0))
      complaints.push(`record ${at + 1}: event ${event.seq} of ${node.name} is out of order`);
    numbers.add(event.seq);
    last.set(node, event.seq);
  }
  for (const node of nodes) {
    const numbers = found.get(node)!;
    for (let seq = 1; seq <= node.acked; seq++) {
      if (!numbers.has(seq) && !node.skipped(seq) && !node.refused(seq))
        complaints.push(`${node.name}: event ${seq} was acknowledged and is lost`);
    }
  }
  return complaints.slice(0, COMPLAINTS_MAX);
}

/** Rule 4. */
export function judgeDeadLetters({ deadLetters, nodes }: Evidence): string[] {
  const kept = new Set(
    deadLetters.map((frame) => {
      const event = eventOf(frame);
      return event === undefined ? '' : `${event.id}/${event.seq}`;
    }),
  );
  const complaints: string[] = [];
  for (const { name, ids, acked, refused } of nodes) {
    for (let seq = 1; seq <= acked; seq++) {
      if (refused(seq) && ![...ids].some((id) => kept.has(`${id}/${seq}`)))
        complaints.push(`${name}: event ${seq} was refused and acknowledged, and is no dead letter`);
    }
  }
  return complaints.slice(0, COMPLAINTS_MAX);
}

/** Rule 5. What came and was not passed on may be forgotten by a crash, by a little; the equation holds all the same. */
export function judgeAccounts(evidence: Evidence): string[] {
  const complaints: string[] = [];
  const counts = countEvents(evidence);
  for (const node of evidence.nodes) {
    const account = evidence.accounts.find(({ node_name }) => node_name === node.name);
    if (account === undefined) {
      complaints.push(`the ledger does not know ${node.name}`);
      continue;
    }
    const complain = (text: string) => complaints.push(`${node.name}: ${text}: ${JSON.stringify(account)}`);
    const { frames, accepted, duplicates, refused } = account;
    if (!account.balanced || frames !== accepted + duplicates + refused)
      complain('its equation does not hold');
    if (account.logged_events !== counts.get(node.name))
      complain(`${counts.get(node.name)} events are in the log`);
    if (account.events !== account.logged_events || account.records !== account.logged_records)
      complain('not all that was passed on was written');
    if (account.taken_seq !== node.acked || account.durable_seq !== node.acked)
      complain(`${node.acked} is acknowledged`);
  }
  return complaints;
}

function ownersOf(nodes: readonly NodeEvidence[]): Map<bigint, NodeEvidence> {
  return new Map(nodes.flatMap((node) => [...node.ids].map((id) => [id, node] as const)));
}

/** Rule 4. */
export function judgeConsumer(consumer: ConsumerEvidence, lines: readonly string[]): string[] {
  const complaints: string[] = [];
  const complain = (text: string) => complaints.push(`${consumer.name}: ${text}`);
  const checksums = lines.map((line) => crc32(line));
  if (consumer.kind === 'live') judgeLive(consumer, checksums, complain);
  else judgePositions(consumer, lines, checksums, complain);
  return complaints.slice(0, COMPLAINTS_MAX);
}

/** Each connection saw a part of the log without a hole, and later than the one before. */
function judgeLive(
  { stretches }: ConsumerEvidence,
  log: readonly number[],
  complain: (text: string) => void,
): void {
  let from = 0;
  for (const [at, { checksums }] of stretches.entries()) {
    let start = log.indexOf(checksums[0]!, from);
    // The same notice may stand in several places: the one that most of it fits behind is meant.
    while (start >= 0 && checksums.length > 1 && log[start + 1] !== checksums[1])
      start = log.indexOf(checksums[0]!, start + 1);
    const broken =
      start < 0 ? 0 : checksums.findIndex((checksum, offset) => log[start + offset] !== checksum);
    if (broken >= 0) {
      complain(
        `connection ${at}: record ${broken} of ${checksums.length} is not what the log has at ${start + broken + 1}`,
      );
      continue;
    }
    from = start + checksums.length;
  }
}

/** Every stretch is what the log has there; each begins where the one before ended, or before, where it was not acknowledged. */
function judgePositions(
  { kind, passes, stretches, mustReach }: ConsumerEvidence,
  lines: readonly string[],
  log: readonly number[],
  complain: (text: string) => void,
): void {
  let reached = 1;
  for (const [at, { firstSeq, nextSeq, checksums }] of stretches.entries()) {
    // A filtered one does not say where it begins: it was asked to begin where the one before ended.
    const begin = firstSeq ?? reached;
    const mayRepeat = kind === 'named';
    if (mayRepeat ? begin > reached : begin !== reached)
      complain(`connection ${at} begins at ${begin}, not at ${reached}`);
    const wanted: number[] = [];
    for (let seq = begin; seq < nextSeq!; seq++)
      if (passes?.(lines[seq - 1]!) ?? true) wanted.push(log[seq - 1]!);
    const broken = wanted.findIndex((checksum, offset) => checksums[offset] !== checksum);
    if (broken >= 0)
      complain(`connection ${at}: its record ${broken}, at about ${begin + broken}, is not the log's`);
    else if (wanted.length !== checksums.length)
      complain(`connection ${at}: ${checksums.length} records, and the log has ${wanted.length} there`);
    reached = Math.max(reached, nextSeq!);
  }
  if (reached < mustReach)
    complain(`it was given everything before ${reached}, and there is everything before ${mustReach}`);
}

const short = (line: string) => (line.length > 200 ? `${line.slice(0, 200)}...` : line);
