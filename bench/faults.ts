/**
 * What a verifier found wrong: counted by kind, and the first few told in words. Only the fault path allocates.
 */
export const FAULT_KINDS = ['lost', 'duplicated', 'reordered', 'damaged', 'unexpected', 'protocol'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export type FaultCounts = Record<FaultKind, number>;

/** Told in words; the rest is only counted. */
const TOLD_MAX = 12;

export class Faults {
  readonly counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as FaultCounts;
  readonly told: string[] = [];

  add(kind: FaultKind, text: string, count = 1): void {
    this.counts[kind] += count;
    if (this.told.length < TOLD_MAX) this.told.push(`${kind}: ${text}`);
  }

  get total(): number {
    return FAULT_KINDS.reduce((sum, kind) => sum + this.counts[kind], 0);
  }
}

/** Bytes an attacker or a bug may have chosen, fit for a terminal. */
export function printable(bytes: Uint8Array, limit = 160): string {
  const text = JSON.stringify(Buffer.from(bytes.subarray(0, limit)).toString('latin1'));
  return bytes.length > limit ? `${text}... (${bytes.length} bytes)` : text;
}
