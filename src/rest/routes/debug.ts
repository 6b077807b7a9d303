/**
 * `POST /debug/...`: breaks a part of Core on purpose, so that tests and operators can see it recover. Only there with
 * `[server] debug = true`, which asks for a loopback host; otherwise these paths do not exist.
 */
import { Type } from 'typebox';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { REST_LIMITS } from '../limits.js';
import type { CoreView } from '../view.js';

/** What can be broken. Each call returns at once; the damage is done in another thread. */
export interface Faults {
  killShard(shard: number): void;
  killAggregator(): void;
  killReader(): void;
  killKeeper(): void;
}

const ShardParams = Type.Object({
  shard: Type.String({ description: 'number of the shard', examples: ['0'] }),
});
const Killed = Type.Object({ killed: Type.String({ description: 'what was told to die' }) });

export function debugRoutes(app: RestApp, view: CoreView, faults: Faults): void {
  app.post(
    '/debug/shards/:shard/kill',
    {
      bodyLimit: REST_LIMITS.noBodyBytes,
      config: { access: 'admin', errors: ['NOT_FOUND', 'UNAVAILABLE'] },
      schema: {
        operationId: 'killShard',
        tags: ['debug'],
        summary: 'end a shard as if it had crashed',
        description: 'It is replaced; its nodes reconnect. Only with `server.debug`.',
        params: ShardParams,
        response: { 202: Killed },
      },
    },
    async (request, reply) => {
      const found = view.stats().shards.find(({ shard }) => String(shard) === request.params.shard);
      if (found === undefined)
        throw new RestError('NOT_FOUND', { detail: 'there is no shard with this number' });
      if (!found.alive) throw new RestError('UNAVAILABLE');
      faults.killShard(found.shard);
      return reply.code(202).send({ killed: `shard ${found.shard}` });
    },
  );

  app.post(
    '/debug/aggregator/kill',
    {
      bodyLimit: REST_LIMITS.noBodyBytes,
      config: { access: 'admin' },
      schema: {
        operationId: 'killAggregator',
        tags: ['debug'],
        summary: 'end the aggregator as if it had crashed',
        description: 'Core ends, in order, with exit code 70. Only with `server.debug`.',
        response: { 202: Killed },
      },
    },
    async (_request, reply) => {
      faults.killAggregator();
      return reply.code(202).send({ killed: 'aggregator' });
    },
  );

  app.post(
    '/debug/reader/kill',
    {
      bodyLimit: REST_LIMITS.noBodyBytes,
      config: { access: 'admin' },
      schema: {
        operationId: 'killReader',
        tags: ['debug'],
        summary: 'end the reader of the log as if it had crashed',
        description:
          'It is started again; consumers that read the log go on where they were. Only with `server.debug`.',
        response: { 202: Killed },
      },
    },
    async (_request, reply) => {
      faults.killReader();
      return reply.code(202).send({ killed: 'reader' });
    },
  );

  app.post(
    '/debug/keeper/kill',
    {
      bodyLimit: REST_LIMITS.noBodyBytes,
      config: { access: 'admin' },
      schema: {
        operationId: 'killKeeper',
        tags: ['debug'],
        summary: 'end the keeper of the log as if it had crashed',
        description: 'It is started again. Only with `server.debug`.',
        response: { 202: Killed },
      },
    },
    async (_request, reply) => {
      faults.killKeeper();
      return reply.code(202).send({ killed: 'keeper' });
    },
  );
}
