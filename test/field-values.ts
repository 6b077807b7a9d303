/** Values of the protocol's fields, good and bad: ids, times, versions, names of keys. For frames.ts. */
import fc from 'fast-check';
import { EDGE_IDS, NODE_ID } from './frame-table.js';
import { anyValue, type Entry, spell, style, text, texts } from './json-texts.js';

export const stringOf = (value: fc.Arbitrary<string>) =>
  fc.tuple(value, style).map(([s, styles]) => spell(s, styles));
export const oneOf = (...names: string[]) => stringOf(fc.constantFrom(...names));

export const idText = fc.oneof(
  { weight: 6, arbitrary: fc.constant(NODE_ID) },
  { weight: 2, arbitrary: fc.constantFrom(...EDGE_IDS) },
  { weight: 1, arbitrary: fc.bigInt(1n, 2n ** 64n - 1n).map(String) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...texts(
        '0|-0|-1|1.0|1e3|1E0|18446744073709551616|99999999999999999999|184467440737095516150|1e999|null',
      ),
      ...texts(
        `${NODE_ID}.0|${NODE_ID}0|${NODE_ID.slice(1)}|"${NODE_ID}"|[${NODE_ID}]|-${NODE_ID}|0${NODE_ID}|${NODE_ID} 1`,
      ),
    ),
  },
);

const anyDate = fc.date({
  min: new Date('0000-01-01'),
  max: new Date('9999-12-31T23:59:59.999Z'),
  noInvalidDate: true,
});

export const isoTime = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        anyDate,
        fc.constantFrom('T', 'T', ' '),
        fc.constantFrom(...texts('|.1|.123|.123456789|.1234567890|.')),
        fc.constantFrom(...texts('|Z|+00:00|-0930|+2359|+24:00|+1:00|+01:60|z|ZZ|+010|-01:0')),
      )
      .map(([date, separator, fraction, zone]) => {
        const iso = date.toISOString();
        return `${iso.slice(0, 10)}${separator}${iso.slice(11, 19)}${fraction}${zone}`;
      }),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...texts(
        '2024-02-29T23:59:60Z|2023-02-29T00:00:00Z|2000-02-29T00:00:00|1900-02-29T00:00:00|2026-00-10T00:00:00',
      ),
      ...texts(
        '2026-13-10T00:00:00|2026-04-31T00:00:00|2026-04-00T00:00:00|2026-04-30T24:00:00|2026-04-30T23:60:00',
      ),
      ...texts(
        '2026-04-30T23:59:61|2026-04-30t23:59:59|2026-04-30|2026-4-30T23:59:59||2026-04-30T23:59|+2026-04-30T23:59:59',
      ),
      ...texts(
        '2026/04/30T23:59:59|2026-04-30T23.59.59|2026-04-30T23:59:5:|2026-04-30T23:59:59,5| 2026-04-30T23:59:59Z',
      ),
    ),
  },
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      ...texts('2026-11-20T12:00:00Z|2026-11-20T12:00:01.5+01:00|2026-11-21 12:00:00.123456789'),
    ),
  },
);

export const unixTime = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 2_000_000_000 }).map(String) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...texts(
        '1700000000.5|1700000000.1234567891234|253402300799|253402300799.999|253402300800|-1|-0|1.7e9|1e999',
      ),
      ...texts('0|0.0|9999999999999|"1700000000"|01|1700000000.'),
    ),
  },
);

export const version = fc.oneof(
  { weight: 30, arbitrary: fc.constant('2') },
  { weight: 2, arbitrary: fc.constantFrom(...texts('2.0|2e0|20e-1|2.00000000000000000001|0.2E+1')) },
  { weight: 2, arbitrary: fc.constantFrom(...texts('1|3|22|-2|"2"|null|1e999|2.5|02|{}|2 2')) },
);

/** Keys that no message has, and, seldom, keys that stand there already. */
export const extraKey = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...texts(
        '__proto__|constructor|toString|hasOwnProperty||é|node_ids|dat|data2|timestam|timestamps|pot_idx|pot_typ',
      ),
      ...texts('metadata|status|type|description|port|eventtype|event_types|versions|Message'),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...texts('version|message|PotEvent|node_id|pot_id|pot_type|event_type|timestamp|data|event'),
    ),
  },
  { weight: 1, arbitrary: text },
);

/** Members that are none of the protocol's business, unless they repeat one that is. */
export const extras = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Entry[]>([]) },
  { weight: 1, arbitrary: fc.array(fc.tuple(stringOf(extraKey), anyValue), { maxLength: 3 }) },
);
