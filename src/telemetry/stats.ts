/**
 * Turns the counters in shared memory into what REST and metrics show: totals, per shard, and rates.
 *
 * Owned by main, which only reads the blocks. It never counts anything itself. What a dead shard had counted is kept
 * when its block is retired, so that no total ever goes back, neither over all shards nor of one shard number.
 */
import { ERROR_CODES, type ErrorCode } from '../errors.js';
import {
  AGGREGATOR,
  AGGREGATOR_FIELDS,
  type AggregatorField,
  SHARD,
  SHARD_FIELDS,
  type ShardField,
} from '../memory/counters.js';

/** What rates are given for: shard counters summed over all shards, `refused` over all codes, aggregator counters. */
export const RATE_FIELDS = [
  'frames',
  'records',
  'events',
  'refused',
  'bytes_in',
  'bytes_logged',
  'messages_sent',
  'bytes_sent',
] as const;

export type RateField = (typeof RATE_FIELDS)[number];
/** Per second. */
export type Rates = Readonly<Record<RateField, number>>;

export interface ShardStats {
  readonly shard: number;
  /** False between the death of a shard and the start of the next one in its place. */
  readonly alive: boolean;
  /** Blocks retired so far: how often this shard died. */
  readonly deaths: number;
  readonly counters: Readonly<Record<ShardField, number>>;
  readonly refused: number;
}

export interface StatsSnapshot {
  readonly totals: Readonly<Record<ShardField, number>>;
  /** Refused frames, all codes. */
  readonly refused: number;
  readonly errors: Readonly<Record<ErrorCode, number>>;
  readonly shards: readonly ShardStats[];
  readonly aggregator: Readonly<Record<AggregatorField, number>>;
  readonly rates: { readonly last1s: Rates; readonly last10s: Rates; readonly last60s: Rates };
}

/** One sample a second, and the longest window needs one more than its seconds. */
const SAMPLES = 61;
/** Samples closer together than this are not taken, or the ring would not reach back far enough. */
const MIN_SAMPLE_GAP_MS = 900;
/** A sample so much younger than its window still serves it: timers fire early and late. */
const WINDOW_SLACK_MS = 500;

/** A shard counter that goes down when what it counts ends, so it dies with its shard. */
const GAUGES: ReadonlySet<ShardField> = new Set<ShardField>(['connections_open', 'heap_used_bytes']);

interface ShardSlot {
  block: Float64Array | null;
  deaths: number;
  /** Sums of the retired blocks, gauges left out. */
  readonly retired: Float64Array;
}

export class Stats {
  readonly #aggregator: Float64Array;
  readonly #shards: ShardSlot[] = [];
  readonly #samples = Array.from({ length: SAMPLES }, () => new Float64Array(RATE_FIELDS.length));
  readonly #sampleTimesMs = new Float64Array(SAMPLES);
  #sampleCount = 0;
  #newest = SAMPLES - 1;

  constructor(aggregator: Float64Array) {
    this.#aggregator = aggregator;
  }

  /** A shard counts in this block from now on. The block of the one before must have been retired. */
  attach(shardIndex: number, block: Float64Array): void {
    const slot = this.#slot(shardIndex);
    if (slot.block !== null) throw new Error(`shard ${shardIndex} already has a counter block`);
    slot.block = block;
  }

  /** The shard's thread has ended: its counts are kept, the block is not looked at any more. */
  retire(shardIndex: number, block: Float64Array): void {
    const slot = this.#slot(shardIndex);
    if (slot.block !== block)
      throw new Error(`shard ${shardIndex} does not count in the block to be retired`);
    for (const field of SHARD_FIELDS) {
      const at = SHARD[field];
      if (!GAUGES.has(field)) slot.retired[at] = valueAt(slot.retired, at) + valueAt(block, at);
    }
    slot.block = null;
    slot.deaths += 1;
  }

