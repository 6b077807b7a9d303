/** `honeybee-core log verify`: every byte of the log against its checksums, seals and signatures. Changes nothing. */
import { printable } from '../config/values.js';
import { EXIT } from '../errors.js';
import type { Fault, LogReport } from '../log/segment-report.js';
import { readPublicKey } from '../log/signing-key.js';
import type { Addon } from '../native/addon.js';
import type { LogAction } from './log-arguments.js';
import { count, reportOf, size } from './log-report.js';

export function verifyLog(
  folder: string,
  { publicKeys, chain }: LogAction & { do: 'verify' },
  json: boolean,
  addon: Addon | undefined,
): number {
  const keys = publicKeys.map(readPublicKey);
  const report = reportOf({ folder, everything: true, keys, chain, addon });
  if (json) console.log(JSON.stringify(report));
  else for (const line of linesOf(report, keys.length > 0)) console.log(printable(line));
  return report.faults.length === 0 ? EXIT.ok : EXIT.faults;
}

function* linesOf(report: LogReport, withKey: boolean): Iterable<string> {
  for (const fault of report.faults) yield `fault: ${textOf(fault)}`;
  for (const { first_seq, next_seq } of report.holes)
    yield `note: no record has the numbers ${first_seq} to ${next_seq - 1}: they were not on the disk when Core lost power`;
  const { segments, deleted, chain } = report;
  yield `${count(segments.length)} segments, ${count(report.records)} records, ${size(report.bytes)}, of which ${size(report.unsealed_bytes)} are not sealed`;
  if (deleted !== null)
    yield `retention has deleted ${count(deleted.segments)} segments, ${size(deleted.bytes)}: everything before ${deleted.next_seq}`;
  if (chain !== null) yield `chain ${chain}`;
  const keyIds = new Set(segments.map(({ key_id }) => key_id).filter((id) => id !== null));
  if (!withKey)
    for (const id of keyIds)
      yield `note: signed with the key ${id}, which was not checked: --public-key FILE`;
  const faults = report.faults.length;
  yield faults === 0 ? 'no faults' : `${count(faults)} ${faults === 1 ? 'fault' : 'faults'}`;
}

export function textOf({ segment, message }: Fault): string {
  return segment === null ? message : `segment ${segment}: ${message}`;
}
