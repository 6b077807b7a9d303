/**
 * GET /api/v1/events over a real log: pages, put together, are the log; what is asked for is what is given; lines are
 * complete or say that they are not; and nobody who leaves leaves a feed.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '../src/limits.js';
import { AGGREGATOR } from '../src/memory/counters.js';
import type { FeedItem, LogReader } from '../src/replay/log-reader.js';
import { poll, within } from './deadline.js';
import { assertSameText, EventStage, STARTED_MS, type StoredRecord } from './event-stage.js';
import { readAll, startRest } from './rest-core.js';

const SEED = 20_261_121;

interface EventJson {
  readonly seq: number;
  readonly received: string;
  readonly event: unknown;
}

interface Page {
  readonly events: readonly EventJson[];
  readonly next: number | null;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly gaps: readonly unknown[];
}

async function page(stage: EventStage, query: string): Promise<{ page: Page; text: string; link: string }> {
  const { status, json, text, headers } = await stage.core.get(`/api/v1/events?${query}`);
  assert.equal(status, 200, `${query}: ${text}`);
  return { page: json, text, link: String(headers.link ?? '') };
}

/** As the answer has it, to the byte. */
function elementOf({ seq, receivedMs, line }: StoredRecord): string {
  return `{"seq":${seq},"received":"${new Date(receivedMs).toISOString()}","event":${line}}`;
}

/** All pages, following `next` (or the link) to the end. */
async function allPages(
  stage: EventStage,
  query: string,
  order: 'asc' | 'desc',
  byLink: boolean,
): Promise<{ text: string; pages: Page[] }> {
  const texts: string[] = [];
  const pages: Page[] = [];
  for (let asked = query; ; ) {
    const { page: one, text, link } = await page(stage, asked);
    texts.push(text.slice('{"events":['.length, text.lastIndexOf('],"next"')));
    pages.push(one);
    if (one.next === null) return { text: texts.filter((part) => part !== '').join(','), pages };
    const cursor = order === 'asc' ? 'after' : 'before';
    const parameters = new URLSearchParams(asked);
    parameters.set(cursor, String(one.next));
    asked = byLink ? /^<\/api\/v1\/events\?([^>]*)>; rel="next"$/.exec(link)![1]! : `${parameters}`;
  }
}

test('pages, one behind the other, are the log to the byte: both orders, any limit and bounds', async (t) => {
  const stage = await EventStage.start(t, SEED);
  stage.append(500);
  for (let round = 0; round < 20; round++) {
    const { random } = stage;
    const order = random.pick(['asc', 'desc'] as const);
    const parameters = new URLSearchParams({ records: 'all' });
    const after = random.below(3) === 0 ? random.below(stage.nextSeq) : undefined;
    const before = random.below(3) === 0 ? random.below(stage.nextSeq + 50) : undefined;
    if (after !== undefined) parameters.set('after', String(after));
    if (before !== undefined) parameters.set('before', String(before));
    if ((after === undefined ? 'desc' : 'asc') !== order || random.below(2) === 0)
      parameters.set('order', order);
    parameters.set('limit', String(random.pick([1, 7, 100, 1000])));
    if (parameters.get('limit') === '1') parameters.set('limit', String(random.between(3, 60)));
    const wanted = stage.records.filter(
      ({ seq }) => seq > (after ?? 0) && seq < (before ?? Number.POSITIVE_INFINITY),
    );
    if (order === 'desc') wanted.reverse();
    const { text, pages } = await allPages(stage, `${parameters}`, order, random.below(2) === 0);
    assertSameText(text, wanted.map(elementOf).join(','), `seed ${SEED}, round ${round}: ${parameters}`);
    for (const { events, gaps, first_seq, last_seq } of pages) {
      assert.deepEqual(gaps, []);
      for (const { seq } of events) assert.ok(seq >= first_seq && seq <= last_seq);
    }
  }
  assert.equal(stage.reader.open_, 0);
});

