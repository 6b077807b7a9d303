/** The OpenAPI document a Core serves: sound as OpenAPI 3.1, complete, and true. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type OpenApi, restMarkdown } from '../scripts/rest-markdown.js';
import { REST_ERRORS } from '../src/rest/errors.js';
import { CoreProcess } from './core-process.js';
import {
  type Document,
  type JsonSchema,
  mistakesIn,
  parametersOf,
  resolveRef,
  routesOf,
} from './openapi-document.js';
import { get } from './rest-client.js';
import { startRest } from './rest-core.js';

const ROLES = ['read', 'stream', 'command', 'admin'];
const SCHEMA_TYPES = new Set(['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']);

async function documentOf(): Promise<Document> {
  const core = await startRest({
    requestsPerMinute: 1_000_000,
    debug: { killShard() {}, killAggregator() {}, killReader() {}, killKeeper() {} },
  });
  return (await core.get('/openapi.json')).json;
}

/** Every object in the document with the way that leads to it. */
function* objectsIn(value: unknown, path = '#'): Generator<[string, Record<string, unknown>]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [path, value as Record<string, unknown>];
  for (const [name, part] of Object.entries(value)) yield* objectsIn(part, `${path}/${name}`);
}

test('the document is sound: versions, paths, parameters, ids, references', async () => {
  const document = await documentOf();
  assert.equal(document.openapi, '3.1.0');
  assert.ok(document.info.title !== '' && document.info.version !== '');
  const ids = new Set<string>();
  for (const { method, path, operation } of routesOf(document)) {
    const where = `${method} ${path}`;
    assert.match(path, /^\/([A-Za-z0-9_.{}-]+(\/[A-Za-z0-9_.{}-]+)*)?$/, where);
    assert.ok(!ids.has(operation.operationId!), `${where}: operationId twice`);
    ids.add(operation.operationId!);
    const parameters = parametersOf(document, operation);
    const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    assert.deepEqual(
      parameters.filter((one) => one.in === 'path').map(({ name }) => name),
      inPath,
      `${where}: the parameters of the path are those in its braces`,
    );
    for (const parameter of parameters) {
      if (parameter.in === 'path') assert.equal(parameter.required, true, where);
      assert.ok(SCHEMA_TYPES.has(parameter.schema.type), `${where}: ${parameter.name}`);
    }
    const keys = parameters.map((one) => `${one.in} ${one.name}`);
    assert.equal(new Set(keys).size, keys.length, `${where}: a parameter twice`);
    assert.ok(Object.keys(operation.responses).length > 0, where);
    for (const status of Object.keys(operation.responses)) assert.match(status, /^[1-5][0-9][0-9]$/, where);
    for (const tag of operation.tags ?? [])
      assert.ok(
        document.tags.some(({ name }) => name === tag),
        tag,
      );
  }
  for (const [path, object] of objectsIn(document)) {
    if (typeof object.$ref === 'string') assert.ok(resolveRef(document, object.$ref) !== undefined, path);
    assert.ok(
      !('nullable' in object) && !('~kind' in object),
      `${path}: of an older OpenAPI, or of the library`,
    );
  }
});

test('everything is described: routes, parameters, fields of bodies and of answers', async () => {
  const document = await documentOf();
  const undescribed: string[] = [];
  const look = (schema: JsonSchema, where: string): void => {
    for (const [name, field] of Object.entries<JsonSchema>(schema?.properties ?? {})) {
      if (!field.description && !field.$ref) undescribed.push(`${where}.${name}`);
      look(field, `${where}.${name}`);
      look(field.items, `${where}.${name}[]`);
    }
    for (const branch of schema?.anyOf ?? schema?.oneOf ?? []) look(branch, where);
  };
  for (const { method, path, operation } of routesOf(document)) {
    const where = `${method} ${path}`;
    for (const field of ['summary', 'description', 'operationId'] as const)
      if (!operation[field]) undescribed.push(`${where}: ${field}`);
    if (operation.tags?.length !== 1) undescribed.push(`${where}: one tag`);
    for (const { name, description } of parametersOf(document, operation))
      if (!description) undescribed.push(`${where}: ${name}`);
    for (const { schema } of Object.values(operation.requestBody?.content ?? {}))
      look(schema, `${where} body`);
    for (const [status, answer] of Object.entries(operation.responses)) {
      if (!answer.description || answer.description === 'Default Response')
        undescribed.push(`${where}: ${status}`);
      for (const { schema } of Object.values(answer.content ?? {})) look(schema, `${where} ${status}`);
    }
  }
  assert.deepEqual(undescribed, []);
});

