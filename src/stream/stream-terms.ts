/**
 * What the query of an upgrade asks for:
 *
 *   batch=1                        many records in a message
 *   from=N | earliest | latest | TIME | 15m   where to start
 *   consumer=NAME                  a cursor of that name: goes on where it stopped
 *   durable=1                      only what is fsynced
 *   node, pot, pot_type, event_type, text, since, until, records    a filter, see query/parse-filter.ts
 *
 * Runs in the aggregator; pure. What cannot be understood is refused, with the parameter named. Unknown parameters
 * are let be: clients and proxies add their own.
 */
import { LIMITS } from '../limits.js';
import type { Filter, Start } from '../query/filter.js';
import { FilterError, parseFilter, parseTime } from '../query/parse-filter.js';

export interface Asked {
  readonly batch: boolean;
  readonly durableOnly: boolean;
  /** Undefined where nothing was said about it. */
  readonly from: Start | undefined;
  readonly filter: Filter | undefined;
  /** Of a named consumer. */
  readonly name: string | undefined;
  /** What only the log knows to be wrong with it: told to nobody before they have been let in. */
  readonly bad: BadParameter | undefined;
}

/** An HTTP 400. */
export class BadParameter extends Error {
  readonly parameter: string;
  readonly nextSeq: number | undefined;

  constructor(parameter: string, message: string, nextSeq?: number) {
    super(message);
    this.parameter = parameter;
    this.nextSeq = nextSeq;
  }

  get json(): string {
    return JSON.stringify({
      error: `${this.parameter} ${this.message}`,
      parameter: this.parameter,
      ...(this.nextSeq !== undefined && { next_seq: this.nextSeq }),
    });
  }
}

const NAME = /^[A-Za-z0-9._-]+$/;

/** `nextSeq`: where the log ends. Throws a BadParameter. */
export function readAsked(query: string, nowMs: number, nextSeq: number): Asked {
  const parameters = new URLSearchParams(query);
  const from = readFrom(only(parameters, 'from'), nowMs);
  return {
    batch: parameters.get('batch') === '1',
    durableOnly: flag(parameters, 'durable'),
    from,
    filter: readFilter(parameters, nowMs),
    name: readName(only(parameters, 'consumer')),
    bad: beyondEnd(from, nextSeq),
  };
}

/**
 * Numbers are never given twice, so a start beyond the end comes of another log than this one. Whoever waited for it would
 * wait for records that have nothing to do with those it has.
 */
function beyondEnd(from: Start | undefined, nextSeq: number): BadParameter | undefined {
  if (from?.kind !== 'seq' || from.seq <= nextSeq) return undefined;
  return new BadParameter('from', `lies beyond the end of the log, which is ${nextSeq}`, nextSeq);
}

function readName(name: string | undefined): string | undefined {
  if (name === undefined || (NAME.test(name) && name.length <= LIMITS.consumerNameLength)) return name;
  throw new BadParameter(
    'consumer',
    `is no name: 1 to ${LIMITS.consumerNameLength} of A-Z, a-z, 0-9, dot, underscore and hyphen`,
  );
}

function readFrom(text: string | undefined, nowMs: number): Start | undefined {
  if (text === undefined) return undefined;
  if (text === 'earliest' || text === 'latest') return { kind: text };
  if (/^\d{1,16}$/.test(text)) {
    const seq = Number(text);
    if (seq < 1) throw new BadParameter('from', 'is no sequence number: they begin with 1');
    if (!Number.isSafeInteger(seq)) throw new BadParameter('from', 'is no sequence number: too large');
    return { kind: 'seq', seq };
  }
  const timeMs = /^\d+$/.test(text) ? undefined : parseTime(text, nowMs);
  if (timeMs === undefined)
    throw new BadParameter(
      'from',
      'is neither a sequence number, nor earliest, latest, a time (2026-11-21T16:00:00Z) or how long ago (15m)',
    );
  if (timeMs > nowMs) throw new BadParameter('from', 'is a time to come');
  return { kind: 'time', timeMs };
}

function readFilter(parameters: URLSearchParams, nowMs: number): Filter | undefined {
  try {
    return parseFilter((parameter) => parameters.getAll(parameter), nowMs);
  } catch (error) {
    if (error instanceof FilterError) throw new BadParameter(error.parameter, error.message);
    throw error;
  }
}

function flag(parameters: URLSearchParams, name: string): boolean {
  const text = only(parameters, name);
  if (text === undefined || text === '0') return false;
  if (text === '1') return true;
  throw new BadParameter(name, 'is neither 0 nor 1');
}

function only(parameters: URLSearchParams, name: string): string | undefined {
  const all = parameters.getAll(name);
  if (all.length > 1) throw new BadParameter(name, 'is given more than once');
  return all[0];
}