/** A question, and which records it is about. */
function question(stage: EventStage): {
  parameters: URLSearchParams;
  test: (record: StoredRecord) => boolean;
} {
  const { random } = stage;
  const parameters = new URLSearchParams();
  const tests: ((record: StoredRecord) => boolean)[] = [];
  const perhaps = (name: string, values: readonly string[], tell: (record: StoredRecord) => string[]) => {
    if (random.below(4) !== 0) return;
    const chosen = Array.from({ length: random.between(1, 3) }, () => random.pick(values));
    if (random.below(2) === 0) parameters.set(name, chosen.join(','));
    else for (const value of chosen) parameters.append(name, value);
    tests.push((record) => chosen.some((pattern) => tell(record).some((text) => isLike(pattern, text))));
  };
  perhaps('node', ['eu-*', 'us-1', 'nobody', '7', '18446744073709551615', '*'], ({ node, nodeId }) => [
    node,
    nodeId,
  ]);
  const ofNodes = tests.length;
  perhaps('pot', ['cowrie-*', 'dionaea-1', '*-2'], ({ pot }) => [pot]);
  perhaps('pot_type', ['cowrie', 'dionaea', 'c*'], ({ potType }) => [potType]);
  perhaps('event_type', ['cowrie.*', '*.success', 'http', 'é.*'], ({ eventType }) => [eventType]);
  if (random.below(4) === 0) {
    const text = random.pick([
      '203.0.113.7',
      '203.0.113.1',
      'root',
      'a"b\\c',
      'zoë',
      'x\u2028y',
      'src',
      'nothing',
    ]);
    parameters.set('text', text);
    tests.push(({ texts }) => texts.some((one) => one.includes(text)));
  }
  const asksEvents = tests.length > ofNodes;
  if (!asksEvents && random.below(2) === 0) parameters.set('records', 'all');
  else tests.push(({ isEvent }) => isEvent);
  const times = stage.records.map(({ receivedMs }) => receivedMs);
  if (random.below(3) === 0) {
    const sinceMs = random.pick(times) + random.between(-1, 1);
    parameters.set('since', random.below(2) === 0 ? String(sinceMs) : new Date(sinceMs).toISOString());
    tests.push(({ receivedMs }) => receivedMs >= sinceMs);
    if (random.below(2) === 0) {
      const untilMs = sinceMs + random.between(1, 200_000);
      parameters.set('until', new Date(untilMs).toISOString());
      tests.push(({ receivedMs }) => receivedMs < untilMs);
    }
  }
  return { parameters, test: (record) => tests.every((one) => one(record)) };
}

/** The oracle's own patterns. */
function isLike(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 'su').test(text);
}

test('what is asked for is what is given: every filter, in pages of both orders and as lines', async (t) => {
  const stage = await EventStage.start(t, SEED + 1);
  stage.append(600);
  let given = 0;
  for (let round = 0; round < 70; round++) {
    const { parameters, test: isWanted } = question(stage);
    const order = stage.random.pick(['asc', 'desc'] as const);
    parameters.set('order', order);
    const wanted = stage.records.filter(isWanted);
    given += wanted.length;
    if (order === 'desc') wanted.reverse();
    const told = `seed ${SEED + 1}, round ${round}: ${parameters}`;
    if (stage.random.below(3) > 0) {
      parameters.set('limit', String(stage.random.between(5, 200)));
      const { text } = await allPages(stage, `${parameters}`, order, stage.random.below(2) === 0);
      assertSameText(text, wanted.map(elementOf).join(','), told);
    } else {
      const lines = await ndjson(stage, `${parameters}`);
      assertSameText(lines.slice(0, -1).join('\n'), wanted.map(elementOf).join('\n'), told);
      assert.equal(JSON.parse(lines.at(-1)!).end.next, null, told);
    }
  }
  assert.ok(given > 600, `${given} records in the answers`);
  assert.equal(stage.reader.open_, 0);
});

async function ndjson(stage: EventStage, query: string): Promise<string[]> {
  const headers = { accept: 'application/x-ndjson' };
  const {
    status,
    text,
    headers: answered,
  } = await stage.core.get(`/api/v1/events?${query}`, 'GET', { headers });
  assert.equal(status, 200, text);
  assert.equal(answered['content-type'], 'application/x-ndjson');
  const lines = text.split('\n');
  assert.equal(lines.pop(), '', 'the last line is whole');
  return lines;
}

test('a poller gets what has come since, once, while events come in and segments roll', async (t) => {
  const stage = await EventStage.start(t, SEED + 2, 3_000);
  const texts: string[] = [];
  let after = 0;
  let isOver = false;
  const writing = (async () => {
    for (let round = 0; round < 60; round++) {
      stage.append(stage.random.between(1, 20));
      await new Promise((resolve) => setImmediate(resolve));
    }
    isOver = true;
  })();
  for (;;) {
    const last = isOver;
    const { page: one, text } = await page(
      stage,
      `records=all&after=${after}&limit=${stage.random.between(1, 40)}`,
    );
    if (one.events.length > 0) texts.push(text.slice('{"events":['.length, text.lastIndexOf('],"next"')));
    assert.ok(one.first_seq === after + 1 && one.last_seq >= after, text);
    after = one.last_seq;
    if (last && one.next === null) break;
  }
  await writing;
  assertSameText(texts.join(','), stage.records.map(elementOf).join(','), 'polled');
});

