/** `GET /health`: for load balancers and monitors; the status code alone is enough. */
import type { RestApp } from '../app.js';
import { HealthAnswer } from '../schemas.js';
import type { CoreView } from '../view.js';

export function healthRoute(app: RestApp, view: CoreView): void {
  app.get(
    '/health',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'getHealth',
        tags: ['operation'],
        summary: '200 while Core does its work, 503 with a reason otherwise',
        description: 'For load balancers and monitors. Not counted by the rate limit.',
        response: { 200: HealthAnswer, 503: HealthAnswer },
      },
    },
    async (_request, reply) => {
      const health = view.health();
      return reply.code(health.status === 'ok' ? 200 : 503).send(health);
    },
  );
}
