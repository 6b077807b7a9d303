/**
 * Who does something over REST, for the audit trail.
 *
 * Owned by main. Pure.
 */
import type { FastifyRequest } from 'fastify';
import type { Actor } from '../access/principal.js';

export function actorOf(request: FastifyRequest): Actor {
  const { remoteAddress, remotePort } = request.raw.socket;
  const from =
    remoteAddress === undefined || request.principal.kind === 'local'
      ? 'local'
      : `${remoteAddress}:${remotePort}`;
  return { principal: request.principal, from, requestId: request.id };
}