test('a search that finds nothing has looked at everything', async (t) => {
  const stage = await EventStage.start(t, SEED + 11);
  stage.append(300);
  for (const query of ['text=nowhere', 'text=nowhere&order=asc', 'text=nowhere&after=0&before=301'])
    assert.deepEqual(
      (await page(stage, query)).page,
      { events: [], next: null, first_seq: 1, last_seq: 300, gaps: [] },
      query,
    );
});

test('by default the newest events come first, and events only', async (t) => {
  const stage = await EventStage.start(t, SEED + 3);
  const { page: empty } = await page(stage, '');
  assert.deepEqual(empty, { events: [], next: null, first_seq: 1, last_seq: 0, gaps: [] });
  stage.append(400);
  const { page: first } = await page(stage, '');
  const events = stage.records.filter(({ isEvent }) => isEvent).reverse();
  assert.deepEqual(
    first.events.map(({ seq }) => seq),
    events.slice(0, 100).map(({ seq }) => seq),
  );
  assert.equal(first.last_seq, 400, 'the cursor of whoever wants what comes later');
  assert.equal((await page(stage, 'after=400')).page.last_seq, 400);
});

test('lines: as many as asked for with a cursor behind them, and both ways to ask', async (t) => {
  const stage = await EventStage.start(t, SEED + 4);
  stage.append(300);
  const lines = await ndjson(stage, 'records=all&limit=120');
  assertSameText(
    lines.slice(0, -1).join('\n'),
    stage.records.slice(0, 120).map(elementOf).join('\n'),
    'lines',
  );
  assert.deepEqual(JSON.parse(lines.at(-1)!), { end: { next: 120, first_seq: 1, last_seq: 120 } });
  const rest = await stage.core.get('/api/v1/events?format=ndjson&records=all&after=120');
  assert.equal(rest.text.split('\n').length, 180 + 2);
  const head = await stage.core.get('/api/v1/events?format=ndjson', 'HEAD');
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.equal(stage.reader.open_, 0);
});

test('what is not there is named, in every kind of answer', async (t) => {
  const stage = await EventStage.start(t, SEED + 5, 2_000);
  stage.append(200);
  const folder = join(stage.log.dir, 'log');
  const segments = readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
  const firstLeft = Number(segments[3]!.slice(0, 20));
  for (const name of segments.slice(0, 3))
    for (const file of [name, name.replace('.ndjson', '.idx')]) rmSync(join(folder, file));
  const gap = { first_seq: 1, last_seq: firstLeft - 1, records: firstLeft - 1, reason: 'retention' };
  const { page: one } = await page(stage, 'records=all&after=0&limit=5');
  assert.deepEqual(one.gaps, [gap]);
  assert.deepEqual(
    one.events.map(({ seq }) => seq),
    [0, 1, 2, 3, 4].map((n) => firstLeft + n),
  );
  const { page: inside } = await page(stage, `records=all&after=2&before=${firstLeft}&limit=5`);
  assert.deepEqual(inside.events, []);
  assert.deepEqual(inside.gaps, [{ ...gap, first_seq: 3, records: firstLeft - 3 }]);
  const lines = await ndjson(stage, 'records=all&after=0');
  assert.deepEqual(JSON.parse(lines[0]!), { gap });
  assert.equal(lines.length, 1 + (200 - firstLeft + 1) + 1);
});

test('what cannot be asked is refused, with the parameter', async (t) => {
  const stage = await EventStage.start(t, SEED + 6);
  stage.append(10);
  for (const [query, field] of [
    ['after=11', 'after'],
    ['after=-1', 'after'],
    ['after=1.5', 'after'],
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['order=up', 'order'],
    ['since=yesterday', 'since'],
    ['since=2026-02-31', 'since'],
    ['since=2026-11-21&until=2026-11-20', 'until'],
    ['event_type=', 'event_type.0'],
    ['event_type=a,,b', 'event_type'],
    [`node=${'a'.repeat(256)}`, 'node'],
    [`node=${'a,'.repeat(40)}a`, 'node'],
    [`text=${'a'.repeat(256)}`, 'text'],
    ['text=a&text=b', 'text'],
    ['records=all&pot=x', 'records'],
    ['format=xml', 'format'],
    ['event-type=a', 'query'],
  ] as const) {
    const { status, json } = await stage.core.get(`/api/v1/events?${query}`);
    assert.equal(status, 400, query);
    assert.equal(json.errors[0].field, field, JSON.stringify(json));
  }
  for (const [query, headers] of [
    ['from=12', {}],
    ['from=soon', {}],
    ['last_event_id=11', {}],
    ['', { 'last-event-id': '11' }],
    ['', { 'last-event-id': 'x' }],
  ] as const)
    assert.equal((await stage.core.get(`/api/v1/events/stream?${query}`, 'GET', { headers })).status, 400);
  assert.equal(stage.reader.most, 0, 'none of them was asked of the log');
});

