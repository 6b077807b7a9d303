/**
 * JSON read without losing digits: node ids are above 2^53, and JSON.parse would round them. Values are stretches of
 * the text, looked at one level at a time; numbers stay text until somebody knows what they are.
 *
 * Owned by main; pure, never throws for input.
 */

/** A stretch of JSON text that holds exactly one value. */
export type JsonText = string;

/** The value in a text, without white space around it; undefined where it is not JSON. */
export function jsonText(text: string): JsonText | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return text.trim();
}

/** The string a value is; undefined where it is none. */
export function asString(value: JsonText | undefined): string | undefined {
  return value?.startsWith('"') ? (JSON.parse(value) as string) : undefined;
}

/** The members of the object a value is, by name; undefined where it is none, or where a name stands twice: readers
 *  disagree which of the two counts. */
export function asObject(value: JsonText | undefined): ReadonlyMap<string, JsonText> | undefined {
  if (!value?.startsWith('{')) return undefined;
  const members = new Map<string, JsonText>();
  let at = skipSpace(value, 1);
  while (value[at] !== '}') {
    const keyEnd = stringEnd(value, at);
    const key = JSON.parse(value.slice(at, keyEnd)) as string;
    const start = skipSpace(value, skipSpace(value, keyEnd) + 1);
    const end = valueEnd(value, start);
    if (members.has(key)) return undefined;
    members.set(key, value.slice(start, end));
    at = skipSpace(value, end);
    if (value[at] === ',') at = skipSpace(value, at + 1);
  }
  return members;
}

// From here on the text is known to be JSON.

function skipSpace(text: string, start: number): number {
  let at = start;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++;
  return at;
}

/** Behind the string whose opening quote stands at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function valueEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  for (;;) {
    const c = text[at];
    if (c === '"') at = stringEnd(text, at);
    else if (c === '{' || c === '[') {
      depth++;
      at++;
    } else if (c === '}' || c === ']') {
      depth--;
      at++;
    } else if (depth === 0) {
      while (at < text.length && !' \n\r\t,}]'.includes(text[at]!)) at++;
    } else at++;
    if (depth === 0) return at;
  }
}
