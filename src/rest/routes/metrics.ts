/** `GET /metrics`: the text that Prometheus reads. */
import { Type } from 'typebox';
import type { RestApp } from '../app.js';
import type { CoreView } from '../view.js';

export function metricsRoute(app: RestApp, view: CoreView): void {
  app.get(
    '/metrics',
    {
      config: { access: 'read', scope: 'counts' },
      schema: {
        operationId: 'getMetrics',
        tags: ['operation'],
        summary: 'the same for Prometheus',
        description:
          'Prometheus text format; labels are never texts that came from a node; names of named consumers are.',
        response: {
          200: {
            description: 'all metrics',
            content: { 'text/plain': { schema: Type.String({ description: 'Prometheus text format' }) } },
          },
        },
      },
    },
    async (_request, reply) => {
      const metrics = view.metrics();
      return reply.header('content-type', metrics.contentType).send(await metrics.render());
    },
  );
}
