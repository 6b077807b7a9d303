/** What stands behind `honeybee-core log`. Pure; nothing is read or written. */
import { nearest } from '../config/nearest.js';
import type { Filter, Start } from '../query/filter.js';
import {
  FILTER_PARAMETERS,
  FilterError,
  type FilterParameter,
  parseFilter,
  parseTime,
} from '../query/parse-filter.js';
import { type Given, type OptionName, readable, usage } from './options.js';

export type LogAction =
  | {
      readonly do: 'verify';
      readonly publicKeys: readonly string[];
      /** Hexadecimal. */
      readonly chain?: string;
    }
  | CatAction
  | { readonly do: 'repair' }
  | { readonly do: 'stat' };

export interface CatAction {
  readonly do: 'cat';
  readonly from: Start;
  /** Up to this number, not including it. */
  readonly to: number | undefined;
  readonly filter: Filter | undefined;
  readonly numbered: boolean;
}

/** Options that belong to one of them. */
const OWN: Readonly<Partial<Record<OptionName, LogAction['do']>>> = {
  'public-key': 'verify',
  chain: 'verify',
  from: 'cat',
  to: 'cat',
  numbered: 'cat',
  ...Object.fromEntries(FILTER_PARAMETERS.map((name) => [optionOf(name), 'cat'])),
};
const VERBS = ['cat', 'verify', 'repair', 'stat'] as const;

/** `nowMs`: what ages are counted from. */
export function logAction(given: Given, nowMs: number): LogAction {
  const { words, options } = given;
  const [, verb] = words;
  if (verb === undefined) throw usage(`log needs one of ${VERBS.join(', ')}`);
  for (const [name, owner] of Object.entries(OWN))
    if (options.has(name) && verb !== owner && isVerb(verb)) throw usage(`--${name} belongs to log ${owner}`);
  switch (verb) {
    case 'verify': {
      const chain = options.get('chain')?.at(-1);
      if (chain !== undefined && !/^[0-9a-f]{64}$/.test(chain))
        throw usage(`--chain ${readable(chain)} is no chain: 64 hexadecimal digits`);
      return {
        do: 'verify',
        publicKeys: options.get('public-key') ?? [],
        ...(chain === undefined ? {} : { chain }),
      };
    }
    case 'cat':
      return catAction(given, nowMs);
    case 'repair':
      return { do: 'repair' };
    case 'stat':
      return { do: 'stat' };
    default: {
      const near = nearest(verb, VERBS);
      throw usage(
        `unknown: log ${readable(verb)}${near ? `, did you mean ${near}?` : `; one of ${VERBS.join(', ')}`}`,
      );
    }
  }
}

function catAction({ options }: Given, nowMs: number): CatAction {
  const from = options.get('from')?.at(-1);
  const to = options.get('to')?.at(-1);
  const start = from === undefined ? EARLIEST : startOf(from, nowMs);
  if (start === undefined)
    throw usage(`--from ${readable(from!)} is no sequence number, no time, and not earliest`);
  const toSeq = to !== undefined && /^\d{1,15}$/.test(to) ? Number(to) : undefined;
  const untilMs = to === undefined || toSeq !== undefined ? undefined : parseTime(to, nowMs);
  if (to !== undefined && toSeq === undefined && untilMs === undefined)
    throw usage(`--to ${readable(to)} is neither a sequence number nor a time`);
  if (untilMs !== undefined && options.has('until'))
    throw usage('--to and --until say the same: one of the two');
  return {
    do: 'cat',
    from: start,
    to: toSeq,
    filter: filterOf(options, untilMs, nowMs),
    numbered: options.has('numbered'),
  };
}

const EARLIEST: Start = { kind: 'earliest' };

export function startOf(text: string, nowMs: number): Start | undefined {
  if (text === 'earliest') return EARLIEST;
  if (/^\d{1,15}$/.test(text)) return { kind: 'seq', seq: Math.max(1, Number(text)) };
  const timeMs = parseTime(text, nowMs);
  return timeMs === undefined ? undefined : { kind: 'time', timeMs };
}

export function filterOf(
  options: Given['options'],
  untilMs: number | undefined,
  nowMs: number,
): Filter | undefined {
  const valuesOf = (parameter: FilterParameter): readonly string[] => {
    if (parameter === 'until' && untilMs !== undefined) return [new Date(untilMs).toISOString()];
    return options.get(optionOf(parameter)) ?? [];
  };
  try {
    return parseFilter(valuesOf, nowMs);
  } catch (error) {
    if (error instanceof FilterError) throw usage(`--${optionOf(error.parameter)} ${error.message}`);
    throw error;
  }
}

/** `pot_type` in a query is --pot-type. */
export function optionOf(parameter: FilterParameter): OptionName {
  return parameter.replace('_', '-') as OptionName;
}

function isVerb(text: string): boolean {
  return (VERBS as readonly string[]).includes(text);
}
