/** What stands on every answer, and who may read one: security headers, request ids, CORS, the documentation's page. */

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { ANONYMOUS_OPEN } from '../src/access/principals.js';
import { brokenAnswer } from '../src/rest/broken-http.js';
import { transportHeaders } from '../src/rest/headers.js';
import { REST_LIMITS } from '../src/rest/limits.js';
import { type Answer, type RestCore, readAll, startRest } from './rest-core.js';

const SECURITY = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
};

function checkSecurity(headers: Answer['headers'], what: string): void {
  for (const [name, value] of Object.entries(SECURITY))
    assert.equal(headers[name], value, `${what}: ${name}`);
  assert.match(String(headers['content-security-policy']), /^default-src 'none'/, what);
  assert.match(String(headers['content-security-policy']), /frame-ancestors 'none'/, what);
  assert.match(
    String(headers['cache-control']),
    /^(no-store|private, no-cache|public, max-age=86400)$/,
    what,
  );
  assert.match(String(headers['x-request-id']), /^[A-Za-z0-9._-]{1,128}$/, what);
  assert.equal(headers['strict-transport-security'], undefined, `${what}: only over TLS`);
  assert.equal(headers['x-powered-by'], undefined, what);
  assert.equal(headers['set-cookie'], undefined, what);
}

/** Every path there is, with parameters filled in, and some that are not. */
async function everyPath(core: RestCore): Promise<string[]> {
  const { paths } = (await core.get('/openapi.json')).json;
  const all = Object.keys(paths).map((path) => path.replace(/\{[^}]+\}/g, '5'));
  return [
    ...all,
    '/docs/start.js',
    '/docs/swagger-ui.css',
    '/docs/none.js',
    '/nothing',
    '/%zz',
    `/${'x'.repeat(9000)}`,
  ];
}

test('every answer of every route has the security headers and a request id, errors and 304 included', async () => {
  const core = await startRest();
  core.register(5n, 'n', 1);
  for (const path of await everyPath(core)) {
    for (const method of ['GET', 'HEAD', 'POST', 'PATCH', 'OPTIONS', 'DELETE'] as const) {
      const answer = await core.get(path, method);
      checkSecurity(answer.headers, `${method} ${path.slice(0, 40)} ${answer.status}`);
      if (answer.status >= 400 && method !== 'HEAD') {
        assert.equal(answer.headers['content-type'], 'application/problem+json', path);
        assert.equal(answer.json.status, answer.status);
        assert.equal(answer.json.type, `urn:honeybee:error:${answer.json.code}`);
        assert.equal(answer.json.instance, `urn:honeybee:request:${answer.headers['x-request-id']}`);
      }
      if (answer.headers.etag !== undefined) {
        const again = await core.get(path, method, {
          headers: { 'if-none-match': String(answer.headers.etag) },
        });
        assert.equal(again.status, 304, path);
        checkSecurity(again.headers, `304 ${path}`);
      }
    }
  }
});

test('only a connection that is encrypted is told to stay so', () => {
  assert.deepEqual(transportHeaders(Object.assign(new net.Socket(), { encrypted: true })), {
    'strict-transport-security': 'max-age=63072000',
  });
  assert.deepEqual(transportHeaders(new net.Socket()), {});
});

test('what is not HTTP is answered with the same headers, and a length that is right', async () => {
  const core = await startRest();
  const socket = await core.connect();
  socket.write('not http\r\n\r\n');
  const answer = await readAll(socket);
  const [head, body] = answer.split('\r\n\r\n') as [string, string];
  const headers = Object.fromEntries(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => line.split(': ', 2) as [string, string]),
  );
  checkSecurity(headers, 'broken');
  assert.equal(headers['content-length'], String(Buffer.byteLength(body)));
  assert.equal(JSON.parse(body).code, 'BAD_REQUEST');
  assert.notEqual(brokenAnswer('BAD_REQUEST'), brokenAnswer('BAD_REQUEST'), 'each has an id of its own');
});

