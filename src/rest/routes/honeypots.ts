/** `GET /api/v1/honeypots`: the honeypots of all nodes, each with the node it runs on. */
import type { RestApp } from '../app.js';
import type { ListSender, ListShape } from '../list.js';
import { honeypotRow } from '../rows.js';
import { HONEYPOT_ROW_SCHEMA, HoneypotList } from '../schemas.js';
import { nodesFor } from '../scope.js';
import type { CoreView } from '../view.js';

export function honeypotRoutes(app: RestApp, view: CoreView, lists: ListSender): void {
  app.get(
    '/api/v1/honeypots',
    { config: { access: 'read', scope: 'nodes' }, schema: { response: { 200: HoneypotList } } },
    async (request, reply) => {
      const toJson = reply.compileSerializationSchema(HONEYPOT_ROW_SCHEMA);
      const shape: ListShape = {
        field: 'honeypots',
        rows: (node) => {
          const rows: string[] = [];
          for (const pot of node.pots.values()) rows.push(toJson(honeypotRow(node, pot)));
          return rows.join(',');
        },
      };
      return lists.send(request, reply, nodesFor(request.principal, view.nodes()), shape);
    },
  );
}
