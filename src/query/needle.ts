/**
 * What must stand in every record that a filter lets through, so that lines without it need not be read: the rarest piece of
 * text of its conditions. In JSON a text can be written in several ways; a line with an escape that could stand for a
 * character of the needle is a candidate, too. So the search may find too much, never too little.
 *
 *   needle  "10.0.0.7"     found: 10.0.0.7     found: 10.0.0.\u0037     not found: \u000a, \n, \"
 *
 * Any thread; pure.
 */
import type { Filter } from './filter.js';

export interface Needle {
  readonly bytes: Buffer;
  /** Which code units below 256 it has, a byte each, 0 or 1: `\u00XX` of one of them may hide it. */
  readonly units: Uint8Array;
  /** It has others: any `\uXXXX` of 256 and above may. */
  readonly wide: boolean;
}

/** Shorter ones stand in every line. */
const MIN_LENGTH = 3;

/** Undefined: every line has to be read. */
export function needleOf(filter: Filter | undefined): Needle | undefined {
  if (filter === undefined) return undefined;
  // Rarest first, as a rule: a text somebody looks for, a node, a pot, a type of event.
  const id = filter.nodes?.length === 1 && /^\d+$/.test(filter.nodes[0]!) ? filter.nodes[0] : undefined;
  const pieces = [
    filter.text === undefined ? '' : longest(filter.text.split(NEVER_RAW)),
    id ?? '',
    ...[filter.pots, filter.eventTypes, filter.potTypes].map((patterns) =>
      patterns?.length === 1 ? longest(patterns[0]!.split('*').flatMap((part) => part.split(NEVER_RAW))) : '',
    ),
  ];
  const best = pieces.find((piece) => Buffer.byteLength(piece) >= MIN_LENGTH);
  if (best === undefined) return undefined;
  const units = new Uint8Array(256);
  let wide = false;
  for (let i = 0; i < best.length; i++) {
    const unit = best.charCodeAt(i);
    if (unit < 256) units[unit] = 1;
    else wide = true;
  }
  return { bytes: Buffer.from(best, 'utf8'), units, wide };
}

/** Characters that have escapes of their own in JSON, and halves of surrogate pairs, which UTF-8 cannot hold. */
const NEVER_RAW = /["\\/\p{Cc}\p{Cs}]/u;

function longest(parts: readonly string[]): string {
  return parts.reduce((best, part) => (part.length > best.length ? part : best), '');
}
