/**
 * GET /api/v1/events/stream over a real log: whoever is cut off, wherever, and asks again with the last id it has, has
 * everything once; nothing in a record can end or begin an event; and a stream ends with what it was opened for.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Principal } from '../src/access/principal.js';
import { ANONYMOUS_OPEN } from '../src/access/principals.js';
import { NO_LIMIT } from '../src/access/scope.js';
import type { FeedItem } from '../src/replay/log-reader.js';
import { EventFeeds } from '../src/rest/event-feeds.js';
import { FeedStream } from '../src/rest/feed-stream.js';
import { REST_LIMITS } from '../src/rest/limits.js';
import { afterwards, type Cleanup } from './core-process.js';
import { poll, Watched, within } from './deadline.js';
import { EventStage } from './event-stage.js';
import { EVERYTHING } from './log-stage.js';

const SEED = 20_261_122;
const FEED = { ...EVERYTHING, follow: true };
const END: FeedItem = { type: 'end', feed: 1, nextSeq: 1 };

interface ServerSentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

/** As browsers read it (WHATWG HTML, 9.2.6): any of the three ends of a line, fields, a blank line. */
class EventSourceParser {
  lastEventId = '';
  readonly events = new Watched<ServerSentEvent>();
  comments: string[] = [];
  #rest = '';
  #id = '';
  #event = '';
  #data: string[] = [];

  feed(text: string): void {
    this.#rest += text;
    for (;;) {
      const end = /\r\n|\r(?!$)|\n/.exec(this.#rest);
      if (end === null) return;
      this.#line(this.#rest.slice(0, end.index));
      this.#rest = this.#rest.slice(end.index + end[0].length);
    }
  }

  #line(line: string): void {
    if (line === '') {
      this.lastEventId = this.#id;
      if (this.#data.length > 0)
        this.events.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') });
      this.#event = '';
      this.#data = [];
      return;
    }
    if (line.startsWith(':')) {
      this.comments.push(line.slice(1).trim());
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'id') this.#id = value;
    else if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field !== 'retry') assert.fail(`a field that is none of ours: ${line.slice(0, 100)}`);
  }
}

class StreamReader {
  readonly parser = new EventSourceParser();
  readonly socket: Socket;
  head = '';
  readonly closed: Promise<unknown>;