test('a token sees the events of its nodes and types, and nothing else', async (t) => {
  const stage = await EventStage.start(t, SEED + 7);
  stage.append(300);
  const scope = { nodes: 'eu-*', eventTypes: ['cowrie.login.*'] };
  const principal = {
    kind: 'token',
    tokenId: 'a',
    name: 'a',
    roles: new Set(['stream']),
    expiresMs: null,
  } as const;
  stage.core.principals.set('scoped', { ...principal, roles: new Set(['stream'] as const), scope });
  const headers = { authorization: 'Bearer scoped' };
  const wanted = stage.records.filter(
    ({ node, eventType }) => node.startsWith('eu-') && eventType.startsWith('cowrie.login.'),
  );
  const { json } = await stage.core.get('/api/v1/events?order=asc&limit=1000', 'GET', { headers });
  assert.deepEqual(
    json.events.map(({ seq }: EventJson) => seq),
    wanted.map(({ seq }) => seq),
  );
  const all = await stage.core.get('/api/v1/events?order=asc&limit=1000&node=us-1', 'GET', { headers });
  assert.deepEqual(all.json.events, []);
});

test('as many as may read at once do, the next one waits, and who leaves leaves no feed', async (t) => {
  const stage = await EventStage.start(t, SEED + 8);
  stage.append(50);
  const sockets = [];
  for (let client = 0; client < LIMITS.restFeeds; client++) {
    const socket = await stage.core.connect();
    t.after(() => socket.destroy());
    socket.write('GET /api/v1/events/stream?from=earliest HTTP/1.1\r\nhost: x\r\n\r\n');
    await within('the stream begins', once(socket, 'data'));
    sockets.push(socket);
  }
  assert.equal(stage.reader.open_, LIMITS.restFeeds);
  for (const query of ['events', 'events?format=ndjson', 'events/stream']) {
    const { status, headers, json } = await stage.core.get(`/api/v1/${query}`);
    assert.deepEqual([status, headers['retry-after'], json.code], [503, '1', 'TOO_MANY_READERS']);
  }
  for (const socket of sockets.splice(0, 10)) socket.destroy();
  await poll('their feeds are closed', () => stage.reader.open_ === LIMITS.restFeeds - 10 || undefined);
  await page(stage, '');
  for (const socket of sockets) socket.resetAndDestroy();
  await poll('all feeds are closed', () => stage.reader.open_ === 0 || undefined);
});

test('who knows records that are not durable yet is not sent back behind them', async (t) => {
  const stage = await EventStage.start(t, SEED + 11);
  stage.append(50);
  stage.log.counters[AGGREGATOR.durable_seq] = 41;
  stage.core.aggregator.set(stage.log.counters);
  for (const order of ['asc', 'desc']) {
    const { page: early } = await page(stage, `records=all&after=45&order=${order}`);
    assert.deepEqual([early.events, early.next, early.last_seq], [[], null, 45], order);
  }
  stage.log.count();
  stage.count();
  const { page: later } = await page(stage, 'records=all&after=45');
  assert.deepEqual(
    later.events.map(({ seq }) => seq),
    [46, 47, 48, 49, 50],
  );
});

test('batches whose times are in another order than they are found by time, in both orders', async (t) => {
  const stage = await EventStage.start(t, SEED + 12, 100);
  for (const afterMs of [0, 1000, 500, 1500, 400, 2500]) {
    stage.log.append([`{"n":${afterMs},"filler":"${'x'.repeat(100)}"}`], STARTED_MS + afterMs);
    stage.log.writer.flushIndex();
  }
  stage.count();
  const at = (ms: number) => new Date(STARTED_MS + ms).toISOString();
  for (const [query, wanted] of [
    [`until=${at(800)}`, [1, 3, 5]],
    [`since=${at(450)}`, [2, 3, 4, 6]],
    [`since=${at(450)}&until=${at(1200)}`, [2, 3]],
  ] as const)
    for (const order of ['asc', 'desc']) {
      const { page: found } = await page(stage, `records=all&order=${order}&${query}`);
      const seqs = found.events.map(({ seq }) => seq).sort((a, b) => a - b);
      assert.deepEqual(seqs, wanted, `${order} ${query}`);
    }
});

