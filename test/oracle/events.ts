/**
 * What the nodes of the oracle say: an event is a function of the seed, the node, its id and its number, so nobody has to
 * remember what was sent, and every byte that comes out somewhere can be checked.
 */
import { Random } from '../../bench/random.js';

/** Longer than a whole segment of the log, at the sizes the oracle runs with. */
const LONG_BYTES = 90_000;
const TYPES = [
  'cowrie.login.failed',
  'cowrie.command.input',
  'dionaea.connection.tcp.accept',
  'ünüsual',
] as const;
const TEXTS = [
  'plain',
  '\\u001b[2J',
  'ключ',
  '\\"quoted\\" \\\\',
  '\\ud83d\\ude00',
  '𝄞',
  '\\n{\\"version\\":2',
] as const;

export interface EventOf {
  readonly node: number;
  readonly id: bigint;
  readonly seq: number;
}

/** The frame without its newline. */
export function eventFrame(seed: number, { node, id, seq }: EventOf): string {
  const random = new Random(seed ^ (node * 0x9e37), seq);
  const kind = random.below(1000);
  const length = kind === 0 ? LONG_BYTES : kind < 30 ? random.below(8000) : random.below(400);
  const filler = random
    .hex(8)
    .repeat(Math.ceil(length / 8))
    .slice(0, length);
  return (
    `{"version":2,"message":{"PotEvent":{"node_id":${id},"seq":${seq},"pot_id":"pot-${random.below(3)}",` +
    `"pot_type":"${random.pick(['cowrie', 'dionaea'])}","event_type":"${random.pick(TYPES)}",` +
    `"timestamp":"2026-11-21T12:00:00.${String(random.below(1_000_000)).padStart(6, '0')}Z",` +
    `"data":{"text":"${random.pick(TEXTS)}","big":${random.u64()},"filler":"${filler}"}}}}`
  );
}

/** Which event a line is, as it says itself; undefined: it is none. */
export function eventOf(line: string): { readonly id: bigint; readonly seq: number } | undefined {
  const found = /^\{"version":2,"message":\{"PotEvent":\{"node_id":(\d+),"seq":(\d+),/.exec(
    line.slice(0, 120),
  );
  return found === null ? undefined : { id: BigInt(found[1]!), seq: Number(found[2]) };
}
