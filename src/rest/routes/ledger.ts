/** `/api/v1/ledger`: what came in, and what became of it, frame by frame: of all nodes together, and of each. */
import { matchesPattern } from '../../access/pattern.js';
import { parseNodeId } from '../../protocol/node-id.js';
import type { RestApp } from '../app.js';
import { accountRow, NO_ACCOUNT, nodeAccountRow } from '../ledger-rows.js';
import type { ListSender } from '../list.js';
import type { LogView } from '../log-view.js';
import { type NodeTest, pageOf, scopeTest } from '../node-selection.js';
import { rowWriter } from '../row-writer.js';
import {
  AccountList,
  AccountQuery,
  AccountRow,
  type AccountRowJson,
  LedgerAnswer,
} from '../schemas-ledger.js';
import type { CoreView } from '../view.js';
import { cursorOf } from './nodes.js';

const TAGS = ['ledger'];
const writeRow = rowWriter<AccountRowJson>(AccountRow);

export function ledgerRoutes(app: RestApp, view: CoreView, log: LogView, lists: ListSender): void {
  app.get(
    '/api/v1/ledger',
    {
      config: { access: 'read', scope: 'counts' },
      schema: {
        operationId: 'getLedger',
        tags: TAGS,
        summary: 'what came in, and what became of it',
        description:
          'Frame by frame, frames = accepted + duplicates + refused; record by record, those that were passed on are in the log once it has taken them. Counted since the log began, over restarts of Core.',
        response: { 200: LedgerAnswer },
      },
    },
    async (_request, reply) => {
      const { aggregator } = view.stats();
      const consumers = log.consumers.list();
      const slowest = consumers.reduce(
        (found, one) => (found === undefined || one.nextSeq < found.nextSeq ? one : found),
        consumers[0],
      );
      return reply.send({
        nodes: accountRow(log.ledger.totals()),
        log: { next_seq: aggregator.next_seq, durable_seq: aggregator.durable_seq },
        consumers: {
          connected: aggregator.consumers_open,
          in_log: aggregator.consumers_in_log,
          named: consumers.length,
          slowest: slowest?.name ?? null,
          slowest_next_seq: slowest?.nextSeq ?? null,
          bytes_sent: aggregator.bytes_sent,
          gaps: aggregator.stream_gaps,
        },
      });
    },
  );

  app.get(
    '/api/v1/ledger/nodes',
    {
      config: { access: 'read', scope: 'nodes', errors: ['TOO_MANY_LISTS'] },
      schema: {
        operationId: 'listAccounts',
        tags: TAGS,
        summary: 'the ledger of each node',
        description: 'In the order of their ids, as the list of nodes is, and in pages like that.',
        querystring: AccountQuery,
        response: { 200: AccountList },
      },
    },
    async (request, reply) => {
      const { node, limit, after } = request.query;
      const inScope = scopeTest(request.principal);
      const isAsked = node === undefined ? () => true : askedFor(node);
      const test: NodeTest = (record) => isAsked(record) && inScope(record);
      const page = pageOf(view.nodes(cursorOf(after)), test, limit);
      return lists.send(request, reply, page.rows, {
        field: 'nodes',
        rows(record, json) {
          // Looked at again when its turn comes: it may have another name by then.
          if (test(record))
            writeRow(nodeAccountRow(record, log.ledger.of(record.serial) ?? NO_ACCOUNT), json);
        },
        next: limit === undefined ? undefined : page.more ? String(page.rows.at(-1)!.id) : null,
        tag: undefined,
      });
    },
  );
}

function askedFor(node: string): NodeTest {
  const id = parseNodeId(node);
  return (record) => (id !== undefined && record.id === id) || matchesPattern(node, record.name);
}
