/**
 * Answers with a list of any length without holding main up: a short one is sent at once, a long one is made slice by
 * slice, each as the reader takes it, with a turn of the event loop in between.
 *
 * Owned by main. Never holds more than one slice of JSON per reader.
 */
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RestError } from './errors.js';
import { isKnown, sendNothing } from './etag.js';
import { JsonBytes } from './json-bytes.js';
import { JSON_TYPE } from './json-text.js';
import { REST_LIMITS } from './limits.js';

const FIRST_SLICE_BYTES = 4 * 1024;
const OPENING_BRACKET = 0x5b;

export interface ListShape<T> {
  /** Name of the field that holds the rows. */
  readonly field: string;
  /** Appends the rows of one item as JSON, if it has any, each with a comma in front. */
  rows(item: T, json: JsonBytes): void;
  /** Of a page: where the next one starts, null behind the last one. Undefined: not a page. */
  readonly next: string | null | undefined;
  /** Of the whole answer, see `etag.ts`; undefined where it changes with every event. */
  readonly tag: string | undefined;
}

export class ListSender {
  #listsOpen = 0;

  send<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    items: Iterable<T>,
    shape: ListShape<T>,
  ): FastifyReply {
    if (typeof shape.next === 'string') reply.header('link', nextLink(request, 'after', shape.next));
    if (shape.tag !== undefined && isKnown(request, reply, shape.tag)) return sendNothing(reply);
    reply.header('content-type', JSON_TYPE);
    // Nobody would read the list, and its length is only known once it is made.
    if (request.method === 'HEAD') return reply.send(Readable.from([]));
    const slices = slicesOf(items, shape);
    const first = slices.next().value!;
    const second = slices.next();
    if (second.done === true) return reply.send(first);
    if (this.#listsOpen >= REST_LIMITS.listsAtOnce) {
      reply.header('retry-after', '1');
      throw new RestError('TOO_MANY_LISTS');
    }
    return reply.send(this.#stream(first, second.value, slices));
  }

  #stream(first: Buffer, second: Buffer, rest: Iterator<Buffer>): Readable {
    this.#listsOpen += 1;
    const stream = Readable.from(withTurns(first, second, rest), { objectMode: false, highWaterMark: 1 });
    const timeout = setTimeout(
      () => stream.destroy(new Error('the list was not read in time')),
      REST_LIMITS.listTimeoutMs,
    );
    timeout.unref();
    stream.once('close', () => {
      clearTimeout(timeout);
      this.#listsOpen -= 1;
    });
    return stream;
  }
}

/** RFC 8288. The same question with another cursor; it only says again what passed the schema, as a URL. */
export function nextLink(request: FastifyRequest, cursor: 'after' | 'before', next: string | number): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query as Record<string, unknown>))
    if (name !== cursor) for (const one of [value].flat()) parameters.append(name, String(one));
  parameters.set(cursor, String(next));
  const path = request.url.split('?', 1)[0];
  return `<${path}?${parameters}>; rel="next"`;
}

async function* withTurns(first: Buffer, second: Buffer, rest: Iterator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  await nextTurn();
  yield second;
  for (;;) {
    await nextTurn();
    const slice = rest.next();
    if (slice.done === true) return;
    yield slice.value;
  }
}

/** The whole answer in slices; the first has the opening, the last the closing. */
function* slicesOf<T>(items: Iterable<T>, { field, rows, next }: ListShape<T>): Generator<Buffer, undefined> {
  // Most lists are short: the first slice begins small, and grows.
  const json = new JsonBytes(FIRST_SLICE_BYTES);
  // What every row begins with is a comma; the first one's becomes the bracket.
  const opening = Buffer.from(`{${JSON.stringify(field)}:`);
  let opened = false;
  let itemsInSlice = 0;
  json.raw(opening);
  for (const item of items) {
    rows(item, json);
    if (!opened && json.length > opening.length) {
      json.replace(opening.length, OPENING_BRACKET);
      opened = true;
    }
    itemsInSlice += 1;
    if (itemsInSlice < REST_LIMITS.listSliceNodes && json.length < REST_LIMITS.listSliceBytes) continue;
    // Without a row yet there is nothing but the opening, which stays for the bracket.
    if (opened) yield json.take(REST_LIMITS.listSliceBytes);
    itemsInSlice = 0;
  }
  json.raw(
    Buffer.from(`${opened ? '' : '['}]${next === undefined ? '' : `,"next":${JSON.stringify(next)}`}}`),
  );
  yield json.take(0);
}
