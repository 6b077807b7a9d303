/** What operators are told about the log when Core starts. */
import type { RecoveredLog } from './recovery.js';

export function recoveredLines(recovered: RecoveredLog): { level: 'warn' | 'error'; text: string }[] {
  const lines: { level: 'warn' | 'error'; text: string }[] = [];
  if (recovered.damagedBatches > 0)
    lines.push({
      level: 'error',
      text: 'records of the log are damaged; they stay where they are, see log verify',
    });
  if (recovered.savedFiles.length > 0)
    lines.push({
      level: 'error',
      text: 'the end of the log was damaged; what was cut off is kept in files of its own',
    });
  if (recovered.skippedNumbers > 0)
    lines.push({
      level: 'error',
      text: 'the newest records may be lost; their sequence numbers are left out, so that none is used twice',
    });
  if (recovered.tornBytes > 0 || recovered.reindexedRecords > 0)
    lines.push({ level: 'warn', text: 'log recovered after an unclean end' });
  return lines;
}
