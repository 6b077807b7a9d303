/**
 * Reads a filter from parameters: of a WebSocket's query, of GET /api/v1/events, and of the command line, whose options have the
 * same names. One grammar for all of them:
 *
 *   node=NAME,NAME*,7      names of nodes (`*` for any run of characters) or their ids
 *   pot, pot_type, event_type=PATTERN,...
 *   text=TEXT              in a key or a value of `data`; a comma is a comma
 *   since, until=TIME      2026-11-21T16:00:00Z, 2026-11-21, ms since 1970, or 15m (ago)
 *   records=events|all     without notices and status updates, or with them
 *
 * Any thread; pure.
 */
import { LIMITS } from '../limits.js';
import type { Filter } from './filter.js';

/** What `parseFilter` looks at; the rest is somebody else's. */
export const FILTER_PARAMETERS = [
  'node',
  'pot',
  'pot_type',
  'event_type',
  'text',
  'since',
  'until',
  'records',
] as const;

export type FilterParameter = (typeof FILTER_PARAMETERS)[number];

/** What is wrong, for whoever wrote it: `parameter` and then the message makes a sentence. */
export class FilterError extends Error {
  readonly parameter: FilterParameter;

  constructor(parameter: FilterParameter, message: string) {
    super(message);
    this.parameter = parameter;
  }
}

/** All values of a parameter, in order; empty where it was not given. */
export type ValuesOf = (parameter: FilterParameter) => readonly string[];

/**
 * Undefined where nothing is asked for. `eventsOnly`: what it is where `records` does not say.
 * @throws {FilterError}
 */
export function parseFilter(values: ValuesOf, nowMs: number, eventsOnly = false): Filter | undefined {
  const nodes = patterns('node', values);
  const pots = patterns('pot', values);
  const potTypes = patterns('pot_type', values);
  const eventTypes = patterns('event_type', values);
  const text = only('text', values);
  if (text !== undefined) checkLength('text', text);
  const sinceMs = time('since', values, nowMs);
  const untilMs = time('until', values, nowMs);
  if (sinceMs !== undefined && untilMs !== undefined && untilMs <= sinceMs)
    throw new FilterError('until', 'is not later than since');
  const ofEvents = [pots, potTypes, eventTypes, text].some((condition) => condition !== undefined);
  const filter: Filter = {
    nodes,
    pots,
    potTypes,
    eventTypes,
    text,
    sinceMs,
    untilMs,
    eventsOnly: recordsAsked(values, ofEvents) ?? (ofEvents || eventsOnly),
  };
  const isAnything =
    ofEvents || nodes !== undefined || sinceMs !== undefined || untilMs !== undefined || filter.eventsOnly;
  return isAnything ? filter : undefined;
}

/** ISO 8601, ms since 1970, or how long ago; undefined where the text is none of these. */
export function parseTime(text: string, nowMs: number): number | undefined {
  const ago = /^([1-9]\d{0,8})(ms|s|m|h|d|w)$/.exec(text);
  if (ago !== null) return Math.max(0, nowMs - Number(ago[1]) * UNIT_MS[ago[2] as keyof typeof UNIT_MS]);
  if (/^\d{11,15}$/.test(text)) return Number(text);
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text))
    return undefined;
  // A plus sign in a query is a blank, and times have one. A missing zone means UTC.
  const zoned = text.length === 10 || /(Z|[+-]\d\d:?\d\d)$/.test(text.slice(10)) ? text : `${text}Z`;
  const timeMs = Date.parse(zoned.replace(' ', 'T'));
  if (Number.isNaN(timeMs)) return undefined;
  // 2027-02-31 would be taken for a day in March.
  const day = Date.parse(text.slice(0, 10));
  return new Date(day).toISOString().startsWith(text.slice(0, 10)) ? timeMs : undefined;
}

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

function patterns(parameter: FilterParameter, values: ValuesOf): readonly string[] | undefined {
  const given = values(parameter);
  if (given.length === 0) return undefined;
  const all = given.flatMap((value) => value.split(','));
  if (all.length > LIMITS.filterPatterns)
    throw new FilterError(parameter, `has more than ${LIMITS.filterPatterns} patterns`);
  for (const pattern of all) checkLength(parameter, pattern);
  return [...new Set(all)];
}

function checkLength(parameter: FilterParameter, text: string): void {
  if (text === '') throw new FilterError(parameter, 'is empty');
  if (text.length > LIMITS.filterLength)
    throw new FilterError(parameter, `is longer than ${LIMITS.filterLength} characters`);
}

function only(parameter: FilterParameter, values: ValuesOf): string | undefined {
  const given = values(parameter);
  if (given.length > 1) throw new FilterError(parameter, 'is given more than once');
  return given[0];
}

function time(parameter: 'since' | 'until', values: ValuesOf, nowMs: number): number | undefined {
  const text = only(parameter, values);
  if (text === undefined) return undefined;
  const timeMs = parseTime(text, nowMs);
  if (timeMs === undefined)
    throw new FilterError(
      parameter,
      'is no time: 2026-11-21T16:00:00Z, a day, ms since 1970, or how long ago (15m, 12h, 30d)',
    );
  return timeMs;
}

function recordsAsked(values: ValuesOf, ofEvents: boolean): boolean | undefined {
  const text = only('records', values);
  if (text === undefined) return undefined;
  if (text !== 'events' && text !== 'all') throw new FilterError('records', 'is neither events nor all');
  if (text === 'all' && ofEvents)
    throw new FilterError('records', 'is all, but pot, pot_type, event_type and text only concern events');
  return text === 'events';
}
