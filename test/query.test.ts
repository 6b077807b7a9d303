/**
 * Filters: what they let through is what a naive reader of JSON would, however a record is written; the search for candidates
 * leaves none of it out, and is the same in the addon and without.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NO_LIMIT } from '../src/access/scope.js';
import { loadAddon } from '../src/native/addon.js';
import type { Filter } from '../src/query/filter.js';
import { LineFinder } from '../src/query/line-finder.js';
import { createLineSearch } from '../src/query/line-search.js';
import { type Needle, needleOf } from '../src/query/needle.js';
import { FilterError, type FilterParameter, parseFilter, parseTime } from '../src/query/parse-filter.js';
import { RecordFilter } from '../src/query/record-filter.js';
import { jsonString, makeEvent, makeFilter, pick, wants } from './event-maker.js';
import { seeded } from './framer-run.js';
import { MODE } from './log-stage.js';

const NONE: Filter = {
  nodes: undefined,
  pots: undefined,
  potTypes: undefined,
  eventTypes: undefined,
  text: undefined,
  sinceMs: undefined,
  untilMs: undefined,
  eventsOnly: false,
};

const unknown = () => undefined;

function select(
  filter: Filter,
  lines: readonly string[],
  needle: Needle | undefined,
  native: boolean,
): string[] {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const finder = new LineFinder(needle, false, native ? loadAddon() : undefined);
  const exact = new RecordFilter(filter, undefined);
  finder.find(bytes, 0, bytes.length);
  const found: string[] = [];
  for (let i = 0; i < finder.count; i++) {
    const [start, end] = [finder.found[i * 2]!, finder.found[i * 2 + 1]!];
    if (exact.matches(bytes, start, end, unknown)) found.push(bytes.toString('utf8', start, end));
  }
  return found;
}

test('what passes is what a naive reader would let pass, with the search and without', () => {
  let passed = 0;
  for (let seed = 1; seed <= 1500; seed++) {
    const random = seeded(seed);
    const events = Array.from({ length: 20 }, () => makeEvent(random));
    for (const { line } of events) JSON.parse(line);
    const filter = makeFilter(random);
    const lines = events.map(({ line }) => line);
    const wanted = events.filter((event) => wants(filter, event)).map(({ line }) => line);
    const told = `seed ${seed}, ${JSON.stringify(filter)}`;
    assert.deepEqual(select(filter, lines, undefined, false), wanted, `exact alone: ${told}`);
    assert.deepEqual(select(filter, lines, needleOf(filter), false), wanted, `portable: ${told}`);
    if (MODE === 'native')
      assert.deepEqual(select(filter, lines, needleOf(filter), true), wanted, `native: ${told}`);
    passed += wanted.length;
  }
  assert.ok(passed > 1000, `only ${passed} records passed any filter`);
});

test('the addon finds the same lines as its twin, wherever they lie', { skip: MODE !== 'native' }, () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = seeded(seed);
    const filter = {
      ...NONE,
      text: pick(random, ['10.0.0.7', 'root', 'naïve', 'Ωmega', '😀x', 'aaa', 'abc']),
    };
    const needle = needleOf(filter)!;
    const notices = random() < 0.3;
    const lines = Array.from({ length: 40 }, () => {
      const kind = Math.floor(random() * 6);
      const noise = 'x'.repeat(Math.floor(random() * 90));
      if (kind === 0) return noise + jsonString(filter.text, random) + noise;
      if (kind === 1)
        return `${noise}\\u${pick(random, ['0031', '00e9', '03A9', '0000', 'd83d', 'zz', '006'])}`;
      if (kind === 2) return `{"version":2,"message":{"Node${noise}`;
      if (kind === 3) return `${noise}${filter.text.slice(0, -1)}`;
      if (kind === 4) return `${filter.text}`;
      return noise;
    });
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    // In the middle of a larger buffer, whose other bytes are nobody's business; with room for a few at a time.
    const frame = Buffer.concat([Buffer.from(`${filter.text}\n`), bytes, Buffer.from(`${filter.text}\n`)]);
    const start = frame.length - bytes.length - Buffer.byteLength(filter.text) - 1;
    const results = [loadAddon(), undefined].map((addon) => {
      const search = createLineSearch(needle, notices, addon);
      const all: number[] = [];
      const found = new Int32Array(6);
      for (let at = start; ; ) {
        const count = search.find(frame, at, start + bytes.length, found);
        all.push(...found.subarray(0, count * 2));
        if (count < 3) return all;
        at = found[5]! + 1;
      }
    });
    assert.deepEqual(results[0], results[1], `seed ${seed}, ${filter.text}`);
  }
});

test('a record that damage has made none passes or not, but ends no thread', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = seeded(seed);
    const { line } = makeEvent(random);
    const filter = new RecordFilter(makeFilter(random), undefined);
    const whole = Buffer.from(line);
    for (let round = 0; round < 20; round++) {
      const bytes = Buffer.from(whole);
      const at = Math.floor(random() * bytes.length);
      bytes[at] = bytes[at]! ^ (1 << Math.floor(random() * 8));
      const end = random() < 0.5 ? bytes.length : Math.floor(random() * bytes.length);
      // Nothing stands behind it: whoever reads on would not find an end.
      filter.matches(bytes.subarray(0, end), 0, end, unknown);
    }
  }
});

test('a scope: by event type, only of events; what cannot be attributed is withheld', () => {
  const line = (text: string) => Buffer.from(text);
  const event = line(
    '{"version":2,"message":{"PotEvent":{"node_id":7,"pot_id":"p","pot_type":"t","event_type":"ssh.login","timestamp":"2026-11-21T16:00:00Z","data":{"event_type":"ftp"}}}}',
  );
  const status = line('{"version":2,"message":{"NodeStatusUpdate":{"node_id":7,"status":"Running"}}}');
  const nodeEvent = line('{"node_id":7,"version":2,"message":{"NodeEvent":{"type":"Alarm","node_id":8}}}');
  const nobodys = line('{"version":2,"message":{"NodeEvent":{"type":"Alarm","node_id":7}}}');
  const notice = line('{"version":2,"message":{"NodeRegistered":{"node_id":7,"node_name":"eu-1"}}}');
  const passes = (filter: RecordFilter, bytes: Buffer, name?: string) =>
    filter.matches(bytes, 0, bytes.length, (id) => (id === '7' ? name : undefined));
  const byType = new RecordFilter(undefined, { ...NO_LIMIT, eventTypes: ['ssh*'] });
  const byOther = new RecordFilter(undefined, { ...NO_LIMIT, eventTypes: ['ftp'] });
  assert.deepEqual(
    [passes(byType, event), passes(byOther, event), passes(byOther, status)],
    [true, false, true],
  );
  const byNode = new RecordFilter(undefined, { ...NO_LIMIT, nodes: 'eu-*' });
  for (const [bytes, expected] of [
    [event, true],
    [status, true],
    [nodeEvent, true],
    [notice, true],
  ] as const) {
    assert.equal(passes(byNode, bytes, 'eu-1'), expected);
    assert.equal(passes(byNode, bytes, 'us-1'), false);
    assert.equal(passes(byNode, bytes), false, 'nobody knows whose it is');
  }
  assert.equal(passes(byNode, nobodys, 'eu-1'), false, 'its envelope does not say whose it is');
  const byId = new RecordFilter({ ...NONE, nodes: ['7'] }, undefined);
  assert.ok(!byId.needsNames && passes(byId, event) && passes(byId, status) && passes(byId, nodeEvent));
  assert.ok(
    !passes(byId, nobodys) && !passes(new RecordFilter({ ...NONE, nodes: ['8'] }, undefined), nodeEvent),
  );
  const eventsOnly = new RecordFilter({ ...NONE, eventsOnly: true }, undefined);
  assert.deepEqual([passes(eventsOnly, event), passes(eventsOnly, status)], [true, false]);
});

test('parameters: what they mean, and what is said about those that mean nothing', () => {
  const now = Date.UTC(2026, 10, 21, 16);
  const parse = (query: string, eventsOnly = false) => {
    const parameters = new URLSearchParams(query);
    return parseFilter((name) => parameters.getAll(name), now, eventsOnly);
  };
  assert.equal(parse('batch=1&from=7'), undefined);
  assert.deepEqual(parse('node=eu-*,7&node=a&since=15m&until=2026-11-21T18:00:00%2B01:00'), {
    ...NONE,
    nodes: ['eu-*', '7', 'a'],
    sinceMs: now - 900_000,
    untilMs: now + 3_600_000,
  });
  assert.deepEqual(parse('text=a,b'), { ...NONE, text: 'a,b', eventsOnly: true });
  assert.deepEqual(parse('pot=p&records=events'), { ...NONE, pots: ['p'], eventsOnly: true });
  assert.deepEqual(parse('', true), { ...NONE, eventsOnly: true });
  assert.equal(parse('records=all', true), undefined);
  const refused: [string, FilterParameter, RegExp][] = [
    ['node=', 'node', /empty/],
    ['node=a,,b', 'node', /empty/],
    [`pot=${'x'.repeat(256)}`, 'pot', /longer than 255/],
    [`event_type=${'a,'.repeat(40)}a`, 'event_type', /more than 32/],
    ['text=', 'text', /empty/],
    ['text=a&text=b', 'text', /more than once/],
    ['since=yesterday', 'since', /no time/],
    ['since=2026-02-31', 'since', /no time/],
    ['since=1h&until=2h', 'until', /not later/],
    ['records=some', 'records', /neither/],
    ['records=all&text=a', 'records', /only concern events/],
  ];
  for (const [query, parameter, message] of refused)
    assert.throws(
      () => parse(query),
      (error) => error instanceof FilterError && error.parameter === parameter && message.test(error.message),
      query,
    );
  assert.equal(parseTime('2026-11-21', now), Date.UTC(2026, 10, 21));
  assert.equal(parseTime('2026-11-21 16:00', now), now);
  assert.equal(parseTime('2026-11-21T16:00:00.5', now), now + 500);
  assert.equal(parseTime(String(now), now), now);
  assert.equal(parseTime('7', now), undefined);
});

test('of long types that attackers make up nothing stays in memory', () => {
  const filter = new RecordFilter(
    { ...NONE, pots: ['p*'], eventTypes: ['*wanted'], eventsOnly: true },
    undefined,
  );
  const heapBytes = () => {
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    return process.memoryUsage().heapUsed;
  };
  const event = (n: number, length: number) =>
    Buffer.from(
      `{"version":2,"message":{"PotEvent":{"node_id":1,"pot_id":"p${n}","pot_type":"t","event_type":"${n}${'x'.repeat(length)}${n % 2 === 0 ? 'wanted' : ''}","timestamp":"2026-11-21T16:00:00Z","data":{}}}}`,
    );
  const beforeBytes = heapBytes();
  for (let n = 0; n < 400; n++) {
    const bytes = event(n, 200_000);
    assert.equal(filter.matches(bytes, 0, bytes.length, unknown), n % 2 === 0);
  }
  assert.ok(heapBytes() - beforeBytes < 8e6, `${heapBytes() - beforeBytes} bytes`);
});
