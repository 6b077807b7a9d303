/**
 * One value against its row of the table: from TOML (typed) or from the environment and flags (text), and how
 * values, types and what is allowed are written in messages. Never throws on input.
 */
import { isIP } from 'node:net';
import type { Setting, SettingValue } from './setting.js';

/** What was read, or why it cannot be used: a clause that follows the value in the message. */
export type Checked =
  | { readonly ok: true; readonly value: SettingValue }
  | { readonly ok: false; readonly reason: string };

/** Characters of a value that are repeated in a message. */
const shownLength = 80;

/** Checks a value out of the file. Integers arrive as bigint, so `9001` and `9001.0` stay apart. */
export function checkToml(setting: Setting, found: unknown): Checked {
  switch (setting.kind) {
    case 'integer':
      return typeof found === 'bigint' ? checkInteger(setting, found) : wrongType(found);
    case 'boolean':
      return typeof found === 'boolean' ? { ok: true, value: found } : wrongType(found);
    case 'choice':
    case 'string':
      return typeof found === 'string' ? checkText(setting, found) : wrongType(found);
  }
}

/** Checks the text of an environment variable or a flag. */
export function checkArgument(setting: Setting, text: string): Checked {
  switch (setting.kind) {
    case 'integer':
      // The same digits as in TOML, underscores included; bounded so that a long text is not parsed in vain.
      return text.length <= shownLength && /^[+-]?\d+(_\d+)*$/.test(text)
        ? checkInteger(setting, BigInt(text.replaceAll('_', '').replace('+', '')))
        : { ok: false, reason: 'is not an integer' };
    case 'boolean':
      return text === 'true' || text === 'false'
        ? { ok: true, value: text === 'true' }
        : { ok: false, reason: 'is not a boolean' };
    case 'choice':
    case 'string':
      return checkText(setting, text);
  }
}

function checkInteger(setting: Setting & { kind: 'integer' }, found: bigint): Checked {
  if (found < setting.min || found > setting.max) return { ok: false, reason: 'is out of range' };
  if (setting.powerOfTwo && (found & (found - 1n)) !== 0n) return { ok: false, reason: 'is no power of two' };
  return { ok: true, value: Number(found) };
}

function checkText(setting: Setting & { kind: 'choice' | 'string' }, found: string): Checked {
  if (setting.kind === 'choice') {
    if (setting.choices.includes(found)) return { ok: true, value: found };
    return { ok: false, reason: setting.remark ? `is not known yet (${setting.remark})` : 'is not known' };
  }
  if (found === '') {
    return MAY_BE_EMPTY[setting.format] ? { ok: true, value: found } : { ok: false, reason: 'is empty' };
  }
  if ((setting.format === 'host' || setting.format === 'optional-host') && !isHost(found)) {
    return { ok: false, reason: 'is neither an IP address nor a host name' };
  }
  if (setting.format === 'origins' && !originsOf(found).every(isOrigin)) {
    return { ok: false, reason: 'is no list of web origins' };
  }
  if (found.includes('\0')) return { ok: false, reason: 'holds a NUL character' };
  return { ok: true, value: found };
}

const MAY_BE_EMPTY: Readonly<Record<(Setting & { kind: 'string' })['format'], boolean>> = {
  host: false,
  'optional-host': true,
  path: false,
  folder: true,
  file: true,
  origins: true,
};

/** The origins of a setting that lists them. */
export function originsOf(list: string): readonly string[] {
  return list === '' ? [] : list.split(',').map((origin) => origin.trim());
}

/** As a browser writes it into its Origin header: scheme, host, port where it is not the scheme's, nothing else. */
function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text && /^https?:/.test(text);
}

/** A last label of digits only would be an IPv4 address with a mistake in it, not a name. */
function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true;
  if (text.length > 253) return false;
  const labels = text.split('.');
  return (
    labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label)) &&
    !/^\d+$/.test(labels.at(-1)!)
  );
}

function wrongType(found: unknown): Checked {
  return { ok: false, reason: `is ${typeName(found)}` };
}

/** `an integer`, `a string`, ... of a value out of the TOML parser. */
export function typeName(found: unknown): string {
  if (typeof found === 'bigint') return 'an integer';
  if (typeof found === 'number') return 'a float';
  if (typeof found === 'boolean') return 'a boolean';
  if (typeof found === 'string') return 'a string';
  if (found instanceof Date) return 'a date or time';
  return Array.isArray(found) ? 'an array' : 'a table';
}

/** What the table allows for a setting, for messages, the file and the help text. */
export function allowed(setting: Setting): string {
  switch (setting.kind) {
    case 'integer': {
      const what = setting.powerOfTwo ? 'a power of two' : 'an integer';
      const unit = setting.unit ? ` ${setting.unit}` : '';
      return `${what} from ${setting.min} to ${setting.max}${unit}`;
    }
    case 'boolean':
      return 'true or false';
    case 'choice':
      return setting.choices.map((choice) => `"${choice}"`).join(', ');
    case 'string':
      return ALLOWED_TEXT[setting.format];
  }
}

const ALLOWED_TEXT: Readonly<Record<(Setting & { kind: 'string' })['format'], string>> = {
  host: 'an IP address or a host name',
  'optional-host': 'an IP address or a host name, or "" for the same',
  path: 'a path',
  folder: 'a path, or "" for none',
  file: 'a path, or "" for none',
  origins: 'web origins with commas between them, or "" for none',
};

/** A value as it would stand in the file, on one line, cut to a readable length. */
export function show(value: string | number | bigint | boolean | undefined): string {
  if (typeof value !== 'string') return cut(String(value));
  return `"${cut(printable(JSON.stringify(value).slice(1, -1)))}"`;
}

/** The same for whatever the TOML parser may give; the inside of tables and arrays is left out. */
export function showToml(found: unknown): string {
  switch (typeof found) {
    case 'string':
    case 'bigint':
    case 'boolean':
      return show(found);
    case 'number':
      // Integers arrive as bigint: a number is a float, even a whole one.
      return Number.isSafeInteger(found) ? found.toFixed(1) : String(found);
    default:
      if (found instanceof Date) return found.toISOString();
      return Array.isArray(found) ? '[...]' : '{...}';
  }
}

/** Text from outside for a message that ends on a terminal: nothing in it may act on one. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (character) => {
    return `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`;
  });
}

export function cut(text: string): string {
  return text.length > shownLength ? `${text.slice(0, shownLength)}...` : text;
}

/** `268435456` bytes as `256 MiB`; nothing when it is not a whole number of a unit. */
export function humanBytes(bytes: number): string | undefined {
  for (const [size, name] of [
    [1024 ** 3, 'GiB'],
    [1024 ** 2, 'MiB'],
    [1024, 'KiB'],
  ] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size} ${name}`;
  }
  return undefined;
}
