/**
 * Latencies in log-linear buckets: 128 per power of two, so a value is known to better than 1 %, from 100 ns to seven
 * minutes, in 27 KiB. Recording one value touches one counter and allocates nothing.
 *
 * Owned by the thread that records; other threads get a copy of {@link Histogram.summary}.
 */

/** What one step of the integer scale is worth. */
const UNIT_US = 0.1;
const SUB_BITS = 7;
const SUB_BUCKETS = 1 << SUB_BITS;
/** Values are u32, so exponents run from SUB_BITS to 31, after one linear group for the small ones. */
const BUCKETS = (32 - SUB_BITS + 1) * SUB_BUCKETS;
const LARGEST = 0xffff_ffff;

export interface LatencySummary {
  readonly samples: number;
  readonly mean_us: number;
  readonly p50_us: number;
  readonly p90_us: number;
  readonly p99_us: number;
  readonly p999_us: number;
  readonly max_us: number;
}

function bucketOf(value: number): number {
  if (value < SUB_BUCKETS) return value;
  const shift = 31 - Math.clz32(value) - SUB_BITS;
  return (shift + 1) * SUB_BUCKETS + ((value >>> shift) - SUB_BUCKETS);
}

/** Middle of a bucket, in units. */
function middleOf(bucket: number): number {
  if (bucket < SUB_BUCKETS) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  const low = ((bucket % SUB_BUCKETS) + SUB_BUCKETS) * 2 ** shift;
  return low + (2 ** shift - 1) / 2;
}

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #samples = 0;
  #sumUs = 0;
  #maxUs = 0;

  get samples(): number {
    return this.#samples;
  }

  record(latencyUs: number): void {
    const units = Math.round(latencyUs / UNIT_US);
    // Two clocks may disagree by a hair: a negative latency counts as none.
    const value = units < 0 ? 0 : units > LARGEST ? LARGEST : units;
    this.#counts[bucketOf(value)]! += 1;
    this.#samples += 1;
    this.#sumUs += latencyUs;
    if (latencyUs > this.#maxUs) this.#maxUs = latencyUs;
  }

  /** The smallest recorded value that `fraction` of all values do not exceed (nearest rank), within a bucket's width. */
  quantileUs(fraction: number): number {
    if (this.#samples === 0) return Number.NaN;
    const rank = Math.max(1, Math.ceil(fraction * this.#samples));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= rank) return Math.min(middleOf(bucket) * UNIT_US, this.#maxUs);
    }
    return this.#maxUs;
  }

  summary(): LatencySummary {
    return {
      samples: this.#samples,
      mean_us: this.#samples === 0 ? Number.NaN : this.#sumUs / this.#samples,
      p50_us: this.quantileUs(0.5),
      p90_us: this.quantileUs(0.9),
      p99_us: this.quantileUs(0.99),
      p999_us: this.quantileUs(0.999),
      max_us: this.#maxUs,
    };
  }
}
