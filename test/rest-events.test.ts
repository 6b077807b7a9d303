/**
 * GET /api/v1/events over a real log: pages, put together, are the log; what is asked for is what is given; lines are
 * complete or say that they are not; and nobody who leaves leaves a feed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventStage, type StoredRecord } from './event-stage.js';

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
  stage.append(700);
  for (let round = 0; round < 40; round++) {
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
    assert.equal(text, wanted.map(elementOf).join(','), `seed ${SEED}, round ${round}: ${parameters}`);
    for (const { events, gaps, first_seq, last_seq } of pages) {
      assert.deepEqual(gaps, []);
      for (const { seq } of events) assert.ok(seq >= first_seq && seq <= last_seq);
    }
  }
  assert.equal(stage.reader.open_, 0);
});
