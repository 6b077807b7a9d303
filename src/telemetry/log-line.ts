/**
 * How a log line looks: JSON that is safe to show on a terminal, and the coloured form for people.
 *
 * Attackers choose the bytes of names, reasons and frames that end up in fields. JSON escapes the C0 controls; the
 * rest of what terminals act on (DEL, C1, direction overrides) is escaped here, before anything is written.
 */
import { createRequire } from 'node:module';

/** Valid only inside strings of a JSON text, so an escape in their place leaves the text valid. */
const ACTING = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** One line of pino's, without anything that acts on a terminal. */
export function plainLine(line: string): string {
  return line.replace(ACTING, escapeCharacter);
}

/** Makes a coloured line out of a plain one. A line that cannot be made pretty stays as it is. */
export function prettyPrinter(): (line: string) => string {
  // Loaded only where it is wanted: every thread would pay for it.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  const pretty = prettyFactory({
    colorize: true,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,thread',
    messageFormat: '[{thread}] {msg}',
    // Looked up by field name: without a prototype, or a field called `toString` would find a function.
    customPrettifiers: Object.create(null),
  });
  return (line) => {
    try {
      return pretty(visible(JSON.parse(quoteLongIntegers(line)), ''));
    } catch {
      return line;
    }
  };
}

/** Ids of 64 bits lose digits in `JSON.parse`; as text they keep them. */
function quoteLongIntegers(json: string): string {
  return json.replace(
    /("(?:[^"\\]|\\.)*")|(-?\d{16,})(?![\d.eE])/g,
    (_, text, digits) => text ?? `"${digits}"`,
  );
}

/** The same record with every control character in names and strings replaced by its visible escape. */
function visible(value: unknown, name: string): unknown {
  if (typeof value === 'string') {
    // Stack traces are lines; each is indented when printed, so none can pass for a record.
    const kept = name === 'stack' ? '\n' : '';
    const escaped = value.replace(/\p{Cc}/gu, (control) =>
      control === kept ? control : escapeCharacter(control),
    );
    return escaped.replace(ACTING, escapeCharacter);
  }
  if (Array.isArray(value)) return value.map((element) => visible(element, ''));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, content]) => [visible(key, ''), visible(content, key)]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
