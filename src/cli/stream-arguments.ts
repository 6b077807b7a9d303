/** Where `tail` starts, and what it wants, as parameters of the WebSocket; checked here, where it can be said better. Pure. */
import { FILTER_PARAMETERS } from '../query/parse-filter.js';
import { filterOf, optionOf, startOf } from './log-arguments.js';
import { type Given, readable, usage } from './options.js';

type Query = readonly (readonly [name: string, value: string])[];

export function streamQuery({ options }: Given, nowMs: number): { readonly query?: Query } {
  const query: [string, string][] = [];
  const from = options.get('from')?.at(-1);
  if (from !== undefined) {
    if (from !== 'latest' && startOf(from, nowMs) === undefined)
      throw usage(`--from ${readable(from)} is no sequence number, no time, and neither earliest nor latest`);
    query.push(['from', from]);
  }
  // Whoever names a time that is over wants to see what came since, not to wait.
  const since = options.get('since')?.at(-1);
  if (from === undefined && since !== undefined) query.push(['from', since]);
  filterOf(options, undefined, nowMs);
  for (const parameter of FILTER_PARAMETERS)
    for (const value of options.get(optionOf(parameter)) ?? []) query.push([parameter, value]);
  return query.length === 0 ? {} : { query };
}
