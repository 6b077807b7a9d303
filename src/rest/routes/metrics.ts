/** `GET /metrics`: the text that Prometheus reads. */
import type { RestApp } from '../app.js';
import type { CoreView } from '../view.js';

export function metricsRoute(app: RestApp, view: CoreView): void {
  app.get('/metrics', { config: { access: 'read', scope: 'counts' } }, async (_request, reply) => {
    const metrics = view.metrics();
    return reply.header('content-type', metrics.contentType).send(await metrics.render());
  });
}