test('every route says who may use it and which errors it may answer with, each a problem of the table', async () => {
  const document = await documentOf();
  for (const [code, { status }] of Object.entries(document['x-error-codes']))
    assert.equal(REST_ERRORS[code as keyof typeof REST_ERRORS].status, status);
  for (const { method, path, operation } of routesOf(document)) {
    const where = `${method} ${path}`;
    const roles = operation['x-roles'];
    if (roles === undefined) {
      assert.deepEqual(operation.security, [], `${where} is public`);
      assert.match(path, /^\/(health|docs|openapi\.json)$/, `${where} is public`);
    } else {
      assert.deepEqual(operation.security, [{ bearer: [] }], where);
      assert.ok(
        roles.length > 0 && roles.every((role) => ROLES.includes(role)) && roles.includes('admin'),
        where,
      );
      for (const status of ['401', '403']) assert.ok(status in operation.responses, `${where}: ${status}`);
    }
    for (const [status, answer] of Object.entries(operation.responses)) {
      assert.ok('X-Request-Id' in (answer.headers ?? {}), `${where}: ${status}`);
      if (Number(status) < 400 || path === '/health') continue;
      assert.deepEqual(
        Object.keys(answer.content ?? {}),
        ['application/problem+json'],
        `${where}: ${status}`,
      );
      assert.ok((answer['x-codes'] ?? []).length > 0, `${where}: ${status}`);
      for (const code of answer['x-codes']!)
        assert.equal(String(document['x-error-codes'][code]?.status), status, `${where}: ${code}`);
    }
    if (operation.requestBody !== undefined)
      for (const status of ['413', '415']) assert.ok(status in operation.responses, `${where}: ${status}`);
    if (method === 'GET') assert.equal(operation.requestBody, undefined, where);
  }
});

test('examples are true: each is what its own schema takes', async () => {
  const document = await documentOf();
  let checked = 0;
  for (const [path, object] of objectsIn(document)) {
    const { examples, example, schema, description: _, ...rest } = object as JsonSchema;
    if (/\/(properties|responses|parameters|headers|schemas|paths|components)$/.test(path)) continue;
    for (const value of Array.isArray(examples) ? examples : []) {
      assert.deepEqual(mistakesIn(document, { ...rest }, value), [], path);
      checked += 1;
    }
    if (example === undefined) continue;
    assert.deepEqual(mistakesIn(document, { ...schema }, example), [], path);
    checked += 1;
  }
  assert.ok(checked > 10, `${checked} examples`);
});

test('the list at / and the document name the same routes', async () => {
  const core = await startRest();
  const { routes } = (await core.get('/')).json;
  const document: Document = (await core.get('/openapi.json')).json;
  assert.deepEqual(
    routes.map(({ method, path, what }: Record<string, string>) => [method, path, what]).sort(),
    routesOf(document)
      .map(({ method, path, operation }) => [method, path, operation.summary])
      .sort(),
  );
  for (const { access } of routes) assert.ok(['public', 'any', ...ROLES].includes(access), access);
});

test('a real Core serves the document that docs/rest.md was made of', async (t) => {
  const core = await CoreProcess.start(t);
  const { json } = await get(core.ports.backend_port, '/openapi.json');
  const page = new URL('../../docs/rest.md', import.meta.url);
  assert.equal(readFileSync(page, 'utf8'), restMarkdown(json as OpenApi), 'npm run docs');
  await core.stop();
});
