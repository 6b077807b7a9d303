/**
 * Who does something over REST, for the audit trail and for what is kept with a command.
 *
 * Owned by main. Pure.
 */
import type { FastifyRequest } from 'fastify';
import type { Actor } from '../access/principal.js';

export function actorOf(request: FastifyRequest): Actor {
  return { principal: request.principal, from: whereFrom(request), requestId: request.id };
}

/** `ip:port`, as nodes' addresses are written: IPv6 in brackets. */
function whereFrom({ principal, raw }: FastifyRequest): string {
  const { remoteAddress, remotePort } = raw.socket;
  if (principal.kind === 'local' || remoteAddress === undefined) return 'local';
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}
