/**
 * What routes there are, as they are added: `GET /`, the OpenAPI document and the 405 answers are made of it, so none
 * of them can forget one.
 *
 * Owned by main.
 */
import type { FastifyContextConfig, FastifySchema, RouteOptions } from 'fastify';
import type { Permission } from '../access/principal.js';
import type { RestApp } from './app.js';

export interface RouteEntry {
  readonly method: string;
  /** As the router has it: `/api/v1/nodes/:id`. */
  readonly path: string;
  readonly schema: FastifySchema;
  readonly config: FastifyContextConfig;
}

export class RouteTable {
  readonly #entries: RouteEntry[] = [];

  /** Watches routes being added from now on. */
  watch(app: RestApp): void {
    app.addHook('onRoute', (options: RouteOptions & { path: string }) => {
      // Of the plugin for CORS, behind a preflight of a path that is not there: 404, for whoever asks.
      if (options.path === '*') options.config = { access: 'public', ...options.config };
      // Everything under /api takes exactly the parameters it knows: one that is misspelt must not widen an answer.
      if (options.path.startsWith('/api/')) {
        options.schema = { querystring: NO_PARAMETERS, ...options.schema };
      }
      const { path, schema = {}, config = {} } = options;
      for (const method of [options.method].flat())
        this.#entries.push({ method, path, schema, config: config as FastifyContextConfig });
    });
  }

  /** All routes that were meant for the outside, without the HEAD of every GET. */
  shown(): readonly RouteEntry[] {
    return this.#entries.filter(({ method, schema }) => method !== 'HEAD' && schema.hide !== true);
  }

  /** `public` where any of the path's routes is, else `any`: whoever has any role may know that a path exists. */
  accessOf(path: string): Permission {
    const open = this.#entries.some((entry) => entry.path === path && entry.config.access === 'public');
    return open ? 'public' : 'any';
  }

  methodsByPath(): ReadonlyMap<string, readonly string[]> {
    const byPath = new Map<string, string[]>();
    for (const { path, method } of this.#entries) {
      const methods = byPath.get(path);
      if (methods === undefined) byPath.set(path, [method]);
      else if (!methods.includes(method)) methods.push(method);
    }
    return byPath;
  }
}

const NO_PARAMETERS = { type: 'object', properties: {}, additionalProperties: false } as const;

/** `/api/v1/nodes/:id` as it is written in documents: `/api/v1/nodes/{id}`. */
export function shownPath(path: string): string {
  return path.replace(/:([A-Za-z0-9_]+)/g, '{$1}');
}
