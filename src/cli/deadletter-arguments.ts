/** What `honeybee-core deadletter` is told. Pure; nothing is read or written. */
import { nearest } from '../config/nearest.js';
import type { LetterFilter } from '../dead-letters/reader.js';
import { ERROR_CODES, type ErrorCode } from '../errors.js';
import { type Given, readable, usage } from './options.js';
import { parsePast } from './times.js';

export type DeadLetterAction =
  | { readonly do: 'list'; readonly filter: LetterFilter; readonly limit: number }
  | { readonly do: 'show'; readonly id: number }
  | { readonly do: 'export'; readonly filter: LetterFilter; readonly output: string | undefined }
  | {
      readonly do: 'replay';
      /** Or all that match. */
      readonly letters: { readonly ids: readonly number[] } | { readonly filter: LetterFilter };
      readonly file: string | undefined;
      readonly force: boolean;
      readonly dryRun: boolean;
    };

const VERBS = ['list', 'show', 'export', 'replay'] as const;
const FILTERS = ['code', 'node', 'since', 'until'] as const;
const DEFAULT_LIMIT = 50;
const LIMIT_MAX = 1_000_000;

/** Options that are for one of the verbs alone. */
const OWN: Readonly<Record<string, readonly string[]>> = {
  limit: ['list'],
  output: ['export'],
  file: ['replay'],
  all: ['replay'],
  force: ['replay'],
  'dry-run': ['replay'],
  json: ['list', 'show', 'replay'],
};

export function deadLetterAction(given: Given): DeadLetterAction {
  const [, verb, ...words] = given.words;
  if (verb === undefined) throw usage(`deadletter needs one of ${VERBS.join(', ')}`);
  if (!(VERBS as readonly string[]).includes(verb)) {
    const near = nearest(verb, VERBS);
    throw usage(
      `unknown: deadletter ${readable(verb)}${near ? `, did you mean ${near}?` : `; one of ${VERBS.join(', ')}`}`,
    );
  }
  for (const [option, verbs] of Object.entries(OWN))
    if (given.options.has(option) && !verbs.includes(verb))
      throw usage(`--${option} belongs to deadletter ${verbs.join(', deadletter ')}`);
  const filters = FILTERS.filter((name) => given.options.has(name));
  switch (verb as (typeof VERBS)[number]) {
    case 'list':
      none(words, verb);
      return { do: 'list', filter: filterOf(given), limit: limitOf(lastOf(given, 'limit')) };
    case 'export':
      none(words, verb);
      return { do: 'export', filter: filterOf(given), output: lastOf(given, 'output') };
    case 'show':
      if (words.length !== 1 || filters.length > 0)
        throw usage('deadletter show needs the number of one dead letter; deadletter list shows them');
      return { do: 'show', id: idOf(words[0]!) };
    case 'replay':
      return replay(given, words, filters);
  }
}

function replay(given: Given, words: readonly string[], filters: readonly string[]): DeadLetterAction {
  const file = lastOf(given, 'file');
  const flags = { file, force: given.options.has('force'), dryRun: given.options.has('dry-run') };
  if (given.options.has('all')) {
    if (words.length > 0) throw usage('deadletter replay takes numbers, or --all');
    if (filters.length === 0) throw usage('--all needs one of --code, --node, --since, --until: which ones');
    if (file !== undefined) throw usage('--file is a frame for one dead letter, not for --all');
    return { do: 'replay', letters: { filter: filterOf(given) }, ...flags };
  }
  if (filters.length > 0) throw usage(`--${filters[0]} goes with --all`);
  if (words.length === 0)
    throw usage('deadletter replay needs the numbers of dead letters, or --all; deadletter list shows them');
  if (file !== undefined && words.length > 1) throw usage('--file is a frame for one dead letter');
  return { do: 'replay', letters: { ids: words.map(idOf) }, ...flags };
}

function filterOf(given: Given): LetterFilter {
  const codes = given.options.get('code')?.flatMap((text) => text.split(','));
  for (const code of codes ?? []) {
    if ((ERROR_CODES as readonly string[]).includes(code)) continue;
    const near = nearest(code, ERROR_CODES);
    throw usage(
      `--code ${readable(code)} is no error code${near ? `, did you mean ${near}?` : `; one of ${ERROR_CODES.join(', ')}`}`,
    );
  }
  return {
    codes: codes as ErrorCode[] | undefined,
    node: lastOf(given, 'node'),
    sinceMs: timeOf(given, 'since'),
    untilMs: timeOf(given, 'until'),
  };
}

function timeOf(given: Given, name: string): number | undefined {
  const text = lastOf(given, name);
  if (text === undefined) return undefined;
  const timeMs = parsePast(text, Date.now());
  if (timeMs !== undefined) return timeMs;
  throw usage(
    `--${name} ${readable(text)} is neither a time ago such as 2h or 30d, nor a day or time such as 2026-11-20T12:00:00Z`,
  );
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT;
  const limit = /^[1-9]\d{0,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw usage(`--limit ${readable(text)} is no number from 1 to ${LIMIT_MAX}`);
}

function idOf(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw usage(`${readable(text)} is no number of a dead letter`);
}

function none(words: readonly string[], verb: string): void {
  if (words.length > 0) throw usage(`unexpected argument ${readable(words[0]!)} behind deadletter ${verb}`);
}

function lastOf({ options }: Given, name: string): string | undefined {
  return options.get(name)?.at(-1);
}
