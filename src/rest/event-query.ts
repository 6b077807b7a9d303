/**
 * What may be asked of the log: `GET /api/v1/events` and its stream, as schemas, and as the filter and the start they
 * stand for. The same parameters as those of the WebSocket.
 *
 * Owned by main. Pure.
 */
import { type Static, Type } from 'typebox';
import { LIMITS } from '../limits.js';
import type { Filter, Start } from '../query/filter.js';
import { RestError } from './errors.js';
import { choice, query } from './schema-parts.js';

const DEFAULT_LIMIT = 100;
/** What a query may name: no log gets so far, and every number up to it is a number of JavaScript. */
const SEQ_MAX = 999_999_999_999_999;

function patterns(what: string, examples: readonly string[]) {
  return Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      maxItems: LIMITS.filterPatterns,
      description: `only ${what}; \`*\` stands for any run of characters; several with commas between them, or repeated`,
      examples: [examples],
    }),
  );
}

const time = (what: string, example: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: `only what Core received ${what}; ISO 8601, or ms since 1970`,
      examples: [example],
    }),
  );

const seq = (what: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: SEQ_MAX, description: what, examples: [4711] }));

const filterParameters = {
  node: patterns('records of these nodes, by name or by id', ['eu-*']),
  pot: patterns('events of honeypots with these ids', ['cowrie-1']),
  pot_type: patterns('events of honeypots of these types', ['cowrie']),
  event_type: patterns('events of these types', ['cowrie.login.*']),
  text: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: LIMITS.filterLength,
      description:
        'only events with this text in a key or a value of `data`, escapes resolved; upper and lower case differ',
      examples: ['203.0.113.7'],
    }),
  ),
  since: time('at that time or later', '2026-11-20T12:00:00Z'),
  until: time('before that time', '2026-11-21T00:00:00Z'),
  records: Type.Optional(
    choice(
      ['events', 'all'],
      'events of honeypots only, as without it, or everything that is in the log: registrations, status and so on',
    ),
  ),
};

export const EventsQuery = query({
  after: seq(
    'records behind this sequence number: `next` of the page before, or its `last_seq` for what has come since',
  ),
  before: seq('records in front of this sequence number: `next` of a page in descending order'),
  order: Type.Optional(
    choice(['asc', 'desc'], 'the oldest first, as with `after`, or the newest first, as without it'),
  ),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: SEQ_MAX,
      description: `records of a page, up to ${LIMITS.eventsPage}, ${DEFAULT_LIMIT} without it; as NDJSON: of the whole answer, and without it no limit`,
      examples: [DEFAULT_LIMIT],
    }),
  ),
  format: Type.Optional(
    choice(['json', 'ndjson'], 'the same as `Accept: application/json` or `application/x-ndjson`'),
  ),
  ...filterParameters,
});

export const EventStreamQuery = query({
  from: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description:
        '`latest`, as without it, `earliest`, the sequence number of the first record, or a time (ISO 8601); what a Last-Event-ID says comes first',
      examples: ['earliest'],
    }),
  ),
  last_event_id: seq('the same as the header Last-Event-ID, for clients that cannot set it'),
  ...filterParameters,
});

type FilterQuery = Pick<Static<typeof EventsQuery>, keyof typeof filterParameters>;

export interface EventsQuestion {
  readonly order: 'asc' | 'desc';
  readonly limit: number | undefined;
  /** Of [firstSeq, nextSeq). */
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly from: Start;
  readonly filter: Filter | undefined;
}

/** Throws a RestError that names the parameter. */
export function eventsQuestion(asked: Static<typeof EventsQuery>, isPage: boolean): EventsQuestion {
  const { after, before, limit } = asked;
  if (isPage && limit !== undefined && limit > LIMITS.eventsPage)
    throw wrong('limit', `is more than ${LIMITS.eventsPage}`);
  const filter = filterOf(asked);
  const order = asked.order ?? (after !== undefined || !isPage ? 'asc' : 'desc');
  const firstSeq = after === undefined ? 1 : after + 1;
  const nextSeq = before ?? Number.POSITIVE_INFINITY;
  const from: Start =
    order === 'asc' ? startAscending(after, filter?.sinceMs) : startDescending(before, filter?.untilMs);
  return { order, limit: limit ?? (isPage ? DEFAULT_LIMIT : undefined), firstSeq, nextSeq, from, filter };
}

function startAscending(after: number | undefined, sinceMs: number | undefined): Start {
  if (after !== undefined) return { kind: 'seq', seq: after + 1 };
  return sinceMs === undefined ? { kind: 'earliest' } : { kind: 'time', timeMs: sinceMs };
}

function startDescending(before: number | undefined, untilMs: number | undefined): Start {
  if (before !== undefined) return { kind: 'seq', seq: before };
  return untilMs === undefined ? { kind: 'latest' } : { kind: 'time', timeMs: untilMs };
}

export function filterOf(asked: FilterQuery): Filter | undefined {
  const nodes = listOf(asked.node, 'node');
  const pots = listOf(asked.pot, 'pot');
  const potTypes = listOf(asked.pot_type, 'pot_type');
  const eventTypes = listOf(asked.event_type, 'event_type');
  const { text } = asked;
  const sinceMs = asked.since === undefined ? undefined : timeOf(asked.since, 'since');
  const untilMs = asked.until === undefined ? undefined : timeOf(asked.until, 'until');
  const ofEvents = [pots, potTypes, eventTypes, text].some((part) => part !== undefined);
  const eventsOnly = asked.records !== 'all' || ofEvents;
  if (!eventsOnly && nodes === undefined && sinceMs === undefined && untilMs === undefined) return undefined;
  return { nodes, pots, potTypes, eventTypes, text, sinceMs, untilMs, eventsOnly };
}

function listOf(given: readonly string[] | undefined, field: string): readonly string[] | undefined {
  if (given === undefined) return undefined;
  const all = given.flatMap((text) => text.split(','));
  if (all.length > LIMITS.filterPatterns)
    throw wrong(field, `has more than ${LIMITS.filterPatterns} patterns`);
  if (all.some((pattern) => pattern === '')) throw wrong(field, 'has an empty pattern');
  if (all.some((pattern) => pattern.length > LIMITS.filterLength))
    throw wrong(field, `has a pattern longer than ${LIMITS.filterLength} characters`);
  return all;
}

export function startOf(text: string): Start {
  if (text === 'earliest' || text === 'latest') return { kind: text };
  if (/^[0-9]{1,15}$/.test(text)) return { kind: 'seq', seq: Number(text) };
  return { kind: 'time', timeMs: timeOf(text, 'from') };
}

/** The header of the client that comes again, or the parameter that stands for it. */
export function lastEventIdOf(header: string | string[] | undefined, parameter: number | undefined) {
  if (header === undefined || header === '') return parameter;
  const text = String(header);
  if (!/^[0-9]{1,15}$/.test(text)) throw wrong('last-event-id', 'is no id of this stream');
  return Number(text);
}

function timeOf(text: string, field: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs)) throw wrong(field, 'is no time: ISO 8601, or ms since 1970');
  return timeMs;
}

function wrong(field: string, detail: string): RestError {
  return new RestError('BAD_REQUEST', { field, detail: `${field} ${detail}` });
}
