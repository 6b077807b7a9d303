/**
 * Times as text: ISO 8601 in UTC, with milliseconds.
 *
 * Owned by main. Lists show two times a row, most of them of the last few minutes: the text up to the minute is kept
 * for some of them, which is several times as fast as a Date each.
 */
const LARGEST_TIME_MS = 8.64e15;
const MINUTE_MS = 60_000;
/** A power of two; a minute's place is its number modulo this. */
const MINUTES_KEPT = 64;

const minutes = new Float64Array(MINUTES_KEPT).fill(-1);
const texts = new Array<string>(MINUTES_KEPT).fill('');
const SECONDS = Array.from({ length: 60 }, (_, second) => `:${String(second).padStart(2, '0')}.`);
const MILLISECONDS = Array.from({ length: 1000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`);

/** Null for a time that was never set or is not one. */
export function isoTime(timeMs: number | null): string | null {
  if (timeMs === null || !(timeMs > 0 && timeMs <= LARGEST_TIME_MS)) return null;
  const wholeMs = Math.floor(timeMs);
  const minute = Math.floor(wholeMs / MINUTE_MS);
  const place = minute % MINUTES_KEPT;
  if (minutes[place] !== minute) {
    const text = new Date(minute * MINUTE_MS).toISOString();
    texts[place] = text.slice(0, text.length - ':00.000Z'.length);
    minutes[place] = minute;
  }
  const inMinuteMs = wholeMs - minute * MINUTE_MS;
  return texts[place]! + SECONDS[Math.floor(inMinuteMs / 1000)]! + MILLISECONDS[inMinuteMs % 1000]!;
}
