/** `POST /api/v1/commands` and `/api/v1/rollouts`: telling many nodes what to do, and what became of it. */
import type { CommandService } from '../../commands/service.js';
import { LIMITS } from '../../limits.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import { asked, DEFAULT_PAGE } from '../command-requests.js';
import { rolloutRow } from '../command-rows.js';
import {
  IdempotencyHeaders,
  NewRollout,
  RolloutList,
  RolloutParams,
  RolloutQuery,
  RolloutRow,
  type RolloutRowJson,
} from '../command-schemas.js';
import { RestError } from '../errors.js';
import { milliseconds } from './commands.js';

const tags = ['commands'];

export function rolloutRoutes(app: RestApp, commands: CommandService): void {
  app.post(
    '/api/v1/commands',
    {
      config: {
        access: 'command',
        scope: 'nodes',
        errors: [
          'INVALID_COMMAND',
          'CONFLICT',
          'NODE_QUEUE_FULL',
          'IDEMPOTENCY_CONFLICT',
          'TOO_MANY_COMMANDS',
          'STATE_UNAVAILABLE',
        ],
      },
      schema: {
        operationId: 'createRollout',
        summary: 'tell many nodes what to do',
        description:
          'Makes a rollout: one command for each node that matches now. Answered once all of them are safe on disk.',
        tags,
        headers: IdempotencyHeaders,
        body: NewRollout,
        response: { 202: RolloutRow },
      },
    },
    async (request, reply) => {
      const { command, filter, rolling, ttl_seconds, timeout_seconds } = request.body;
      const rollout = await asked(() =>
        commands.broadcast({
          command,
          actor: actorOf(request),
          filter: {
            nodeType: filter?.node_type ?? null,
            status: filter?.status ?? null,
            name: filter?.name ?? null,
            connected: filter?.connected === undefined ? true : filter.connected,
          },
          rolling: {
            maxInFlight: rolling?.max_in_flight ?? null,
            maxFailures: rolling?.max_failures ?? null,
          },
          ttlMs: milliseconds(ttl_seconds),
          timeoutMs: milliseconds(timeout_seconds),
          idempotencyKey: request.headers['idempotency-key'],
        }),
      );
      const location = `/api/v1/rollouts/${rollout.plan.id}`;
      return reply.code(202).header('location', location).send(rolloutRow(rollout));
    },
  );

  app.get(
    '/api/v1/rollouts',
    {
      config: { access: 'read', scope: 'nodes' },
      schema: {
        operationId: 'listRollouts',
        summary: 'rollouts',
        description: 'The newest first.',
        tags,
        querystring: RolloutQuery,
        response: { 200: RolloutList },
      },
    },
    async ({ query, principal }) => {
      const limit = query.limit === undefined ? DEFAULT_PAGE : Number(query.limit);
      const rollouts: RolloutRowJson[] = [];
      let bytes = 0;
      for (const rollout of commands.rollouts()) {
        if (query.after !== undefined && rollout.plan.id >= query.after) continue;
        if (!commands.maySee(principal, rollout)) continue;
        if (rollouts.length >= limit || bytes > LIMITS.commandPageBytes)
          return { rollouts, next: rollouts.at(-1)!.id };
        bytes += rollout.plan.json.length;
        rollouts.push(rolloutRow(rollout));
      }
      return { rollouts, next: null };
    },
  );

  app.get(
    '/api/v1/rollouts/:id',
    {
      config: { access: 'read', scope: 'nodes', errors: ['ROLLOUT_NOT_FOUND'] },
      schema: {
        operationId: 'getRollout',
        summary: 'one rollout',
        description: 'Its commands are at `GET /api/v1/commands?rollout_id=`.',
        tags,
        params: RolloutParams,
        response: { 200: RolloutRow },
      },
    },
    async (request) => {
      const rollout = await asked(() => commands.rollout(request.params.id));
      if (!commands.maySee(request.principal, rollout)) throw new RestError('ROLLOUT_NOT_FOUND');
      return rolloutRow(rollout);
    },
  );

  app.delete(
    '/api/v1/rollouts/:id',
    {
      config: {
        access: 'command',
        scope: 'nodes',
        errors: ['ROLLOUT_NOT_FOUND', 'CONFLICT', 'STATE_UNAVAILABLE'],
      },
      schema: {
        operationId: 'cancelRollout',
        summary: 'cancel a rollout',
        description: 'Cancels what was not sent; what was sent goes on to its end.',
        tags,
        params: RolloutParams,
        response: { 200: RolloutRow },
      },
    },
    async (request) =>
      rolloutRow(await asked(() => commands.cancelRollout(request.params.id, actorOf(request)))),
  );
}
