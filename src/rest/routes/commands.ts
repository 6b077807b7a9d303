/**
 * `/api/v1/commands` and `/api/v1/nodes/{id}/commands`: telling one node what to do, and what became of it.
 * (Telling many is `POST /api/v1/commands`, in rollouts.ts.)
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { CommandQuery as Query } from '../../commands/request.js';
import type { CommandService } from '../../commands/service.js';
import { LIMITS } from '../../limits.js';
import { parseNodeId } from '../../protocol/node-id.js';
import type { RestApp } from '../app.js';
import { actorOf, asked, DEFAULT_PAGE } from '../command-requests.js';
import { commandRow } from '../command-rows.js';
import {
  COMMAND_ROW_SCHEMA,
  CommandList,
  CommandNodeParams,
  CommandParams,
  CommandQuery,
  CommandRow,
  IdempotencyHeaders,
  NewCommand,
  NodeCommandQuery,
} from '../command-schemas.js';
import { JSON_TYPE, RestError } from '../errors.js';
import { REST_LIMITS } from '../limits.js';
import type { CoreView } from '../view.js';

const tags = ['commands'];

export function commandRoutes(app: RestApp, view: CoreView, commands: CommandService): void {
  app.post(
    '/api/v1/nodes/:id/commands',
    {
      config: { access: 'command' },
      schema: {
        summary: 'Tell a node what to do',
        description:
          'Answered once the command is safe on disk. A node that is not connected gets it when it is back, within the time to live.',
        tags,
        params: CommandNodeParams,
        headers: IdempotencyHeaders,
        body: NewCommand,
        response: { 202: CommandRow },
      },
    },
    async (request, reply) => {
      const { command, ttl_seconds, timeout_seconds } = request.body;
      const record = await asked(() =>
        commands.submit(nodeIdOf(request.params.id), {
          command,
          actor: actorOf(request),
          ttlMs: milliseconds(ttl_seconds),
          timeoutMs: milliseconds(timeout_seconds),
          idempotencyKey: request.headers['idempotency-key'],
        }),
      );
      return reply.code(202).header('location', `/api/v1/commands/${record.id}`).send(commandRow(record));
    },
  );

  app.get(
    '/api/v1/nodes/:id/commands',
    {
      config: { access: 'read' },
      schema: {
        summary: 'Commands of a node',
        description: 'The newest first; those under its name, whatever id it had.',
        tags,
        params: CommandNodeParams,
        querystring: NodeCommandQuery,
        response: { 200: CommandList },
      },
    },
    async (request, reply) => {
      const nodeName = nameOf(view, commands, request, request.params.id);
      return sendPage(commands, request, reply, { ...request.query, nodeName });
    },
  );

  app.get(
    '/api/v1/commands',
    {
      config: { access: 'read' },
      schema: {
        summary: 'Commands',
        description:
          'The newest first. A page may be shorter than asked for; `next` says whether there is more.',
        tags,
        querystring: CommandQuery,
        response: { 200: CommandList },
      },
    },
    async (request, reply) => {
      const { node, node_name, rollout_id, ...query } = request.query;
      const nodeName = node === undefined ? node_name : nameOf(view, commands, request, node);
      return sendPage(commands, request, reply, { ...query, nodeName, rolloutId: rollout_id });
    },
  );

  app.get(
    '/api/v1/commands/:id',
    {
      config: { access: 'read' },
      schema: {
        summary: 'One command',
        description: 'Its state, what the node said, and its history.',
        tags,
        params: CommandParams,
        response: { 200: CommandRow },
      },
    },
    async (request) => {
      const record = await asked(() => commands.command(request.params.id));
      if (!commands.inScope(request.principal, record.nodeName)) throw new RestError('COMMAND_NOT_FOUND');
      return commandRow(record);
    },
  );

  app.delete(
    '/api/v1/commands/:id',
    {
      config: { access: 'command' },
      schema: {
        summary: 'Cancel a command',
        description: 'Possible until it is sent: what a node was told cannot be taken back.',
        tags,
        params: CommandParams,
        response: { 200: CommandRow },
      },
    },
    async (request) => commandRow(await asked(() => commands.cancel(request.params.id, actorOf(request)))),
  );
}

export function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

function nodeIdOf(text: string): bigint {
  const id = parseNodeId(text);
  if (id === undefined) throw new RestError('INVALID_NODE_ID');
  return id;
}

function nameOf(view: CoreView, commands: CommandService, request: FastifyRequest, idText: string): string {
  const node = view.node(nodeIdOf(idText));
  if (node === undefined || !commands.inScope(request.principal, node.name))
    throw new RestError('NODE_NOT_FOUND');
  return node.name;
}

/** Finds the page at once, as the table stands; makes its JSON in slices. */
async function sendPage(
  commands: CommandService,
  request: FastifyRequest,
  reply: FastifyReply,
  query: Query & { readonly limit?: string },
): Promise<FastifyReply> {
  const { ids, next } = findPage(commands, request, query);
  const toJson = reply.compileSerializationSchema(COMMAND_ROW_SCHEMA);
  let text = '{"commands":[';
  let last = next;
  for (const [at, id] of ids.entries()) {
    if (at % REST_LIMITS.listSliceNodes === REST_LIMITS.listSliceNodes - 1) await nextTurn();
    const record = commands.find(id);
    // It may have given way meanwhile.
    if (record !== undefined) text += `${text.endsWith('[') ? '' : ','}${toJson(commandRow(record))}`;
    if (text.length < LIMITS.commandPageBytes) continue;
    if (at < ids.length - 1) last = id;
    break;
  }
  return reply
    .header('content-type', JSON_TYPE)
    .serializer((body: unknown) => String(body))
    .send(`${text}],"next":${JSON.stringify(last)}}`);
}

function findPage(
  commands: CommandService,
  request: FastifyRequest,
  query: Query & { readonly limit?: string },
): { readonly ids: readonly string[]; readonly next: string | null } {
  const limit = query.limit === undefined ? DEFAULT_PAGE : Number(query.limit);
  const ids: string[] = [];
  let looked = 0;
  for (const { id, nodeName, matches } of commands.commands(query)) {
    looked++;
    if (matches && commands.inScope(request.principal, nodeName)) ids.push(id);
    if (ids.length >= limit || looked >= LIMITS.commandScanPerPage) return { ids, next: id };
  }
  return { ids, next: null };
}
