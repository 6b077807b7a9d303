/** `GET /api/v1/events`: what is in the log, as pages or to the end, and `/api/v1/events/stream`: what comes, as it comes. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Start } from '../../query/filter.js';
import type { FeedRequest } from '../../replay/messages.js';
import type { RestApp } from '../app.js';
import { RestError, type RestErrorCode } from '../errors.js';
import type { EventFeeds, OpenFeed } from '../event-feeds.js';
import { collectPage } from '../event-page.js';
import {
  EventStreamQuery,
  EventsQuery,
  type EventsQuestion,
  eventsQuestion,
  filterOf,
  type LogEnds,
  startOf,
} from '../event-query.js';
import { FeedStream } from '../feed-stream.js';
import { JSON_TYPE } from '../json-text.js';
import { nextLink } from '../list.js';
import { NdjsonShape } from '../ndjson.js';
import { EventPage, NdjsonLines, ServerSentEvents } from '../schemas-events.js';
import { EventStreamShape } from '../sse.js';
import type { CoreView } from '../view.js';

const TAGS = ['events'];
const NDJSON_TYPE = 'application/x-ndjson';
const SSE_TYPE = 'text/event-stream';
const RETRY_SECONDS = '1';
const ERRORS: RestErrorCode[] = ['TOO_MANY_READERS', 'UNAVAILABLE'];

export function eventRoutes(app: RestApp, view: CoreView, feeds: EventFeeds): void {
  const ends = (): LogEnds => {
    const { next_seq, durable_seq } = view.stats().aggregator;
    return { nextSeq: next_seq, durableSeq: durable_seq };
  };

  app.get(
    '/api/v1/events',
    {
      config: { access: 'stream', scope: 'events', errors: ERRORS },
      schema: {
        operationId: 'listEvents',
        tags: TAGS,
        summary: 'events of the log',
        description: `By default the newest ones first, a page at a time. \`next\` is where the following page begins: \`before\` of it where the newest come first, \`after\` where the oldest do (as with \`after\`, or \`order=asc\`); null where there is nothing more. A page may be shorter than \`limit\`, even empty, and have a \`next\`: a search that takes long goes on in the next page. To be told what has come since, ask with \`after\` = \`last_seq\`.

With \`Accept: application/x-ndjson\` (or \`format=ndjson\`) the answer is a stream: a line per record, as fast as the client takes them, up to \`limit\` or the end of the log. Its last line is \`{"end":{..}}\`: without it the stream was cut off.

Records are given when they are durable. A sequence number that is gone (deleted by retention, damaged, lost with power before it was on the disk) is in \`gaps\`. A scoped token sees the events of its nodes and types.`,
        querystring: EventsQuery,
        response: {
          200: {
            description: 'a page, or all records as lines',
            content: {
              'application/json': { schema: EventPage },
              [NDJSON_TYPE]: { schema: NdjsonLines },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const isPage = !wantsNdjson(request, request.query.format);
      const question = eventsQuestion(request.query, isPage, ends());
      if (request.method === 'HEAD') return headOnly(reply, isPage ? JSON_TYPE : NDJSON_TYPE);
      const feed = open(feeds, request, reply, { ...question, follow: false });
      return isPage
        ? sendPage(request, reply, feed, question)
        : sendLines(reply, feed, new NdjsonShape(question));
    },
  );

  app.get(
    '/api/v1/events/stream',
    {
      config: { access: 'stream', scope: 'events', errors: ERRORS },
      schema: {
        operationId: 'streamEvents',
        tags: TAGS,
        summary: 'events as they come, as server-sent events',
        description: `\`id\` is the sequence number, \`data\` the record as it is in the log. Whoever is cut off asks again with \`Last-Event-ID\` (a browser's EventSource does so by itself) and misses nothing, and gets nothing twice. An \`event: gap\` names records that are not there. An id without data says that nothing up to there was for this client. The stream ends when Core stops, and when the token does.`,
        querystring: EventStreamQuery,
        response: {
          200: {
            description: 'records as they come',
            content: { [SSE_TYPE]: { schema: ServerSentEvents } },
          },
        },
      },
    },
    async (request, reply) => {
      const from = startOf(request.query, request.headers['last-event-id'], ends().nextSeq);
      const question = { from, filter: filterOf(request.query), order: 'asc', limit: undefined } as const;
      if (request.method === 'HEAD') return headOnly(reply, SSE_TYPE);
      const feed = open(feeds, request, reply, { ...question, follow: true });
      return sendStream(reply, new FeedStream(feed, new EventStreamShape(lastSeqOf(from))));
    },
  );
}

function open(
  feeds: EventFeeds,
  request: FastifyRequest,
  reply: FastifyReply,
  asked: Pick<EventsQuestion, 'from' | 'filter' | 'order' | 'limit'> & { readonly follow: boolean },
): OpenFeed {
  const { principal } = request;
  const wanted: FeedRequest = {
    from: asked.from,
    filter: asked.filter,
    scope: principal.scope,
    follow: asked.follow,
    durableOnly: true,
    numbered: true,
    maxRecords: asked.limit ?? 0,
    backwards: asked.order === 'desc',
  };
  try {
    const feed = feeds.open(wanted, principal);
    // Also where the client leaves before there is an answer. One that stands behind another on its connection is told
    // nothing when that ends: then it is the request that is.
    reply.raw.once('close', () => feed.close());
    request.raw.once('close', () => feed.close());
    if (request.raw.destroyed) feed.close();
    return feed;
  } catch (error) {
    if (error instanceof RestError) reply.header('retry-after', RETRY_SECONDS);
    throw error;
  }
}

async function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  feed: OpenFeed,
  question: EventsQuestion,
): Promise<FastifyReply> {
  const page = await collectPage(feed, question);
  // Whoever takes long to read the page does not keep the place in the reader meanwhile.
  feed.close();
  if (page.kind !== 'page') throw refusal(reply, page.kind === 'fault' && page.isBusy);
  if (page.next !== null)
    reply.header('link', nextLink(request, question.order === 'asc' ? 'after' : 'before', page.next));
  return reply.header('content-type', JSON_TYPE).send(page.body);
}

async function sendLines(reply: FastifyReply, feed: OpenFeed, shape: NdjsonShape): Promise<FastifyReply> {
  const first = await feed.next();
  if (first.type === 'fault' || feed.isClosed)
    throw refusal(reply, first.type === 'fault' && first.kind === 'busy');
  return reply.header('content-type', NDJSON_TYPE).send(new FeedStream(feed, shape, first));
}

function sendStream(reply: FastifyReply, stream: FeedStream): FastifyReply {
  // Proxies that collect answers before they pass them on would keep it for ever.
  return reply.header('content-type', SSE_TYPE).header('x-accel-buffering', 'no').send(stream);
}

/** What the client knows to be behind it. */
function lastSeqOf(from: Start): number {
  return from.kind === 'seq' ? from.seq - 1 : 0;
}

function refusal(reply: FastifyReply, isBusy: boolean): RestError {
  reply.header('retry-after', RETRY_SECONDS);
  return new RestError(isBusy ? 'TOO_MANY_READERS' : 'UNAVAILABLE');
}

/** Nobody would read it, and its length is only known once it is made. */
function headOnly(reply: FastifyReply, type: string): FastifyReply {
  return reply.header('content-type', type).send(Readable.from([]));
}

/** `format` says it for clients that cannot set a header. */
function wantsNdjson({ headers }: FastifyRequest, format: 'json' | 'ndjson' | undefined): boolean {
  if (format !== undefined) return format === 'ndjson';
  return /\bapplication\/(x-)?ndjson\b/i.test(headers.accept ?? '');
}
