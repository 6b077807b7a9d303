/** Runs over a log for the command line, with progress for a person who waits, and the parts that its reports share. */
import { checkLog, type LogCheckOptions } from '../log/log-check.js';
import type { LogReport } from '../log/segment-report.js';

const PROGRESS_MS = 200;

export function reportOf(options: LogCheckOptions): LogReport {
  const work = checkLog(options);
  const progress = showProgress();
  for (;;) {
    const { done, value } = work.next();
    if (!done) progress.show(value.bytes / Math.max(1, value.totalBytes), size(value.totalBytes));
    else {
      progress.end();
      return value;
    }
  }
}

/** On standard error, where that is a terminal. */
export function showProgress(): { show(part: number, of: string): void; end(): void } {
  let shownMs = performance.now();
  let shown = false;
  return {
    show(part, of) {
      if (!process.stderr.isTTY || performance.now() - shownMs < PROGRESS_MS) return;
      shownMs = performance.now();
      shown = true;
      process.stderr.write(`\r${Math.floor(100 * part)} % of ${of}\x1b[K`);
    },
    end() {
      if (shown) process.stderr.write('\r\x1b[K');
    },
  };
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
