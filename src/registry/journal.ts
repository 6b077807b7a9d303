/**
 * What the registry says while it changes, for whoever keeps it. Called in the middle of a change: looks at nothing but
 * what it is given, and changes nothing.
 *
 * Owned by main: types only.
 */
import type { NodeRecord } from './record.js';

export interface RegistryJournal {
  /** Something of the record that is kept has changed; totals and last-seen times of connected nodes are not said. */
  changed(record: NodeRecord): void;
  potChanged(record: NodeRecord, potId: string): void;
  /** The record is gone, with its pots. `highestSerial`: no number above it was given to any record yet. */
  forgotten(record: NodeRecord, highestSerial: number): void;
}

export const NO_JOURNAL: RegistryJournal = { changed() {}, potChanged() {}, forgotten() {} };
