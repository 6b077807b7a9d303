/** `GET /api/v1/dead-letters`: the newest refused frames, as the dead-letter log has them. */
import { Type } from 'typebox';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import type { CoreView } from '../view.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

/** Text, because values are never coerced. */
const DeadLetterQuery = Type.Object({ limit: Type.Optional(Type.String({ maxLength: 8 })) });

export function deadLetterRoutes(app: RestApp, view: CoreView): void {
  // No scope: refused frames of all nodes and types, with what attackers sent.
  app.get(
    '/api/v1/dead-letters',
    { config: { access: 'read' }, schema: { querystring: DeadLetterQuery } },
    async (request, reply) => {
      const text = request.query.limit ?? String(DEFAULT_LIMIT);
      const limit = /^[1-9][0-9]{0,3}$/.test(text) ? Math.min(Number(text), MAX_LIMIT) : undefined;
      if (limit === undefined) throw new RestError('BAD_REQUEST');
      // Lines of the log are JSON texts; put together as they are, every id keeps its digits.
      const lines = await view.newestDeadLetters(limit);
      return reply.type('application/json; charset=utf-8').send(`{"dead_letters":[${lines.join(',')}]}`);
    },
  );
}
