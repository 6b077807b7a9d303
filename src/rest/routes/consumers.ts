/** `/api/v1/consumers`: named consumers and how far they are, and who is connected to the stream. */
import { Type } from 'typebox';
import { StateBacklogFull } from '../../state/store.js';
import { actorOf } from '../actor.js';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { consumerRow, deliveryRow } from '../ledger-rows.js';
import { REST_LIMITS } from '../limits.js';
import type { LogView } from '../log-view.js';
import { ConsumerDetail, ConsumerList, ConsumerParams, DeliveryList } from '../schemas-ledger.js';
import type { CoreView } from '../view.js';

const TAGS = ['consumers'];

export function consumerRoutes(app: RestApp, view: CoreView, log: LogView): void {
  const nextSeq = () => view.stats().aggregator.next_seq;

  app.get(
    '/api/v1/consumers',
    {
      config: { access: 'read' },
      schema: {
        operationId: 'listConsumers',
        tags: TAGS,
        summary: 'named consumers',
        description:
          'Whoever connected to the stream with ?consumer=NAME, connected or not: what it has acknowledged, and how far it is behind. Retention keeps what it needs.',
        response: { 200: ConsumerList },
      },
    },
    async (_request, reply) => {
      const end = nextSeq();
      const rows = log.consumers.list().map((consumer) => consumerRow(consumer, end));
      return reply.send({ consumers: rows.sort((left, right) => (left.name < right.name ? -1 : 1)) });
    },
  );

  app.get(
    '/api/v1/consumers/:name',
    {
      config: { access: 'read', errors: ['CONSUMER_NOT_FOUND'] },
      schema: {
        operationId: 'getConsumer',
        tags: TAGS,
        summary: 'one named consumer',
        description: 'The row of the list.',
        params: ConsumerParams,
        response: { 200: ConsumerDetail },
      },
    },
    async (request, reply) => {
      const consumer = log.consumers.get(request.params.name);
      if (consumer === undefined) throw new RestError('CONSUMER_NOT_FOUND');
      return reply.send(consumerRow(consumer, nextSeq()));
    },
  );

  app.delete(
    '/api/v1/consumers/:name',
    {
      bodyLimit: REST_LIMITS.noBodyBytes,
      config: { access: 'admin', errors: ['CONSUMER_NOT_FOUND', 'STATE_UNAVAILABLE', 'UNAVAILABLE'] },
      schema: {
        operationId: 'removeConsumer',
        tags: TAGS,
        summary: 'forget a named consumer',
        description:
          'Forgets how far it was, closes its connection, and keeps nothing for it any more. One that connects again under the name is a new one.',
        params: ConsumerParams,
        response: { 204: Type.Null({ description: 'it is forgotten' }) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const removed = await log.consumers.remove(name, actorOf(request)).catch((error: unknown) => {
        throw error instanceof StateBacklogFull ? new RestError('STATE_UNAVAILABLE') : error;
      });
      if (!removed) throw new RestError('CONSUMER_NOT_FOUND');
      return reply.code(204).send(null);
    },
  );

  app.get(
    '/api/v1/deliveries',
    {
      config: { access: 'read' },
      schema: {
        operationId: 'listDeliveries',
        tags: TAGS,
        summary: 'who is connected to the stream, and what each was sent',
        description: 'WebSocket consumers and raw ones that asked for events, named or not, as of now.',
        response: { 200: DeliveryList },
      },
    },
    async (_request, reply) => {
      const deliveries = await log.deliveries.deliveries();
      const end = nextSeq();
      return reply.send({ deliveries: deliveries.map((delivery) => deliveryRow(delivery, end)) });
    },
  );
}
