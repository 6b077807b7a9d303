/** `GET /api/v1/honeypots`: the honeypots of all nodes, each with the node it runs on. */
import { parseNodeId } from '../../protocol/node-id.js';
import type { NodeRecord, PotRecord } from '../../registry/record.js';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { tagOf } from '../etag.js';
import type { ListSender } from '../list.js';
import { type PotTest, pageOf, potsOf, potTest, scopeTest } from '../node-selection.js';
import { rowWriter } from '../row-writer.js';
import { honeypotRow } from '../rows.js';
import { HoneypotList, HoneypotRow, type HoneypotRowJson } from '../schemas.js';
import { HoneypotQuery } from '../schemas-lists.js';
import type { CoreView } from '../view.js';

const writeRow = rowWriter<HoneypotRowJson>(HoneypotRow);

/** A honeypot and the node it runs on. */
interface Placed {
  readonly record: NodeRecord;
  readonly pot: PotRecord;
}

/** The last honeypot of a page. */
interface Cursor {
  readonly node: bigint;
  readonly potId: string;
}

export function honeypotRoutes(app: RestApp, view: CoreView, lists: ListSender): void {
  app.get(
    '/api/v1/honeypots',
    {
      config: { access: 'read', scope: 'nodes', errors: ['INVALID_NODE_ID', 'TOO_MANY_LISTS'], etag: true },
      schema: {
        operationId: 'listHoneypots',
        tags: ['nodes'],
        summary: 'the honeypots of all nodes',
        description:
          'In the order of their nodes, then of their own ids. Without `limit` the whole list; with it a page, and `next` says where the following one starts.',
        querystring: HoneypotQuery,
        response: { 200: HoneypotList },
      },
    },
    async (request, reply) => {
      const { limit, after, node } = request.query;
      const inScope = scopeTest(request.principal);
      const shown = potTest(request.query);
      const cursor = cursorOf(after);
      const records = recordsOf(view, node, cursor).filter(
        (record) => record.pots.size > 0 && inScope(record),
      );
      if (limit === undefined && cursor === undefined) {
        return lists.send(request, reply, records, {
          field: 'honeypots',
          rows(record, json) {
            for (const pot of potsOf(record, shown)) writeRow(honeypotRow(record, pot), json);
          },
          next: undefined,
          tag: tagOf(records, null),
        });
      }
      const page = pageOf(placed(records, shown, cursor), () => true, limit);
      const last = page.rows.at(-1);
      return lists.send(request, reply, page.rows, {
        field: 'honeypots',
        rows: ({ record, pot }, json) => writeRow(honeypotRow(record, pot), json),
        next: limit === undefined ? undefined : page.more && last !== undefined ? cursorText(last) : null,
        tag: tagOf(
          page.rows.map(({ record }) => record),
          null,
          [page.more ? 1 : 0],
        ),
      });
    },
  );
}

function recordsOf(
  view: CoreView,
  node: string | undefined,
  cursor: Cursor | undefined,
): readonly NodeRecord[] {
  if (node !== undefined) {
    const id = parseNodeId(node);
    if (id === undefined) throw new RestError('INVALID_NODE_ID', { field: 'node' });
    const record = cursor !== undefined && cursor.node > id ? undefined : view.node(id);
    return record === undefined ? [] : [record];
  }
  // The cursor's node itself is looked at again: it may have more.
  return view.nodes(cursor === undefined ? undefined : cursor.node - 1n);
}

function* placed(
  records: readonly NodeRecord[],
  shown: PotTest,
  cursor: Cursor | undefined,
): Generator<Placed> {
  for (const record of records) {
    for (const pot of potsOf(record, shown)) {
      if (cursor !== undefined && record.id === cursor.node && pot.potId <= cursor.potId) continue;
      yield { record, pot };
    }
  }
}

/** UTF-16, because half a surrogate pair in a stranger's id must come back as it was. */
function cursorText({ record, pot }: Placed): string {
  return Buffer.from(`${record.id} ${pot.potId}`, 'utf16le').toString('base64url');
}

function cursorOf(after: string | undefined): Cursor | undefined {
  if (after === undefined) return undefined;
  const text = Buffer.from(after, 'base64url').toString('utf16le');
  const space = text.indexOf(' ');
  const node = space === -1 ? undefined : parseNodeId(text.slice(0, space));
  if (node === undefined)
    throw new RestError('BAD_REQUEST', { field: 'after', detail: 'after is not `next` of a page' });
  return { node, potId: text.slice(space + 1) };
}
