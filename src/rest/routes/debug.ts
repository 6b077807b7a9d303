/**
 * `POST /debug/...`: breaks a part of Core on purpose, so that tests and operators can see it recover. Only there with
 * `[server] debug = true`, which asks for a loopback host; otherwise these paths do not exist.
 */
import { Type } from 'typebox';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import type { CoreView } from '../view.js';

/** What can be broken. Each call returns at once; the damage is done in another thread. */
export interface Faults {
  killShard(shard: number): void;
  killAggregator(): void;
}

const ShardParams = Type.Object({ shard: Type.String() });

export function debugRoutes(app: RestApp, view: CoreView, faults: Faults): void {
  app.post(
    '/debug/shards/:shard/kill',
    { config: { access: 'admin' }, schema: { params: ShardParams } },
    async (request, reply) => {
      const found = view.stats().shards.find(({ shard }) => String(shard) === request.params.shard);
      if (found === undefined) throw new RestError('NOT_FOUND');
      if (!found.alive) throw new RestError('UNAVAILABLE');
      faults.killShard(found.shard);
      return reply.code(202).send({ killed: `shard ${found.shard}` });
    },
  );

  app.post('/debug/aggregator/kill', { config: { access: 'admin' } }, async (_request, reply) => {
    faults.killAggregator();
    return reply.code(202).send({ killed: 'aggregator' });
  });
}
