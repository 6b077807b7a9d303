/**
 * `honeybee-core log cat`: records of the log on standard output, a line each, as they came; with --numbered in the shape of REST:
 * {"seq":..,"received":"..","event":{..}}. Reads the files themselves, whether a Core is writing them or not: up to the last
 * whole record. What is missing is said on standard error.
 */
import { once } from 'node:events';
import { EXIT } from '../errors.js';
import { Catalog } from '../log/catalog.js';
import { LogCursor, OpenSegments, type Step } from '../log/log-cursor.js';
import type { Addon } from '../native/addon.js';
import type { Start } from '../query/filter.js';
import type { FeedRequest } from '../replay/messages.js';
import { Selection } from '../replay/selection.js';
import type { CatAction } from './log-arguments.js';
import { terminalText } from './terminal-text.js';

const READ_BYTES = 1024 * 1024;

export async function printLog(folder: string, action: CatAction, addon: Addon | undefined): Promise<number> {
  const segments = new OpenSegments(new Catalog(folder), addon);
  const output = new Output();
  const limitSeq = action.to ?? Number.POSITIVE_INFINITY;
  const firstSeq = startOf(action.from, segments, limitSeq);
  const selection = selectionOf(action, segments, addon);
  // Names of nodes are learned on the way: from the beginning.
  const names = selection?.names;
  names?.use(new Map());
  const cursor = new LogCursor(
    segments,
    names === undefined ? firstSeq : (segments.catalog.first ?? firstSeq),
  );
  while (!output.closed) {
    // What retention deletes meanwhile is not held on to.
    segments.sweep();
    let target = new Uint8Array(0);
    const room = (bytes: number) => {
      target = new Uint8Array(bytes);
      return target;
    };
    const before = cursor.seq < firstSeq;
    const step: Step = cursor.next(before ? firstSeq : limitSeq, READ_BYTES, 0, room);
    if (step.kind === 'end' && !before) break;
    if (step.kind === 'end') cursor.seq = firstSeq;
    if (step.kind === 'gap') {
      names?.forget();
      names?.use(new Map());
      if (!before) sayGap(step);
    }
    if (step.kind !== 'lines') continue;
    if (selection === undefined) {
      await output.write(target.subarray(step.stretches[0]!.start, step.stretches.at(-1)!.end));
      continue;
    }
    for (let at = 0; at < step.stretches.length; ) {
      const stretch = step.stretches[at]!;
      const reached = selection.take(target, stretch);
      const chunk = selection.takeAway();
      if (!before) await output.write(action.numbered ? numbered(chunk) : chunk.lines);
      if (reached === stretch.nextSeq) at++;
      else {
        // More than a chunk: again from there.
        cursor.seq = reached;
        break;
      }
    }
  }
  segments.close();
  await output.end();
  return EXIT.ok;
}

function startOf(from: Start, segments: OpenSegments, limitSeq: number): number {
  switch (from.kind) {
    case 'seq':
      return from.seq;
    case 'time':
      return segments.findStart(from.timeMs, limitSeq);
    default:
      return segments.catalog.first ?? 1;
  }
}

/** Undefined where all is wanted as it is. */
function selectionOf(
  action: CatAction,
  segments: OpenSegments,
  addon: Addon | undefined,
): Selection | undefined {
  const { filter, from, numbered } = action;
  if (filter === undefined && !numbered) return undefined;
  const request: FeedRequest = {
    from,
    filter,
    scope: undefined,
    follow: false,
    durableOnly: false,
    numbered,
    maxRecords: 0,
    backwards: false,
  };
  return new Selection(request, segments.lines, addon);
}

function numbered(chunk: ReturnType<Selection['takeAway']>): Buffer {
  const { lines, seqs, timesMs } = chunk;
  const text = Buffer.from(lines.buffer, lines.byteOffset, lines.length);
  const parts: Buffer[] = [];
  let start = 0;
  for (const [i, seq] of seqs.entries()) {
    const end = text.indexOf(0x0a, start);
    const received = new Date(timesMs[i]!).toISOString();
    parts.push(
      Buffer.from(`{"seq":${seq},"received":"${received}","event":`),
      text.subarray(start, end),
      CLOSE,
    );
    start = end + 1;
  }
  return Buffer.concat(parts);
}

const CLOSE = Buffer.from('}\n');

function sayGap({ firstSeq, nextSeq, reason }: Extract<Step, { kind: 'gap' }>): void {
  const why = { retention: 'deleted by retention', damaged: 'damaged', lost: 'never written' }[reason];
  console.error(`honeybee-core: ${nextSeq - firstSeq} records from ${firstSeq} to ${nextSeq - 1}: ${why}`);
}

/** Standard output, no faster than its reader takes it. One that goes away ends it: `log cat | head`. */
class Output {
  closed = false;

  constructor() {
    process.stdout.on('error', () => {
      this.closed = true;
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0 || this.closed) return;
    // Whole records, so no character is cut in two.
    const shown = process.stdout.isTTY ? terminalText(Buffer.from(bytes).toString()) : bytes;
    if (process.stdout.write(shown)) return;
    try {
      await once(process.stdout, 'drain');
    } catch {
      this.closed = true;
    }
  }

  async end(): Promise<void> {
    if (!this.closed) await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  }
}
