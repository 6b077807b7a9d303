/** Records as a log may hold them, written in every way that JSON allows, and what a naive reader makes of them. */
import type { Filter } from '../src/query/filter.js';

export type Random = () => number;

const TEXTS = [
  '10.0.0.7',
  '10.0.0.77',
  'root',
  'a"b\\c/d',
  'naïve',
  'Ωmega',
  '😀x',
  'line\nfeed',
  '\u0007bell',
  'u0031',
  '',
  'n',
  'true',
  'a,b:{c}',
];
const TYPES = ['ssh.login', 'ssh.logout', 'http.get', 'ftp', 'übel'];

export function pick<T>(random: Random, all: readonly T[]): T {
  return all[Math.floor(random() * all.length)]!;
}

/** A JSON string, some of its characters escaped in one of the ways there are. */
export function jsonString(text: string, random: Random): string {
  const few = random() < 0.5;
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const must = unit < 0x20 || unit === 0x22 || unit === 0x5c;
    if (unit >= 0xd800 && unit < 0xdc00 && (few || random() < 0.5)) {
      out += text.slice(i, i + 2);
      i++;
    } else if (must || unit >= 0xd800 ? true : !few && random() < 0.2) out += escaped(unit, random);
    else out += text[i];
  }
  return `${out}"`;
}

const SHORT: Record<number, string> = {
  8: 'b',
  9: 't',
  10: 'n',
  12: 'f',
  13: 'r',
  34: '"',
  47: '/',
  92: '\\',
};

function escaped(unit: number, random: Random): string {
  if (SHORT[unit] !== undefined && random() < 0.6) return `\\${SHORT[unit]}`;
  const hex = unit.toString(16).padStart(4, '0');
  return `\\u${random() < 0.5 ? hex : hex.toUpperCase()}`;
}

export interface MadeEvent {
  readonly line: string;
  readonly node: string;
  readonly pot: string;
  readonly potType: string;
  readonly eventType: string;
  /** Keys and values of `data`, each as a text. */
  readonly texts: readonly string[];
}

function value(random: Random, depth: number, texts: string[]): string {
  const kind = Math.floor(random() * (depth > 2 ? 4 : 6));
  const space = random() < 0.2 ? ' ' : '';
  switch (kind) {
    case 0:
    case 1: {
      const text = pick(random, TEXTS) + (random() < 0.3 ? pick(random, TEXTS) : '');
      texts.push(text);
      return jsonString(text, random);
    }
    case 2: {
      const number = pick(random, ['0', '-1.50', '1e10', '1000007', '18446744073709551615']);
      texts.push(number);
      return number;
    }
    case 3: {
      const word = pick(random, ['true', 'false', 'null']);
      texts.push(word);
      return word;
    }
    case 4:
      return `[${space}${Array.from({ length: Math.floor(random() * 4) }, () => value(random, depth + 1, texts)).join(`${space},`)}${space}]`;
    default:
      return object(random, depth + 1, texts);
  }
}

function object(random: Random, depth: number, texts: string[]): string {
  const space = random() < 0.2 ? ' ' : '';
  const pairs = Array.from({ length: Math.floor(random() * 4) }, (_, i) => {
    const key = pick(random, TEXTS) + i;
    texts.push(key);
    return `${jsonString(key, random)}${space}:${space}${value(random, depth, texts)}`;
  });
  return `{${space}${pairs.join(`,${space}`)}}`;
}

export function makeEvent(random: Random): MadeEvent {
  const texts: string[] = [];
  const node = String(1 + Math.floor(random() * 4) * 1_000_003);
  const pot = pick(random, ['pot-1', 'pot-2', 'web"1']);
  const potType = pick(random, ['cowrie', 'dionaea']);
  const eventType = pick(random, TYPES);
  const fields = [
    `"node_id":${node}`,
    `"pot_id":${jsonString(pot, random)}`,
    `"pot_type":${jsonString(potType, random)}`,
    `"event_type":${jsonString(eventType, random)}`,
    '"timestamp":"2026-11-21T16:00:00Z"',
    `"data":${object(random, 0, texts)}`,
  ];
  // What stands outside of data must not be taken for it.
  if (random() < 0.3)
    fields.splice(Math.floor(random() * 7), 0, `"note":${jsonString(pick(random, TEXTS), random)}`);
  if (random() < 0.3) fields.splice(Math.floor(random() * 7), 0, `"more":{"data":{"x":"10.0.0.7"}}`);
  if (random() < 0.2) fields.sort(() => random() - 0.5);
  const space = random() < 0.1 ? ' ' : '';
  const line = `{"version":2,"message":{"PotEvent":{${space}${fields.join(`,${space}`)}}}}`;
  return { line, node, pot, potType, eventType, texts };
}

function like(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(text);
}

/** The naive answer: without names, without times. */
export function wants(filter: Filter, event: MadeEvent): boolean {
  const any = (patterns: readonly string[] | undefined, text: string) =>
    patterns === undefined || patterns.some((pattern) => like(pattern, text));
  return (
    (filter.nodes === undefined || filter.nodes.includes(event.node)) &&
    any(filter.pots, event.pot) &&
    any(filter.potTypes, event.potType) &&
    any(filter.eventTypes, event.eventType) &&
    (filter.text === undefined || event.texts.some((text) => text.includes(filter.text!)))
  );
}

export function makeFilter(random: Random): Filter {
  const some = <T>(chance: number, make: () => T): T | undefined => (random() < chance ? make() : undefined);
  const text = some(0.7, () => {
    const one = pick(random, [...TEXTS, '000', 'oot', '0.0.0', '-1.5', '1844674407370955161', 'als', 'ega']);
    return one === '' ? 'x' : one;
  });
  return {
    nodes: some(0.2, () => [String(1 + Math.floor(random() * 4) * 1_000_003)]),
    pots: some(0.2, () => [pick(random, ['pot-1', 'pot*', 'web"1', '*"*'])]),
    potTypes: some(0.2, () => [pick(random, ['cowrie', '*aea', 'x'])]),
    eventTypes: some(0.3, () => [pick(random, ['ssh.*', '*login', 'http.get', 'ü*', '*'])]),
    text,
    sinceMs: undefined,
    untilMs: undefined,
    eventsOnly: true,
  };
}
