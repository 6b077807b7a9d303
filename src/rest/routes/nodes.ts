/** `/api/v1/nodes`: who is connected, who was, and what was counted for them. */
import { Type } from 'typebox';
import type { AuditTrail } from '../../access/audit.js';
import type { LedgerView } from '../../ledger/view.js';
import { parseNodeId } from '../../protocol/node-id.js';
import { StateBacklogFull } from '../../state/store.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { isKnown, sendNothing, tagOf } from '../etag.js';
import { accountRow, NO_ACCOUNT } from '../ledger-rows.js';
import { REST_LIMITS } from '../limits.js';
import type { ListSender } from '../list.js';
import { nodeTest, pageOf, scopeTest } from '../node-selection.js';
import { rowWriter } from '../row-writer.js';
import { nodeRow, potRow } from '../rows.js';
import { NodeDetail, NodeList, NodeRow, type NodeRowJson } from '../schemas.js';
import { NodeIdParams, NodeQuery } from '../schemas-lists.js';
import type { CoreView, NodeRemoval } from '../view.js';

const TAGS = ['nodes'];
const writeRow = rowWriter<NodeRowJson>(NodeRow);

export function nodeRoutes(app: RestApp, view: CoreView, ledger: LedgerView, lists: ListSender): void {
  app.get(
    '/api/v1/nodes',
    {
      config: { access: 'read', scope: 'nodes', errors: ['TOO_MANY_LISTS'], etag: true },
      schema: {
        operationId: 'listNodes',
        tags: TAGS,
        summary: 'all nodes, connected or not',
        description:
          'In the order of their ids. Without `limit` the whole list, however long; with it a page, and `next` says where the following one starts. A node that is there all the time is on exactly one page, whoever else comes and goes meanwhile.',
        querystring: NodeQuery,
        response: { 200: NodeList },
      },
    },
    async (request, reply) => {
      const { limit, after } = request.query;
      const test = nodeTest(request.query, request.principal);
      const page = pageOf(view.nodes(cursorOf(after)), test, limit);
      return lists.send(request, reply, page.rows, {
        field: 'nodes',
        // Looked at again when its turn comes: it may have another status by then.
        rows(record, json) {
          if (test(record)) writeRow(nodeRow(view.show(record)), json);
        },
        next: limit === undefined ? undefined : page.more ? String(page.rows.at(-1)!.id) : null,
        tag: tagOf(page.rows, view.live, [page.more ? 1 : 0]),
      });
    },
  );

  app.get(
    '/api/v1/nodes/:id',
    {
      config: { access: 'read', scope: 'nodes', errors: ['INVALID_NODE_ID', 'NODE_NOT_FOUND'], etag: true },
      schema: {
        operationId: 'getNode',
        tags: TAGS,
        summary: 'one node with its honeypots',
        description: 'The row of the list, the honeypots that the node has told of, and its ledger.',
        params: NodeIdParams,
        response: { 200: NodeDetail },
      },
    },
    async (request, reply) => {
      const record = view.node(nodeIdOf(request.params.id));
      if (record === undefined || !scopeTest(request.principal)(record))
        throw new RestError('NODE_NOT_FOUND');
      if (isKnown(request, reply, tagOf([record], view.live))) return sendNothing(reply);
      const account = ledger.of(record.serial) ?? NO_ACCOUNT;
      return reply.send({
        ...nodeRow(view.show(record)),
        honeypots: [...record.pots.values()].map(potRow),
        ledger: accountRow(account),
      });
    },
  );
}

export function nodeRemovalRoute(
  app: RestApp,
  view: CoreView,
  removal: NodeRemoval,
  audit: AuditTrail,
): void {
  app.delete(
    '/api/v1/nodes/:id',
    {
      bodyLimit: REST_LIMITS.noBodyBytes,
      config: {
        access: 'command',
        scope: 'nodes',
        errors: ['INVALID_NODE_ID', 'NODE_NOT_FOUND', 'STATE_UNAVAILABLE', 'UNAVAILABLE'],
      },
      schema: {
        operationId: 'removeNode',
        tags: TAGS,
        summary: 'forget a node',
        description:
          'Closes its connection and forgets what is remembered of it. Its events stay in the log. A node that is not told otherwise registers again.',
        params: NodeIdParams,
        response: { 204: Type.Null({ description: 'it is forgotten' }) },
      },
    },
    async (request, reply) => {
      const id = nodeIdOf(request.params.id);
      const actor = actorOf(request);
      const entry = { actor, action: 'node.remove', target: String(id) };
      const record = view.node(id);
      if (record === undefined || !scopeTest(request.principal)(record)) {
        audit.record({ ...entry, outcome: 'refused', detail: { code: 'NODE_NOT_FOUND' } });
        throw new RestError('NODE_NOT_FOUND');
      }
      const detail = { node_name: record.name };
      let removed = false;
      try {
        removed = await removal.remove(id, actor);
      } catch (error) {
        audit.record({ ...entry, outcome: 'failed', detail });
        throw error instanceof StateBacklogFull ? new RestError('STATE_UNAVAILABLE') : error;
      }
      audit.record({ ...entry, outcome: removed ? 'done' : 'refused', detail });
      if (!removed) throw new RestError('NODE_NOT_FOUND');
      return reply.code(204).send(null);
    },
  );
}

function nodeIdOf(text: string): bigint {
  const id = parseNodeId(text);
  if (id === undefined) throw new RestError('INVALID_NODE_ID', { field: 'id' });
  return id;
}

export function cursorOf(after: string | undefined): bigint | undefined {
  if (after === undefined) return undefined;
  const id = parseNodeId(after);
  if (id === undefined)
    throw new RestError('BAD_REQUEST', { field: 'after', detail: 'after is not `next` of a page' });
  return id;
}
