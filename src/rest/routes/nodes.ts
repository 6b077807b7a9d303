/** `GET /api/v1/nodes` and `GET /api/v1/nodes/{id}`: who is connected, who was, and what was counted for them. */
import { parseNodeId } from '../../protocol/node-id.js';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import type { ListSender, ListShape } from '../list.js';
import { nodeRow, potRow } from '../rows.js';
import { NODE_ROW_SCHEMA, NodeDetail, NodeIdParams, NodeList } from '../schemas.js';
import { nodeFor, nodesFor } from '../scope.js';
import type { CoreView } from '../view.js';

export function nodeRoutes(app: RestApp, view: CoreView, lists: ListSender): void {
  app.get(
    '/api/v1/nodes',
    { config: { access: 'read', scope: 'nodes' }, schema: { response: { 200: NodeList } } },
    async (request, reply) => {
      const toJson = reply.compileSerializationSchema(NODE_ROW_SCHEMA);
      const shape: ListShape = { field: 'nodes', rows: (node) => toJson(nodeRow(node)) };
      return lists.send(request, reply, nodesFor(request.principal, view.nodes()), shape);
    },
  );

  app.get(
    '/api/v1/nodes/:id',
    {
      config: { access: 'read', scope: 'nodes' },
      schema: { params: NodeIdParams, response: { 200: NodeDetail } },
    },
    async (request, reply) => {
      const id = parseNodeId(request.params.id);
      if (id === undefined) throw new RestError('INVALID_NODE_ID');
      const node = nodeFor(request.principal, view.node(id));
      if (node === undefined) throw new RestError('NODE_NOT_FOUND');
      return reply.send({ ...nodeRow(node), honeypots: [...node.pots.values()].map(potRow) });
    },
  );
}
