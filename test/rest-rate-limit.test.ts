/** Requests in a minute: counted per token or address, told in headers, bounded in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Principal } from '../src/access/principal.js';
import { ANONYMOUS_OPEN } from '../src/access/principals.js';
import { type Answer, startRest } from './rest-core.js';

const LIMIT = 20;

function left({ headers }: Answer): number {
  return Number(/^"default";r=(\d+);t=\d+$/.exec(String(headers.ratelimit))?.[1]);
}

function token(tokenId: string): Principal {
  return { ...ANONYMOUS_OPEN, kind: 'token', tokenId };
}

test('one request too many is 429 and says when to come back; what is left is told each time', async () => {
  const core = await startRest({ requestsPerMinute: LIMIT });
  for (let n = 1; n <= LIMIT; n++) {
    const answer = await core.get(n % 2 === 0 ? '/api/v1/stats' : '/nothing');
    assert.equal(answer.status, n % 2 === 0 ? 200 : 404, 'what is not there is counted, too');
    assert.equal(left(answer), LIMIT - n);
    assert.equal(answer.headers['ratelimit-policy'], `"default";q=${LIMIT};w=60`);
    assert.equal(answer.headers['retry-after'], undefined);
  }
  const refused = await core.get('/api/v1/nodes');
  assert.equal(refused.status, 429);
  assert.equal(refused.json.code, 'TOO_MANY_REQUESTS');
  assert.equal(left(refused), 0);
  const seconds = Number(refused.headers['retry-after']);
  assert.ok(seconds >= 1 && seconds <= 60, `${seconds}`);
  assert.equal(refused.headers.etag, undefined);
});

test('health is never counted nor refused', async () => {
  const core = await startRest({ requestsPerMinute: LIMIT });
  for (let n = 0; n < LIMIT * 2; n++) {
    const answer = await core.get('/health');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.ratelimit, undefined);
  }
  assert.equal(left(await core.get('/')), LIMIT - 1);
});

test('each token has its own count, wherever it comes from, and so has the address without one', async () => {
  const core = await startRest({ requestsPerMinute: LIMIT });
  core.principals.set('a', token('a')).set('a2', token('a')).set('b', token('b'));
  core.principals.set('local', { ...ANONYMOUS_OPEN, kind: 'local' });
  const ask = (name: string) => core.get('/', 'GET', { headers: { authorization: `Bearer ${name}` } });
  for (let n = 0; n < LIMIT; n++) await ask('a');
  assert.equal((await ask('a')).status, 429);
  assert.equal((await ask('a2')).status, 429, 'the same token');
  assert.equal(left(await ask('b')), LIMIT - 1);
  assert.equal(left(await core.get('/')), LIMIT - 1);
  for (let n = 0; n < LIMIT * 2; n++) {
    const answer = await ask('local');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.ratelimit, undefined);
  }
});

test('without a limit nothing is counted and no header says so', async () => {
  const core = await startRest({ requestsPerMinute: 0 });
  for (let n = 0; n < 3 * LIMIT; n++) {
    const answer = await core.get('/');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['ratelimit-policy'], undefined);
  }
  const { paths } = (await core.get('/openapi.json')).json;
  assert.equal(paths['/'].get.responses['429'], undefined, 'nor does the documentation promise one');
});

test('requests are counted by route pattern, method and class of status, and timed', async () => {
  const core = await startRest();
  core.register(5n, 'n', 1);
  for (const path of [
    '/api/v1/nodes/5',
    '/api/v1/nodes/6',
    '/api/v1/nodes/7',
    '/no/where',
    `/${'y'.repeat(50)}`,
  ])
    await core.get(path);
  await core.get('/api/v1/nodes/5', 'DELETE');
  const { text } = await core.get('/metrics');
  const value = (series: string): number =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${series} `))
        ?.split(' ')
        .at(-1),
    );
  const requests = (route: string, method: string, status: string): number =>
    value(`honeybee_rest_requests_total{route="${route}",method="${method}",status="${status}"}`);
  assert.equal(requests('/api/v1/nodes/:id', 'GET', '2xx'), 1);
  assert.equal(requests('/api/v1/nodes/:id', 'GET', '4xx'), 2);
  assert.equal(requests('/api/v1/nodes/:id', 'DELETE', '2xx'), 1);
  assert.equal(requests('none', 'none', '4xx'), 2, 'paths that strangers choose are no labels');
  assert.ok(!text.includes('/no/where') && !text.includes('yyy'));
  assert.equal(value('honeybee_rest_request_duration_seconds_count{route="/api/v1/nodes/:id"}'), 4);
});
