/**
 * `honeybee-core log repair`: makes indexes again that are missing or wrong, and touches nothing else. The newest segment is
 * left alone while it is not sealed: a Core may be writing it, and mends it itself when it starts.
 */
import { printable } from '../config/values.js';
import { EXIT } from '../errors.js';
import { Catalog } from '../log/catalog.js';
import { findSegment } from '../log/found-segment.js';
import { type Repaired, repairSegment } from '../log/repair.js';
import type { Addon } from '../native/addon.js';
import { count, showProgress } from './log-report.js';

export function repairLog(folder: string, json: boolean, addon: Addon | undefined): number {
  const { segments } = new Catalog(folder);
  const repaired: Repaired[] = [];
  const left: number[] = [];
  const progress = showProgress();
  for (const [at, firstSeq] of segments.entries()) {
    progress.show(at / segments.length, `${segments.length} segments`);
    const found = findSegment(folder, firstSeq, at === segments.length - 1);
    if (found.newest && found.seal === undefined) left.push(firstSeq);
    else repaired.push(repairSegment(folder, found, addon?.crc32));
  }
  progress.end();
  const changed = repaired.filter(({ done, failed }) => done.length + failed.length > 0);
  const failures = changed.filter(({ failed }) => failed.length > 0).length;
  if (json) console.log(JSON.stringify({ segments: repaired.length, left, repaired: changed }));
  else {
    for (const { segment, done, failed } of changed) {
      for (const what of done) console.log(`segment ${segment}: made again: ${what}`);
      for (const why of failed) console.log(printable(`segment ${segment}: not mended: ${why}`));
    }
    for (const segment of left)
      console.log(`segment ${segment}: left alone: it is the newest, and Core mends it when it starts`);
    console.log(
      `${count(repaired.length)} segments looked at, ${count(changed.length - failures)} mended, ${count(failures)} not`,
    );
  }
  return failures === 0 ? EXIT.ok : EXIT.faults;
}
