/**
 * Answers with a list of any length without holding main up: a short one is sent at once, a long one is made slice by
 * slice, each as the reader takes it, with a turn of the event loop in between.
 *
 * Owned by main. Never holds more than one slice of JSON per reader.
 */
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { JSON_TYPE, RestError } from './errors.js';
import { REST_LIMITS } from './limits.js';
import type { NodeView } from './view.js';

export interface ListShape {
  /** Name of the only field of the answer. */
  readonly field: string;
  /** The rows of one node as JSON, joined by commas; empty if it has none. */
  rows(node: NodeView): string;
}

export class ListSender {
  #listsOpen = 0;

  send(
    request: FastifyRequest,
    reply: FastifyReply,
    nodes: Iterable<NodeView>,
    shape: ListShape,
  ): FastifyReply {
    reply.header('content-type', JSON_TYPE);
    // Nobody would read the list, and its length is only known once it is made.
    if (request.method === 'HEAD') return reply.send(Readable.from([]));
    const slices = slicesOf(nodes, shape);
    const first = slices.next().value ?? '';
    const second = slices.next();
    if (second.done === true) return reply.send(first);
    if (this.#listsOpen >= REST_LIMITS.listsAtOnce) {
      reply.header('retry-after', '1');
      throw new RestError('TOO_MANY_LISTS');
    }
    return reply.send(this.#stream(first, second.value, slices));
  }

  #stream(first: string, second: string, rest: Iterator<string>): Readable {
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

async function* withTurns(first: string, second: string, rest: Iterator<string>): AsyncGenerator<string> {
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

/** The whole answer in pieces; the first has the opening, the last the closing. */
function* slicesOf(nodes: Iterable<NodeView>, { field, rows }: ListShape): Generator<string, undefined> {
  let slice = `{${JSON.stringify(field)}:[`;
  let separator = '';
  let nodesInSlice = 0;
  for (const node of nodes) {
    const json = rows(node);
    if (json !== '') {
      slice += separator + json;
      separator = ',';
    }
    nodesInSlice += 1;
    if (nodesInSlice >= REST_LIMITS.listSliceNodes || slice.length >= REST_LIMITS.listSliceChars) {
      yield slice;
      slice = '';
      nodesInSlice = 0;
    }
  }
  yield `${slice}]}`;
}
