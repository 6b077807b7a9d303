/**
 * What may be asked of the log: `GET /api/v1/events` and its stream, as schemas, and as the filter and the start they
 * stand for. The same parameters as those of the WebSocket.
 *
 * Owned by main. Pure.
 */
import { type Static, Type } from 'typebox';
import { LIMITS } from '../limits.js';
import type { Filter, Start } from '../query/filter.js';
import { FilterError, type FilterParameter, parseFilter, parseTime } from '../query/parse-filter.js';
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
      description: `only what Core received ${what}; ISO 8601, ms since 1970, or how long ago: 15m, 12h, 30d`,
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
        '`latest`, as without it, `earliest`, the sequence number of the first record, or a time; what a Last-Event-ID says comes first',
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

/** How far the log is: the number of the next record, and the first one that is not fsynced yet. */
export interface LogEnds {
  readonly nextSeq: number;
  readonly durableSeq: number;
}

/** Throws a RestError that names the parameter. */
export function eventsQuestion(
  asked: Static<typeof EventsQuery>,
  isPage: boolean,
  ends: LogEnds,
): EventsQuestion {
  const { after, before, limit } = asked;
  if (isPage && limit !== undefined && limit > LIMITS.eventsPage)
    throw wrong('limit', `is more than ${LIMITS.eventsPage}`);
  if (after !== undefined && after >= ends.nextSeq) throw wrong('after', beyond(ends.nextSeq));
  const filter = filterOf(asked);
  const order = asked.order ?? (after !== undefined || !isPage ? 'asc' : 'desc');
  const firstSeq = after === undefined ? 1 : after + 1;
  // What comes while the answer is made belongs to the next one.
  const nextSeq = Math.max(1, Math.min(before ?? ends.durableSeq, ends.durableSeq));
  const from: Start =
    // Backwards the reader itself begins where nothing later can pass `until`.
    order === 'asc' ? startAscending(after, filter) : { kind: 'seq', seq: nextSeq };
  return { order, limit: limit ?? (isPage ? DEFAULT_LIMIT : undefined), firstSeq, nextSeq, from, filter };
}

function startAscending(after: number | undefined, filter: Filter | undefined): Start {
  if (after !== undefined) return { kind: 'seq', seq: after + 1 };
  const sinceMs = filter?.sinceMs;
  return sinceMs === undefined ? { kind: 'earliest' } : { kind: 'time', timeMs: sinceMs };
}

/** Throws a RestError that names the parameter. Without `records` only events are meant: the route says so. */
export function filterOf(asked: FilterQuery): Filter | undefined {
  const values = (parameter: FilterParameter): readonly string[] => {
    const value = asked[parameter];
    return value === undefined ? [] : typeof value === 'string' ? [value] : value;
  };
  try {
    return parseFilter(values, Date.now(), true);
  } catch (error) {
    throw error instanceof FilterError ? wrong(error.parameter, error.message) : error;
  }
}

/** Where a stream begins; `endSeq` is the number of the next record. */
export function startOf(
  asked: Static<typeof EventStreamQuery>,
  header: string | string[] | undefined,
  endSeq: number,
): Start {
  const lastSeq = lastEventIdOf(header, asked.last_event_id);
  if (lastSeq !== undefined) {
    if (lastSeq >= endSeq) throw wrong('last-event-id', beyond(endSeq));
    return { kind: 'seq', seq: lastSeq + 1 };
  }
  const { from = 'latest' } = asked;
  // Now, and not when the reader comes to it: whoever has an answer gets everything that comes after it.
  if (from === 'latest') return { kind: 'seq', seq: endSeq };
  if (from === 'earliest') return { kind: 'earliest' };
  if (/^[1-9][0-9]{0,14}$/.test(from)) {
    const seq = Number(from);
    if (seq > endSeq) throw wrong('from', beyond(endSeq));
    return { kind: 'seq', seq };
  }
  const timeMs = parseTime(from, Date.now());
  if (timeMs === undefined)
    throw wrong(
      'from',
      'is neither a sequence number, nor earliest, latest, or a time (ISO 8601, or 15m ago)',
    );
  return { kind: 'time', timeMs };
}

/** The header of the client that comes again, or the parameter that stands for it. */
function lastEventIdOf(header: string | string[] | undefined, parameter: number | undefined) {
  if (header === undefined || header === '') return parameter;
  const text = String(header);
  if (!/^[0-9]{1,15}$/.test(text)) throw wrong('last-event-id', 'is no id of this stream');
  return Number(text);
}

function beyond(endSeq: number): string {
  return `lies beyond the end of the log: its next record gets ${endSeq}`;
}

function wrong(field: string, detail: string): RestError {
  return new RestError('BAD_REQUEST', { field, detail: `${field} ${detail}` });
}