test('answers that stand behind another one leave no feed either, when their client goes', async (t) => {
  const stage = await EventStage.start(t, SEED + 10);
  stage.append(300);
  for (const query of ['events?limit=1', 'events?format=ndjson&limit=1', 'events/stream?from=earliest']) {
    const socket = await stage.core.connect();
    t.after(() => socket.destroy());
    socket.write('GET /api/v1/events/stream?from=earliest HTTP/1.1\r\nhost: x\r\n\r\n');
    await within('the stream begins', once(socket, 'data'));
    socket.write(`GET /api/v1/${query} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(3));
    await poll('they are asked', () => stage.reader.most > 1 || undefined);
    socket.destroy();
    await poll(`no feed is left of ${query}`, () => stage.reader.open_ === 0 || undefined);
  }
});

test('a client that does not read holds its feed back, and gets everything once it does', async (t) => {
  const stage = await EventStage.start(t, SEED + 9, 64 * 1024 * 1024);
  const filler = 'x'.repeat(40_000);
  for (let batch = 0; batch < 40; batch++)
    stage.log.append(Array.from({ length: 25 }, (_, at) => `{"n":${batch * 25 + at},"filler":"${filler}"}`));
  stage.count();
  const logBytes = stage.log.lines.reduce((sum, line) => sum + line.length + 1, 0);
  const socket = await stage.core.connect();
  t.after(() => socket.destroy());
  socket.pause();
  socket.write('GET /api/v1/events?format=ndjson&records=all HTTP/1.0\r\n\r\n');
  await poll('it is served', () => stage.reader.chunkBytes > 0 || undefined);
  // Others are served meanwhile, again and again: if it were not held back, it would have all of it by then.
  for (let round = 0; round < 200; round++) await page(stage, 'records=all&limit=1');
  assert.ok(
    stage.reader.chunkBytes < logBytes / 2 + 200 * 45_000,
    `${stage.reader.chunkBytes} of ${logBytes}`,
  );
  const text = await within('the rest of it', readAll(socket));
  const lines = text
    .slice(text.indexOf('\r\n\r\n') + 4)
    .split('\n')
    .slice(0, -2);
  assert.deepEqual(
    lines.map((line) => /"event":(.*)\}$/.exec(line)![1]),
    stage.log.lines,
  );
});

test('where the reader ends, a stream is cut off, and is not taken for the end', async (t) => {
  const stage = await EventStage.start(t, SEED + 10);
  stage.append(20);
  const dying: LogReader = {
    open() {
      const items: FeedItem[] = [
        {
          type: 'chunk',
          feed: 1,
          lines: bytesOf(stage),
          records: 20,
          firstSeq: 1,
          nextSeq: 21,
          ...numbers(20),
        },
        { type: 'fault', feed: 1, kind: 'failed', message: 'the reader died' },
      ];
      return { next: async () => items.shift() ?? { type: 'end', feed: 1, nextSeq: 21 }, close() {} };
    },
  };
  const core = await startRest({ log: { reader: dying } });
  core.aggregator[AGGREGATOR.next_seq] = core.aggregator[AGGREGATOR.durable_seq] = 41;
  const { status, json } = await core.get('/api/v1/events?records=all&order=asc');
  assert.deepEqual([status, json.code], [503, 'UNAVAILABLE']);
  await assert.rejects(core.get('/api/v1/events?records=all&format=ndjson'), 'the answer is not complete');
  const stream = await core.get('/api/v1/events/stream?records=all&from=earliest');
  assert.match(stream.text, /\nid: 20\ndata: [^\n]*\n\n: the log cannot be read at present\n\n$/);
  assert.ok(core.logLines.some((line) => line.includes('the reader died')));
});

function bytesOf(stage: EventStage): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(stage.records.map(({ line }) => `${line}\n`).join('')));
}

function numbers(count: number) {
  return {
    seqs: Float64Array.from({ length: count }, (_, at) => at + 1),
    timesMs: new Float64Array(count).fill(STARTED_MS),
  };
}
