/**
 * A path that exists, asked with a method it does not have: 405 with an `allow` header, not a 404 that would say the
 * path is wrong.
 *
 * Owned by main.
 */
import type { RouteOptions } from 'fastify';
import type { RestApp } from './app.js';
import { sendError } from './errors.js';

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'] as const;

/** Watches routes being added; the function it returns adds the 405 of every path once all are there. */
export function guardMethods(app: RestApp): () => void {
  const methodsByPath = new Map<string, Set<string>>();
  /** A path with a public route is no secret; that of others is told to whoever may ask anything at all. */
  const access = new Map<string, 'public'>();
  app.addHook('onRoute', ({ path, method, config }: RouteOptions & { path: string }) => {
    if (config?.access === 'public') access.set(path, 'public');
    const methods = methodsByPath.get(path) ?? new Set<string>();
    for (const name of [method].flat()) methods.add(name);
    methodsByPath.set(path, methods);
  });
  return () => {
    for (const [path, methods] of [...methodsByPath]) {
      const allow = [...methods].sort().join(', ');
      const refused = METHODS.filter((name) => !methods.has(name));
      if (refused.length === 0) continue;
      app.route({
        method: refused,
        url: path,
        config: { access: access.get(path) ?? 'any' },
        // Before the body is looked at: it is not read, so the connection cannot be used again.
        onRequest: async (_request, reply) => {
          reply.header('allow', allow).header('connection', 'close');
          return sendError(reply, 'METHOD_NOT_ALLOWED');
        },
        handler: (_request, reply) => sendError(reply, 'METHOD_NOT_ALLOWED'),
      });
    }
  };
}
