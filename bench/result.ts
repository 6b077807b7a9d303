/** What a scenario hands back: one object, which becomes a row of the table and a line of JSON. */
import type { LatencySummary } from './histogram.js';
import type { CpuShare } from './proc.js';
import type { VerifierSummary } from './verifier.js';

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
  readonly received?: readonly VerifierSummary[];
  readonly log?: {
    readonly bytes: number;
    readonly segments: number;
    readonly crc32: string;
    readonly verified: VerifierSummary;
  };
  readonly core_cpu?: CpuShare;
  /** Share of a core each thread of the bench took. */
  readonly bench_cpu?: { readonly load: number; readonly consumers: readonly number[] };
  readonly resident_bytes?: number;
  readonly resident_peak_bytes?: number;
  readonly latency?: LatencySummary;
  /** `connections`. */
  readonly resident_before_bytes?: number;
  readonly bytes_per_connection?: number;
  /** `scan`. */
  readonly scanners?: readonly {
    readonly name: string;
    readonly megabytes_per_second: number;
    readonly events_per_second: number;
  }[];
  /** With --repeat: the figure of every run, this result being the middle one. */
  readonly runs?: readonly number[];
}

/** The problems a verifier's summary stands for. */
export function problemsOf(where: string, summary: VerifierSummary): string[] {
  const counts = Object.entries(summary.faultCounts).filter(([, count]) => count > 0);
  if (counts.length === 0 && summary.faults.length === 0) return [];
  const total = counts.map(([kind, count]) => `${count} ${kind}`).join(', ');
  return [`${where}: ${total}`, ...summary.faults.map((fault) => `${where}: ${fault}`)];
}
