/** `GET /`: what is here. */
import type { RestApp } from '../app.js';
import { IndexAnswer } from '../schemas.js';
import type { CoreView } from '../view.js';

const ROUTES = [
  { method: 'GET', path: '/health', what: '200 while Core does its work, 503 with a reason otherwise' },
  { method: 'GET', path: '/api/v1/nodes', what: 'all nodes, connected or not' },
  { method: 'GET', path: '/api/v1/nodes/{id}', what: 'one node with its honeypots' },
  { method: 'POST', path: '/api/v1/nodes/{id}/commands', what: 'tells a node what to do' },
  { method: 'GET', path: '/api/v1/nodes/{id}/commands', what: 'what a node was told, and what became of it' },
  { method: 'POST', path: '/api/v1/commands', what: 'tells many nodes what to do: a rollout' },
  { method: 'GET', path: '/api/v1/commands', what: 'all commands, the newest first' },
  { method: 'GET', path: '/api/v1/commands/{id}', what: 'one command' },
  { method: 'DELETE', path: '/api/v1/commands/{id}', what: 'cancels a command that was not sent' },
  { method: 'GET', path: '/api/v1/rollouts', what: 'all rollouts, the newest first' },
  { method: 'GET', path: '/api/v1/rollouts/{id}', what: 'one rollout' },
  { method: 'DELETE', path: '/api/v1/rollouts/{id}', what: 'cancels what a rollout has not sent' },
  { method: 'GET', path: '/api/v1/honeypots', what: 'the honeypots of all nodes' },
  { method: 'GET', path: '/api/v1/stats', what: 'rates, totals, errors by code, shards, log and consumers' },
  { method: 'GET', path: '/api/v1/dead-letters', what: 'the newest refused frames, up to ?limit=1000' },
  { method: 'GET', path: '/metrics', what: 'the same for Prometheus' },
];

export function indexRoute(app: RestApp, view: CoreView): void {
  app.get('/', { schema: { response: { 200: IndexAnswer } } }, () => ({
    name: 'honeybee-core',
    version: view.about().version,
    protocol: 2,
    routes: ROUTES,
  }));
}
