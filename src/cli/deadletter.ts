/**
 * `honeybee-core deadletter`: lists, shows and exports refused frames from the files of the data directory, with a Core
 * that runs or none; and has a running Core try them again. What strangers wrote never reaches the terminal as it is.
 */
import { isUtf8 } from 'node:buffer';
import { once } from 'node:events';
import { createWriteStream, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { matchesPattern } from '../access/pattern.js';
import { cut, printable } from '../config/values.js';
import { ReplayMarks } from '../dead-letters/marks.js';
import { DeadLetterReader, type LetterFilter, type LetterRow } from '../dead-letters/reader.js';
import type { ReplayMark } from '../dead-letters/service.js';
import { EXIT, FatalError } from '../errors.js';
import { type Answer, bodyOf, checked, reasonOf } from './answer.js';
import type { DeadLetterArguments } from './arguments.js';
import { askOver, configFor, reachControl } from './control-client.js';
import type { DeadLetterAction } from './deadletter-arguments.js';
import { hexDump } from './hex-dump.js';
import { table } from './table.js';

const PAGE = 1000;

interface Shelf {
  readonly reader: DeadLetterReader;
  readonly marks: ReplayMarks;
}

interface ReplayRow {
  readonly outcome: 'accepted' | 'refused';
  readonly records: readonly string[];
  readonly code: string | null;
  readonly reason: string | null;
}

export async function tendDeadLetters({ action, json, ...config }: DeadLetterArguments): Promise<number> {
  const { dir } = configFor(config).storage;
  if (!existsSync(dir))
    throw new FatalError(EXIT.unavailable, `there is no data directory ${printable(dir)} (storage.dir)`);
  const folder = join(dir, 'dead-letters');
  const shelf = { reader: new DeadLetterReader(folder, matchesPattern), marks: new ReplayMarks(folder) };
  // The reader of a pipe has gone.
  process.stdout.on('error', () => process.exit(EXIT.ok));
  try {
    switch (action.do) {
      case 'list':
        return await list(shelf, action, json);
      case 'show':
        return await show(shelf, action.id, json);
      case 'export':
        return await exportLetters(shelf, action);
      case 'replay':
        return await replay(shelf, action, json, dir);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM')
      throw new FatalError(EXIT.noPermission, `${message}: run this as the user that Core runs as`, {
        cause: error,
      });
    throw error;
  }
}

async function list(
  shelf: Shelf,
  { filter, limit }: DeadLetterAction & { do: 'list' },
  json: boolean,
): Promise<number> {
  const rows: string[][] = [];
  const lines: string[] = [];
  for await (const { head, line } of letters(shelf, filter, { limit })) {
    const mark = await shelf.marks.of(head.id);
    if (json) lines.push(withMark(line, mark));
    else
      rows.push([
        String(head.id),
        head.time,
        head.code,
        shown(head.nodeName ?? '-'),
        head.remote,
        String(head.size),
        mark === undefined ? '-' : mark.outcome,
        shown(head.reason),
      ]);
  }
  if (json) console.log(ascii(`[${lines.join(',\n')}]`));
  else if (rows.length === 0) console.error('no dead letters');
  else console.log(table(['id', 'time', 'code', 'node', 'from', 'bytes', 'replayed', 'reason'], rows));
  return EXIT.ok;
}

async function show({ reader, marks }: Shelf, id: number, json: boolean): Promise<number> {
  const found = await reader.find(id);
  if (found === undefined) {
    console.error(`honeybee-core: no dead letter with the number ${id} is kept`);
    return EXIT.dataError;
  }
  const { letter, line } = found;
  const mark = await marks.of(id);
  if (json) {
    console.log(ascii(withMark(line, mark)));
    return EXIT.ok;
  }
  const kept = letter.truncated ? `, the first ${letter.bytes.length} of them were kept` : '';
  const node = letter.nodeName === null ? '-' : `${printable(letter.nodeName)} (${letter.nodeId})`;
  const fields: [string, string][] = [
    ['id', String(id)],
    ['time', letter.time],
    ['code', letter.code],
    ['reason', printable(letter.reason)],
    ['node', node],
    ['from', printable(letter.remote)],
    ['size', `${letter.size} bytes${kept}${letter.masked ? ', one-time codes are masked' : ''}`],
    ['replayed', mark === undefined ? 'never' : `${mark.outcome}, ${new Date(mark.timeMs).toISOString()}`],
  ];
  for (const [name, value] of fields) console.log(`${name.padEnd(10)}${value}`);
  console.log('');
  for (const text of hexDump(letter.bytes)) console.log(text);
  return EXIT.ok;
}

/** The lines of the files, the oldest first. */
async function exportLetters(
  shelf: Shelf,
  { filter, output }: DeadLetterAction & { do: 'export' },
): Promise<number> {
  const target: Writable =
    output === undefined ? process.stdout : createWriteStream(output, { flags: 'w', mode: 0o600 });
  if (output !== undefined) await once(target, 'open').catch((error) => fail(error, output));
  let count = 0;
  for await (const { line } of letters(shelf, filter, { oldestFirst: true })) {
    count++;
    if (!target.write(`${ascii(line)}\n`)) await once(target, 'drain').catch((error) => fail(error, output));
  }
  if (output !== undefined) {
    target.end();
    await once(target, 'finish').catch((error) => fail(error, output));
    console.error(`${count} dead letters`);
  } else await new Promise<void>((resolve) => target.write('', () => resolve()));
  return EXIT.ok;
}

function fail(error: unknown, output: string | undefined): never {
  throw new FatalError(
    EXIT.cannotCreate,
    `cannot write ${printable(output ?? 'the output')}: ${(error as Error).message}`,
    { cause: error },
  );
}

async function replay(
  shelf: Shelf,
  { letters: wanted, file, force, dryRun }: DeadLetterAction & { do: 'replay' },
  json: boolean,
  dir: string,
): Promise<number> {
  const frame = file === undefined ? undefined : readFrame(file);
  const path = await reachControl(dir);
  if (path === undefined)
    throw new FatalError(
      EXIT.unavailable,
      `no Core runs on ${printable(dir)} (storage.dir): only one can try frames again`,
    );
  const counts = { accepted: 0, refused: 0, 'not tried': 0 };
  const query = `?force=${force}&dry_run=${dryRun}`;
  for await (const id of idsOf(shelf, wanted, force)) {
    const url = `/api/v1/dead-letters/${id}/replay${query}`;
    const answer = await askOver(path, 'POST', url, frame === undefined ? undefined : { frame });
    counts[say(id, answer, json)]++;
  }
  const { accepted, refused, 'not tried': notTried } = counts;
  const rest = notTried === 0 ? '' : `, ${notTried} not tried`;
  if (!json) console.error(`${dryRun ? 'dry run: ' : ''}${accepted} accepted, ${refused} refused${rest}`);
  return refused + notTried === 0 ? EXIT.ok : EXIT.dataError;
}

/** Says what became of one, and answers which of the counts it belongs to. */
function say(id: number, answer: Answer, json: boolean): 'accepted' | 'refused' | 'not tried' {
  const tried = answer.status === 200;
  // What is wrong with one of them is said; what is wrong with the asking ends it.
  if (!tried && ![404, 409, 422].includes(answer.status)) checked(answer);
  if (json) console.log(ascii(tried ? answer.text : JSON.stringify({ id, ...bodyOf<object>(answer) })));
  if (!tried) {
    if (!json) console.log(`${id}: not tried: ${reasonOf(answer)}`);
    return 'not tried';
  }
  const { outcome, records, code, reason } = bodyOf<ReplayRow>(answer);
  const what = outcome === 'accepted' ? records.join(', ') : `${code}: ${reason}`;
  if (!json) console.log(`${id}: ${outcome}: ${printable(what)}`);
  return outcome;
}

async function* idsOf(
  shelf: Shelf,
  wanted: (DeadLetterAction & { do: 'replay' })['letters'],
  force: boolean,
): AsyncGenerator<number> {
  if ('ids' in wanted) {
    yield* wanted.ids;
    return;
  }
  for await (const { head } of letters(shelf, wanted.filter, { oldestFirst: true })) {
    const mark = await shelf.marks.of(head.id);
    if (force || mark?.outcome !== 'accepted') yield head.id;
  }
}

/** Page after page. */
async function* letters(
  { reader }: Shelf,
  filter: LetterFilter,
  { limit = Number.POSITIVE_INFINITY, oldestFirst = false },
): AsyncGenerator<LetterRow> {
  let left = limit;
  let after: number | undefined;
  while (left > 0) {
    const page = await reader.page({ ...filter, oldestFirst, after, limit: Math.min(left, PAGE) });
    yield* page.rows;
    left -= page.rows.length;
    if (page.next === null) return;
    after = page.next;
  }
}

function readFrame(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new FatalError(EXIT.usage, `cannot read ${printable(file)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!isUtf8(bytes))
    throw new FatalError(EXIT.dataError, `${printable(file)} is not UTF-8: no frame can be`);
  if (bytes.length === 0) throw new FatalError(EXIT.dataError, `${printable(file)} is empty`);
  return bytes.toString('utf8');
}

/** The same JSON: outside of strings there is nothing but ASCII, and inside there may be what acts on a terminal. */
function ascii(json: string): string {
  return json.replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Within a table. */
function shown(text: string): string {
  return cut(printable(text));
}

function withMark(line: string, mark: ReplayMark | undefined): string {
  const replayed =
    mark === undefined
      ? 'null'
      : `{"time":"${new Date(mark.timeMs).toISOString()}","outcome":"${mark.outcome}"}`;
  return `${line.slice(0, -1)},"replayed":${replayed}}`;
}
