/** Runs over a log for the command line, with progress for a person who waits, and the parts that its reports share. */
import { checkLog, type LogCheckOptions } from '../log/log-check.js';
import type { LogReport } from '../log/segment-report.js';

const PROGRESS_MS = 200;

export function reportOf(options: LogCheckOptions): LogReport {
  const work = checkLog(options);
  let shownMs = performance.now();
  let shown = false;
  for (;;) {
    const { done, value } = work.next();
    if (done) {
      if (shown) process.stderr.write('\r\x1b[K');
      return value;
    }
    if (!process.stderr.isTTY || performance.now() - shownMs < PROGRESS_MS) continue;
    shownMs = performance.now();
    shown = true;
    const percent = value.totalBytes === 0 ? 100 : Math.floor((100 * value.bytes) / value.totalBytes);
    process.stderr.write(`\r${percent} % of ${size(value.totalBytes)}\x1b[K`);
  }
}

/** Of bytes, for people. */
export function size(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Of records, for people. */
export function count(records: number): string {
  return records.toLocaleString('en-US');
}
