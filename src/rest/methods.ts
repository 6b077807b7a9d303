/**
 * A path that exists, asked with a method it does not have: 405 with an `allow` header, not a 404 that would say the
 * path is wrong.
 *
 * Owned by main.
 */
import type { RestApp } from './app.js';
import { sendProblem } from './problem.js';
import type { RouteTable } from './route-table.js';

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'] as const;

/** Adds the 405 of every path that is in the table now. */
export function addMethodGuards(app: RestApp, table: RouteTable): void {
  for (const [path, methods] of [...table.methodsByPath()]) {
    const allow = [...methods].sort().join(', ');
    const refused = METHODS.filter((name) => !methods.includes(name));
    if (refused.length === 0) continue;
    app.route({
      method: refused,
      url: path,
      schema: { hide: true },
      // Only who may know the path is told what it allows; anybody may know the public ones.
      config: { access: table.accessOf(path) },
      // Before the body is looked at: it is not read, so the connection cannot be used again.
      onRequest: async (_request, reply) => {
        reply.header('allow', allow).header('connection', 'close');
        return sendProblem(reply, 'METHOD_NOT_ALLOWED');
      },
      handler: (_request, reply) => sendProblem(reply, 'METHOD_NOT_ALLOWED'),
    });
  }
}
