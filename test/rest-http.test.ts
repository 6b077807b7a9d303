/** REST as HTTP: methods, paths that are not there, what is not HTTP, errors, closing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { EXIT, FatalError } from '../src/errors.js';
import { REST_LIMITS } from '../src/rest/limits.js';
import { RestCore, readAll, startRest } from './rest-core.js';

test('health is 200 while all is well, and 503 with a reason otherwise', async () => {
  const core = await startRest();
  assert.deepEqual(await core.get('/health').then(({ status, text }) => [status, text]), [
    200,
    '{"status":"ok"}',
  ]);
  for (const status of ['starting', 'stopping', 'degraded'] as const) {
    core.health = { status, reason: 'the disk is full' };
    const answer = await core.get('/health');
    assert.equal(answer.status, 503);
    assert.deepEqual(answer.json, { status, reason: 'the disk is full' });
  }
});

test('HEAD answers like GET without a body', async () => {
  const core = await startRest();
  core.register(1n, 'n', 1);
  for (const path of [
    '/',
    '/health',
    '/api/v1/nodes',
    '/api/v1/nodes/1',
    '/api/v1/honeypots',
    '/api/v1/stats',
    '/metrics',
  ]) {
    const answer = await core.get(path, 'HEAD');
    assert.equal(answer.status, 200, path);
    assert.equal(answer.text, '', path);
    assert.equal(answer.headers['content-type'], (await core.get(path)).headers['content-type'], path);
  }
  assert.equal((await core.get('/api/v1/nodes/2', 'HEAD')).status, 404);
});

test('an unknown path is 404, a known path with another method is 405 and says what it allows', async () => {
  const core = await startRest();
  for (const path of [
    '/nothing',
    '/api/v1/nodes/1/2',
    '/api/v2/nodes',
    '/..%2f',
    '/health/',
    '//',
    '/API/v1/nodes',
  ]) {
    const answer = await core.get(path);
    assert.equal(answer.status, 404, path);
    assert.equal(answer.json.code, 'NOT_FOUND', path);
  }
  for (const path of ['/', '/health', '/api/v1/nodes', '/api/v1/nodes/1', '/metrics']) {
    for (const method of ['POST', 'PATCH', 'OPTIONS'] as const) {
      const answer = await core.get(path, method, method === 'POST' ? { body: '{' } : {});
      assert.equal(answer.status, 405, `${method} ${path}`);
      assert.equal(answer.headers.allow, path === '/api/v1/nodes/1' ? 'DELETE, GET, HEAD' : 'GET, HEAD');
      assert.equal(answer.json.code, 'METHOD_NOT_ALLOWED');
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    }
  }
});

test('what is not HTTP is answered in the same shape and closed', async () => {
  const core = await startRest();
  const cases: [string, string][] = [
    ['\u0016\u0003\u0001 not http\r\n\r\n', '400'],
    ['GET /health HTTP/1.1\r\nconnection: close\r\n\r\n', '400'],
    ['GET /health HTTP/1.1\r\nhost: x\r\nexpect: a miracle\r\nconnection: close\r\n\r\n', '417'],
    ['GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', '400'],
    [`GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(REST_LIMITS.headerBytes)}\r\n\r\n`, '431'],
  ];
  for (const [bytes, status] of cases) {
    const socket = await core.connect();
    socket.write(bytes);
    const answer = await readAll(socket);
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${JSON.stringify(bytes.slice(0, 30))}: ${answer}`);
    assert.match(answer, /content-type: application\/problem\+json/);
    assert.match(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).code, /^[A-Z_]+$/);
  }
  const body = await core.get('/nothing', 'POST', { body: `"${'x'.repeat(300_000)}"` });
  assert.equal(body.status, 413);
  assert.equal(body.json.code, 'PAYLOAD_TOO_LARGE');
  assert.equal((await core.get('/health')).status, 200);
});

test('what went wrong inside is logged and never told', async () => {
  const core = await startRest({
    view: ({ view }) => ({
      ...view,
      stats: () => {
        throw new Error('the secret of the house');
      },
      nodes: () => {
        throw Object.assign(new Error('the secret of the house'), { statusCode: 599 });
      },
    }),
  });
  for (const path of ['/api/v1/stats', '/api/v1/nodes']) {
    const answer = await core.get(path);
    assert.equal(answer.status, 500);
    assert.equal(answer.json.code, 'INTERNAL_ERROR');
    assert.ok(!answer.text.includes('secret'));
  }
  assert.equal(core.logLines.filter((line) => line.includes('the secret of the house')).length, 2);
  assert.equal((await core.get('/health')).status, 200);
  assert.equal(core.logLines.length, 2, 'a request that goes well writes no line');
});

test('a port in use is a fatal error that names the port', async () => {
  const core = await startRest();
  const second = new RestCore({ port: core.port });
  await assert.rejects(second.server.listen(), (error: unknown) => {
    assert.ok(error instanceof FatalError);
    assert.equal(error.exitCode, EXIT.unavailable);
    assert.match(error.message, new RegExp(`port ${core.port} of 127\\.0\\.0\\.1 .*in use`));
    return true;
  });
  assert.equal((await core.get('/health')).status, 200, 'the first one is untouched');
});

test('closing ends idle connections at once and cuts readers that stall after the grace', {
  timeout: 10_000,
}, async () => {
  const core = await startRest();
  core.registerDeparted(40_000);
  const idle = await core.connect();
  idle.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(idle, 'data');
  const stalled = await core.connect();
  stalled.write('GET /api/v1/nodes HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(stalled, 'readable');
  const fresh = await core.connect();
  const idleClosed = once(idle, 'close').then(() => 'idle');
  const closed = core.server.close().then(() => 'server');
  assert.equal(await Promise.race([idleClosed, closed]), 'idle');
  assert.equal(await closed, 'server');
  stalled.resume();
  fresh.resume();
  await Promise.all([once(stalled, 'close'), fresh.closed || once(fresh, 'close')]);
  await assert.rejects(core.get('/health'));
});

test('the root lists what is here, and everything it lists is here', async () => {
  const core = await startRest();
  core.register(5n, 'n', 1);
  const { json } = await core.get('/');
  assert.equal(json.name, 'honeybee-core');
  assert.equal(json.protocol, 2);
  for (const { method, path } of json.routes) {
    const { status } = await core.get(path.replace(/\{\w+\}/, '5'), 'HEAD');
    // What is no GET has no HEAD either; a token, command, rollout or dead letter with this id was never made.
    const nobodys = /^\/api\/v1\/(tokens|commands|rollouts|dead-letters|consumers)\/\{\w+\}(\/bytes)?$/.test(
      path,
    );
    const expected = nobodys ? [404] : method === 'GET' ? [200] : [200, 405];
    assert.ok(expected.includes(status), `${path}: ${status}`);
  }
});
