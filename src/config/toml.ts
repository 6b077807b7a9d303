/**
 * Reads TOML and remembers on which lines each key stands. The parser tells values but no places; so its verdict
 * comes first, and what it accepted is walked a second time here, for places only.
 *
 * The walk relies on the text being well-formed. Should it ever disagree with the parser it ends early: a place is
 * then missing from a message, nothing else. It never throws and always moves forward.
 */
import { parse, TomlError, type TomlTable } from 'smol-toml';

/** Nested arrays and inline tables; no setting needs any. */
const nestingDepth = 16;

/** A header or a `key = value`, in the order of the file. Lines count from 1, the last one is included. */
export interface Statement {
  readonly path: readonly string[];
  readonly firstLine: number;
  readonly lastLine: number;
}

export interface TomlDocument {
  readonly table: TomlTable;
  readonly statements: readonly Statement[];
}

/** Not TOML. `line` and `column` count from 1. */
export class TomlSyntaxError extends Error {
  readonly line: number;
  readonly column: number;
  constructor(message: string, line: number, column: number) {
    super(message);
    this.name = 'TomlSyntaxError';
    this.line = line;
    this.column = column;
  }
}

export function readToml(text: string): TomlDocument {
  let table: TomlTable;
  try {
    table = parse(text, { integersAsBigInt: true, maxDepth: nestingDepth });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [firstLine = ''] = error.message.split('\n', 1);
    throw new TomlSyntaxError(firstLine.replace(/^Invalid TOML document: /, ''), error.line, error.column);
  }
  return { table, statements: new Walk(text).statements() };
}

/** The line where a key or a section first appears, as itself or as the front of a longer key. */
export function lineOf(document: TomlDocument, path: readonly string[]): number | undefined {
  return document.statements.find((statement) => startsWith(statement.path, path))?.firstLine;
}

/** All lines that speak of a key or a section, as text: `12-17, 20`. */
export function linesOf(document: TomlDocument, path: readonly string[]): string {
  const ranges: { first: number; last: number }[] = [];
  let joins = false;
  for (const statement of document.statements) {
    const concerned = startsWith(statement.path, path);
    const current = ranges.at(-1);
    if (concerned && joins && current) current.last = Math.max(current.last, statement.lastLine);
    else if (concerned) ranges.push({ first: statement.firstLine, last: statement.lastLine });
    joins = concerned;
  }
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
}

function startsWith(path: readonly string[], front: readonly string[]): boolean {
  return front.every((part, at) => path[at] === part);
}

class Walk {
  readonly #text: string;
  readonly #found: Statement[] = [];
  #at = 0;
  /** Line of `#lineAt`, moved forward only. */
  #line = 1;
  #lineAt = 0;

  constructor(text: string) {
    this.#text = text;
  }

  statements(): readonly Statement[] {
    let section: readonly string[] = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      const start = this.#at;
      const firstLine = this.#lineHere();
      if (this.#text[this.#at] === '[') {
        this.#at += this.#text[this.#at + 1] === '[' ? 2 : 1;
        section = this.#key(']');
        while (this.#text[this.#at] === ']') this.#at++;
        this.#found.push({ path: section, firstLine, lastLine: firstLine });
      } else {
        this.#assignment(section);
      }
      if (this.#at === start) break;
    }
    return this.#found;
  }

  #assignment(section: readonly string[] | undefined): void {
    const firstLine = this.#lineHere();
    const key = this.#key('=');
    this.#at++;
    this.#skipSpaces();
    // A key inside an array belongs to an element, and elements have no name.
    const path = section && [...section, ...key];
    // Its place in the list is before the keys of its own inline table.
    const place = path ? this.#found.push({ path, firstLine, lastLine: firstLine }) - 1 : -1;
    this.#value(path);
    if (path) this.#found[place] = { path, firstLine, lastLine: this.#lineHere() };
  }

  /** Stops on `end`, which is not part of the key. The parser undoes quotes and escapes. */
  #key(end: '=' | ']'): readonly string[] {
    const start = this.#at;
    while (this.#at < this.#text.length && this.#text[this.#at] !== end) {
      const character = this.#text[this.#at]!;
      if (character === '"' || character === "'") this.#string();
      else this.#at++;
    }
    const path: string[] = [];
    try {
      let level: unknown = parse(`${this.#text.slice(start, this.#at)} = 0`);
      while (typeof level === 'object' && level !== null) {
        const [name] = Object.keys(level);
        if (name === undefined) break;
        path.push(name);
        level = (level as Record<string, unknown>)[name];
      }
    } catch {
      // Not a key to the parser: the walk is lost, and says nothing about this one.
    }
    return path;
  }

  #value(path: readonly string[] | undefined): void {
    const character = this.#text[this.#at];
    if (character === '"' || character === "'") this.#string();
    else if (character === '[') this.#elements(']', () => this.#value(undefined));
    else if (character === '{') this.#elements('}', () => this.#assignment(path));
    else while (this.#at < this.#text.length && !/[,\]}#\n]/.test(this.#text[this.#at]!)) this.#at++;
  }

  #elements(end: ']' | '}', element: () => void): void {
    this.#at++;
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      const start = this.#at;
      if (this.#text[this.#at] === end) {
        this.#at++;
        return;
      }
      if (this.#text[this.#at] === ',') this.#at++;
      else element();
      if (this.#at === start) return;
    }
  }

  #string(): void {
    const quote = this.#text[this.#at]!;
    const long = quote.repeat(3);
    const delimiter = this.#text.startsWith(long, this.#at) ? long : quote;
    this.#at += delimiter.length;
    while (this.#at < this.#text.length && !this.#text.startsWith(delimiter, this.#at)) {
      this.#at += quote === '"' && this.#text[this.#at] === '\\' ? 2 : 1;
    }
    this.#at += delimiter.length;
    // Up to two quotes may stand directly before the closing three.
    for (let extra = 0; extra < 2 && delimiter === long && this.#text[this.#at] === quote; extra++)
      this.#at++;
  }

  #skipSpaces(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at++;
  }

  #skipBlank(): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at]!;
      if (character === '#') {
        while (this.#at + 1 < this.#text.length && this.#text[this.#at + 1] !== '\n') this.#at++;
      } else if (!/[\s\uFEFF]/.test(character)) return;
    }
  }

  #lineHere(): number {
    const here = Math.min(this.#at, this.#text.length);
    for (; this.#lineAt < here; this.#lineAt++) {
      if (this.#text.charCodeAt(this.#lineAt) === 0x0a) this.#line++;
    }
    return this.#line;
  }
}
