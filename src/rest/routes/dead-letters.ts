/** `GET /api/v1/dead-letters`: the newest refused frames, as the dead-letter log has them. */
import { Type } from 'typebox';
import type { RestApp } from '../app.js';
import { sendJsonText } from '../json-text.js';
import { REST_LIMITS } from '../limits.js';
import { query, textOrNull } from '../schema-parts.js';
import type { CoreView } from '../view.js';

const DEFAULT_LIMIT = 100;

const DeadLetterQuery = query({
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: REST_LIMITS.pageRows,
      description: `how many of them; ${DEFAULT_LIMIT} without it`,
    }),
  ),
});

/** Lines of the log, sent as they are: this is for the reader, nothing is serialised with it. */
const DeadLetterList = Type.Object({
  dead_letters: Type.Array(
    Type.Object(
      {
        time: Type.String({ description: 'when it was refused; ISO 8601, UTC' }),
        code: Type.String({ description: 'error code', examples: ['INVALID_MESSAGE_FORMAT'] }),
        reason: Type.String({ description: 'what is wrong with it' }),
        node_id: Type.Unsafe<bigint | null>({
          type: ['integer', 'null'],
          description: 'node that sent it, all digits of its id; null before it registered',
        }),
        node_name: textOrNull('its name; null before it registered'),
        remote: Type.String({ description: 'address and port it came from' }),
        size: Type.Integer({ description: 'bytes of the whole frame' }),
        bytes: Type.String({ description: 'the frame in base64, its first 4 KiB' }),
      },
      { description: 'a refused frame' },
    ),
    { description: 'newest first' },
  ),
});

export function deadLetterRoutes(app: RestApp, view: CoreView): void {
  // No scope: refused frames of all nodes and types, with what attackers sent.
  app.get(
    '/api/v1/dead-letters',
    {
      config: { access: 'read' },
      schema: {
        operationId: 'listDeadLetters',
        tags: ['operation'],
        summary: 'the newest refused frames',
        description:
          'What nodes sent that could not be processed, with the reason and its bytes, newest first.',
        querystring: DeadLetterQuery,
        response: { 200: DeadLetterList },
      },
    },
    async (request, reply) => {
      const lines = await view.newestDeadLetters(request.query.limit ?? DEFAULT_LIMIT);
      // Lines of the log are JSON texts; put together as they are, every id keeps its digits.
      return sendJsonText(reply, `{"dead_letters":[${lines.join(',')}]}`);
    },
  );
}
