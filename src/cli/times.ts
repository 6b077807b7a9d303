/** Times on the command line: `30d`, `12h`, `10m`, `45s`, and days such as `2027-01-01`. Pure. */

const UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const;

/** ISO 8601 has four digits for a year. */
const LATEST_MS = Date.UTC(9999, 11, 31);

/** Seconds; undefined where the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^([1-9]\d{0,8})([smhdw])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_SECONDS[match[2] as keyof typeof UNIT_SECONDS];
}

/** A duration ago, the beginning of a day in UTC, or a time with its zone; ms since 1970. */
export function parsePast(text: string, nowMs: number): number | undefined {
  const seconds = parseDuration(text);
  return seconds === undefined ? parseExpiry(text, nowMs) : nowMs - seconds * 1000;
}

/**
 * A duration from now on, the beginning of a day in UTC, or a time with its zone; ms since 1970. Undefined where the
 * text is none of these.
 */
export function parseExpiry(text: string, nowMs: number): number | undefined {
  const seconds = parseDuration(text);
  if (seconds !== undefined) return nowMs + seconds * 1000 < LATEST_MS ? nowMs + seconds * 1000 : undefined;
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?$/.test(text)) return undefined;
  const timeMs = Date.parse(text);
  // 2027-02-31 would be taken for a day in March.
  const sameDay = text.length > 10 || new Date(timeMs || 0).toISOString().startsWith(text);
  return Number.isNaN(timeMs) || !sameDay ? undefined : timeMs;
}
