/** `honeybee-core log stat`: which segments there are, as indexes and seals say. Reads no data; changes nothing. */
import { EXIT } from '../errors.js';
import type { LogReport, SegmentReport } from '../log/segment-report.js';
import type { Addon } from '../native/addon.js';
import { count, reportOf, size } from './log-report.js';
import { textOf } from './log-verify.js';
import { table } from './table.js';

export function describeLog(folder: string, json: boolean, addon: Addon | undefined): number {
  const report = reportOf({ folder, everything: false, keys: [], chain: undefined, addon });
  if (json) console.log(JSON.stringify(report));
  else console.log(textOfLog(report));
  return EXIT.ok;
}

function textOfLog(report: LogReport): string {
  const { segments, deleted, chain } = report;
  const rows = segments.map(rowOf);
  const lines = segments.length === 0 ? [] : [table(HEAD, rows), ''];
  lines.push(
    `${count(segments.length)} segments, ${count(report.records)} records, ${size(report.bytes)}, ${size(report.stored_bytes)} on the disk`,
    `${count(report.sealed_segments)} sealed, ${size(report.unsealed_bytes)} not yet; ${count(report.damaged_records)} records damaged`,
  );
  if (deleted !== null)
    lines.push(
      `retention has deleted ${count(deleted.segments)} segments, ${size(deleted.bytes)}: everything before ${deleted.next_seq}`,
    );
  if (chain !== null) lines.push(`chain ${chain}`);
  lines.push(...report.faults.map((fault) => `fault: ${textOf(fault)}`));
  return lines.join('\n');
}

const HEAD = ['first', 'records', 'size', 'on disk', 'from', 'to', 'state'];

function rowOf(segment: SegmentReport): string[] {
  const { open, sealed, key_id, compressed, damaged_records } = segment;
  const state = [
    open ? 'open' : sealed ? (key_id === null ? 'sealed' : 'signed') : 'not sealed',
    ...(compressed ? ['gzip'] : []),
    ...(damaged_records > 0 ? [`${count(damaged_records)} damaged`] : []),
  ];
  return [
    String(segment.segment),
    count(segment.records),
    size(segment.bytes),
    size(segment.stored_bytes),
    segment.first_received ?? '-',
    segment.last_received ?? '-',
    state.join(', '),
  ];
}
