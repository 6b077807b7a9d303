/** What a scenario hands back: one object, which becomes a row of the table and a line of JSON. */
import type { FaultCounts } from './faults.js';
import type { LatencySummary } from './histogram.js';
import type { CpuShare } from './proc.js';
import type { VerifierSummary } from './verifier.js';

/** What a verifier counted; its words are in `problems`. */
export interface Verified {
  readonly events: number;
  readonly bytes: number;
  readonly notices: number;
  readonly others: number;
  readonly faults: FaultCounts;
}

export interface ScenarioResult {
  readonly scenario: string;
  readonly ok: boolean;
  /** What went wrong, for people. */
  readonly problems: readonly string[];
  readonly mode?: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly seconds?: number;
  readonly events_per_second?: number;
  readonly megabytes_per_second?: number;
  /** Of a paced load. */
  readonly offered_per_second?: number;
  readonly events_sent?: number;
  /** One entry per consumer. */
  readonly received?: readonly Verified[];
  readonly log?: {
    readonly bytes: number;
    readonly segments: number;
    readonly crc32: string;
    readonly verified: Verified;
  };
  readonly core_cpu?: CpuShare;
  /** Share of a core that the bench took: all threads of the load together, and each consumer. */
  readonly bench_cpu?: { readonly load: number; readonly consumers: readonly number[] };
  /** What the JavaScript heaps of shards and aggregator grew by while the clock ran, garbage included. */
  readonly heap_growth_bytes?: number;
  /** When the clock started; what it grew by until `resident_bytes` is what the events left behind. */
  readonly resident_start_bytes?: number;
  readonly resident_bytes?: number;
  readonly resident_peak_bytes?: number;
  readonly latency?: LatencySummary;
  /** Part of `latency`: how late a paced load sent, for want of a processor. */
  readonly send_lag?: LatencySummary;
  /** `commands`: reached, and from when a POST was due to its answer; `latency` is from making to end. */
  readonly commands_per_second?: number;
  readonly post_latency?: LatencySummary;
  /** `connections`. */
  readonly resident_before_bytes?: number;
  readonly bytes_per_connection?: number;
  /** `storm`: until the last node was back, and until each was. `latency` is that of the others' events meanwhile. */
  readonly storm?: { readonly seconds: number; readonly back: LatencySummary; readonly retries: number };
  /** `list`: the answers, and the events' latency while nobody asks for lists and while somebody does. */
  readonly list?: {
    readonly answers: LatencySummary;
    readonly bytes: number;
    readonly quiet: LatencySummary;
    readonly asked: LatencySummary;
  };
  /** `sustained`: events a second in each twelfth, memory, and the most records that were not on the disk yet. */
  readonly sustained?: {
    readonly events_per_second: readonly number[];
    readonly resident_bytes: readonly number[];
    readonly durable_lag_max: number | null;
  };
  /** `durability`: of every pair, and what forcing to the disk costs, 0.1 is a tenth. */
  readonly durability?: {
    readonly interval_events_per_second: readonly number[];
    readonly never_events_per_second: readonly number[];
    readonly cost: number;
    readonly costs: readonly number[];
  };
  /** `acks`; `latency` is from an event's last byte to its acknowledgement. */
  readonly acks?: { readonly sent: number; readonly p99_promised_us: number; readonly kept: boolean };
  /** `recover`: from starting the process to its ready line. */
  readonly recover?: readonly { readonly what: string; readonly seconds: number }[];
  /** `replay`: events a second of each pass, the first as the log lies on the disk. */
  readonly replay?: readonly number[];
  /** `search`: seconds of each round, the first as the log lies on the disk. */
  readonly search?: readonly number[];
  /** `scan`. */
  readonly scanners?: readonly {
    readonly name: string;
    readonly megabytes_per_second: number;
    readonly events_per_second: number;
  }[];
  /** With --repeat: the figure of every run, this result being the middle one. */
  readonly runs?: readonly number[];
}

export function verifiedOf(summary: VerifierSummary): Verified {
  const { events, bytes, notices, others, faultCounts } = summary;
  return { events, bytes, notices, others, faults: faultCounts };
}

/** The problems a verifier's summary stands for. */
export function problemsOf(where: string, summary: VerifierSummary): string[] {
  const counts = Object.entries(summary.faultCounts).filter(([, count]) => count > 0);
  if (counts.length === 0 && summary.faults.length === 0) return [];
  const total = counts.map(([kind, count]) => `${count} ${kind}`).join(', ');
  return [`${where}: ${total}`, ...summary.faults.map((fault) => `${where}: ${fault}`)];
}