test('a request id that is harmless is taken, any other is replaced, and it stands in answer, problem and audit', async () => {
  const core = await startRest();
  core.register(5n, 'n', 1);
  for (const id of ['a', 'A-b_c.9', 'x'.repeat(128)]) {
    const { headers, json } = await core.get('/nothing', 'GET', { headers: { 'x-request-id': id } });
    assert.equal(headers['x-request-id'], id);
    assert.equal(json.instance, `urn:honeybee:request:${id}`);
  }
  const made = new Set<string>();
  for (const id of ['', ' ', 'a b', 'x'.repeat(129), '<script>', 'a,b', 'é', '{"a":1}']) {
    const { headers } = await core.get('/health', 'GET', { headers: { 'x-request-id': id } });
    assert.notEqual(headers['x-request-id'], id);
    made.add(String(headers['x-request-id']));
  }
  assert.equal(made.size, 8, 'made ones differ');
  await core.get('/api/v1/nodes/5', 'DELETE', { headers: { 'x-request-id': 'mine' } });
  assert.equal(core.audit[0]?.actor.requestId, 'mine');
});

test('without allowed origins no header of CORS leaves, and a page can neither ask beforehand nor change anything', async () => {
  const core = await startRest();
  core.register(5n, 'n', 1);
  const headers = { origin: 'https://evil.example', 'access-control-request-method': 'DELETE' };
  for (const method of ['GET', 'OPTIONS', 'POST', 'DELETE'] as const) {
    const answer = await core.get('/api/v1/nodes/5', method, { headers });
    for (const name of Object.keys(answer.headers))
      assert.ok(!name.startsWith('access-control-'), `${method}: ${name}`);
    assert.equal(answer.status, { GET: 200, OPTIONS: 405, POST: 403, DELETE: 403 }[method], method);
  }
  assert.equal(core.audit.length, 0, 'nothing was removed');
  for (const origin of [
    'null',
    'file://',
    `http://127.0.0.1:${core.port + 1}`,
    `https://localhost:${core.port}`,
  ]) {
    assert.equal((await core.get('/api/v1/nodes/5', 'DELETE', { headers: { origin } })).status, 403, origin);
  }
  const own = { origin: `http://127.0.0.1:${core.port}` };
  assert.equal(
    (await core.get('/api/v1/nodes/5', 'DELETE', { headers: own })).status,
    204,
    "the Core's own page may",
  );
});

test('an allowed origin may ask beforehand and read what it needs; every other one may not', async () => {
  const core = await startRest({ allowedOrigins: 'https://soc.example.org, http://localhost:5173' });
  core.register(5n, 'n', 1);
  core.principals.set('t', ANONYMOUS_OPEN);
  const ask = (origin: string, method: 'GET' | 'OPTIONS' | 'DELETE', more: Record<string, string> = {}) =>
    core.get('/api/v1/nodes/5', method, { headers: { origin, ...more } });
  const preflight = {
    'access-control-request-method': 'DELETE',
    'access-control-request-headers': 'authorization',
  };
  for (const origin of ['https://soc.example.org', 'http://localhost:5173']) {
    const before = await ask(origin, 'OPTIONS', { ...preflight, authorization: 'Bearer nobody' });
    assert.equal(before.status, 204, 'answered before anybody asks for a token');
    assert.equal(before.headers['access-control-allow-origin'], origin);
    assert.match(String(before.headers['access-control-allow-methods']), /DELETE/);
    assert.match(String(before.headers['access-control-allow-headers']), /Authorization/);
    assert.equal(before.headers['access-control-allow-credentials'], undefined);
    const read = await ask(origin, 'GET');
    assert.equal(read.headers['access-control-allow-origin'], origin);
    for (const name of [
      'Link',
      'ETag',
      'Location',
      'RateLimit',
      'RateLimit-Policy',
      'Retry-After',
      'x-request-id',
    ])
      assert.match(String(read.headers['access-control-expose-headers']), new RegExp(`\\b${name}\\b`));
    assert.match(String(read.headers.vary), /\bOrigin\b/);
    const refused = await ask(origin, 'GET', { authorization: 'Bearer nobody' });
    assert.equal(refused.status, 401);
    assert.equal(
      refused.headers['access-control-allow-origin'],
      origin,
      'a page may read why it was refused',
    );
    assert.equal((await ask(origin, 'OPTIONS')).status, 405, 'not a preflight');
  }
  for (const origin of [
    'https://soc.example.org.evil.example',
    'https://evil.example',
    'null',
    'http://soc.example.org',
  ]) {
    const before = await ask(origin, 'OPTIONS', preflight);
    assert.equal(before.status, 405, origin);
    assert.equal(before.headers['access-control-allow-origin'], undefined, origin);
    assert.equal((await ask(origin, 'GET')).headers['access-control-allow-origin'], undefined, origin);
    assert.equal((await ask(origin, 'DELETE')).status, 403, origin);
  }
  assert.equal((await ask('https://soc.example.org', 'DELETE')).status, 204);
  assert.equal((await core.get('/nothing', 'OPTIONS')).status, 404);
});

