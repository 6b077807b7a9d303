/** `GET /`: what is here. */
import type { RestApp } from '../app.js';
import { IndexAnswer } from '../schemas.js';
import type { CoreView } from '../view.js';

const ROUTES = [
  { method: 'GET', path: '/health', what: '200 while Core does its work, 503 with a reason otherwise' },
  { method: 'GET', path: '/api/v1/nodes', what: 'all nodes, connected or not' },
  { method: 'GET', path: '/api/v1/nodes/{id}', what: 'one node with its honeypots' },
  { method: 'GET', path: '/api/v1/honeypots', what: 'the honeypots of all nodes' },
  { method: 'GET', path: '/api/v1/stats', what: 'rates, totals, errors by code, shards, log and consumers' },
  { method: 'GET', path: '/api/v1/dead-letters', what: 'the newest refused frames, up to ?limit=1000' },
  { method: 'GET', path: '/metrics', what: 'the same for Prometheus' },
];

export function indexRoute(app: RestApp, view: CoreView): void {
  // For every role: it says what a 404 of each other path would say, and nothing of nodes.
  app.get('/', { config: { access: 'any' }, schema: { response: { 200: IndexAnswer } } }, () => ({
    name: 'honeybee-core',
    version: view.about().version,
    protocol: 2,
    routes: ROUTES,
  }));
}
