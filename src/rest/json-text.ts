/** Answers that are JSON texts already: made row by row, or read from a log, with every digit of their ids. */
import type { FastifyReply } from 'fastify';

export const JSON_TYPE = 'application/json; charset=utf-8';

/** Takes a reply of any route: what is in the text is for the route to know. */
export function sendJsonText(reply: FastifyReply, text: string): FastifyReply {
  return reply.header('content-type', JSON_TYPE).send(text);
}