  /** HTTP/1.0: the body is not in chunks. */
  static async open(
    cleanup: Cleanup,
    stage: EventStage,
    query: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<StreamReader> {
    const socket = await stage.core.connect();
    afterwards(cleanup, () => socket.destroy());
    const reader = new StreamReader(socket);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET /api/v1/events/stream?${query} HTTP/1.0\r\n${lines.join('')}\r\n`);
    await poll('an answer', () => reader.head !== '' || undefined);
    return reader;
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = once(socket, 'close');
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      if (this.head !== '') {
        this.parser.feed(part);
        return;
      }
      text += part;
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      this.head = text.slice(0, end);
      this.parser.feed(text.slice(end + 4));
    });
  }

  get all(): readonly ServerSentEvent[] {
    return this.parser.events.all;
  }

  /** Until so many events have come. */
  async has(count: number): Promise<void> {
    await poll(
      `${count} events`,
      () => this.all.length >= count || undefined,
      undefined,
      () => JSON.stringify(this.all.at(-1)),
    );
  }
}

/** A carriage return between tokens becomes a blank; what else there is stays. */
function sent(line: string): string {
  return line.replaceAll('\r', ' ');
}

test('cut off at every id and come again: everything once, in order', async (t) => {
  const stage = await EventStage.start(t, SEED, 4_000);
  stage.append(60);
  for (let seq = 0; seq <= 60; seq++) {
    const by = seq % 2 === 0 ? { 'last-event-id': String(seq) } : {};
    const query = seq % 2 === 0 ? 'records=all' : `records=all&last_event_id=${seq}`;
    const reader = await StreamReader.open(t, stage, query, by as Record<string, string>);
    await reader.has(60 - seq);
    assert.deepEqual(
      reader.all,
      stage.records
        .slice(seq)
        .map((record) => ({ id: String(record.seq), event: 'message', data: sent(record.line) })),
    );
    reader.socket.destroy();
  }
  await poll('no feed is left', () => stage.reader.open_ === 0 || undefined);
});

test('a client that is cut off again and again, at any byte, while events come: everything once', async (t) => {
  const stage = await EventStage.start(t, SEED + 1, 4_000);
  stage.append(30);
  const wanted = () => stage.records.filter(({ isEvent, node }) => isEvent && node.startsWith('eu-'));
  const got: ServerSentEvent[] = [];
  let lastEventId = '0';
  for (let round = 0; round < 40; round++) {
    stage.append(stage.random.between(0, 12));
    const reader = await StreamReader.open(t, stage, 'node=eu-*', { 'last-event-id': lastEventId });
    if (round === 39) await reader.has(wanted().length - got.length);
    else await reader.has(stage.random.below(wanted().length - got.length + 1));
    reader.socket.destroy();
    got.push(...reader.all);
    const reached = reader.parser.lastEventId || lastEventId;
    assert.ok(Number(reached) >= Number(lastEventId));
    lastEventId = reached;
  }
  assert.deepEqual(
    got.map(({ id, data }) => [id, data]),
    wanted().map(({ seq, line }) => [String(seq), sent(line)]),
  );
});

test('without a word it begins with what comes, and an id alone moves it past what was not for it', async (t) => {
  const stage = await EventStage.start(t, SEED + 2);
  stage.append(50);
  const reader = await StreamReader.open(t, stage, 'node=nobody');
  const live = await StreamReader.open(t, stage, 'records=all');
  stage.append(20);
  await live.has(20);
  assert.equal(live.all[0]!.id, '51');
  await poll('the filtered one is moved on', () => Number(reader.parser.lastEventId) === 70 || undefined);
  assert.deepEqual(reader.all, []);
  assert.match(reader.head, /content-type: text\/event-stream/i);
  const from = await StreamReader.open(t, stage, 'records=all&from=60');
  await from.has(11);
  assert.equal(from.all[0]!.id, '60');
});

test('nothing that a node writes ends a line or begins an event', async (t) => {
  const stage = await EventStage.start(t, SEED + 3);
  const nasty = [
    '{"version":2,\r"message":{\r\r"PotEvent":{"node_id":7,\r"pot_id":"a"}}}',
    '{"version":2,"message":\r{"PotEvent":{"node_id":7}}\r}',
    '{"data":"\\r\\ndata: x\\n\\nid: 9\\n\\n","\u2028":"\u2029\u0085"}',
    '{"x":"event: gap"}\r\r',
    '{"a":1}\r',
  ];
  stage.log.append(nasty);
  stage.count();
  const reader = await StreamReader.open(t, stage, 'records=all&from=earliest');
  await reader.has(nasty.length);
  assert.deepEqual(
    reader.all,
    nasty.map((line, at) => ({ id: String(at + 1), event: 'message', data: sent(line) })),
  );
  for (const [at, { data }] of reader.all.entries())
    assert.deepEqual(JSON.parse(data), JSON.parse(nasty[at]!));
});

test('records that are gone are a gap with its own id, and come once', async (t) => {
  const stage = await EventStage.start(t, SEED + 4, 2_000);
  stage.append(100);
  const folder = join(stage.log.dir, 'log');
  const segments = readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .sort();
  const firstLeft = Number(segments[2]!.slice(0, 20));
  for (const name of segments.slice(0, 2))
    for (const file of [name, name.replace('.ndjson', '.idx')]) rmSync(join(folder, file));
  const reader = await StreamReader.open(t, stage, 'records=all&last_event_id=0');
  await reader.has(1 + 100 - firstLeft + 1);
  const [gap, next] = reader.all;
  assert.equal(gap!.event, 'gap');
  assert.equal(gap!.id, String(firstLeft - 1));
  assert.deepEqual(JSON.parse(gap!.data), {
    first_seq: 1,
    last_seq: firstLeft - 1,
    records: firstLeft - 1,
    reason: 'retention',
  });
  assert.equal(next!.id, String(firstLeft));
});

test('it ends with its token, with open access, and with Core, and says why', async (t) => {
  const stage = await EventStage.start(t, SEED + 5);
  stage.append(5);
  const principal = (tokenId: string): Principal => ({
    kind: 'token',
    tokenId,
    name: tokenId,
    roles: new Set(['stream']),
    scope: NO_LIMIT,
    expiresMs: null,
  });
  for (const name of ['one', 'two']) stage.core.principals.set(name, principal(name));
  const one = await StreamReader.open(t, stage, '', { authorization: 'Bearer one' });
  const two = await StreamReader.open(t, stage, '', { authorization: 'Bearer two' });
  const open = await StreamReader.open(t, stage, '');
  for (const tell of stage.core.accessSubscribers) tell({ kind: 'revoked', tokenId: 'one' });
  await within('the first one ends', one.closed);
  assert.deepEqual(one.parser.comments, ['the token is revoked']);
  for (const tell of stage.core.accessSubscribers) tell({ kind: 'no-longer-open' });
  await within('open access ends', open.closed);
  assert.deepEqual(open.parser.comments, ['a token is needed by now']);
  assert.equal(stage.reader.open_, 1);
  stage.append(5);
  await two.has(1);
  void stage.core.server.close();
  await within('Core stops', two.closed);
  assert.deepEqual(two.parser.comments, ['Core is stopping']);
  assert.equal(stage.core.accessSubscribers.size, 0);
});

test('a page that is made keeps no place in the reader while its client is busy with something else', async (t) => {
  const stage = await EventStage.start(t, SEED + 7);
  stage.append(50);
  const socket = await stage.core.connect();
  afterwards(t, () => socket.destroy());
  socket.resume();
  // The page stands behind a stream that does not end.
  socket.write('GET /api/v1/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n');
  socket.write('GET /api/v1/events?limit=1 HTTP/1.1\r\nhost: localhost\r\n\r\n');
  await poll('both are asked for', () => stage.reader.most === 2 || undefined);
  await poll('the page is made', () => stage.reader.open_ === 1 || undefined);
  assert.equal(socket.destroyed, false);
});

test('where there is nothing to say, it says so, and HEAD asks nothing of the log', async (t) => {
  const stage = await EventStage.start(t, SEED + 6);
  const head = await stage.core.get('/api/v1/events/stream', 'HEAD');
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.match(String(head.headers['content-type']), /^text\/event-stream/);
  assert.equal(stage.reader.most, 0);
  assert.equal(REST_LIMITS.streamHeartbeatMs * 2 <= REST_LIMITS.connectionTimeoutMs, true);
});

test('where the log has nothing to say a stream does, and to nobody who does not take it', async () => {
  const feeds = new EventFeeds(
    {
      open() {
        let end: (item: FeedItem) => void = () => {};
        const last = new Promise<FeedItem>((resolve) => {
          end = resolve;
        });
        return { next: () => last, close: () => end(END) };
      },
    },
    { onChange: () => () => {} },
    { warn: () => {} },
  );
  const shape = {
    heartbeat: { text: ':\n\n', everyMs: 5 },
    isDone: false,
    item: () => '',
    ending: () => '',
  };
  const stream = new FeedStream(feeds.open(FEED, ANONYMOUS_OPEN), shape);
  const other = new FeedStream(feeds.open(FEED, ANONYMOUS_OPEN), shape);
  let heartbeats = 0;
  other.on('data', () => {
    heartbeats += 1;
  });
  stream.pause();
  await poll('another one has had many', () => heartbeats > 20 || undefined);
  assert.equal(stream.readableLength, 3, 'one, until it is taken');
  const taken: string[] = [];
  stream.setEncoding('utf8').on('data', (text: string) => taken.push(text));
  stream.resume();
  await poll('more of them', () => taken.length > 2 || undefined);
  stream.destroy();
  other.destroy();
  assert.equal(feeds.size, 0);
});