test("the documentation's page loads nothing from elsewhere and runs no script that is not a file of its own", async () => {
  const core = await startRest();
  const page = await core.get('/docs');
  assert.equal(page.status, 200);
  assert.match(String(page.headers['content-type']), /^text\/html/);
  const policy = String(page.headers['content-security-policy']);
  assert.ok(!/unsafe|https?:|\*/.test(policy), policy);
  assert.match(policy, /script-src 'self';/);
  assert.ok(!/<script>|<style|style=| on[a-z]+=/.test(page.text), 'nothing inline');
  const files = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, file]) => file!);
  assert.ok(files.length >= 4);
  for (const file of files) {
    assert.ok(file.startsWith('/docs/'), file);
    const answer = await core.get(file);
    assert.equal(answer.status, 200, file);
    assert.ok(answer.text.length > 0, file);
    if (file.endsWith('.js')) assert.match(String(answer.headers['content-type']), /^text\/javascript/);
  }
  for (const path of [
    '/docs/..%2f..%2fpackage.json',
    '/docs/swagger-ui.css%00',
    '/docs/constructor',
    '/docs/__proto__',
  ])
    assert.equal((await core.get(path)).status, 404, path);
});

test('paths, headers and bodies that are too long, and bodies that are no JSON, are refused by name', async () => {
  const core = await startRest({
    debug: { killShard: () => {}, killAggregator: () => {}, killReader: () => {}, killKeeper: () => {} },
  });
  const cases: [number, string, () => Promise<Answer>][] = [
    [414, 'URI_TOO_LONG', () => core.get(`/api/v1/nodes?name=${'x'.repeat(REST_LIMITS.urlChars)}`)],
    [
      431,
      'HEADERS_TOO_LARGE',
      () => core.get('/health', 'GET', { headers: { x: 'y'.repeat(REST_LIMITS.headerBytes) } }),
    ],
    [
      413,
      'PAYLOAD_TOO_LARGE',
      () => core.get('/debug/aggregator/kill', 'POST', { body: `"${'x'.repeat(300_000)}"` }),
    ],
    [
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      () =>
        core.get('/debug/aggregator/kill', 'POST', { body: 'x', headers: { 'content-type': 'text/plain' } }),
    ],
    [
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      () =>
        core.get('/debug/aggregator/kill', 'POST', {
          body: 'a=1',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        }),
    ],
    [400, 'BAD_REQUEST', () => core.get('/debug/aggregator/kill', 'POST', { body: '{"a":' })],
    [400, 'BAD_REQUEST', () => core.get('/debug/aggregator/kill', 'POST', { body: '{"__proto__":{}}' })],
  ];
  for (const [status, code, ask] of cases) {
    const { json, headers, ...answer } = await ask();
    assert.deepEqual([answer.status, json.code], [status, code]);
    assert.equal(headers['content-type'], 'application/problem+json');
  }
});

test('a node is removed on behalf of whoever asked, and the audit trail says so, also when it was not', async () => {
  const core = await startRest();
  core.register(5n, 'five', 1);
  const removed: bigint[] = [];
  core.remove = async (id) => {
    removed.push(id);
    return true;
  };
  assert.equal((await core.get('/api/v1/nodes/5', 'DELETE')).status, 204);
  assert.deepEqual(removed, [5n]);
  assert.equal((await core.get('/api/v1/nodes/6', 'DELETE')).json.code, 'NODE_NOT_FOUND');
  assert.equal((await core.get('/api/v1/nodes/0', 'DELETE')).json.code, 'INVALID_NODE_ID');
  core.remove = async () => {
    throw new Error('the disk is gone');
  };
  assert.equal((await core.get('/api/v1/nodes/5', 'DELETE')).status, 500);
  assert.deepEqual(
    core.audit.map(({ action, target, outcome }) => [action, target, outcome]),
    [
      ['node.remove', '5', 'done'],
      ['node.remove', '6', 'refused'],
      ['node.remove', '5', 'failed'],
    ],
  );
  assert.match(core.audit[0]!.actor.from, /^127\.0\.0\.1:\d+$/);
});
