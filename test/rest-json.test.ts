/** What lists are written with, against what the language itself would write. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isoTime } from '../src/rest/iso-time.js';
import { JsonBytes } from '../src/rest/json-bytes.js';
import { rowWriter } from '../src/rest/row-writer.js';

const SEED = 20_261_121;

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ maxLength: 300 }),
  fc.constantFrom(
    '',
    '"',
    '\\',
    '\u0000',
    '\u001f',
    '\u007f',
    '\u0080',
    '\ud83d',
    '\udc1d\ud83d',
    '\u2028',
    'é',
  ),
);
const value = fc.oneof(
  text,
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, 1, 9, 10, 99, 100, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53, 1e21, 5e-324),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.record({ a: fc.array(text, { maxLength: 3 }), b: fc.option(fc.integer()) }),
);

test('any row is what JSON.stringify makes of it, in the order of the schema and with no field beside it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(value, value, value), { maxLength: 12 }),
      fc.integer({ min: 1, max: 64 }),
      (rows, size) => {
        const write = rowWriter<Record<string, unknown>>({ properties: { a: {}, '"b': {}, c: {} } });
        // Too small on purpose: it has to grow.
        const json = new JsonBytes(size);
        for (const [a, b, c] of rows) write({ c, a, '"b': b, secret: 1 }, json);
        const expected = rows.map(([a, b, c]) => `,${JSON.stringify({ a, '"b': b, c })}`).join('');
        assert.equal(json.take().toString(), Buffer.from(expected).toString());
        assert.equal(json.length, 0);
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
});

test('a bigint leaves with all its digits, and a field that is missing is the mistake of whoever made the row', () => {
  const write = rowWriter<Record<string, unknown>>({ properties: { id: {} } });
  const json = new JsonBytes(8);
  for (const id of [0n, 1n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    write({ id }, json);
    assert.equal(json.take().toString(), `,{"id":${id}}`);
  }
  assert.throws(() => write({}, json), /not JSON/);
});

test('times read as Date writes them, in whatever order they are asked for', () => {
  const near = fc.integer({ min: Date.UTC(2026, 10, 20), max: Date.UTC(2026, 10, 20, 3) });
  const any = fc.oneof(
    near,
    fc.integer({ min: 1, max: 8.64e15 }),
    fc.double({ min: 1, max: 8.64e15, noNaN: true }),
  );
  fc.assert(
    fc.property(any, (timeMs) => {
      assert.equal(isoTime(timeMs), new Date(timeMs).toISOString());
    }),
    { seed: SEED, numRuns: 20_000 },
  );
  for (const never of [null, 0, -1, Number.NaN, 8.64e15 + 1, Number.POSITIVE_INFINITY])
    assert.equal(isoTime(never), null);
});