  /**
   * Takes a sample for the rates; call it every second. `nowMs` comes from a clock that never goes back
   * (`performance.now()`); a call that comes too early is skipped, a late one only makes a rate coarser.
   */
  sample(nowMs: number): void {
    if (this.#sampleCount > 0 && nowMs - valueAt(this.#sampleTimesMs, this.#newest) < MIN_SAMPLE_GAP_MS)
      return;
    this.#newest = (this.#newest + 1) % SAMPLES;
    this.#sampleTimesMs[this.#newest] = nowMs;
    const sample = this.#samples[this.#newest];
    if (sample === undefined) throw new Error('a sample outside of the ring');
    for (let at = 0; at < RATE_FIELDS.length; at++) sample[at] = this.#rateSource(RATE_FIELDS[at]!);
    this.#sampleCount = Math.min(this.#sampleCount + 1, SAMPLES);
  }

  snapshot(): StatsSnapshot {
    const shards = this.#shards.map((slot, shard) => {
      const counters = record(SHARD_FIELDS, (field) => slotValue(slot, field));
      return {
        shard,
        alive: slot.block !== null,
        deaths: slot.deaths,
        counters,
        refused: sumRefused(counters),
      };
    });
    const totals = record(SHARD_FIELDS, (field) =>
      shards.reduce((sum, shard) => sum + shard.counters[field], 0),
    );
    return {
      totals,
      refused: sumRefused(totals),
      errors: record(ERROR_CODES, (code) => totals[`refused_${code}`]),
      shards,
      aggregator: record(AGGREGATOR_FIELDS, (field) => valueAt(this.#aggregator, AGGREGATOR[field])),
      rates: { last1s: this.#rates(1), last10s: this.#rates(10), last60s: this.#rates(60) },
    };
  }

  #slot(shardIndex: number): ShardSlot {
    for (let at = this.#shards.length; at <= shardIndex; at++) {
      this.#shards.push({ block: null, deaths: 0, retired: new Float64Array(SHARD_FIELDS.length) });
    }
    return this.#shards[shardIndex]!;
  }

  #rateSource(field: RateField): number {
    switch (field) {
      case 'bytes_logged':
      case 'messages_sent':
      case 'bytes_sent':
        return valueAt(this.#aggregator, AGGREGATOR[field]);
      case 'refused':
        return ERROR_CODES.reduce((sum, code) => sum + this.#total(`refused_${code}`), 0);
      case 'frames':
      case 'records':
      case 'events':
      case 'bytes_in':
        return this.#total(field);
    }
  }

  #total(field: ShardField): number {
    let sum = 0;
    for (const slot of this.#shards) sum += slotValue(slot, field);
    return sum;
  }

  /** Growth since the youngest sample that is as old as the window, or since the oldest there is. */
  #rates(windowSeconds: number): Rates {
    const newest = this.#samples[this.#newest]!;
    const newestMs = valueAt(this.#sampleTimesMs, this.#newest);
    let from = this.#newest;
    for (let back = 1; back < this.#sampleCount; back++) {
      from = (this.#newest - back + SAMPLES) % SAMPLES;
      if (newestMs - valueAt(this.#sampleTimesMs, from) >= windowSeconds * 1000 - WINDOW_SLACK_MS) break;
    }
    const seconds = (newestMs - valueAt(this.#sampleTimesMs, from)) / 1000;
    const base = this.#samples[from]!;
    const rates = {} as Record<RateField, number>;
    RATE_FIELDS.forEach((field, at) => {
      rates[field] = seconds > 0 ? (valueAt(newest, at) - valueAt(base, at)) / seconds : 0;
    });
    return rates;
  }
}

function slotValue(slot: ShardSlot, field: ShardField): number {
  const at = SHARD[field];
  return valueAt(slot.retired, at) + (slot.block === null ? 0 : valueAt(slot.block, at));
}

function sumRefused(counters: Readonly<Record<ShardField, number>>): number {
  return ERROR_CODES.reduce((sum, code) => sum + counters[`refused_${code}`], 0);
}

function record<K extends string>(keys: readonly K[], numberOf: (key: K) => number): Record<K, number> {
  const values = {} as Record<K, number>;
  for (const key of keys) values[key] = numberOf(key);
  return values;
}

function valueAt(block: Float64Array, at: number): number {
  const value = block[at];
  if (value === undefined) throw new Error(`a counter block without field ${at}`);
  return value;
}
