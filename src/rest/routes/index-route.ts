/** `GET /`: what is here. */
import type { RestApp } from '../app.js';
import { type RouteTable, shownPath } from '../route-table.js';
import { IndexAnswer } from '../schemas.js';
import type { CoreView } from '../view.js';

export function indexRoute(app: RestApp, view: CoreView, table: RouteTable): void {
  app.get(
    '/',
    {
      // For every role: it says what a 404 of each other path would say, and nothing of nodes.
      config: { access: 'any' },
      schema: {
        operationId: 'getIndex',
        tags: ['operation'],
        summary: 'what is here',
        description: 'Every route in one line; `GET /openapi.json` says everything about them.',
        response: { 200: IndexAnswer },
      },
    },
    () => ({
      name: 'honeybee-core',
      version: view.about().version,
      protocol: 2,
      routes: table.shown().map(({ method, path, schema, config }) => ({
        method,
        path: shownPath(path),
        what: schema.summary ?? '',
        access: config.access ?? '',
      })),
    }),
  );
}
