/**
 * A dead letter on disk: one JSON object a line, in files `<20 digits of the first number>.ndjson`. Numbers go up by one
 * within a file, so its n-th line has the first number + n; between files some may be missing (see log.ts).
 *
 *   {"id":number,"time":ISO 8601,"code":"...","reason":"...","node_id":u64|null,"node_name":string|null,
 *    "node_serial":number?,"seq":number?,"remote":"ip:port","size":bytes of the frame,"truncated":boolean,"masked":boolean,"bytes":"base64"}
 *
 * `seq`: the frame was a numbered event, and its number counts as taken; then `node_serial` is the registry's number of the
 * node. `bytes` comes last, so that everything else can be read without it. `truncated`: more came than was kept. `masked`:
 * one-time codes in it were overwritten. Shard, aggregator, main and command line; pure.
 */
import type { ErrorCode } from '../errors.js';

const FILE_NAME = /^(\d{20})\.ndjson$/;
const DIGITS = 20;
const BYTES_FIELD = ',"bytes":"';
const ID_FIELD = '{"id":';

/** All of a dead letter but its bytes. */
export interface LetterHead {
  readonly id: number;
  readonly time: string;
  readonly timeMs: number;
  readonly code: ErrorCode;
  readonly reason: string;
  /** All digits of the id. */
  readonly nodeId: string | null;
  readonly nodeName: string | null;
  readonly remote: string;
  readonly size: number;
  readonly truncated: boolean;
  readonly masked: boolean;
}

/** Which numbered event of which node a line is: all that the ledger wants to know of it. */
export interface LetterNumber {
  readonly serial: number;
  readonly seq: number;
}

/** Undefined where it is none, as most are. */
export function numberedEventOf(line: string): LetterNumber | undefined {
  // A string before the field that names it could only hold its quotes escaped.
  const found = /,"node_serial":(\d{1,15}),"seq":(\d{1,16}),"remote":"/.exec(line);
  if (found === null) return undefined;
  const [serial, seq] = [Number(found[1]), Number(found[2])];
  return Number.isSafeInteger(seq) ? { serial, seq } : undefined;
}

export interface Letter extends LetterHead {
  readonly bytes: Buffer;
}

export function letterFileName(first: number): string {
  return `${String(first).padStart(DIGITS, '0')}.ndjson`;
}

/** First numbers of those of these files that hold dead letters, ascending. */
export function letterFiles(names: readonly string[]): number[] {
  const firsts = names.flatMap((name) => {
    const digits = FILE_NAME.exec(name)?.[1];
    return digits === undefined || !Number.isSafeInteger(Number(digits)) ? [] : [Number(digits)];
  });
  return firsts.sort((a, b) => a - b);
}

/** What stands in front of a line that a shard has made, instead of its opening brace. */
export function numberPrefix(id: number): string {
  return `${ID_FIELD}${id},`;
}

/** The number of a line; 0 where it is none. `line` may be longer, or only the beginning. */
export function numberOf(line: Uint8Array, start: number): number {
  for (let i = 0; i < ID_FIELD.length; i++) if (line[start + i] !== ID_FIELD.charCodeAt(i)) return 0;
  let number = 0;
  for (let at = start + ID_FIELD.length; ; at++) {
    const digit = line[at]! - 0x30;
    if (!(digit >= 0 && digit <= 9)) return line[at] === 0x2c && Number.isSafeInteger(number) ? number : 0;
    number = number * 10 + digit;
  }
}

/** Undefined where the line is no dead letter: a damaged disk, or somebody's hand. */
export function readHead(line: string): LetterHead | undefined {
  // A string before it can hold this only with its quotes escaped.
  const end = line.indexOf(BYTES_FIELD);
  if (end < 0) return undefined;
  try {
    const text = `${line.slice(0, end)}}`;
    const found = JSON.parse(text) as Record<string, unknown>;
    const { id, time, code, reason, node_name, remote, size, truncated, masked } = found;
    if (!Number.isSafeInteger(id) || typeof time !== 'string' || typeof code !== 'string') return undefined;
    if (typeof reason !== 'string' || typeof remote !== 'string' || typeof size !== 'number')
      return undefined;
    const timeMs = Date.parse(time);
    if (Number.isNaN(timeMs)) return undefined;
    return {
      id: id as number,
      time,
      timeMs,
      code: code as ErrorCode,
      reason,
      // JSON.parse would round it. In a string these quotes would be escaped.
      nodeId: /"node_id":(\d+),"node_name":/.exec(text)?.[1] ?? null,
      nodeName: typeof node_name === 'string' ? node_name : null,
      remote,
      size,
      truncated: truncated === true,
      masked: masked === true,
    };
  } catch {
    return undefined;
  }
}

export function readLetter(line: string): Letter | undefined {
  const head = readHead(line);
  if (head === undefined) return undefined;
  const start = line.indexOf(BYTES_FIELD) + BYTES_FIELD.length;
  return { ...head, bytes: Buffer.from(line.slice(start, line.indexOf('"', start)), 'base64') };
}
