/**
 * `GET /openapi.json` and `GET /docs`: the API for programs and for people. Public: they say what everybody can read
 * in the project's own documentation, and nothing of this Core but its version.
 *
 * The page is Swagger UI out of its package, served file by file: nothing of it is loaded or kept before somebody
 * looks, nothing comes from elsewhere, and no script runs that is not one of these files.
 */
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Type } from 'typebox';
import type { RestApp } from '../app.js';
import { RestError } from '../errors.js';
import { sendJsonText } from '../json-text.js';
import { makeOpenApi } from '../openapi.js';
import type { RouteTable } from '../route-table.js';

/** Names under /docs/, with their types; the files are those of the package unless they are made here. */
const FILES: Readonly<Record<string, string>> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>HoneyBee Core REST</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript; /openapi.json is what it shows.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#page',
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
});
`;

/** Its own files and answers of this Core, nothing else. Styles are set by its scripts, pictures are in its styles. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

export function docsRoutes(
  app: RestApp,
  table: RouteTable,
  options: { version(): string; rateLimited: boolean },
): void {
  let document: Promise<string> | undefined;
  const tags = ['documentation'];

  app.get(
    '/openapi.json',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'getOpenApi',
        tags,
        summary: 'this API as an OpenAPI 3.1 document',
        description: 'Made of the schemas that requests are validated with.',
        response: { 200: Type.Object({}, { additionalProperties: true, description: 'the document' }) },
      },
    },
    async (_request, reply) => {
      document ??= makeOpenApi(table.shown(), {
        version: options.version(),
        rateLimited: options.rateLimited,
      });
      try {
        return sendJsonText(reply, await document);
      } catch (error) {
        // Made again for the next one who asks.
        document = undefined;
        throw error;
      }
    },
  );

  app.get(
    '/docs',
    {
      config: { access: 'public' },
      schema: {
        operationId: 'getDocs',
        tags,
        summary: 'this API as a page to browse and try',
        description: 'Works without a connection to anywhere else.',
        response: { 200: { description: 'the page', content: { 'text/html': { schema: Type.String() } } } },
      },
    },
    async (_request, reply) =>
      reply.type('text/html; charset=utf-8').header('content-security-policy', PAGE_POLICY).send(PAGE),
  );

  app.get(
    '/docs/:file',
    {
      config: { access: 'public' },
      schema: { hide: true, params: Type.Object({ file: Type.String({ description: 'name of the file' }) }) },
    },
    async (request, reply) => {
      const { file } = request.params;
      if (file === 'start.js') return reply.type('text/javascript; charset=utf-8').send(START);
      const type = Object.hasOwn(FILES, file) ? FILES[file] : undefined;
      if (type === undefined) throw new RestError('NOT_FOUND');
      reply.type(type).header('cache-control', 'public, max-age=86400');
      return reply.send(createReadStream(join(packageFolder(), file)));
    },
  );
}

function packageFolder(): string {
  return join(dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui')), 'static');
}
